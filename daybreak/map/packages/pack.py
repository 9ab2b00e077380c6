"""The packages of an environment as one immutable object for workers elsewhere, and how it gets there.

    made = pack(["numpy==2.4.6"])            # an environment of runtime/env, made once
    target = choose(made, TARGETS["aws_lambda"])
    made.write(folder)                        # DIGEST.json and DIGEST.zip; `loader.Cache` reads them

The same packages give the same bytes, so that what is there already is not sent again. The format: docs/formats/map-package.md.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from daybreak.base import paths
from daybreak.base.errors import FailedPreconditionError, InvalidArgumentError, ResourceExhaustedError

from .loader import FORMAT, VERSION, Manifest, platform_name, python_version

__all__ = ["TARGETS", "Package", "Target", "choose", "pack", "pack_distributions"]

_LEFT_OUT = ("__pycache__",)
_TIME = (1980, 1, 1, 0, 0, 0)  # of each file in the archive, as a zip has it
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Target:
    """What a kind of function takes, in bytes; 0: nothing in that form. zip: unpacked, with layers. temporary: of its /tmp."""

    name: str
    zip_bytes: int
    image_bytes: int
    temporary_bytes: int
    source: str


_MB, _GB = 10**6, 10**9
TARGETS = {
    each.name: each
    for each in (
        Target("aws_lambda", 262_144_000, 10 * _GB, 10_240 * _MB, "docs.aws.amazon.com/lambda, quotas"),
        Target("gcp_functions", 500 * _MB, 0, 32 * _GB, "cloud.google.com/functions/quotas"),
        Target("gcp_cloudrun", 0, 10 * _GB, 32 * _GB, "cloud.google.com/run/quotas"),
        Target(
            "azure_functions", _GB, 10 * _GB, 500 * _MB, "learn.microsoft.com/azure/azure-functions, scale and hosting"
        ),
        Target("k8s", 0, 10 * _GB, 100 * _GB, "your own cluster"),
        Target("localhost", 10 * _GB, 0, 100 * _GB, "this machine"),
    )
}


@dataclass(frozen=True)
class Package:
    """What was found: the manifest, where each of its files lies, and of which distribution it is."""

    manifest: Manifest
    sources: dict[str, str]
    owners: dict[str, str]

    @property
    def digest(self) -> str:
        return self.manifest.digest

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes by distribution, the largest first."""
        found: dict[str, int] = {}
        for name, owner in self.owners.items():
            found[owner] = found.get(owner, 0) + self.manifest.files[name][1]
        return dict(sorted(found.items(), key=lambda each: -each[1]))

    def biggest(self, count: int = 3) -> str:
        return ", ".join(f"{name} ({size / _MB:.1f} MB)" for name, size in list(self.sizes.items())[:count])

    def explain(self) -> str:
        """What ships and why, a line each."""
        whole = f"{self.digest[:12]}: {self.manifest.size_bytes / _MB:.1f} MB in {len(self.manifest.files)} files"
        what = f"for Python {self.manifest.python} on {self.manifest.platform}"
        return "\n".join([f"{whole}, {what}", *(f"  {name}: {size / _MB:.2f} MB" for name, size in self.sizes.items())])

    def write(self, folder: Any) -> tuple[str, str]:
        """DIGEST.json and DIGEST.zip in the folder: their paths. What is there already stays.

        Raises:
            DataLossError: a file has changed since it was looked at.
        """
        from daybreak.base.errors import DataLossError

        into = paths.given(folder, "folder")
        os.makedirs(into, exist_ok=True)
        listed, archive = (os.path.join(into, f"{self.digest}.{kind}") for kind in ("json", "zip"))
        if not os.path.exists(archive):
            descriptor, part = tempfile.mkstemp(prefix=".part-", dir=into)
            try:
                with (
                    open(descriptor, "wb") as file,
                    zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as out,
                ):
                    for name, (digest, _, runs) in self.manifest.files.items():
                        with open(self.sources[name], "rb") as source:
                            data = source.read()
                        if hashlib.sha256(data).hexdigest() != digest:
                            raise DataLossError(f"{self.sources[name]} was changed while it was packed: pack again")
                        info = zipfile.ZipInfo(name, _TIME)
                        info.external_attr = (0o100755 if runs else 0o100644) << 16
                        out.writestr(info, data, zipfile.ZIP_DEFLATED)
                os.replace(part, archive)
            except BaseException:
                os.unlink(part)
                raise
        paths.write(listed, self.manifest.data)
        return listed, archive


