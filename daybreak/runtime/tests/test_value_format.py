"""The bytes of docs/formats/runtime-values.md, as Python's objects are written (C++'s: value_format_test.cc)."""

from __future__ import annotations

import pickle
import struct
from typing import Any

import numpy as np
import pytest

import daybreak
from daybreak._core import runtime

ZEROS = bytes(64)
GOLDEN: dict[str, tuple[Any, bytes]] = {
    "None": (None, bytes.fromhex("4e")),
    "True": (True, bytes.fromhex("54")),
    "False": (False, bytes.fromhex("46")),
    "int": (-2, bytes.fromhex("69feffffffffffffff")),
    "float": (1.5, bytes.fromhex("64000000000000f83f")),
    "str": ("hé", bytes.fromhex("73030000000000000068c3a9")),
    "bytes": (b"ab", bytes.fromhex("6202000000000000006162")),
    "large bytes": (b"l" * 600, b"b" + struct.pack("<Q", 600) + b"l" * 600),
    "list": ([None, True], bytes.fromhex("6c020000004e54")),
    "tuple": ((), bytes.fromhex("7400000000")),
    "dict": ({b"k": None}, bytes.fromhex("6d010000006201000000000000006b4e")),
    "array": (
        np.array([[0x7877], [0x7A79]], "<u2"),
        bytes.fromhex("6e480202000000000000000100000000000000") + struct.pack("<Q", 4) + ZEROS[27:] + b"wxyz",
    ),
    "pickle": (
        1 << 64,
        b"p" + struct.pack("<QI", len(pickle.dumps(1 << 64, 5)), 0) + pickle.dumps(1 << 64, 5),
    ),
}


@pytest.fixture(scope="module", autouse=True)
def started() -> Any:
    daybreak.init(num_cpus=1)
    yield
    daybreak.shutdown()


@pytest.mark.parametrize("kind", GOLDEN)
def test_a_value_has_to_the_byte_the_form_that_its_page_gives(kind: str) -> None:
    value, expected = GOLDEN[kind]
    ref = daybreak.put(value)
    assert runtime._value_bytes(ref).hex() == expected.hex()
    np.testing.assert_equal(daybreak.get(ref), value)


def test_references_lie_behind_the_value_and_not_in_it() -> None:
    refs = [daybreak.put(1), daybreak.put(2)]
    assert runtime._value_bytes(daybreak.put(refs)).hex() == "520000000002000000"
    assert runtime._value_bytes(daybreak.put(tuple(refs))).hex() == "510000000002000000"


def test_a_pickle_s_large_buffers_begin_at_multiples_of_64() -> None:
    arrays = {"a": np.arange(100.0), "b": np.arange(3.0)}
    written = runtime._value_bytes(daybreak.put(arrays))
    tag, size, count, *sizes = struct.unpack_from("<cQIQQ", written)
    assert (tag, count, sizes) == (b"p", 2, [800, 24])
    at = -(-(struct.calcsize("<cQIQQ") + size) // 64) * 64
    assert written[at : at + 800] == arrays["a"].tobytes()
    assert written[at + 832 :] == arrays["b"].tobytes()
