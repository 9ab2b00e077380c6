"""Tensor files from outside against the packages that own their formats: what we believe of a file, they read in it too."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from daybreak import tensor
from daybreak.store import Store

FEW = settings(
    max_examples=120, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True
)
BYTES = {"F32": 4, "U8": 1, "BF16": 2, "I64": 8, "BOOL": 1, "F16": 2, "F64": 8, "U16": 2, "I8": 1}
ODD = [0, 1, -1, 2**31, 2**53 + 1, 2**62, 2**63, 2**64 - 1, 2**64, 1.0, "1", None, [], True]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"), threads=1)


def packed(header: Any, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + data


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """A file as the format has it, or with some of its claims changed."""
    header: dict[str, Any] = {}
    at = 0
    for name in draw(st.lists(st.sampled_from(["a", "b", "c", "ü", "", "a/b", "x" * 300]), max_size=4, unique=True)):
        dtype = draw(st.sampled_from(sorted(BYTES)))
        shape = draw(st.lists(st.integers(0, 4), max_size=3))
        size = int(np.prod(shape)) * BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    if draw(st.booleans()):
        header["__metadata__"] = draw(st.sampled_from([{}, {"k": "v"}, {"k": 1}, [], "x", None]))
    data = bytes(i % 251 for i in range(at))
    for _ in range(draw(st.integers(0, 2)) if header else 0):
        entry = header[draw(st.sampled_from(sorted(header)))]
        if not isinstance(entry, dict) or "shape" not in entry:
            continue
        change = draw(st.integers(0, 6))
        if change == 0 and entry["shape"]:
            entry["shape"][draw(st.integers(0, len(entry["shape"]) - 1))] = draw(st.sampled_from(ODD))
        elif change == 1:
            entry["shape"] = (
                [*entry["shape"], draw(st.sampled_from(ODD))] if isinstance(entry["shape"], list) else entry["shape"]
            )
        elif change == 2:
            entry["data_offsets"][draw(st.integers(0, 1))] = draw(st.sampled_from([*ODD, at, at + 1, 4]))
        elif change == 3:
            entry["dtype"] = draw(st.sampled_from(["F32", "F64", "U8", "F128", "f32", "C64", 1, None]))
        elif change == 4:
            entry.pop(draw(st.sampled_from(sorted(entry))), None)
            break
        elif change == 5:
            entry["data_offsets"] = draw(st.sampled_from([[], [0], [0, 4, 8], [4, 0], "x"]))
            break
        else:
            entry["more"] = 1
    data = draw(st.sampled_from([data, data, data, data[:-1], data + b"x"]))
    return packed(header, data)


def tensors_of(store: Store, id: str) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    return {t.name: (t.dtype, t.shape, store.read(id, t.offset, t.size_bytes)) for t in store.tensors(id)}


def theirs(data: bytes) -> dict[str, tuple[str, tuple[int, ...], bytes]] | None:
    try:
        found = safetensors.deserialize(data)
    except safetensors.SafetensorError:
        return None
    return {name: (about["dtype"], tuple(about["shape"]), bytes(about["data"])) for name, about in found}


@FEW
@given(first=files(), second=files())
def test_a_safetensors_file_is_believed_exactly_when_its_own_package_reads_it(
    store: Store, first: bytes, second: bytes
) -> None:
    ids = []
    for data in (first, second):
        ids.append(store.put(data).id)
        assert store.read(ids[-1]) == data
        ours, package = tensors_of(store, ids[-1]), theirs(data)
        if ours:
            assert ours == package
        elif package:  # all that it reads we know, but longer names and dimensions beyond 63 bits (of nothing)
            assert any(
                len(name.encode()) > 250 or max(shape, default=0) >= 2**63 for name, (_, shape, _) in package.items()
            )
        with pytest.raises(ValueError):
            tensor.loads(data)  # that is no container of ours, whatever it says
    difference = store.diff(*ids)
    assert difference.equal == (first == second)
    for one in difference.tensors:
        assert one.change in ("equal", "changed", "added", "removed", "retyped")
    assert store.verify().ok


def sealed(header: dict[str, Any], data: bytes) -> bytes:
    """A container whose checksum is right, whatever else is wrong with it: the reader's own error says what it would be."""
    header = {"__metadata__": {"daybreak.checksum": "0" * 32, "daybreak.format": "1"}, **header}
    file = packed(header, data)
    with pytest.raises(ValueError, match=r"checksum is [0-9a-f]{32}") as told:
        tensor.loads(file)
    found = str(told.value).split("checksum is ")[1][:32]
    return file.replace(b"0" * 32, found.encode(), 1)


