"""What ``M.__array_namespace__()`` gives: the array API's names as far as a tiled matrix has them."""

from __future__ import annotations

from typing import Any

import numpy as np

from .dtypes import DTYPES
from .elementwise import where as where
from .factor import matmul as matmul
from .factor import solve as solve
from .matrix import Matrix

__array_api_version__ = "2024.12"
float32, float64, complex64, complex128 = (np.dtype(kind.name) for kind in DTYPES)
inf, nan, pi, e = np.inf, np.nan, np.pi, np.e

_ELEMENTWISE = (
    "add subtract multiply divide pow negative positive abs exp expm1 log log1p log2 log10 sqrt square sin cos tan tanh conj"
    " maximum minimum floor ceil trunc sign equal not_equal less less_equal greater greater_equal isfinite isnan isinf"
).split()
_REDUCTIONS = "sum prod mean min max any all".split()


def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: Any = None) -> Matrix:
    """A matrix of what Matrix.from_array takes."""
    return (
        obj
        if isinstance(obj, Matrix) and dtype in (None, obj.dtype) and not copy
        else Matrix.from_array(obj, dtype=dtype)
    )


def zeros(shape: Any, *, dtype: Any = np.float64, device: Any = None) -> Matrix:
    return Matrix.zeros(shape, dtype)


def matrix_transpose(x: Matrix, /) -> Matrix:
    return x.T


def astype(x: Matrix, dtype: Any, /, *, copy: bool = True) -> Matrix:
    return x.astype(dtype)


def __getattr__(name: str) -> Any:
    if name in _ELEMENTWISE:
        return getattr(np, name)
    if name in _REDUCTIONS:
        return lambda x, /, *, axis=None, keepdims=False: getattr(x, name)(axis=axis, keepdims=keepdims)
    raise AttributeError(f"a tiled matrix has no {name} of the array API: take numpy.asarray(M)")
