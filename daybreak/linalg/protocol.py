"""numpy's face of a matrix: operators, ufuncs, reductions, and functions of numpy that are given one."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from daybreak.base import numbers
from daybreak.base.errors import InvalidArgumentError, UnimplementedError

from .dtypes import checked_dtype

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["HOOKS", "ArrayFace", "beside", "in_place", "piece", "probe"]

# What stands above a matrix and is reached from its operators: "matmul", "functions", "namespace". functions.py fills it.
HOOKS: dict[str, Any] = {}
_np: Any = np  # its functions take a matrix, which their types do not know

# The elementwise functions that give floating point numbers of the four types.
_UFUNCS = {
    getattr(np, name)
    for name in (
        "add subtract multiply true_divide power negative positive absolute fabs exp exp2 expm1 log log2 log10 log1p sqrt square"
        " reciprocal sin cos tan tanh sinh cosh arcsin arccos arctan arctan2 hypot conjugate maximum minimum fmax fmin floor ceil"
        " rint trunc sign floor_divide remainder cbrt"
    ).split()
}
# Those that give booleans, which become a matrix of 0 and 1.
_COMPARED = {
    getattr(np, name)
    for name in (
        "equal not_equal less less_equal greater greater_equal isfinite isnan isinf logical_and logical_or logical_not"
        " logical_xor signbit"
    ).split()
}


class ArrayFace:
    """The operators and functions of numpy. Mixed into Matrix, which has shape, dtype, tiles and read."""

    __slots__ = ()
    __array_priority__ = 20.0
    # A matrix is compared element by element, as an array is.
    __hash__ = None  # type: ignore[assignment]

    if TYPE_CHECKING:
        shape: Any
        dtype: Any
        tile: Any
        folder: Any
        T: Any
        H: Any
        tiles: Any
        tile_range: Any
        tile_shape: Any
        get_tile: Any
        set_tile: Any
        temporary: Any
        read: Any

    # -- element by element

    def _each(self, function: Callable[..., Any], dtype: Any, *others: Any, shape: Any = None) -> Any:
        """function(tile, pieces of others...) for each tile of the result. Others broadcast, as arrays do."""

        operands = [self, *others]
        full = np.broadcast_shapes(*(np.shape(x) if not isinstance(x, ArrayFace) else x.shape for x in operands))
        if len(full) != 2:
            raise InvalidArgumentError(f"operands that broadcast to {len(full)} dimensions: a matrix has two")
        like = next((x for x in operands if isinstance(x, ArrayFace) and x.shape == full), self)
        made = like.temporary(full, dtype, tile=like.tile, beside=beside(operands))
        for i, j in made.tiles():
            rows, cols = made.tile_range(i, j)
            made.set_tile(i, j, function(*(piece(x, rows, cols) for x in operands)))
        return made

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        out = options.pop("out", None)
        if method != "__call__" or options or out is not None:
            kept = [f"method {method}"] * (method != "__call__") + sorted(options) + ["out"] * (out is not None)
            raise UnimplementedError(
                f"numpy.{ufunc.__name__} of a tiled matrix with {', '.join(kept)}: take numpy.asarray(M)"
            )
        if ufunc is np.matmul:
            return _product(HOOKS["matmul"], *inputs)
        if ufunc not in _UFUNCS and ufunc not in _COMPARED:
            raise UnimplementedError(f"numpy.{ufunc.__name__} of a tiled matrix: take numpy.asarray(M)")
        first = next(x for x in inputs if isinstance(x, ArrayFace))
        probes = [np.empty((0, 0), x.dtype) if isinstance(x, ArrayFace) else probe(x) for x in inputs]
        with np.errstate(all="ignore"):
            kind = np.float64 if ufunc in _COMPARED else ufunc(*probes).dtype
        kind = checked_dtype(kind)
        # The first operand of _each is this matrix; the others keep their place.
        at = next(n for n, x in enumerate(inputs) if x is first)
        rest = [x for n, x in enumerate(inputs) if n != at]

        def apply(tile: Any, *pieces: Any) -> Any:
            return np.asarray(ufunc(*in_place(list(pieces), at, tile))).astype(kind, copy=False)

        return first._each(apply, kind, *rest)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        ours = HOOKS["functions"]().get(function)
        if ours is None:
            name = f"{function.__module__}.{function.__name__}"
            raise UnimplementedError(f"{name} of a tiled matrix: take numpy.asarray(M) where it fits into memory")
        return ours(*args, **kwargs)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        if api_version not in (None, "2021.12", "2022.12", "2023.12", "2024.12"):
            raise InvalidArgumentError(f"api_version={api_version!r}: 2024.12")
        return HOOKS["namespace"]

    def __add__(self, other: Any) -> Any:
        return _np.add(self, other)

    def __radd__(self, other: Any) -> Any:
        return _np.add(other, self)

    def __sub__(self, other: Any) -> Any:
        return _np.subtract(self, other)

    def __rsub__(self, other: Any) -> Any:
        return _np.subtract(other, self)

    def __mul__(self, other: Any) -> Any:
        return _np.multiply(self, other)

    def __rmul__(self, other: Any) -> Any:
        return _np.multiply(other, self)

    def __truediv__(self, other: Any) -> Any:
        return _np.true_divide(self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _np.true_divide(other, self)

    def __pow__(self, other: Any) -> Any:
        return _np.power(self, other)

    def __rpow__(self, other: Any) -> Any:
        return _np.power(other, self)

    def __matmul__(self, other: Any) -> Any:
        return _np.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return _np.matmul(other, self)

    def __neg__(self) -> Any:
        return _np.negative(self)

    def __pos__(self) -> Any:
        return _np.positive(self)

    def __abs__(self) -> Any:
        return _np.absolute(self)

    def __eq__(self, other: object) -> Any:
        return _np.equal(self, other)

    def __ne__(self, other: object) -> Any:
        return _np.not_equal(self, other)

    def __lt__(self, other: Any) -> Any:
        return _np.less(self, other)

    def __le__(self, other: Any) -> Any:
        return _np.less_equal(self, other)

    def __gt__(self, other: Any) -> Any:
        return _np.greater(self, other)

    def __ge__(self, other: Any) -> Any:
        return _np.greater_equal(self, other)

    def __bool__(self) -> bool:
        if self.shape == (1, 1):
            return bool(self.get_tile(0, 0)[0, 0])
        raise InvalidArgumentError("the truth of a matrix of other than one element: use M.any() or M.all()")

    # -- over rows, columns or all

    @property
    def real_dtype(self) -> np.dtype[Any]:
        return np.empty(0, self.dtype).real.dtype

    @property
    def real(self) -> Any:
        return self._each(np.real, self.real_dtype)

    @property
    def imag(self) -> Any:
        return self._each(np.imag, self.real_dtype)

    def _reduced(self, inside: Callable[[Any, Any], Any], across: Any, axis: Any) -> npt.NDArray[Any]:
        """A reduction: inside a tile along an axis (None: all), then tile by tile in the order of the grid."""
        out: list[Any] = []
        if axis is None:
            total = None
            for i, j in self.tiles():
                part = inside(self.get_tile(i, j), None)
                total = part if total is None else across(total, part)
            return np.asarray(inside(np.empty(self.shape, self.dtype), None) if total is None else total)
        tiles: dict[int, Any] = {}
        for i, j in self.tiles():
            part = inside(self.get_tile(i, j), axis)
            keep = i if axis == 1 else j
            tiles[keep] = part if keep not in tiles else across(tiles[keep], part)
        out = [tiles[n] for n in sorted(tiles)]
        return np.concatenate(out) if out else inside(np.empty(self.shape, self.dtype), axis)

    def _reduce(self, inside: Callable[[Any, Any], Any], across: Any, axis: Any, keepdims: bool) -> Any:
        along = _axis(axis)
        found = self._reduced(inside, across, along)
        if keepdims:
            return found.reshape((1, 1)) if along is None else np.expand_dims(found, along)
        return found[()] if along is None else found

    def sum(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        """The sum of all elements, or of each column (axis=0) or row (axis=1): an array. Tile by tile, then over tiles in order."""
        _unsupported("sum", dtype=dtype, out=out)
        return self._reduce(lambda x, at: x.sum(axis=at), np.add, axis, keepdims)

    def prod(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        _unsupported("prod", dtype=dtype, out=out)
        return self._reduce(lambda x, at: x.prod(axis=at), np.multiply, axis, keepdims)

    def mean(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        _unsupported("mean", dtype=dtype, out=out)
        along = _axis(axis)
        count = self.shape[0] * self.shape[1] if along is None else self.shape[along]
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.sum(axis, keepdims=keepdims) / self.dtype.type(count)

    def min(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        _unsupported("min", out=out)
        return self._reduce(lambda x, at: x.min(axis=at), np.minimum, axis, keepdims)

    def max(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        _unsupported("max", out=out)
        return self._reduce(lambda x, at: x.max(axis=at), np.maximum, axis, keepdims)

    def any(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        _unsupported("any", out=out)
        return self._reduce(lambda x, at: (x != 0).any(axis=at), np.logical_or, axis, keepdims)

    def all(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        _unsupported("all", out=out)
        return self._reduce(lambda x, at: (x != 0).all(axis=at), np.logical_and, axis, keepdims)

    def trace(self) -> Any:
        """The sum of the diagonal."""
        return self.diagonal().sum()

    def diagonal(self) -> npt.NDArray[Any]:
        """The main diagonal as an array."""
        n = min(self.shape)
        step = max(min(self.tile), 1)
        parts = [range(at, min(at + step, n)) for at in range(0, n, step)]
        found = [np.diagonal(self.read(part, part)) for part in parts]
        return np.concatenate(found) if found else np.zeros(0, self.dtype)

    def dot(self, other: Any) -> Any:
        return _np.matmul(self, other)


def piece(x: Any, rows: range, cols: range) -> Any:
    """What of an operand meets these rows and columns of the result; sides of one are stretched."""
    if isinstance(x, ArrayFace):
        return x.read(rows if x.shape[0] != 1 else range(1), cols if x.shape[1] != 1 else range(1))
    if np.ndim(x) == 0:
        return x
    array = np.asarray(x)
    cut: list[slice] = []
    for side, part in zip(array.shape[::-1], (cols, rows), strict=False):
        cut.insert(0, slice(None) if side == 1 else slice(part.start, part.stop))
    return array[tuple(cut)]


def probe(x: Any) -> Any:
    """Of an operand what decides the result's type: Python's numbers are weak."""
    if isinstance(x, (bool, int, float, complex)):
        return x
    array = np.asarray(x)
    if array.dtype.kind not in "biufc":
        raise InvalidArgumentError(f"an operand of {array.dtype}: numbers are needed")
    return np.empty((0,) * array.ndim, array.dtype) if array.ndim else array


def _product(matmul: Any, a: Any, b: Any) -> Any:
    """numpy's @: a vector is a row on the left, a column on the right, and gives a vector."""
    left, right = np.ndim(a) == 1, np.ndim(b) == 1
    found = matmul(
        np.asarray(a)[None, :] if left else a,
        np.asarray(b)[:, None] if right else b,
    )
    if left or right:
        return np.asarray(found).ravel()
    return found


def _axis(axis: Any) -> int | None:
    if axis is None or axis in ((0, 1), (-2, -1)):
        return None
    if isinstance(axis, tuple) and len(axis) == 1:
        axis = axis[0]
    return numbers.integer(axis, "axis", minimum=-2, maximum=1) % 2


def _unsupported(name: str, **given: Any) -> None:
    named = [key for key, value in given.items() if value is not None]
    if named:
        raise UnimplementedError(f"{name} of a tiled matrix with {', '.join(named)}: take numpy.asarray(M)")


def in_place(values: list[Any], at: int, tile: Any) -> list[Any]:
    """The pieces of a call's operands with the first matrix's tile where it stands."""
    return [*values[:at], tile, *values[at:]]


def beside(operands: Any) -> str | None:
    """The folder in which results of these operands are made; None: memory."""
    return next(
        (os.path.dirname(x.folder) for x in operands if isinstance(x, ArrayFace) and x.folder is not None), None
    )
