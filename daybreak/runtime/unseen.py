"""In a worker: an exception whose result nobody holds is said where it was raised, or nobody would hear of it."""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["say"]

_EACH_S = 1.0  # at most so often in full; what comes in between is counted
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
    if now < _next_at:
        _unsaid += 1
        return
    more = f" ({_unsaid:,} more since the last that was shown)" if _unsaid else ""
    _next_at, _unsaid = now + _EACH_S, 0
    print(
        f"Unhandled error{more}: nobody holds the result of {payload['function']}, which raised\n{payload['traceback']}",
        file=sys.stderr,
        flush=True,
    )
