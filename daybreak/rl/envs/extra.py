"""Gymnasium is an optional dependency: imported when something needs it."""

from __future__ import annotations

from typing import Any


def gymnasium_or_raise(what: str) -> Any:
    """The module gymnasium, or an ImportError that says how to get it."""
    try:
        import gymnasium
    except ImportError as error:
        raise ImportError(f"{what} need Gymnasium, which is not installed: pip install 'daybreak[rl]'") from error
    return gymnasium