@FEW
@given(file=files())
def test_a_container_that_is_accepted_is_accepted_by_the_package_with_the_same_contents(file: bytes) -> None:
    length = struct.unpack("<Q", file[:8])[0]
    header = {name: about for name, about in json.loads(file[8 : 8 + length]).items() if name != "__metadata__"}
    whole = sealed(header, file[8 + length :])
    package = theirs(whole)
    try:
        ours = tensor.loads(whole)
    except ValueError:
        return
    assert package is not None and set(ours) == set(package)
    for name, (dtype, shape, data) in package.items():
        if dtype == "BF16":  # for which numpy has no type
            with pytest.raises(TypeError, match="BF16"):
                ours[name]
        else:
            assert ours[name].shape == shape and ours[name].tobytes() == data


ARRAYS = hnp.arrays(
    st.sampled_from(["<f4", "|u1", "<i8", "|b1", "<f2"]), hnp.array_shapes(min_dims=0, min_side=0, max_side=3)
)


@FEW
@given(arrays=st.dictionaries(st.text(max_size=5), ARRAYS, max_size=4))
def test_a_container_of_ours_is_read_by_the_package_and_theirs_is_believed(
    store: Store, arrays: dict[str, Any]
) -> None:
    try:
        ours = tensor.dumps(arrays)
    except ValueError as refused:
        assert "name" in str(refused) or "__metadata__" in str(refused)
        return
    read = safetensors.numpy.load(ours)
    assert set(read) == set(arrays) and all(np.array_equal(read[name], arrays[name], equal_nan=True) for name in arrays)
    named = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    kept = store.put(safetensors.numpy.save(named)).id
    assert {t.name for t in store.tensors(kept)} == set(arrays)
    for name, array in arrays.items():
        assert np.array_equal(store.tensor(kept, name), array, equal_nan=True)


@pytest.mark.parametrize(
    ("shape", "offsets", "size"),
    [
        ([5], [0, 16], 16),
        ([3], [0, 16], 16),
        ([2**62], [0, 4], 4),
        ([2**61, 8], [0, 0], 0),
        ([4], [0, 15], 16),
        ([1], [4, 8], 8),
    ],
)
def test_a_header_whose_shape_does_not_fit_its_bytes_is_not_believed(
    store: Store, shape: list[int], offsets: list[int], size: int
) -> None:
    lie = packed({"a": {"dtype": "F32", "shape": shape, "data_offsets": offsets}}, bytes(size))
    other = packed({"a": {"dtype": "F32", "shape": shape, "data_offsets": offsets}}, b"\1" * size)
    assert theirs(lie) is None
    ids = [store.put(data).id for data in (lie, other)]
    assert store.tensors(ids[0]) == () and store.diff(*ids).tensors == ()


NUMPYS = st.sampled_from(["<f4", "<f8", "|u1", "<i2", ">f4", "|b1", "<c8", "<U3"])


@FEW
@given(
    array=hnp.arrays(NUMPYS, hnp.array_shapes(min_dims=0, max_dims=3)),
    order=st.sampled_from("CF"),
    version=st.sampled_from([(1, 0), (2, 0), (3, 0)]),
)
def test_an_npy_file_gives_the_numbers_that_numpy_reads(
    store: Store, tmp_path_factory: pytest.TempPathFactory, array: Any, order: str, version: tuple[int, int]
) -> None:
    path = Path(tmp_path_factory.getbasetemp()) / "x.npy"
    with path.open("wb") as file:
        np.lib.format.write_array(file, np.asarray(array, order=order), version=version)
    kept = store.put(path).id
    for about in store.tensors(kept):
        assert np.array_equal(store.tensor(kept, about.name), np.load(path), equal_nan=True)
    assert store.read(kept) == path.read_bytes()
