"""What our maps and Lithops have left: listed first, deleted when that is said.

In a storage: the objects below Lithops' prefixes and below `daybreak.packages/`. On this machine: unpacked modules, Lithops' folder
of temporary files, sockets without a reader. Of a cloud: the runtimes that Lithops deployed there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["PREFIXES", "Left", "find", "remove"]

PREFIXES = ("lithops.jobs/", "lithops.logs/", "lithops.runtimes/", "daybreak.packages/")


@dataclass(frozen=True)
class Left:
    """Something that was made. kind: "object", "folder", "socket" or "runtime"; where: its key, path or name."""

    kind: str
    where: str
    size_bytes: int = 0


def find(config: Any = None, backend: str | None = None) -> list[Left]:
    """All that there is, without changing it.

    config: of Lithops; None: what Lithops finds by itself. backend: its compute back end, whose runtimes are listed, too.

    Raises:
        FailedPreconditionError: Lithops is not installed, or the storage cannot be reached as the configuration says.
    """
    return [*_here(), *_objects(config), *_runtimes(config, backend)]


def remove(left: list[Left], config: Any = None, backend: str | None = None) -> list[Left]:
    """Deletes these: those that could not be deleted."""
    stay = []
    keys = [each.where for each in left if each.kind == "object"]
    if keys:
        storage = _storage(config)
        for at in range(0, len(keys), 1000):
            storage.delete_objects(storage.bucket, keys[at : at + 1000])
        there = {each.where for each in _objects(config)}
        stay += [each for each in left if each.kind == "object" and each.where in there]
    for each in left:
        if each.kind == "folder":
            shutil.rmtree(each.where, ignore_errors=True)
        elif each.kind == "socket":
            with contextlib.suppress(OSError):
                os.unlink(each.where)
        if each.kind in ("folder", "socket") and os.path.lexists(each.where):
            stay.append(each)
    if any(each.kind == "runtime" for each in left):
        _handler(config, backend).clean(all=True)
    return stay


def _here() -> Iterator[Left]:
    user = os.environ.get("USER", "root")
    for name in (f"daybreak-modules-{os.geteuid()}", f"lithops-{user}"):
        path = os.path.join(tempfile.gettempdir(), name)
        if os.path.isdir(path) and not os.path.islink(path) and os.stat(path).st_uid == os.geteuid():
            size = sum(os.lstat(os.path.join(at, file)).st_size for at, _, files in os.walk(path) for file in files)
            yield Left("folder", path, size)
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    folder = Path(runtime, "daybreak") if runtime else Path("/tmp", f"daybreak-{os.geteuid()}")
    for found in sorted(folder.glob("q-*")) if folder.is_dir() else ():
        with socket.socket(socket.AF_UNIX) as asked:
            try:
                asked.connect(str(found))
            except ConnectionRefusedError:
                yield Left("socket", str(found))
            except OSError:
                pass


def _storage(config: Any) -> Any:
    from ..engines.lithops import configuration

    said = configuration(config)
    from lithops.config import default_storage_config, extract_storage_config
    from lithops.storage import Storage

    from daybreak.base.errors import FailedPreconditionError

    if "daybreak" in ((said.get("lithops") or {}).get("storage"), (said.get("lithops") or {}).get("backend")):
        from ..lithops_backend import install

        install()
        said = {**said, "lithops": {**(said.get("lithops") or {}), "storage": "daybreak"}}
    try:
        return Storage(storage_config=extract_storage_config(default_storage_config(config_data=said)))
    except Exception as error:
        raise FailedPreconditionError(
            f"the storage cannot be reached ({type(error).__name__}): `daybreak map doctor` says what is missing"
        ) from None


def _objects(config: Any) -> list[Left]:
    storage = _storage(config)
    if storage.backend in ("localhost", "daybreak"):
        return []  # which lie in Lithops' folder of temporary files
    found = [each for prefix in PREFIXES for each in storage.list_objects(storage.bucket, prefix=prefix)]
    return [Left("object", str(each["Key"]), int(each["Size"])) for each in found]


def _handler(config: Any, backend: str | None) -> Any:
    from lithops.config import default_config, extract_serverless_config
    from lithops.serverless import ServerlessHandler
    from lithops.storage import InternalStorage

    from ..engines.lithops import configuration

    full = default_config(
        config_data=configuration(config), config_overwrite={"lithops": {"backend": backend}, "backend": {}}
    )
    from lithops.config import extract_storage_config

    return ServerlessHandler(extract_serverless_config(full), InternalStorage(extract_storage_config(full)))


def _runtimes(config: Any, backend: str | None) -> list[Left]:
    if backend in (None, "localhost", "daybreak"):
        return []
    return [Left("runtime", "/".join(map(str, each))) for each in _handler(config, backend).list_runtimes()]
