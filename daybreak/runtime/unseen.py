"""In a worker: an exception whose result nobody holds is said where it was raised, or nobody would hear of it."""

from __future__ import annotations

import os
import sys
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["say"]

_EACH_S = 1.0  # at most one so often in full; those in between are counted, and their number is said
_lock = threading.Lock()
_next_at = 0.0
_unsaid = 0


def say(payload: dict[str, Any]) -> None:
    """The traceback of a task that was submitted, and whose reference was dropped, before it failed.

    RAY_IGNORE_UNHANDLED_ERRORS=1, Ray's variable, keeps it quiet.
    """
    global _next_at, _unsaid
    if os.environ.get("RAY_IGNORE_UNHANDLED_ERRORS", "0") not in ("", "0"):
        return
    now = time.monotonic()
    with _lock:
        if now < _next_at:
            _unsaid += 1
            if _unsaid == 1:
                rest = threading.Timer(_next_at - now, _say_rest)
                rest.daemon = True
                rest.start()
            return
        _next_at = now + _EACH_S
    _print(f"Unhandled error: nobody holds the result of {payload['function']}, which raised\n{payload['traceback']}")


def _say_rest() -> None:
    global _unsaid
    with _lock:
        count, _unsaid = _unsaid, 0
    _print(f"Unhandled errors: {count:,} more within a second, of tasks whose results nobody holds")


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
