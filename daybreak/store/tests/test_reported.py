"""What users of other formats reported that came back as something else, tried here. Each case names the public report."""

from __future__ import annotations

import collections
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import safetensors

from daybreak import tensor
from daybreak.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


GRID = np.arange(24.0).reshape(2, 3, 4)

# Arrays that come back equal to the bit, in their type.
ARRAYS: dict[str, Any] = {
    "safetensors/safetensors#825: in the order of Fortran": np.asfortranarray(GRID),
    "safetensors/safetensors#829: strided": GRID[:, ::2],
    "safetensors/safetensors#469: backwards": GRID[::-1],
    "safetensors/safetensors#829: of the other byte order and Fortran's": np.asfortranarray(GRID.astype(">f4")),
    "safetensors/safetensors#307, #82: of the other byte order": np.arange(3, dtype=">i8"),
    "joblib/joblib#1561: of the other byte order, without dimensions": np.array(3.0, ">f8"),
    "joblib/joblib#352: every other one of many": np.arange(10_000.0)[::2],
    "numpy's broadcast, which has one number": np.broadcast_to(np.float32(1), (3, 4)),
    "no rows": np.zeros((0, 5), "i2"),
    "NaN with a payload, and -0.0": np.array([0x7FF8000000000123, 1 << 63], "u8").view("f8"),
}


@pytest.mark.parametrize("report", ARRAYS)
def test_array_that_others_changed_comes_back_to_the_bit(store: Store, report: str) -> None:
    array = ARRAYS[report]
    for kept in (store.load(store.put(array).id), store.load(store.put({"a": array}).id)["a"]):
        assert kept.dtype == array.dtype and kept.shape == array.shape and kept.tobytes() == array.tobytes()


class Quantity(np.ndarray):
    """An array with units, as pint, astropy and unyt have it."""


class Without:
    """A tensor that has no numbers to give, as of torch's meta device; or whose type numpy lacks."""

    dtype = "bfloat16"

    def __init__(self, why: str) -> None:
        self.why = why

    def detach(self) -> Any:
        return self

    cpu = detach

    def numpy(self, force: bool = False) -> Any:
        raise NotImplementedError(self.why) if "meta" in self.why else TypeError(self.why)


# What an array has no place for, and the words of the refusal.
MORE: dict[str, tuple[Callable[[], Any], str]] = {
    "numpy/numpy#13496: a masked array": (lambda: np.ma.array([1.0, 2.0], mask=[0, 1]), "masked, and its mask would be lost"),
    "a matrix, whose * is another": (lambda: np.zeros((2, 2)).view(np.matrix), "a matrix, and would come back as a plain"),
    "units": (lambda: np.ones(2).view(Quantity), "a Quantity, and would come back as a plain array"),
    "pandas-dev/pandas#54000: an index": (lambda: pd.Series([1], index=["x"]), "a Series, and its index would be lost"),
    "a missing value of pandas": (lambda: pd.Series([1, None], dtype="Int64"), "1 of its values are missing"),
    "a missing value of Arrow": (lambda: pa.array([1, None, None]), "2 of its values are missing"),
    "a frame within a dict": (lambda: pd.DataFrame({"x": [1]}), "the names of its columns would be lost"),
    "a list whose whole numbers a float cannot hold": (lambda: [2**53 + 1, 0.5], "9007199254740993 would be rounded to"),
    "wandb/wandb#3464: bfloat16": (lambda: Without("Got unsupported ScalarType BFloat16"), "ScalarType.*convert it"),
    "a tensor of the meta device": (lambda: Without("Cannot copy out of meta tensor"), "cannot be stored: Cannot copy"),
    "a ragged list": (lambda: [[1], [1, 2]], r"\(a list\) cannot be stored: .*inhomogeneous"),
}  # fmt: skip


@pytest.mark.parametrize("report", MORE)
def test_what_is_more_than_an_array_is_refused_by_name(store: Store, report: str) -> None:
    make, words = MORE[report]
    with pytest.raises(TypeError, match=f"array 'a' .*{words}|array 'a': {words}"):
        store.put({"a": make()})
    with pytest.raises(TypeError, match="array 'a'"):
        tensor.dumps({"a": make()})


def test_numbers_of_any_library_are_stored_as_the_array_that_they_are(store: Store) -> None:
    given = {"series": pd.Series([1, 2]), "full": pd.Series([1, 2], dtype="Int64"), "arrow": pa.array([1.5]), "list": [1, 2.5],
             "range": range(3), "memory": memoryview(np.arange(3, dtype="f4")), "number": np.float16(0.5)}  # fmt: skip
    kept = store.load(store.put(given).id)
    assert {name: array.tolist() for name, array in kept.items()} == {
        "series": [1, 2], "full": [1, 2], "arrow": [1.5], "list": [1, 2.5], "range": [0, 1, 2], "memory": [0, 1, 2], "number": 0.5,
    }  # fmt: skip


