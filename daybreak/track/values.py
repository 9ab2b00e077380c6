"""What a value from Python is to a run."""

from __future__ import annotations

import enum
from typing import Any

from daybreak.base import numbers

__all__ = ["metric"]


def metric(name: str, value: Any) -> float | None:
    """The number that a metric's value is, of whatever library; None for what is none (text, None, a list, several elements).

    InvalidArgumentError for a number that a metric cannot hold: a complex one, a masked one, one beyond a float.

    >>> import numpy as np
    >>> metric("loss", np.array([[0.5]])), metric("loss", np.arange(2)), metric("note", "text")
    (0.5, None, None)
    """
    if isinstance(value, enum.Enum):  # its value counts
        return metric(name, value.value)
    if value is None or isinstance(value, (str, bytes, bytearray, memoryview, list, tuple, set, frozenset, dict)):
        return None
    if hasattr(value, "as_py"):  # an Arrow scalar
        return metric(name, value.as_py())
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        kind = getattr(value.dtype, "kind", "?")
        size = value.numel() if callable(getattr(value, "numel", None)) else getattr(value, "size", 1)
        if size != 1 or kind in "SUMmV" or (kind == "O" and isinstance(value.item(), str)):
            return None
        return numbers.real(value, name)
    kind_of = type(value)
    if isinstance(value, complex) or hasattr(kind_of, "__float__") or hasattr(kind_of, "__index__"):
        return numbers.real(value, name)
    return None
