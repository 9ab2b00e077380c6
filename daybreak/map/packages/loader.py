"""A package on a worker: fetched, checked, unpacked once, held while it is used, removed when there is no room.

This file is the thin loader that a worker elsewhere starts with: it needs the standard library alone. The format:
docs/formats/map-package.md.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import platform
import shutil
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any

__all__ = [
    "Cache",
    "Damaged",
    "Manifest",
    "Misfit",
    "MAX_FILES",
    "MAX_MANIFEST_BYTES",
    "platform_name",
    "python_version",
]

FORMAT = "daybreak-package"
VERSION = 1
MAX_MANIFEST_BYTES = 64 << 20
MAX_FILES = 500_000
MAX_NAME_BYTES = 4096
_PIECE = 1 << 20
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)


class Damaged(ValueError):
    """A manifest or an archive is not what its name says, or is none."""


class Misfit(ValueError):
    """The package was made for another Python or another kind of machine."""


def python_version() -> str:
    return ".".join(map(str, sys.version_info[:2]))


def platform_name() -> str:
    return f"{platform.system().lower()}-{platform.machine().lower()}"


class Manifest:
    """What a package holds. Its name (`digest`) is the SHA-256 of its bytes.

    files: by name (with slashes, below the package's folder): its SHA-256 in hexadecimal, its bytes, whether it may be executed.
    """

    def __init__(self, data: bytes) -> None:
        """
        Raises:
            Damaged: it is no manifest of this format, or names something outside of its folder.
        """
        if len(data) > MAX_MANIFEST_BYTES:
            raise Damaged(f"a manifest of {len(data)} bytes: at most {MAX_MANIFEST_BYTES} are read")
        try:
            said = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise Damaged(f"the manifest is no JSON: {error}") from None
        if not isinstance(said, dict) or said.get("format") != FORMAT or said.get("version") != VERSION:
            raise Damaged(f"this is no manifest of {FORMAT}, version {VERSION}")
        self.digest = hashlib.sha256(data).hexdigest()
        self.data = data
        self.python, self.platform = _text(said, "python"), _text(said, "platform")
        entries = said.get("files")
        if not isinstance(entries, list) or len(entries) > MAX_FILES:
            raise Damaged(f"the manifest's files are no list of at most {MAX_FILES}")
        self.files: dict[str, tuple[str, int, bool]] = {}
        folders: set[str] = set()
        for entry in entries:
            name, digest, size, runs = _entry(entry)
            if name in self.files or name in folders:
                raise Damaged(f"the manifest has {name!r} twice, or as a file and as a folder")
            parents = [name[:i] for i, sign in enumerate(name) if sign == "/"]
            if any(parent in self.files for parent in parents):
                raise Damaged(f"the manifest has {name!r} below a file")
            folders.update(parents)
            self.files[name] = (digest, size, runs)
        self.size_bytes = sum(size for _, size, _ in self.files.values())

    def check(self) -> None:
        """
        Raises:
            Misfit: this interpreter or machine cannot use it; both are named.
        """
        if self.python != python_version():
            raise Misfit(
                f"the package was made for Python {self.python}, this worker has Python {python_version()}: "
                "make the worker's runtime of the driver's version, or the package with the worker's"
            )
        if self.platform not in ("any", platform_name()):
            raise Misfit(f"the package was made for {self.platform}, this worker is {platform_name()}")


def _text(said: dict[str, Any], key: str) -> str:
    value = said.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= 64:
        raise Damaged(f"the manifest's {key} is {value!r}")
    return value


def _entry(entry: Any) -> tuple[str, str, int, bool]:
    if not isinstance(entry, list) or len(entry) != 4:
        raise Damaged(f"the manifest has {entry!r} for a file: [name, sha256, size, executable] expected")
    name, digest, size, runs = entry
    if not isinstance(name, str) or not isinstance(digest, str) or type(size) is not int or type(runs) is not bool:
        raise Damaged(f"the manifest has {entry!r} for a file")
    parts = name.split("/")
    bad = name.startswith("/") or "\\" in name or "\0" in name or any(part in ("", ".", "..") for part in parts)
    try:
        long = len(name.encode()) > MAX_NAME_BYTES or any(len(part.encode()) > 255 for part in parts)
    except UnicodeEncodeError:
        bad, long = True, False
    if bad or long:
        raise Damaged(
            f"the manifest has a file {name[:100]!r}: it lies outside of its folder, or no file has such a name"
        )
    if len(digest) != 64 or set(digest) - set("0123456789abcdef") or size < 0:
        raise Damaged(f"the manifest has no hash or size for {name!r}")
    return name, digest, size, runs


def unpack(manifest: Manifest, archive: IO[bytes], into: str) -> None:
    """Writes the files into the folder, each looked at against the manifest. What the archive itself says of them does not count.

    Raises:
        Damaged: a file is missing, altered, longer or shorter, or there is one more.
    """
    try:
        with zipfile.ZipFile(archive) as source:
            names = [info.filename for info in source.infolist()]
            if sorted(names) != sorted(manifest.files):
                odd = sorted(set(names) ^ set(manifest.files))[:3] or ["one of them twice"]
                raise Damaged(f"the archive does not hold what the manifest says: {', '.join(map(repr, odd))}")
            for name, (digest, size, runs) in manifest.files.items():
                path = os.path.join(into, *name.split("/"))
                os.makedirs(os.path.dirname(path), exist_ok=True)
                seen, left = hashlib.sha256(), size
                with source.open(name) as member, open(path, "xb") as file:
                    while data := member.read(min(_PIECE, left + 1)):
                        left -= len(data)
                        if left < 0:
                            break
                        seen.update(data)
                        file.write(data)
                if left != 0 or seen.hexdigest() != digest:
                    raise Damaged(f"{name!r} in the archive is not what the manifest says: altered, or cut short")
                os.chmod(path, 0o555 if runs else 0o444)
    except Damaged:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        raise Damaged(f"the archive cannot be read: {error}") from None
    except _BROKEN as error:
        raise Damaged(f"the archive cannot be read: {error}") from None


class Cache:
    """Unpacked packages below a folder, at most so many bytes of those that nobody uses. Processes share it.

    Each has a lock beside it: who unpacks has it for itself, who uses one shares it; the kernel frees it when a process ends.
    """

    def __init__(self, folder: str, max_bytes: int = 8 << 30) -> None:
        self.folder, self.max_bytes = os.path.abspath(folder), max_bytes
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        if os.stat(self.folder).st_uid != os.geteuid():
            raise PermissionError(f"{self.folder} is of another user: give a folder of this one")

    @contextlib.contextmanager
    def use(self, digest: str, fetch: Callable[[str, IO[bytes]], None], check: bool = True) -> Iterator[str]:
        """The folder of the package, which is there as long as the block lasts. fetch: writes the object of a name, DIGEST.json or
        DIGEST.zip, into a file.

        Raises:
            Damaged: what was fetched is not what its name says.
            Misfit: it is for another Python or machine.
        """
        if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
            raise Damaged(f"{digest!r} is no name of a package: 64 hexadecimal digits expected")
        descriptor = self._held(digest, fetch, check)
        try:
            yield os.path.join(self.folder, digest)
        finally:
            os.close(descriptor)

    def _held(self, digest: str, fetch: Callable[[str, IO[bytes]], None], check: bool) -> int:
        path = os.path.join(self.folder, digest)
        while True:
            descriptor = self._lock(digest, fcntl.LOCK_SH)
            if os.path.isdir(path):
                os.utime(path)
                return descriptor
            os.close(descriptor)
            descriptor = self._lock(digest, fcntl.LOCK_EX)
            try:
                if not os.path.isdir(path):
                    self._make(digest, path, fetch, check)
            finally:
                os.close(descriptor)

    def _lock(self, digest: str, how: int) -> int:
        path = os.path.join(self.folder, f"{digest}.lock")
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, how)
                if os.path.exists(path) and os.path.samestat(os.fstat(descriptor), os.stat(path)):
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # removed meanwhile

    def _make(self, digest: str, path: str, fetch: Callable[[str, IO[bytes]], None], check: bool) -> None:
        with tempfile.TemporaryFile(dir=self.folder) as file:
            fetch(f"{digest}.json", file)
            file.seek(0)
            data = file.read(MAX_MANIFEST_BYTES + 1)
        if hashlib.sha256(data).hexdigest() != digest:
            raise Damaged(f"the manifest of {digest} is not what its name says: altered, or cut short")
        manifest = Manifest(data)
        if check:
            manifest.check()
        self.sweep(manifest.size_bytes)
        part = tempfile.mkdtemp(prefix=".part-", dir=self.folder)
        try:
            with tempfile.TemporaryFile(dir=self.folder) as file:
                fetch(f"{digest}.zip", file)
                file.seek(0)
                unpack(manifest, file, part)
            os.rename(part, path)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise

    def sweep(self, room: int = 0) -> list[str]:
        """Removes the longest unused until the others and `room` bytes more fit; never one in use. Half-made ones stay a day."""
        found, total = [], room
        for entry in os.scandir(self.folder):
            if entry.name.startswith(".part-") and time.time() - entry.stat().st_mtime > 86400:
                shutil.rmtree(entry.path, ignore_errors=True)
            elif len(entry.name) == 64 and entry.is_dir(follow_symlinks=False):
                size = sum(
                    os.lstat(os.path.join(at, name)).st_size for at, _, names in os.walk(entry.path) for name in names
                )
                found.append((entry.stat().st_mtime, entry.name, size))
                total += size
        removed = []
        for _, digest, size in sorted(found):
            if total <= self.max_bytes:
                break
            if self._remove(digest):
                total -= size
                removed.append(digest)
        return removed

    def _remove(self, digest: str) -> bool:
        path = os.path.join(self.folder, digest)
        descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            gone = f"{path}.gone-{os.getpid()}"
            os.rename(path, gone)
            shutil.rmtree(gone, ignore_errors=True)
            os.unlink(f"{path}.lock")
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True