def test_arrays_of_a_dict_come_back_in_its_order(store: Store) -> None:
    """safetensors/safetensors#357, nlpodyssey/safetensors#3, chaiNNer-org/chaiNNer#2272: sorted by name."""
    for names in (["weight", "bias"], ["10", "9", "😀", "a/b", "A"], ["a", "b"], ["only"], []):
        given = collections.OrderedDict(
            (name, np.full(2, i, ">f4" if i % 2 else "<f4")) for i, name in enumerate(names)
        )
        kept = store.load(store.put(given).id)
        assert list(kept) == names and all(np.array_equal(kept[name], given[name]) for name in names)
        assert [kept[name].dtype for name in names] == [given[name].dtype for name in names]


def test_bytes_that_do_not_lie_side_by_side_are_stored_as_they_read(store: Store) -> None:
    assert store.load(store.put(memoryview(b"abcdef")[::2]).id) == b"ace"


def test_name_that_is_no_unicode_is_refused_by_name(store: Store) -> None:
    """treeverse/dvc#5083"""
    with pytest.raises(TypeError, match=r"array '\\ud800' has a name that is no Unicode"):
        store.put({"\ud800": np.ones(1)})


DAYS = pd.date_range("2024-01-01", periods=3, freq="D")

# Frames that come back as they were.
FRAMES: dict[str, Callable[[], pd.DataFrame]] = {
    "pandas-dev/pandas#60491, #39480, #26616: categories of numbers": lambda: pd.DataFrame({"x": pd.Categorical([1, 2, 1])}),
    "pandas-dev/pandas#39838: categories of both": lambda: pd.DataFrame(
        {"i": pd.Categorical([0, 1]), "s": pd.Categorical(["b", "a"], categories=["c", "b", "a"], ordered=True)}
    ),
    "pandas-dev/pandas#28018: a category that is missing": lambda: pd.DataFrame({"x": pd.Categorical([1, None, 2])}),
    "pandas-dev/pandas#41543: the step of an index": lambda: pd.DataFrame({"a": [1, 2, 3]}, index=DAYS),
    "pastas/pastastore#222: the step of a month": lambda: pd.DataFrame(
        {"a": [1, 2]}, index=pd.date_range("2024", periods=2, freq="MS", tz="Europe/Berlin")
    ),
    "the step of categories": lambda: pd.DataFrame({"x": pd.Categorical(DAYS)}),
    "pandas-dev/pandas#61165: seconds": lambda: pd.DataFrame({"x": np.array(["2024", "9999-12-31"], "M8[s]")}),
    "pandas-dev/pandas#54000: the type of an index": lambda: pd.DataFrame({"x": [1]}, index=pd.Index([1], dtype="int32", name="a")),
    "a missing number that is no float": lambda: pd.DataFrame({"x": pd.array([1, None], "Int64")}),
}  # fmt: skip


@pytest.mark.parametrize("report", FRAMES)
def test_frame_that_others_changed_comes_back_as_it_was(store: Store, report: str) -> None:
    frame = FRAMES[report]()
    id = store.put(frame).id
    pd.testing.assert_frame_equal(store.load(id), frame)
    pd.testing.assert_frame_equal(store.rows(id, 1, len(frame)), frame.iloc[1:])


# Steps whose name says less than they are: they came back as another one, or the frame never loaded.
STEPS: dict[str, Any] = {
    "pandas-dev/pandas#8699: business days with a holiday": pd.offsets.CustomBusinessDay(holidays=["2024-01-02"]),
    "pandas-dev/pandas#11006: a month and two days": pd.DateOffset(months=1, days=2),
    "business hours from ten": pd.offsets.BusinessHour(start="10:00"),
    "the ends of months, at midnight": pd.offsets.MonthEnd(normalize=True),
}


@pytest.mark.parametrize("report", STEPS)
def test_step_of_an_index_that_has_no_name_is_refused(store: Store, report: str) -> None:
    index = pd.date_range("2024-01-01", periods=3, freq=STEPS[report])
    with pytest.raises(
        TypeError, match="the index has the frequency .* which has no name to be found by: set its freq"
    ):
        store.put(pd.DataFrame({"a": [1, 2, 3]}, index=index))
    index.freq = None
    frame = pd.DataFrame({"a": [1, 2, 3]}, index=index)
    pd.testing.assert_frame_equal(store.load(store.put(frame).id), frame)


