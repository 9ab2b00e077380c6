"""Objects in parts: a large file, or many, as inputs of a map that are read where they are needed.

A line belongs to the part in which its first byte lies, so that parts share no line and lose none, whatever their edges.

>>> import pathlib, tempfile
>>> file = pathlib.Path(tempfile.mkdtemp(), "words")
>>> _ = file.write_bytes(b"one\\ntwo\\nthree\\n")
>>> [part.read() for part in partition(file, size_bytes=5)]
[b'one\\ntwo\\n', b'three\\n', b'']
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from daybreak.base import numbers, paths
from daybreak.base.errors import DataLossError, InvalidArgumentError, NotFoundError

__all__ = ["STORAGES", "Objects", "Part", "partition"]

DEFAULT_SIZE_BYTES = 64 << 20
MAX_PARTS = 1 << 20
_BLOCK = 1 << 17  # read at once beyond a part's end, where its last line ends


class Objects(Protocol):
    """Where named objects lie. It pickles: a worker reads from its own copy."""

    def names(self, prefix: str) -> list[str]:
        """The objects below `prefix`, sorted; or `prefix` alone where it is one."""

    def size_bytes(self, name: str) -> int: ...

    def read(self, name: str, start: int, end: int) -> bytes:
        """The bytes from `start` to before `end`, fewer at the object's end."""


class Files:
    """Files of this machine."""

    def names(self, prefix: str) -> list[str]:
        if os.path.isdir(prefix):
            return sorted(
                os.path.join(prefix, name) for name in os.listdir(prefix) if os.path.isfile(os.path.join(prefix, name))
            )
        if os.path.exists(prefix):
            return [prefix]
        return sorted(name for name in glob.glob(prefix) if os.path.isfile(name))

    def size_bytes(self, name: str) -> int:
        return os.stat(name).st_size

    def read(self, name: str, start: int, end: int) -> bytes:
        with open(name, "rb") as file:
            file.seek(start)
            return file.read(end - start)


STORAGES: dict[str, Callable[[], Objects]] = {}  # by the scheme of a name: "s3" -> what makes its Objects


@dataclass(frozen=True)
class Part:
    """Bytes of an object. `read`, `lines` and `text` give its lines, whole; `raw` its bytes as they are cut."""

    name: str
    start: int
    end: int
    part: int  # of the object's: the first is 0
    total_parts: int
    size_bytes: int  # of the object, when it was cut
    newline: bytes | None  # what ends a line; None: parts are bytes alone
    objects: Objects

    def raw(self) -> bytes:
        """Its bytes.

        Raises:
            DataLossError: the object has another size than when it was cut.
        """
        self._check()
        return self.objects.read(self.name, self.start, self.end)

    def read(self) -> bytes:
        """The lines that begin in it, whole."""
        if self.newline is None:
            return self.raw()
        self._check()
        edge = self.newline
        first = max(0, self.start - len(edge))
        data = self.objects.read(self.name, first, self.end)
        begin = 0
        if self.start > 0:
            found = data.find(edge)
            if found < 0:
                return b""  # all of it belongs to a line that began before
            begin = found + len(edge)
            if first + begin >= self.end and not (first + begin == self.start and self.start < self.end):
                return b""
        data = data[begin:]
        if not data:
            return b""
        return data if data.endswith(edge) else data + self._rest(data[-(len(edge) - 1) :] if len(edge) > 1 else b"")

    def _rest(self, before: bytes) -> bytes:
        """From the end on to the end of the line. `before`: what may be the beginning of the newline."""
        assert self.newline is not None
        found, at = b"", self.end
        while at < self.size_bytes:
            block = self.objects.read(self.name, at, min(at + _BLOCK, self.size_bytes))
            if not block:
                break
            found += block
            at += len(block)
            place = (before + found).find(self.newline)
            if place >= 0:
                return found[: place + len(self.newline) - len(before)]
        return found

    def lines(self) -> Iterator[bytes]:
        """Its lines, without what ends them."""
        edge = self.newline or b"\n"
        data = self.read()
        if data:
            yield from (data[: -len(edge)] if data.endswith(edge) else data).split(edge)

    def text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """As `read`, decoded."""
        return self.read().decode(encoding, errors)

    def _check(self) -> None:
        now = self.objects.size_bytes(self.name)
        if now != self.size_bytes:
            raise DataLossError(
                f"{self.name} has {now:,} bytes, and had {self.size_bytes:,} when it was cut: cut it again"
            )


