"""Options of a categorical parameter: plain values, each known by its place, so that 1, True and 1.0 are three."""

from __future__ import annotations

import json
from collections.abc import Iterable

from daybreak.base.errors import InvalidArgumentError

__all__ = ["checked", "plain"]

Option = None | bool | int | float | str
MAX_OPTIONS = 1 << 20  # kMaxOptions


def plain(value: object, what: str) -> Option:
    """The value, or what a scalar of numpy holds; anything else is refused.

    >>> plain(1.0, "x"), plain(True, "x"), plain(None, "x")
    (1.0, True, None)
    >>> plain([1], "the option of 'layers'")
    Traceback (most recent call last):
    daybreak.base.errors.InvalidArgumentError: the option of 'layers' is [1] (list): None, bool, int, float or str expected; \
give names or indices and look the value up
    """
    if value is None or type(value) in (bool, int, float, str):
        return value  # type: ignore[return-value]
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        inside = value.item()
        if type(inside) in (bool, int, float, str):
            return inside  # type: ignore[no-any-return]
    for base in (bool, int, float, str):  # of a subclass, such as an enum's member, the value
        if isinstance(value, base):
            return base(value)
    raise InvalidArgumentError(
        f"{what} is {str(value)[:80]} ({type(value).__name__}): None, bool, int, float or str expected; "
        "give names or indices and look the value up"
    )


def checked(name: str, choices: Iterable[object]) -> tuple[tuple[Option, ...], str]:
    """The options as plain values, and as JSON text.

    >>> checked("layers", [1, True, None])
    ((1, True, None), '[1,true,null]')
    """
    if isinstance(choices, str):
        raise InvalidArgumentError(
            f"the options of '{name}' are the text '{choices[:80]}': give a list, as in ['{choices[:80]}']"
        )
    values = tuple(plain(choice, f"an option of '{name}'") for choice in choices)
    if not values:
        raise InvalidArgumentError(f"'{name}' has no options: give at least one to choose from")
    if len(values) > MAX_OPTIONS:
        raise InvalidArgumentError(f"'{name}' has {len(values)} options: at most {MAX_OPTIONS}")
    return values, json.dumps(values, separators=(",", ":"))