def entry(dtype: str = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


# Files of tensors from elsewhere that others believed. None is one to us, nor to the package that owns the format.
FORGED: dict[str, tuple[Any, bytes, int | None]] = {
    "safetensors/safetensors#401: one name twice": (
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}',
        bytes(8),
        None,
    ),
    "safetensors/safetensors#668: a header of more than there is": ({"a": entry()}, bytes(8), 0x07DF9D40),
    "ztxz16/fastllm#713: the header's length wraps": ({"a": entry()}, bytes(8), 2**64 - 5),
    "QuintinShaw/openasr#73: a header's length of the whole address space": ({"a": entry()}, bytes(8), 2**63),
    "leejet/stable-diffusion.cpp#1754: begins behind its end": ({"a": entry(offsets=(8, 0))}, bytes(8), None),
    "leejet/stable-diffusion.cpp#1754: ends behind the file": ({"a": entry(shape=(4,), offsets=(0, 16))}, bytes(8), None),
    "antirez/h3.c#48: two over each other": ({"a": entry(), "b": entry()}, bytes(8), None),
    "antirez/h3.c#48: bytes that are nobody's": ({"a": entry(), "b": entry(offsets=(12, 20))}, bytes(20), None),
    "antirez/h3.c#48: bytes behind the last": ({"a": entry()}, bytes(9), None),
    "kekzl/imp#1603: an unknown type, far behind the file": ({"a": entry("X7", offsets=(0, 2**40))}, bytes(8), None),
    "Comfy-Org/ComfyUI#14657: offsets that are no pair": ({"a": entry(offsets=(0, 8, 8))}, bytes(8), None),
    "Comfy-Org/ComfyUI#14657: a negative offset": ({"a": entry(offsets=(-8, 0))}, bytes(8), None),
    "Comfy-Org/ComfyUI#15722: a shape of other bytes": ({"a": entry(shape=(3,))}, bytes(8), None),
    "a shape whose product wraps to none": ({"a": entry(shape=(2**32, 2**32), offsets=(0, 0))}, b"", None),
    "a shape of 2.0": ({"a": entry(shape=(2.0,))}, bytes(8), None),
    "a list for a header": ([], bytes(8), None),
}  # fmt: skip


@pytest.mark.parametrize("report", FORGED)
def test_file_of_tensors_that_others_believed_is_bytes(store: Store, tmp_path: Path, report: str) -> None:
    header, body, size = FORGED[report]
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    file = struct.pack("<Q", len(text) if size is None else size) + text + body
    (tmp_path / "file").write_bytes(file)
    with pytest.raises(safetensors.SafetensorError):
        safetensors.safe_open(tmp_path / "file", "np")
    with pytest.raises(ValueError):
        tensor.loads(file)
    ids = [store.put(given).id for given in (tmp_path / "file", file + b"x")]
    assert store.tensors(ids[0]) == () and store.load(ids[0]) == file and not store.diff(*ids).equal


def test_tensor_of_a_shape_that_numpy_cannot_make_is_refused_by_name(store: Store) -> None:
    text = json.dumps({"w": entry(shape=(0, 2**62, 2**62), offsets=(0, 0))}).encode()
    id = store.put(struct.pack("<Q", len(text)) + text).id
    assert store.tensors(id)[0].shape == (0, 2**62, 2**62)
    with pytest.raises(ValueError, match=r"tensor 'w' .* has the shape \(0, 4611686018427387904, .* numpy"):
        store.tensor(id, "w")


def test_numbers_and_names_of_other_kinds_are_taken_or_refused_by_name(store: Store, tmp_path: Path) -> None:
    id = store.put(pd.DataFrame({"a": [1, 2, 3]})).id
    assert store.rows(id, np.int64(1), 3.0)["a"].tolist() == [2, 3]
    Store(tmp_path / "other", threads=np.int8(1), pin_grace_s=np.float32(5))
    for ask, name in (
        (lambda: store.rows(id, 0.5, 2), "start"),
        (lambda: store.rows(id, 0, "2"), "stop"),
        (lambda: Store(tmp_path / "other", threads=1.5), "threads"),
        (lambda: Store(tmp_path / "other", threads=-1), "threads"),
        (lambda: Store(tmp_path / "other", pin_grace_s=float("nan")), "pin_grace_s"),
        (lambda: Store(tmp_path / "other", pin_grace_s=-1), "pin_grace_s"),
    ):
        with pytest.raises(ValueError, match=f"^{name}="):
            ask()
    for wrong in ("\ud800", 5, None):
        with pytest.raises(ValueError, match="^the artifact's name"):
            store.put(b"x", name=wrong)  # type: ignore[arg-type]