def partition(
    names: Any,
    *,
    size_bytes: Any = None,
    count: Any = None,
    lines: Any = None,
    newline: bytes | str | None = b"\n",
    objects: Objects | None = None,
) -> list[Part]:
    """Cuts objects into parts, each at most one object's, in the order of the names.

    Args:
        names: a path, a folder (the files in it), a pattern, "s3://bucket/prefix" where such a storage is known; or several.
        size_bytes: of a part, about; 64 MiB unless `count` (so many parts of each object) or `lines` (so many lines a part;
            the objects are read for that, here) is given.
        newline: what ends a line; None: parts are cut at bytes.
        objects: where the names lie; by the names themselves if it is not given.

    Raises:
        NotFoundError: a name is of no object.
        InvalidArgumentError: two of size_bytes, count, lines; one that is not above 0; more than MAX_PARTS parts.
    """
    given = [
        name for name, value in (("size_bytes", size_bytes), ("count", count), ("lines", lines)) if value is not None
    ]
    if len(given) > 1:
        raise InvalidArgumentError(f"{' and '.join(given)}: one of them says how large a part is")
    edge = newline.encode() if isinstance(newline, str) else newline
    if edge == b"":
        raise InvalidArgumentError("newline is empty: give what ends a line, or None to cut at bytes")
    if edge is not None and any(edge[:n] == edge[-n:] for n in range(1, len(edge))):
        raise InvalidArgumentError(
            f"newline={newline!r} can overlap itself, so that it is not clear where a line ends: give another, or None"
        )
    size = numbers.integer(size_bytes, "size_bytes", minimum=1) if size_bytes is not None else DEFAULT_SIZE_BYTES
    many = numbers.integer(count, "count", minimum=1, maximum=MAX_PARTS) if count is not None else None
    each = numbers.integer(lines, "lines", minimum=1) if lines is not None else None
    if each is not None and edge is None:
        raise InvalidArgumentError("lines= without a newline: parts of lines need to know what ends one")
    found: list[Part] = []
    for name, place in _found(names, objects):
        length = place.size_bytes(name)
        if each is not None:
            edges = _line_edges(place, name, length, each, edge or b"")
        elif many is not None:
            edges = [length * i // many for i in range(many + 1)]
        else:
            edges = [*range(0, max(length, 1), size), length]
        if len(found) + len(edges) > MAX_PARTS:
            raise InvalidArgumentError(f"more than {MAX_PARTS:,} parts: make them larger")
        cuts = list(zip(edges, edges[1:], strict=False))
        found += [Part(name, *cut, number, len(cuts), length, edge, place) for number, cut in enumerate(cuts)]
    return found


def _found(names: Any, objects: Objects | None) -> Iterator[tuple[str, Objects]]:
    several: Iterable[Any] = [names] if isinstance(names, (str, bytes, os.PathLike)) else names
    for given in several:
        text = os.fsdecode(given)
        place = objects
        if place is None:
            scheme, mark, _ = text.partition("://")
            if mark:
                if scheme not in STORAGES:
                    known = ", ".join(f"{each}://" for each in STORAGES) or "none"
                    raise InvalidArgumentError(f"{text}: no storage of {scheme}:// is known ({known}): give objects=")
                place = STORAGES[scheme]()
            else:
                place, text = (
                    Files(),
                    paths.given(given, "names") if not isinstance(given, Path) else str(given.absolute()),
                )
        there = place.names(text)
        if not there:
            raise NotFoundError(f"{text}: there is no such object, nor one below it")
        for name in there:
            yield name, place


def _line_edges(place: Objects, name: str, length: int, lines: int, edge: bytes) -> list[int]:
    """Where every so many lines begin."""
    edges, seen, at, tail = [0], 0, 0, b""
    while at < length:
        block = place.read(name, at, min(at + (1 << 22), length))
        if not block:
            break
        data, base = tail + block, at - len(tail)
        place_in = 0
        while (next_edge := data.find(edge, place_in)) >= 0:
            place_in = next_edge + len(edge)
            seen += 1
            if seen % lines == 0 and base + place_in < length:
                edges.append(base + place_in)
        at += len(block)
        tail = data[max(place_in, len(data) - len(edge) + 1) :] if len(edge) > 1 else b""
    return [*edges, length]
