"""Copies of the user's folders, so that what he edits later changes nothing that runs: `working_dir` and `py_modules`.

A copy lies below the session's folder in the cache, under the digest of what is in it: the same contents, the same folder. A folder
is looked at again at each submission, by the times and sizes of its files, and copied again when one of them has changed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from typing import IO, Any

from . import archives, cache, ignore

__all__ = ["copied", "digest", "is_copy"]

MAX_BYTES = 512 << 20  # Ray's, of a package; RAY_max_grpc_message_size (bytes) changes it
DEFAULT_EXCLUDES = (
    ".git,.venv,venv,__pycache__"  # Ray's, of a working_dir; RAY_OVERRIDE_RUNTIME_ENV_DEFAULT_EXCLUDES changes it
)
_OF_MODULES = (".git", "__pycache__")
_OF_BUILDS = ("/build", "/dist", "*.egg-info")  # what an installation leaves in a project's folder
_MAX_DEPTH = 200  # of folders in folders


class _Item:
    """A file, a folder or a link below the folder."""

    __slots__ = ("path", "name", "kind", "status", "target")

    def __init__(self, path: str, name: str, kind: str, status: os.stat_result, target: str = "") -> None:
        self.path = path
        self.name = name  # relative, with slashes
        self.kind = kind  # "file", "folder", "link"
        self.status = status
        self.target = target

    def signature(self) -> tuple[Any, ...]:
        status = self.status
        times = () if self.kind == "folder" else (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
        return (self.name, self.kind, stat.S_IMODE(status.st_mode), self.target, *times)


def limit_bytes() -> int:
    text = os.environ.get("RAY_max_grpc_message_size", "")
    return int(text) if text.isdigit() and int(text) > 0 else MAX_BYTES


def default_excludes() -> list[str]:
    text = os.environ.get("RAY_OVERRIDE_RUNTIME_ENV_DEFAULT_EXCLUDES", DEFAULT_EXCLUDES)
    return [each.strip() for each in text.split(",") if each.strip()]


def is_copy(path: str) -> bool:
    """Whether it is one that this or another process has made: it does not change."""
    return cache.session_of(os.path.abspath(path)) is not None


# ----------------------------------------------------------------------------------------------------------------------
# What is in a folder.


class _Walk:
    def __init__(self, field: str, root: str, excludes: Sequence[str], use_ignore_files: bool) -> None:
        self.field = field
        self.root = root
        inside = root.rstrip("/") + "/"
        own = ["/" + each.removeprefix(inside) if each.startswith(inside) else each for each in excludes]
        self.excludes = ignore.parsed(own)
        self.ignore_files = [".rayignore"] if use_ignore_files else []
        if use_ignore_files and os.environ.get("RAY_RUNTIME_ENV_IGNORE_GITIGNORE", "0") != "1":
            self.ignore_files.append(".gitignore")
        self.rules: dict[str, list[ignore.Rule]] = {name: [] for name in self.ignore_files}

    def refuse(self, path: str, why: str) -> ValueError:
        return ValueError(f"runtime_env[{self.field!r}]: {path} {why}")

    def items(self) -> list[_Item]:
        status = os.stat(self.root)
        return list(self._below(self.root, "", [(status.st_dev, status.st_ino)]))

    def _below(self, path: str, base: str, above: list[tuple[int, int]]) -> Iterator[_Item]:
        """base: the name of the folder, "" or with a slash at the end. above: the folders that it lies in, and itself."""
        if len(above) > _MAX_DEPTH:
            raise self.refuse(path, f"lies in more than {_MAX_DEPTH} folders: add it to excludes")
        try:
            with os.scandir(path) as found:
                entries = sorted(found, key=lambda each: each.name)
        except OSError as error:
            raise self.refuse(path, f"cannot be read ({error.strerror}): allow it, or add it to excludes") from None
        lengths = {name: len(rules) for name, rules in self.rules.items()}
        names = {each.name for each in entries}
        for name in self.ignore_files:
            if name in names and os.path.isfile(os.path.join(path, name)):
                self.rules[name] += ignore.parsed(self._lines(os.path.join(path, name)), base)
        for entry in entries:
            yield from self._entry(entry, base, above)
        for name, length in lengths.items():
            del self.rules[name][length:]

    def _lines(self, path: str) -> list[str]:
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                return file.read().splitlines()
        except OSError as error:
            raise self.refuse(path, f"cannot be read ({error.strerror}): allow it") from None

    def _left_out(self, name: str, is_folder: bool) -> bool:
        return any(ignore.excluded(rules, name, is_folder) for rules in (self.excludes, *self.rules.values()))

    def _entry(self, entry: os.DirEntry[str], base: str, above: list[tuple[int, int]]) -> Iterator[_Item]:
        name = base + entry.name
        try:
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                target = os.readlink(entry.path)
                leads_to = self._outside(entry.path, target)
                if leads_to is None:
                    if not self._left_out(name, entry.is_dir()):
                        yield _Item(entry.path, name, "link", status, target)
                    return
                status = leads_to
        except OSError as error:
            raise self.refuse(
                entry.path, f"cannot be read ({error.strerror}): allow it, or add it to excludes"
            ) from None
        is_folder = stat.S_ISDIR(status.st_mode)
        if self._left_out(name, is_folder):
            return
        if is_folder:
            here = (status.st_dev, status.st_ino)
            if here in above:
                raise self.refuse(entry.path, "is a link to a folder that it lies in: remove it, or add it to excludes")
            yield _Item(entry.path, name, "folder", status)
            yield from self._below(entry.path, name + "/", [*above, here])
        elif stat.S_ISREG(status.st_mode):
            yield _Item(entry.path, name, "file", status)
        else:
            raise self.refuse(
                entry.path, f"is {_kind(status.st_mode)}, which cannot be copied: remove it, or add it to excludes"
            )

    def _outside(self, path: str, target: str) -> os.stat_result | None:
        """Of what a link leads to that is no part of the copy, and is copied in its place; None: the link goes along."""
        real = os.path.realpath(self.root)
        leads_to = os.path.realpath(path)
        within = leads_to == real or leads_to.startswith(real + os.sep)
        if not os.path.isabs(target) and within or not os.path.exists(path):
            return None
        return os.stat(path)


def _kind(mode: int) -> str:
    for is_it, name in (
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISBLK, "a block device"),
        (stat.S_ISCHR, "a character device"),
    ):
        if is_it(mode):
            return name
    return "no file"


def _check_size(walk: _Walk, items: list[_Item]) -> None:
    total = sum(each.status.st_size for each in items if each.kind == "file")
    if total <= limit_bytes():
        return
    sizes: dict[str, int] = {}
    for each in items:
        if each.kind == "file":
            first = each.name.split("/", 1)[0]
            sizes[first] = sizes.get(first, 0) + each.status.st_size
    largest = sorted(sizes.items(), key=lambda each: -each[1])[:3]
    named = ", ".join(f"{name} ({size / (1 << 20):.1f} MiB)" for name, size in largest)
    raise walk.refuse(
        walk.root,
        f"has {total / (1 << 20):.1f} MiB, at most {limit_bytes() / (1 << 20):g} MiB are copied; the most has {named}: add what "
        "is not needed to excludes, .gitignore or .rayignore, or set RAY_max_grpc_message_size to more bytes",
    )


def _feed(items: list[_Item], walk: _Walk, into: str | None) -> str:
    """The digest of the items; with `into`, they are copied there on the way."""
    seen = hashlib.sha256()
    for each in items:
        executable = each.kind == "file" and bool(each.status.st_mode & 0o111)
        seen.update(repr((os.fsencode(each.name), each.kind, executable, os.fsencode(each.target))).encode())
        path = None if into is None else os.path.join(into, each.name)
        if each.kind == "folder":
            if path is not None:
                os.mkdir(path, 0o755)
        elif each.kind == "link":
            if path is not None:
                os.symlink(each.target, path)
        else:
            _file(each, walk, seen, path)
    return seen.hexdigest()[:32]


def _file(each: _Item, walk: _Walk, seen: Any, path: str | None) -> None:
    try:
        source = open(each.path, "rb")
    except OSError as error:
        raise walk.refuse(each.path, f"cannot be read ({error.strerror}): allow it, or add it to excludes") from None
    with source:
        target: IO[bytes] | None = None if path is None else open(path, "xb")
        try:
            length = 0
            while data := source.read(1 << 20):
                seen.update(data)
                length += len(data)
                if target is not None:
                    target.write(data)
            seen.update(length.to_bytes(8, "little"))
        finally:
            if target is not None:
                target.close()
    if path is not None:
        os.chmod(path, stat.S_IMODE(each.status.st_mode) & 0o777 | 0o600)


def digest(path: str) -> str:
    """Of what lies in a folder, without what no copy has."""
    walk = _Walk("packages", os.path.abspath(path), [*default_excludes(), *_OF_BUILDS], True)
    items = walk.items()
    _check_size(walk, items)
    return _feed(items, walk, None)


# ----------------------------------------------------------------------------------------------------------------------
# Copies.

_known: dict[tuple[Any, ...], tuple[tuple[Any, ...], str]] = {}  # what was copied: what it looked like, and where it is


def copied(field: str, path: str, excludes: Sequence[str], named: bool) -> str:
    """The copy of a folder, of a file or of what is in an archive; as long as this process or a worker of it uses it.

    named: as a module: below a folder of its own it keeps its name. Else the copy is what is in it.

    Raises:
        ValueError: something in it cannot be copied, or it is too large; the text says what, and the way out.
    """
    if is_copy(path):
        return path
    path = os.path.abspath(path)
    if not os.path.exists(path):
        raise ValueError(f"runtime_env[{field!r}]: {path} does not exist any more")
    session = cache.session_folder()
    asked = (session, field, path, tuple(excludes), named)
    if os.path.isdir(path):
        defaults = _OF_MODULES if named else default_excludes()
        walk = _Walk(field, path, [*defaults, *excludes], True)
        items = walk.items()
        signature: tuple[Any, ...] = tuple(each.signature() for each in items)
    else:
        walk, items = _Walk(field, path, (), False), []
        status = os.stat(path)
        signature = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
    found = _known.get(asked)
    if found is not None and found[0] == signature and os.path.exists(found[1]):
        return found[1]
    made = _make(walk, items, path, session, named)
    _known[asked] = signature, made
    return made


def _make(walk: _Walk, items: list[_Item], path: str, session: str, named: bool) -> str:
    import tempfile

    fresh = tempfile.mkdtemp(dir=session, prefix="new-")
    try:
        name = os.path.basename(path.rstrip("/"))
        if os.path.isdir(path):
            _check_size(walk, items)
            into = os.path.join(fresh, name) if named else fresh
            if named:
                os.mkdir(into)
            contents = _feed(items, walk, into)
        elif archives.is_archive(path) and not path.endswith(".whl"):
            contents = archives.unpack(walk.field, path, fresh, limit_bytes())
            name = ""  # what is in it has names
        else:
            items = [_Item(path, name, "file", os.stat(path))]
            _check_size(walk, items)
            contents = _feed(items, walk, fresh)
        if named:
            contents = hashlib.sha256(f"{contents} {name}".encode(errors="surrogateescape")).hexdigest()[:32]
        target = os.path.join(session, contents)
        try:
            os.rename(fresh, target)
        except OSError:
            if not os.path.isdir(target):
                raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return os.path.join(target, name) if named else target


def kept(text: str) -> str:
    """A file with the text, as long as copies live."""
    data = text.encode()
    path = os.path.join(cache.session_folder(), f"{hashlib.sha256(data).hexdigest()[:32]}.json")
    if not os.path.exists(path):
        fresh = f"{path}.{os.getpid()}"
        with open(fresh, "wb") as file:
            file.write(data)
        os.replace(fresh, path)
    return path
