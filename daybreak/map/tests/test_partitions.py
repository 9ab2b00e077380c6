"""Objects in parts: every line in one part, whole, whatever the edges are."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak import map as room
from daybreak.base.errors import DataLossError, InvalidArgumentError, NotFoundError
from daybreak.map.partitions import STORAGES, Files, Part, partition


class Memory:
    """Objects in a dict, which also sees to it that nobody reads more than he needs."""

    def __init__(self, content: dict[str, bytes]) -> None:
        self.content, self.read_bytes = content, 0

    def names(self, prefix: str) -> list[str]:
        return sorted(name for name in self.content if name.startswith(prefix))

    def size_bytes(self, name: str) -> int:
        return len(self.content[name])

    def read(self, name: str, start: int, end: int) -> bytes:
        found = self.content[name][start:end]
        self.read_bytes += len(found)
        return found


LINES = st.lists(st.binary(max_size=12).map(lambda b: b.replace(b"\n", b"").replace(b"\r", b"")), max_size=20)


@settings(max_examples=400, deadline=None)
@given(
    lines=LINES,
    edge=st.sampled_from([b"\n", b"\r\n", b"\r", b"->"]),
    ends=st.booleans(),
    how=st.sampled_from(["size_bytes", "count", "lines"]),
    size=st.integers(1, 40),
)
def test_parts_hold_each_line_once_and_whole(lines: list[bytes], edge: bytes, ends: bool, how: str, size: int) -> None:
    lines = [line.replace(edge, b"").replace(b"-", b"").replace(b">", b"") for line in lines]
    data = edge.join(lines) + (edge if ends and lines else b"")
    parts = partition("x", **{how: size}, newline=edge, objects=Memory({"x": data}))
    assert b"".join(part.read() for part in parts) == data
    assert b"".join(part.raw() for part in parts) == data
    whole = (data[: -len(edge)] if data.endswith(edge) else data).split(edge) if data else []
    assert [line for part in parts for line in part.lines()] == whole
    assert [part.part for part in parts] == list(range(len(parts))) and {part.total_parts for part in parts} <= {
        len(parts)
    }
    if how == "lines":
        assert all(len(list(part.lines())) == size for part in parts[:-1])
    if how == "count":
        assert len(parts) == size


def test_a_line_longer_than_parts_is_in_the_one_where_it_begins() -> None:
    data = b"a\n" + b"b" * 300_000 + b"\nc\n"
    parts = partition("x", size_bytes=1000, objects=Memory({"x": data}))
    found = [part.read() for part in parts]
    assert found[0] == data[:-2] and found[-1] == b"c\n" and set(found[1:-1]) == {b""}


def test_a_part_reads_little_beyond_itself() -> None:
    memory = Memory({"x": b"0123456789abcde\n" * 100_000})
    part = partition("x", size_bytes=10_000, objects=memory)[50]
    part.read()
    assert memory.read_bytes < 10_000 + 2 * (1 << 17)


def test_without_a_newline_parts_are_bytes() -> None:
    data = bytes(range(256)) * 4
    parts = partition("x", size_bytes=100, newline=None, objects=Memory({"x": data}))
    assert b"".join(part.read() for part in parts) == data and len(parts[0].read()) == 100
    with pytest.raises(InvalidArgumentError, match="newline"):
        partition("x", lines=3, newline=None, objects=Memory({"x": data}))


def test_files_folders_and_patterns(tmp_path: Path) -> None:
    for name, text in (("b.txt", "3\n4\n"), ("a.txt", "1\n2\n"), ("c.log", "5\n")):
        (tmp_path / name).write_text(text)
    (tmp_path / "below").mkdir()
    for folder in (tmp_path, str(tmp_path), os.fsencode(tmp_path)):
        assert [Path(part.name).name for part in partition(folder)] == ["a.txt", "b.txt", "c.log"]
    assert [part.text() for part in partition(str(tmp_path / "*.txt"))] == ["1\n2\n", "3\n4\n"]
    assert len(partition([tmp_path / "c.log", tmp_path / "a.txt"], count=np.int64(2))) == 4
    (tmp_path / "[odd]*").write_text("it\n")  # a name that is a pattern, too
    assert partition(str(tmp_path / "[odd]*"))[0].text() == "it\n"
    (tmp_path / "empty").touch()
    assert [part.read() for part in partition(tmp_path / "empty")] == [b""]


def test_parts_are_read_where_they_are_mapped(tmp_path: Path) -> None:
    file = tmp_path / "numbers"
    file.write_text("".join(f"{x}\n" for x in range(10_000)))
    with room.executor() as executor:
        parts = partition(file, size_bytes=5_000)
        total = executor.map_reduce(lambda part: sum(map(int, part.lines())), parts, sum).result(timeout=60)
    assert total == sum(range(10_000)) and len(parts) > 5
    assert pickle.loads(pickle.dumps(parts[1])).read() == parts[1].read()


def test_an_object_that_has_changed_is_not_read_wrongly(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text("1\n2\n3\n")
    part = partition(file, size_bytes=2)[1]
    file.write_text("1\n2\n")
    with pytest.raises(DataLossError, match="cut it again"):
        part.read()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"size_bytes": 0}, "size_bytes=0"),
        ({"count": -1}, "count=-1"),
        ({"lines": 1.5}, "lines=1.5"),
        ({"size_bytes": "64 MB"}, "size_bytes='64 MB'"),
        ({"size_bytes": 1, "count": 2}, "size_bytes and count"),
        ({"newline": ""}, "newline is empty"),
        ({"newline": "\n\n"}, "overlap itself"),
    ],
)
def test_wrong_sizes_are_named(tmp_path: Path, options: dict[str, Any], says: str) -> None:
    (tmp_path / "x").write_text("1\n")
    with pytest.raises(InvalidArgumentError, match=says):
        partition(tmp_path / "x", **options)


def test_names_of_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such object"):
        partition(tmp_path / "nothing")
    with pytest.raises(InvalidArgumentError, match="no storage of nowhere://"):
        partition("nowhere://bucket/key")


def test_a_storage_is_found_by_its_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Memory({"mem://bucket/a": b"1\n", "mem://bucket/b": b"2\n"})
    monkeypatch.setitem(STORAGES, "mem", lambda: memory)
    assert [part.read() for part in partition("mem://bucket/")] == [b"1\n", b"2\n"]


def test_there_is_a_limit_on_parts() -> None:
    class Huge(Files):
        def names(self, prefix: str) -> list[str]:
            return [prefix]

        def size_bytes(self, name: str) -> int:
            return 1 << 40

    with pytest.raises(InvalidArgumentError, match="more than 1,048,576 parts"):
        partition("x", size_bytes=1 << 19, objects=Huge())
    assert isinstance(partition("x", count=3, objects=Huge())[0], Part)
