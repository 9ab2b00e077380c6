"""What the environment tells an engine of what it says and remembers."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["fold_ns", "is_recorded"]


def fold_ns() -> int:
    """For how long equal lines of several workers are counted, and not printed."""
    if os.environ.get("RAY_DEDUP_LOGS") == "0":
        return 0
    text = os.environ.get("RAY_DEDUP_LOGS_AGG_WINDOW_S", "5")
    if not text.isdecimal() or not 0 < int(text) <= 86_400:
        raise ValueError(f"RAY_DEDUP_LOGS_AGG_WINDOW_S={text!r}: it must be a number of seconds between 1 and 86400")
    return int(text) * 10**9


def is_recorded(config: Any) -> bool:
    """Whether an engine with this _system_config remembers what has ended."""
    said = config.get("enable_task_events") if isinstance(config, dict) else None
    if said is not None and not isinstance(said, bool):
        raise TypeError(f"_system_config['enable_task_events']={said!r}: it must be True or False")
    text = os.environ.get("DAYBREAK_TASK_EVENTS", "1")
    if text not in ("0", "1"):
        raise ValueError(f"DAYBREAK_TASK_EVENTS={text!r}: it must be 0 or 1")
    return said if said is not None else text == "1"
