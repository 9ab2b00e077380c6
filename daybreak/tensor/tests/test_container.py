"""The container file from Python, and through the safetensors package."""

from pathlib import Path

import numpy as np
import pytest

from daybreak import tensor
from daybreak.base import errors

ARRAYS = {
    "pi/w0": np.arange(6, dtype=np.float32).reshape(2, 3),
    "scalar": np.array(2.5),
    "empty": np.zeros((0, 4), dtype=np.int64),
    "mask": np.array([True, False, True]),
    "half": np.array([1.5, -2.0], dtype=np.float16),
}


def test_safetensors_reads_what_we_write(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    from safetensors import safe_open

    path = tmp_path / "policy.safetensors"
    tensor.save(path, ARRAYS, {"kind": "policy"})
    theirs = safetensors.load_file(path)
    assert theirs.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(theirs[name], array)
        assert theirs[name].dtype == array.dtype
    with safe_open(path, "numpy") as file:
        assert file.metadata()["kind"] == "policy"
        assert file.metadata()["daybreak.format"] == "1"


def test_arrays_come_back_with_their_dtype_and_shape() -> None:
    file = tensor.loads(tensor.dumps(ARRAYS, {"kind": "policy"}))
    assert list(file) == sorted(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(file[name], array)
        assert file[name].dtype == array.dtype and file[name].shape == array.shape
    assert file.metadata["kind"] == "policy"


def test_arrays_are_read_only_and_outlive_the_container() -> None:
    array = tensor.loads(tensor.dumps(ARRAYS))["pi/w0"]
    assert not array.flags.writeable
    assert array.sum() == 15.0


def test_strided_and_big_endian_arrays_are_stored_dense_and_little_endian() -> None:
    column = np.arange(12, dtype=">i4").reshape(3, 4)[:, 1]
    np.testing.assert_array_equal(tensor.loads(tensor.dumps({"x": column}))["x"], [1, 5, 9])


def test_an_altered_file_is_an_error_that_names_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "x"
    tensor.save(path, ARRAYS)
    assert path.stat().st_mode & 0o777 == 0o600
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    with pytest.raises(errors.DataLossError, match="take another copy"):
        tensor.loads(bytes(data))
    with pytest.raises(KeyError):
        tensor.load(path)["no such tensor"]


def test_what_the_format_does_not_hold_is_refused() -> None:
    with pytest.raises(TypeError, match="complex"):
        tensor.dumps({"z": np.array([1j])})
    with pytest.raises(ValueError, match="the limit is 512"):
        tensor.dumps({"n" * 513: np.zeros(1)})
    with pytest.raises(ValueError, match="set by the writer"):
        tensor.dumps({}, {"daybreak.format": "7"})
