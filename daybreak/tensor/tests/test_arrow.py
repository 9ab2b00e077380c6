"""What pyarrow hands over behind Arrow's C stream interface is read as it is there, sliced and in every layout."""

from __future__ import annotations

import ctypes
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pa = pytest.importorskip("pyarrow")

ROOT = Path(__file__).resolve().parents[3]
SEED = 20260


class Stream(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("schema", "next", "error", "release", "data")]


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Any], list[str]]:
    """The import, compiled as a library that ctypes can call: Python has no face of it."""
    build = ROOT / "build" / "dev" / "daybreak"
    libraries = [str(build / room / f"libdaybreak_{room}.a") for room in ("tensor", "base")]
    if not all(Path(path).exists() for path in libraries):
        pytest.skip("needs ./dev build")
    made = tmp_path_factory.mktemp("arrow") / "peer.so"
    source = str(Path(__file__).with_name("arrow_peer.cc"))
    command = ["g++", "-std=c++23", "-O1", "-DNDEBUG", "-fPIC", "-shared", f"-I{ROOT}", source]
    subprocess.run([*command, *libraries, "-lfmt", "-lxxhash", "-lpthread", "-o", str(made)], check=True)
    function = ctypes.CDLL(str(made)).read_stream
    function.restype = ctypes.c_char_p

    def read(table: Any) -> list[str]:
        stream = Stream()
        reader = table.to_reader() if isinstance(table, pa.Table) else table
        reader._export_to_c(ctypes.addressof(stream))
        lines: list[str] = function(ctypes.byref(stream)).decode().splitlines()
        assert not stream.release, "it was taken"
        return lines

    return read


def line_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"'{value}'" if isinstance(value, str) else str(value)


def expected(table: Any) -> list[str]:
    lines = []
    for batch in table.to_batches():
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            lines += [f"{name} {line_of(value)}" for value in column.to_pylist()]
    return lines


def values_of(kind: Any, rows: int, rng: random.Random) -> list[Any]:
    def one() -> Any:
        if rng.random() < 0.2:
            return None
        if pa.types.is_boolean(kind):
            return rng.random() < 0.5
        if pa.types.is_floating(kind):
            return float(rng.randrange(-1000, 1000)) + 0.5
        if pa.types.is_integer(kind):
            return rng.randrange(0, 127)
        return "".join(rng.choice("abcdeä€") for _ in range(rng.choice([0, 1, 5, 11, 12, 13, 14, 40])))

    return [one() for _ in range(rows)]


KINDS = {
    "bool": pa.bool_(),
    "int8": pa.int8(),
    "uint16": pa.uint16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "double": pa.float64(),
    "string": pa.string(),
    "large_string": pa.large_string(),
    "string_view": pa.string_view(),
}


@pytest.mark.parametrize("name", KINDS)
def test_values_nulls_and_slices_of_a_type_are_those_of_pyarrow(name: str, read: Callable[[Any], list[str]]) -> None:
    rng = random.Random(SEED)
    for rows in (0, 1, 7, 8, 9, 100):
        column = pa.array(values_of(KINDS[name], rows, rng), KINDS[name])
        table = pa.table({"a": column})
        for begin, length in ((0, rows), (1, rows), (3, 4), (8, 1), (rows, 0)):
            part = table.slice(begin, length)
            assert read(part) == expected(part), f"seed {SEED}, {rows} rows, {length} from {begin}"


def test_a_batch_that_is_sliced_as_a_whole_shifts_every_column(read: Callable[[Any], list[str]]) -> None:
    rng = random.Random(SEED)
    columns = {name: pa.array(values_of(kind, 50, rng), kind) for name, kind in KINDS.items()}
    whole = pa.table(columns)
    struct = pa.StructArray.from_arrays(list(columns.values()), names=list(columns)).slice(5, 20)
    batch = pa.RecordBatch.from_struct_array(struct)
    reader = pa.RecordBatchReader.from_batches(batch.schema, [batch])
    assert read(reader) == expected(whole.slice(5, 20))


def test_dictionaries_and_several_chunks_are_read(read: Callable[[Any], list[str]]) -> None:
    words = pa.array(["yes", "no", None, "a text of more than twelve bytes", "yes"] * 5).dictionary_encode()
    table = pa.table({"w": pa.chunked_array([words.slice(2, 9), words, words.slice(24)])})
    assert read(table) == expected(table)


def test_string_views_with_several_buffers_are_read(read: Callable[[Any], list[str]]) -> None:
    parts = [pa.array([f"{part} is a text of more than twelve bytes"] * 9, pa.string_view()) for part in range(4)]
    table = pa.table({"v": pa.concat_arrays(parts)})
    assert read(table) == expected(table)


def test_lists_and_what_fails_on_the_way_are_told_by_name(read: Callable[[Any], list[str]]) -> None:
    assert read(pa.table({"l": [[1, 2]]})) == [
        "error: Arrow type '+l' is not read: numbers, booleans, dates, times, texts and binaries are, alone or behind a "
        "dictionary"
    ]

    def batches() -> Any:
        yield pa.record_batch({"a": [1]})
        raise OSError("the cable is out")

    reader = pa.RecordBatchReader.from_batches(pa.schema({"a": pa.int64()}), batches())
    told = "\n".join(read(reader))  # a traceback is part of it
    assert told.startswith("error: the producer of an Arrow stream failed with") and "the cable is out" in told
