"""What a value from Python is to a run."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from typing import Any

from daybreak.base import errors, numbers

__all__ = ["metric", "with_text_keys"]


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


def with_text_keys(value: object, what: str, depth: int) -> object:
    """The same with keys as JSON has them. Of two that are one there (1 and "1") a value would be lost."""
    if depth > 100:
        raise errors.InvalidArgumentError(f"{what} is nested more than 100 deep, or holds itself")
    if isinstance(value, Mapping):
        kept: dict[str, object] = {}
        for key, item in value.items():
            text = _text_key(key, what)
            if text in kept:
                raise errors.InvalidArgumentError(f"{what} has two keys that are {text!r} in JSON: rename one")
            kept[text] = with_text_keys(item, what, depth + 1)
        return kept
    if isinstance(value, (list, tuple)):
        return [with_text_keys(item, what, depth + 1) for item in value]
    return value


def _text_key(key: Any, what: str) -> str:
    if isinstance(key, enum.Enum):
        key = key.value
    if hasattr(key, "dtype") and hasattr(key, "tolist"):
        key = numbers.plain(key, f"a key of {what}", nan=True, wide=True)
    if isinstance(key, str):
        return str.__str__(key)
    if key is None or isinstance(key, (bool, int, float)):
        return json.dumps(key)
    raise errors.InvalidArgumentError(
        f"{what} has the key {key!r} (a {type(key).__name__}): keys are text or numbers in JSON: give str(...) of it"
    )
