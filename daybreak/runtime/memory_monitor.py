"""What init() is told of the memory monitor: from which use of the machine's memory on a process is ended, how often it looks."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT_THRESHOLD = 0.95
DEFAULT_REFRESH_MS = 250
_LONGEST_REFRESH_MS = 3_600_000
root = ""  # where /proc and /sys are looked for by the next init; another in tests


def settings(system_config: dict[str, Any] | None) -> tuple[float, int, str]:
    """The part of the memory in use above which a process is ended (1 and more: never), every how many milliseconds the
    monitor looks (0: never), and `root`.

    By `_system_config` (memory_usage_threshold, memory_monitor_refresh_ms), else by the variables
    DAYBREAK_MEMORY_USAGE_THRESHOLD and DAYBREAK_MEMORY_MONITOR_REFRESH_MS, else by Ray's names of them.

    Example:
        >>> settings({"memory_usage_threshold": 0.9, "memory_monitor_refresh_ms": 100})[:2]
        (0.9, 100)
    """
    from . import options

    name, given = _given("memory_usage_threshold", DEFAULT_THRESHOLD, system_config)
    threshold = options.number(_number_in(given))
    if threshold is None or not threshold > 0:
        raise ValueError(
            f"{name}={given!r}: a number above 0 is expected, the part of the memory that may be in use; 1 or more is no limit"
        )
    name, given = _given("memory_monitor_refresh_ms", DEFAULT_REFRESH_MS, system_config)
    refresh = options.number(_number_in(given))
    if refresh is None or not 0 <= refresh <= _LONGEST_REFRESH_MS or refresh != int(refresh):
        raise ValueError(
            f"{name}={given!r}: a whole number of milliseconds between 0 (the monitor is off) and {_LONGEST_REFRESH_MS} "
            "is expected"
        )
    return float(threshold), int(refresh), root


def _given(name: str, default: float, system_config: dict[str, Any] | None) -> tuple[str, Any]:
    """The name by which it was given, and what was."""
    if system_config and name in system_config:
        return name, system_config[name]
    for variable in (f"DAYBREAK_{name.upper()}", f"RAY_{name}"):
        if os.environ.get(variable):
            return variable, os.environ[variable]
    return name, default


def _number_in(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    try:
        return float(given)
    except ValueError:
        return None
