"""Labels of the node, and conditions on them.

>>> matches({"zone": "in(a, b)", "disk": "!slow"}, {"zone": "b"})
True
>>> checked_selector("label_selector", {"zone": 3})
Traceback (most recent call last):
    ...
ValueError: label_selector={'zone': 3}: it must be a dict of strings, e.g. {"zone": "in(a, b)", "disk": "!slow"}
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs 5 ms of what `import daybreak` may
if TYPE_CHECKING:
    from typing import Any

__all__ = ["checked_labels", "checked_selector", "matches"]

_PREFIXES = ("!in(", "in(")


def checked_labels(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(k, str) and isinstance(v, str) for k, v in value.items()):
        raise TypeError(f"{name}={value!r}: it must be a dict of strings")
    return dict(value)


def checked_selector(name: str, value: Any) -> dict[str, str]:
    """A condition for each label: "value", "!value", "in(a, b)" or "!in(a, b)"."""
    strings = isinstance(value, dict) and all(isinstance(k, str) and isinstance(v, str) for k, v in value.items())
    if not strings:
        raise ValueError(
            f'{name}={value!r}: it must be a dict of strings, e.g. {{"zone": "in(a, b)", "disk": "!slow"}}'
        )
    for key, condition in value.items():
        if not key or condition.startswith(_PREFIXES) and not condition.endswith(")"):
            raise ValueError(f"{name}[{key!r}]={condition!r}: 'value', '!value', 'in(a, b)' or '!in(a, b)' expected")
    return dict(value)


def matches(selector: dict[str, str], labels: dict[str, str]) -> bool:
    """Whether a node with these labels meets all conditions. A label that is not there equals no value."""
    for key, condition in selector.items():
        negated = condition.startswith("!")
        condition = condition.removeprefix("!")
        values = [condition]
        if condition.startswith("in("):
            values = [value.strip() for value in condition[3:-1].split(",")]
        if (labels.get(key) in values) is negated:
            return False
    return True