def choose(package: Package, target: Target) -> str:
    """How the package gets to a function of this kind: "zip" (with the function), "image" (built into it) or "loader" (a thin one
    fetches it into /tmp when it starts). Nothing was sent yet.

    Raises:
        ResourceExhaustedError: in none of these forms; the three biggest packages are named.
    """
    size = package.manifest.size_bytes
    if size <= target.zip_bytes:
        return "zip"
    if size <= target.image_bytes:
        return "image"
    if size <= target.temporary_bytes:
        return "loader"
    raise ResourceExhaustedError(
        f"{size / _MB:.0f} MB of packages are too much for {target.name}: {target.zip_bytes / _MB:.0f} MB as a zip, "
        f"{target.image_bytes / _MB:.0f} MB as an image, {target.temporary_bytes / _MB:.0f} MB in /tmp ({target.source}); "
        f"the biggest are {package.biggest()}: leave out what the calls do not import"
    )


def pack(packages: Sequence[str], *, timeout_s: float = 600) -> Package:
    """These requirements and what they need, as `runtime_env={"uv": [...]}` has them.

    Raises:
        daybreak.runtime.exceptions.RuntimeEnvSetupError: they cannot be solved: uv's words.
        InvalidArgumentError: a requirement is no text.
    """
    from daybreak.runtime.env import maker

    wanted = tuple(packages)
    if isinstance(packages, str) or not all(isinstance(each, str) for each in wanted):
        raise InvalidArgumentError(f"packages={packages!r}: a list of requirements expected, as ['numpy==2.4.6']")
    made = maker.make(maker.Spec(wanted), timeout_s)
    try:
        code = "import json, sys, sysconfig; print(json.dumps([sysconfig.get_path('purelib'), sys.path]))"
        said = json.loads(subprocess.check_output([made.python, "-c", code], text=True))
        names = [found[0] for each in wanted if (found := _NAME.match(each))]
        return pack_distributions(names, [said[0], *said[1]])
    finally:
        made.close()


def pack_distributions(names: Iterable[str], folders: Sequence[str] | None = None) -> Package:
    """Installed distributions of these names and all that they need, looked for in the folders in this order; None: of this
    interpreter.

    Raises:
        FailedPreconditionError: one is not installed, has no list of its files, or is an editable installation.
    """
    where = list(folders) if folders is not None else [sysconfig.get_path("purelib"), *sys.path]
    installed: dict[str, Any] = {}
    for each in metadata.distributions(path=[folder for folder in where if folder]):
        name = each.metadata["Name"]
        if name and (each.files is not None and not _is_mark(each)):
            installed.setdefault(_normal(name), each)
    waiting, chosen = [(_normal(name), "it was asked for") for name in names], dict[str, Any]()
    while waiting:
        name, why = waiting.pop()
        if name in chosen:
            continue
        if name not in installed:
            if why == "it was asked for":
                raise FailedPreconditionError(
                    f"{name} is not installed in {', '.join(where[:2])}: install it, or leave it out"
                )
            continue  # of another platform or Python, as its marker says
        chosen[name] = installed[name]
        for line in installed[name].requires or ():
            found = _NAME.match(line)
            if found and "extra ==" not in line.replace("'", '"'):
                waiting.append((_normal(found[0]), f"{name} needs it"))
    return _found(chosen)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _is_mark(found: Any) -> bool:
    """A record of a package that lies in the interpreter below (runtime/env/maker.py)."""
    return any(str(file).endswith("daybreak-below") for file in found.files or ()) or (
        found.read_text("daybreak-below") is not None
    )


def _found(chosen: dict[str, Any]) -> Package:
    sources: dict[str, str] = {}
    owners: dict[str, str] = {}
    entries: list[list[object]] = []
    compiled = False
    for owner in sorted(chosen):
        found = chosen[owner]
        direct = json.loads(found.read_text("direct_url.json") or "{}")
        if (direct.get("dir_info") or {}).get("editable"):
            raise FailedPreconditionError(
                f"{owner} is an editable installation: its modules are the caller's, and go with the function; leave it out"
            )
        for file in found.files:
            name = str(file).replace(os.sep, "/")
            path = str(found.locate_file(file))
            parts = name.split("/")
            if ".." in parts or name.startswith("/") or set(parts) & set(_LEFT_OUT) or not os.path.isfile(path):
                continue  # scripts and man pages lie elsewhere
            if name in sources:
                continue  # two distributions with one file, as namespace packages have
            real = os.path.realpath(path)
            digest, size = _hashed(real)
            runs = bool(os.stat(real).st_mode & 0o100)
            compiled = compiled or name.endswith(".so") or ".so." in name
            sources[name], owners[name] = real, owner
            entries.append([name, digest, size, runs])
    said = {
        "format": FORMAT,
        "version": VERSION,
        "python": python_version(),
        "platform": platform_name() if compiled else "any",
        "files": sorted(entries, key=lambda entry: str(entry[0])),
    }
    data = json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
    return Package(Manifest(data), sources, owners)


def _hashed(path: str) -> tuple[str, int]:
    seen, size = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while data := file.read(1 << 20):
            seen.update(data)
            size += len(data)
    return seen.hexdigest(), size
