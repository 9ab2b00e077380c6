"""Options of tasks and actors: each value is looked at where it is given, and the error names it."""

from __future__ import annotations

from daybreak.base.options import checked

from .._core import runtime as _native

TYPE_CHECKING = False  # typing costs 5 ms of what `import daybreak` may
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = [
    "ACTOR_OPTIONS",
    "DYNAMIC",
    "METHOD_OPTIONS",
    "STREAMING",
    "TASK_OPTIONS",
    "checked",
    "code_flags",
    "custom_resources",
    "num_returns",
    "number",
    "resource_set",
    "returns_of",
    "whole",
]

_MAX_NUM_RETURNS = 1000
_MAX_RETRIES = 32_000
_MAX_CONCURRENCY = 2**31 - 1
_MAX_GROUPS = 100
_MAX_WINDOW = 65_535  # items of a stream that its producer may be ahead


def number(value: Any) -> float | int | None:
    """A number of Python, numpy or the like as Python's; None for anything else, flags too."""
    if type(value) is int or type(value) is float:
        return value
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
        return None
    from daybreak.base import errors, numbers

    try:
        found = numbers.real(value, "number")
        return int(found) if found == int(found) else found
    except (errors.InvalidArgumentError, ValueError, OverflowError):
        return None


def whole(name: str, value: Any, high: int) -> int:
    found = number(value)
    if found is None or found != found or not 0 <= found <= high or found != int(found):
        raise ValueError(f"{name}={value!r}: it must be a whole number from 0 to {high}")
    return int(found)


def custom_resources(resources: dict[str, float] | None, where: str) -> list[tuple[str, float]]:
    if resources is None:
        return []
    if not isinstance(resources, dict):
        raise TypeError(f"resources={resources!r}: {where} takes a dict of names and amounts")
    for name, amount in resources.items():
        if name in ("CPU", "GPU"):
            raise ValueError(f"resources={{{name!r}: ...}}: use num_{name.lower()}s instead")
        if not isinstance(name, str) or not name:
            raise ValueError(f"resource name {name!r}: it must be a string that is not empty")
        found = number(amount)
        if found is None or not 0 <= found < 1e9:
            raise ValueError(f"resources[{name!r}]={amount!r}: it must be a number between 0 and 1e9")
    return [(name, float(number(amount) or 0)) for name, amount in resources.items()]


def _amount(name: str, value: Any) -> float:
    found = number(value)
    if found is None:
        raise TypeError(f"{name}={value!r}: it must be a number")
    if not 0 <= found < 1e9:
        raise ValueError(f"{name}={value!r}: it must not be negative")
    return float(found)


def _count(low: int, high: int, minus_one: bool = False) -> Callable[[str, Any], int]:
    def check(name: str, value: Any) -> int:
        found = None if isinstance(value, float) and not hasattr(value, "dtype") else number(value)
        if not isinstance(found, int):
            raise TypeError(f"{name}={value!r}: it must be an integer")
        if not (low <= found <= high or (minus_one and found == -1)):
            also = ", or -1 for no limit" if minus_one else ""
            raise ValueError(f"{name}={value}: it must be between {low} and {high}{also}")
        return found

    return check


CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR = 0x20, 0x80, 0x200  # inspect's, which takes 10 ms to load
STREAMING, DYNAMIC = -1, -2  # num_returns as the native half knows them


def num_returns(name: str, value: Any) -> int:
    """A number, STREAMING or DYNAMIC."""
    if isinstance(value, str):
        if value == "streaming":
            return STREAMING
        if value == "dynamic":
            return DYNAMIC
        raise ValueError(f"num_returns={value!r}: it must be a number, 'streaming' or 'dynamic'")
    return _count(0, _MAX_NUM_RETURNS)(name, value)


def returns_of(function: Any, given: int | None) -> int:
    """num_returns of a function or method: what was given, else a stream of what yields, and one of all others."""
    if given is not None:
        return given
    return STREAMING if code_flags(function) & (CO_GENERATOR | CO_ASYNC_GENERATOR) else 1


def code_flags(function: Any) -> int:
    """Of the function's code, or of that below a partial or a method; 0: it has none."""
    for _ in range(100):
        code = getattr(function, "__code__", None)
        if code is not None:
            return int(getattr(code, "co_flags", 0))
        function = getattr(function, "__func__", None) or getattr(function, "func", None)
        if function is None:
            break
    return 0


def _concurrency_groups(name: str, value: Any) -> dict[str, int]:
    groups = {g["name"]: g["max_concurrency"] for g in value} if isinstance(value, list) else value
    if not isinstance(groups, dict) or not all(isinstance(group, str) and group for group in groups):
        raise TypeError(f"{name}={value!r}: it must be a dict of names and numbers, e.g. {{'io': 2}}")
    if len(groups) > _MAX_GROUPS:
        raise ValueError(f"{name}: {len(groups)} groups, at most {_MAX_GROUPS} are possible")
    return {group: _count(1, _MAX_CONCURRENCY)(f"{name}[{group!r}]", limit) for group, limit in groups.items()}


def _retry_exceptions(name: str, value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(c, type) and issubclass(c, BaseException) for c in value):
        return tuple(value)
    raise TypeError(f"{name}={value!r}: it must be True, False or a list of exception classes")


def _text(name: str, value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or not value):
        raise TypeError(f"{name}={value!r}: it must be a string that is not empty")
    return value


def _lifetime(name: str, value: Any) -> str | None:
    if value not in (None, "detached", "non_detached"):
        raise ValueError(f"lifetime={value!r}: it must be None, 'detached' or 'non_detached'")
    return value  # type: ignore[no-any-return]


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name}={value!r}: it must be True or False")
    return value


def _window(name: str, value: Any) -> int:
    if value == -1:
        return 0
    return _count(1, _MAX_WINDOW)(name, value)


_COMMON: dict[str, Callable[[str, Any], Any]] = {
    "num_cpus": _amount,
    "num_gpus": _amount,
    "resources": lambda name, value: dict(custom_resources(value, "a task")),
    "name": _text,
}
TASK_OPTIONS = _COMMON | {
    "num_returns": num_returns,
    "max_retries": _count(0, _MAX_RETRIES, minus_one=True),
    "retry_exceptions": _retry_exceptions,
    "max_calls": _count(0, 2**31 - 1),
    "_generator_backpressure_num_objects": _window,
    "enable_task_events": _flag,
}
ACTOR_OPTIONS = _COMMON | {
    "namespace": _text,
    "lifetime": _lifetime,
    "get_if_exists": _flag,
    "max_restarts": _count(0, 2**31 - 1, minus_one=True),
    "max_task_retries": _count(0, _MAX_RETRIES, minus_one=True),
    "max_concurrency": _count(1, _MAX_CONCURRENCY),
    "concurrency_groups": _concurrency_groups,
    "max_pending_calls": _count(-1, 2**31 - 1),
    "allow_out_of_order_execution": _flag,
    "enable_task_events": _flag,
}
METHOD_OPTIONS = {
    "num_returns": num_returns,
    "concurrency_group": _text,
    "max_task_retries": _count(0, _MAX_RETRIES, minus_one=True),
    "retry_exceptions": _retry_exceptions,
    "enable_task_events": _flag,
    "name": _text,
    "_generator_backpressure_num_objects": _window,
}


def resource_set(options: dict[str, Any], default_cpus: float) -> int:
    cpus = options.get("num_cpus")
    return int(
        _native._resource_set(
            default_cpus if cpus is None else cpus,
            options.get("num_gpus") or 0.0,
            list((options.get("resources") or {}).items()),
        )
    )
