"""What has ended: the last 2,048 tasks and calls of each process, the last 1,024 actors, and what the program itself has measured.

    with profile("load"):            # a span, beside the task that it is in
        ...
    timeline("trace.json")           # for chrome://tracing and https://ui.perfetto.dev

`DAYBREAK_TASK_EVENTS=0`, or init(_system_config={"enable_task_events": False}), leaves it off.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .._core import runtime as _native

__all__ = ["MAX_SPAN_BYTES", "profile", "timeline"]

MAX_SPAN_BYTES = 136  # of a span's name with what is said of it


@contextmanager
def profile(event_type: str, extra_data: dict[str, str] | None = None) -> Iterator[None]:
    """A span in the timeline: how long the block takes, in the process and thread that run it.

    Args:
        event_type: its name.
        extra_data: texts by name, shown with it. Both together take at most 136 bytes.

    Raises:
        ValueError: they are longer.

    Example:
        >>> with profile("load", {"file": "a.csv"}):
        ...     pass
    """
    if not isinstance(event_type, str):
        raise TypeError(f"event_type={event_type!r}: it must be a string")
    text = event_type
    if extra_data is not None:
        if not isinstance(extra_data, dict) or not all(
            isinstance(key, str) and isinstance(value, str) for key, value in extra_data.items()
        ):
            raise TypeError(f"extra_data={extra_data!r}: it must be a dict of strings")
        text += "\0" + json.dumps(extra_data, separators=(",", ":"), ensure_ascii=False)
    size = len(text.encode())
    if size > MAX_SPAN_BYTES:
        raise ValueError(
            f"profile({event_type!r}): its name and extra_data take {size} bytes, at most {MAX_SPAN_BYTES} are kept"
        )
    begun = _native._ticks()
    try:
        yield
    finally:
        _native._note_span(text, begun, _native._ticks())


def ended_tasks(view: Any) -> dict[str, dict[str, Any]]:
    """By task: rows as the view's tasks have, with start_time_ms and end_time_ms (of the clock on the wall)."""
    ahead = time.time_ns() - time.monotonic_ns()
    found = {}
    for row in view.ended():
        if row["type"] == "SPAN":
            continue
        start, end = row.pop("start_ns"), row.pop("end_ns")
        del row["thread"]
        row["start_time_ms"] = (start + ahead) // 10**6 if start else None
        row["end_time_ms"] = (end + ahead) // 10**6
        found[row["task_id"]] = {**row, "waits_for": [], "required_resources": {}}
    return found


def _event(row: dict[str, Any], ahead: int) -> dict[str, Any]:
    name, _, said = row["name"].partition("\0")
    about: dict[str, Any] = json.loads(said) if said else {}
    kind = "span" if row["type"] == "SPAN" else "actor_task" if row["actor_id"] else "task"
    if kind != "span":
        about = {"task_id": row["task_id"], "parent_task_id": row["parent_task_id"], "state": row["state"]}
    return {
        "cat": kind,
        "name": name or "(unnamed)",
        "ph": "X",
        "ts": (row["start_ns"] + ahead) / 1e3,
        "dur": (row["end_ns"] - row["start_ns"]) / 1e3,
        "pid": row["worker_pid"],
        "tid": row["thread"],
        "args": about,
    }


def timeline(
    filename: str | os.PathLike[str] | None = None, address: str | int | None = None
) -> list[dict[str, Any]] | None:
    """What has run where and when, as events of Chrome's trace format: one for each task, call and span that has ended, and a
    name for each process.

    Args:
        filename: the JSON is written there, for chrome://tracing and https://ui.perfetto.dev. None: the events are returned.
        address: the engine; see `daybreak.runtime.state.list_tasks`.

    Example:
        >>> import daybreak
        >>> _ = daybreak.init(num_cpus=1, ignore_reinit_error=True)
        >>> daybreak.get(daybreak.remote(abs).remote(-1))
        1
        >>> [event["name"] for event in timeline() if event["ph"] == "X" and event["cat"] == "task"][-1:]
        ['abs']
    """
    from . import state

    view = state._view(address)
    ahead = time.time_ns() - time.monotonic_ns()
    rows = [row for row in view.ended() if row["start_ns"]]
    kinds = {row["pid"]: row["worker_type"].lower() for row in view.workers() if row["pid"]}
    events = [_event(row, ahead) for row in rows]
    for pid in sorted({event["pid"] for event in events}):
        name = f"{kinds.get(pid, 'ended')} {pid}"
        events.append({"name": "process_name", "ph": "M", "pid": pid, "args": {"name": name}})
    if filename is None:
        return events
    path = os.path.expanduser(filename)
    with open(path, "w") as file:
        json.dump(events, file)
    return None
