"""The element types of a matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from daybreak.base.errors import InvalidArgumentError

__all__ = ["DTYPES", "checked_dtype"]

DTYPES: tuple[np.dtype[Any], ...] = tuple(np.dtype(name) for name in ("float32", "float64", "complex64", "complex128"))


def checked_dtype(dtype: Any, name: str = "dtype") -> np.dtype[Any]:
    """One of the four types of a matrix: integers and booleans become float64, as in numpy's linalg; others are refused by name."""
    found: np.dtype[Any] = np.dtype(dtype)
    if found.newbyteorder("=") in DTYPES:
        return found.newbyteorder("=")
    if found.kind in "biu":
        return np.dtype(np.float64)
    raise InvalidArgumentError(
        f"{name}={found}: a matrix has float32, float64, complex64 or complex128 elements; convert it with astype"
    )
