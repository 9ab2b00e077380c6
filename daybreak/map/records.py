"""What is kept of call sets that have ended, for a look at them later: their times and what their calls printed.

A file each, one JSON object, in $DAYBREAK_MAP_DIR or the cache folder; the newest MAX_RECORDS of at most MAX_RECORD_BYTES. Only
call sets whose executor keeps logs have one.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from daybreak.base import paths

__all__ = ["MAX_RECORDS", "MAX_RECORD_BYTES", "folder", "keep", "latest", "read_all"]

MAX_RECORDS = 32
MAX_RECORD_BYTES = 4 << 20
_MAX_CALLS = 1000  # of a record, the first


def folder() -> Path:
    """Where they lie: $DAYBREAK_MAP_DIR, else daybreak/map in $XDG_CACHE_HOME or ~/.cache."""
    given = os.environ.get("DAYBREAK_MAP_DIR")
    if given:
        return Path(paths.given(given, "DAYBREAK_MAP_DIR"))
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(cache) / "daybreak" / "map"


def keep(callset: Any) -> None:
    """Writes the record of a call set once it has ended."""

    def on_change(of: Any) -> None:
        counts = of.counts()
        if of._exhausted and counts["done"] >= counts["taken"] and not getattr(of, "_recorded", False):
            of._recorded = True
            try:
                _write(of)
            except Exception:  # a full disk must not end the thread that tells of results
                import traceback

                traceback.print_exc()

    callset._hooks.append(on_change)


def _write(callset: Any) -> None:
    calls = []
    for index, completion in sorted(callset._completions.items())[:_MAX_CALLS]:
        status = completion.status
        calls.append(
            {
                "index": index,
                "error": None
                if completion.error is None
                else f"{type(completion.error).__name__}: {completion.error}"[:2000],
                **{
                    name: status[name]
                    for name in ("pid", "start_time", "end_time", "exec_time", "stdout")
                    if name in status
                },
            }
        )
    record: dict[str, Any] = {
        "callset": callset.callset_id,
        "function": getattr(callset._job.function, "__name__", type(callset._job.function).__name__),
        "began": callset._began,
        "ended": time.time(),
        **callset.counts(),
        "calls": calls,
    }
    data = json.dumps(record).encode()
    while len(data) > MAX_RECORD_BYTES and calls:
        del calls[len(calls) // 2 :]
        data = json.dumps(record).encode()
    place = folder()
    place.mkdir(parents=True, exist_ok=True)
    paths.write(place / f"{callset.callset_id}.json", data)
    for old in sorted(place.glob("*.json"), key=_modified)[:-MAX_RECORDS]:
        old.unlink(missing_ok=True)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def read_all() -> list[dict[str, Any]]:
    """The records, the newest first. What cannot be read is left out."""
    found = []
    for path in sorted(folder().glob("*.json"), key=_modified, reverse=True):
        try:
            record = json.loads(paths.read(path, 2 * MAX_RECORD_BYTES))
        except (OSError, ValueError):
            continue
        if isinstance(record, dict) and isinstance(record.get("calls"), list) and "callset" in record:
            found.append(record)
    return found


def latest() -> dict[str, Any] | None:
    return next(iter(read_all()), None)
