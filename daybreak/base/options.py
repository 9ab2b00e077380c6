"""Names of options, and values that are one of a few: one sentence for what is not known, in every room.

>>> checked({"num_cpus": 2, "name": None}, {"num_cpus": lambda name, value: float(value), "name": choice("a", "b")}, "a task")
{'num_cpus': 2.0, 'name': None}
>>> checked({"num_cpu": 2}, {"num_cpus": print, "num_gpus": print}, "a task")
Traceback (most recent call last):
    ...
daybreak.base.errors.InvalidArgumentError: a task has no option 'num_cpu': did you mean 'num_cpus'? It has num_cpus, num_gpus
>>> choice("list", "array")("batch", "lists")
Traceback (most recent call last):
    ...
daybreak.base.errors.InvalidArgumentError: batch='lists': 'list' or 'array' expected, did you mean 'list'?
"""

from __future__ import annotations

from daybreak.base.errors import InvalidArgumentError

TYPE_CHECKING = False  # typing costs 5 ms of what `import daybreak` may
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

__all__ = ["checked", "choice", "close"]


def close(name: object, known: Iterable[str], at_most: int = 1) -> list[str]:
    """The known names that the given one may stand for, the nearest first."""
    import difflib

    return difflib.get_close_matches(name, list(known), at_most) if isinstance(name, str) else []


def checked(options: Mapping[str, Any], checks: Mapping[str, Callable[[str, Any], Any]], what: str) -> dict[str, Any]:
    """Each option through the check of its name, called with name and value; None, which is "not given", as it is.

    InvalidArgumentError (a ValueError) for a name that has no check; what a check raises goes on.
    """
    found = {}
    for name, value in options.items():
        if name not in checks:
            near = close(name, checks)
            hint = f": did you mean {near[0]!r}? It has" if near else "; it has"
            raise InvalidArgumentError(f"{what} has no option {name!r}{hint} {', '.join(sorted(checks))}")
        found[name] = value if value is None else checks[name](name, value)
    return found


def choice(*allowed: str) -> Callable[[str, Any], str]:
    """A check for `checked`: one of these words, as text of any kind that equals it."""

    def check(name: str, value: Any) -> str:
        for word in allowed:
            if isinstance(value, str) and value == word:
                return word
        near = close(value, allowed)
        words = " or ".join(filter(None, [", ".join(map(repr, allowed[:-1])), repr(allowed[-1])]))
        raise InvalidArgumentError(
            f"{name}={str(value)[:80]!r}: {words} expected" + (f", did you mean {near[0]!r}?" if near else "")
        )

    return check
