"""Archives that a user gives instead of a folder: zip, and tar with gzip or xz. What they hold is looked at before it is
written."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from typing import IO, Any

__all__ = ["SUFFIXES", "is_archive", "unpack"]

SUFFIXES = (".zip", ".tar.gz", ".tgz", ".tar.xz")
_MAX_MEMBERS = 200_000


def is_archive(path: str) -> bool:
    return path.endswith((*SUFFIXES, ".whl"))


def unpack(field: str, path: str, into: str, limit_bytes: int) -> str:
    """Writes what is in the archive into the folder; gives a digest of it.

    Raises:
        ValueError: it is broken, larger than the limit when unpacked, or something in it is no file and no folder, or lies outside.
    """
    import lzma
    import tarfile
    import zipfile
    import zlib

    seen = hashlib.sha256()
    left = limit_bytes
    broken = (
        zipfile.BadZipFile,
        tarfile.TarError,
        EOFError,
        zlib.error,
        lzma.LZMAError,
        NotImplementedError,
        RuntimeError,
    )
    try:
        for count, (name, mode, source) in enumerate(_members(field, path)):
            if count >= _MAX_MEMBERS:
                raise _refused(field, path, f"has more than {_MAX_MEMBERS} members: unpack it and give the folder")
            target = _inside(field, path, into, name)
            seen.update(repr((os.fsencode(name), source is None, bool(mode & 0o111))).encode())
            os.makedirs(target if source is None else os.path.dirname(target), exist_ok=True)
            if source is None:
                continue
            with source, open(target, "xb") as file:
                while data := source.read(1 << 20):
                    left -= len(data)
                    if left < 0:
                        raise _too_large(field, path, limit_bytes)
                    seen.update(hashlib.sha256(data).digest())
                    file.write(data)
            os.chmod(target, mode & 0o777 | 0o600)
    except broken as error:
        raise _refused(field, path, f"cannot be unpacked: {error}") from None
    except OSError as error:
        raise _refused(field, path, f"cannot be unpacked: {error.strerror or error}") from None
    return seen.hexdigest()[:32]


def _refused(field: str, path: str, why: str) -> ValueError:
    return ValueError(f"runtime_env[{field!r}]: {path} {why}")


def _too_large(field: str, path: str, limit_bytes: int) -> ValueError:
    what = f"has more than {limit_bytes / (1 << 20):g} MiB when unpacked: leave out what is not needed, or set"
    return _refused(field, path, f"{what} RAY_max_grpc_message_size to more bytes")


def _inside(field: str, path: str, into: str, name: str) -> str:
    parts = name.split("/")
    if not name or name.startswith("/") or "\\" in name or "\0" in name or ".." in parts:
        raise _refused(field, path, f"has a member {name!r}, which lies outside of it: unpack it and give the folder")
    return os.path.join(into, *parts)


def _members(field: str, path: str) -> Iterator[tuple[str, int, IO[bytes] | None]]:
    """Name, mode and contents of each; None: a folder."""
    import tarfile
    import zipfile

    if path.endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                mode = info.external_attr >> 16
                if info.is_dir():
                    yield info.filename.rstrip("/"), 0o755, None
                elif mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                    raise _special(field, path, info.filename)
                else:
                    yield info.filename, mode & 0o777 or 0o644, archive.open(info)
        return
    tar: Any
    with tarfile.open(path, "r:*") as tar:
        for member in tar:
            name = member.name.removeprefix("./").rstrip("/")
            if name in ("", "."):
                continue
            if member.isdir():
                yield name, 0o755, None
            elif member.isfile():
                yield name, member.mode, tar.extractfile(member)
            else:
                raise _special(field, path, member.name)


def _special(field: str, path: str, name: str) -> ValueError:
    return _refused(
        field, path, f"has a member {name!r}, which is no file and no folder: unpack it and give the folder"
    )
