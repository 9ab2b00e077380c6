"""What a matrix is copied from: anything that gives pieces of two-dimensional numbers, without being read whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from daybreak.base.errors import InvalidArgumentError

from .dtypes import checked_dtype
from .protocol import ArrayFace

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Source", "source_of"]


@dataclass(frozen=True)
class Source:
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    read: Callable[[range, range], npt.NDArray[Any]]  # rows, columns


def _cut(array: Any, rows: range, cols: range) -> Any:
    return array[rows.start : rows.stop, cols.start : cols.stop]


def source_of(array: Any, dtype: Any = None) -> Source:
    """InvalidArgumentError names what is no matrix: more than two dimensions, masked elements, types that would be changed."""
    if isinstance(array, ArrayFace):
        kind = checked_dtype(dtype or array.dtype)
        return Source(array.shape, kind, lambda rows, cols: array.read(rows, cols).astype(kind, copy=False))
    module = type(array).__module__.split(".")[0]
    lazy = module in ("dask", "zarr", "h5py")
    if not lazy:
        array = _plain(array, module)
    shape = tuple(int(x) for x in array.shape)
    if len(shape) == 1 and not lazy:
        array = array.reshape(-1, 1)
        shape = (shape[0], 1)
    if len(shape) != 2:
        raise InvalidArgumentError(f"an array of {len(shape)} dimensions: a matrix has two")
    kind = checked_dtype(dtype if dtype is not None else array.dtype)
    if np.dtype(array.dtype).kind == "c" and kind.kind != "c":
        raise InvalidArgumentError(f"dtype={kind} would lose the imaginary part of {array.dtype}: give array.real")

    def read(rows: range, cols: range) -> npt.NDArray[Any]:
        piece = _cut(array, rows, cols)
        return np.asarray(piece.compute() if module == "dask" else piece).astype(kind, copy=False)

    return Source((shape[0], shape[1]), kind, read)


def _plain(array: Any, module: str) -> Any:
    """As numpy has it; a map of a file stays one."""
    if isinstance(array, np.ma.MaskedArray):
        if np.ma.is_masked(array):
            raise InvalidArgumentError("the array has masked elements: give filled(...)")
        array = array.filled()
    if module == "scipy" and hasattr(array, "toarray"):
        raise InvalidArgumentError("a sparse matrix would become dense: give toarray() if that is what you mean")
    if module == "torch":
        if str(array.dtype) in ("torch.bfloat16", "torch.float16"):
            array = array.float()
        array = array.detach().cpu().resolve_conj().numpy()
    if module == "pyarrow":
        array = _arrow(array)
    found = array if isinstance(array, np.ndarray) else np.asarray(array)
    if found.dtype == np.float16:
        raise InvalidArgumentError("float16 elements: convert them with astype(numpy.float32)")
    return found


def _arrow(table: Any) -> Any:
    """A table's columns side by side, a tensor, or an array as one column."""
    if hasattr(table, "to_numpy") and not hasattr(table, "columns"):
        return table.to_numpy() if "Tensor" in type(table).__name__ else table.to_numpy(zero_copy_only=False)
    columns = [column.to_numpy() for column in table.columns]
    return np.column_stack(columns) if columns else np.empty((table.num_rows, 0))
