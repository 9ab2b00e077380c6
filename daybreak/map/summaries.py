"""What came of calls, in numbers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

__all__ = ["Summary", "Span", "spans", "summary"]


@dataclass(frozen=True)
class Span:
    """When one call ran: seconds since the epoch. A call without a status has none."""

    callset_id: str
    index: int
    pid: int
    submitted: float
    start: float
    end: float
    failed: bool


@dataclass(frozen=True)
class Summary:
    """Of calls, and in seconds; `str()` is what a person reads."""

    calls: int
    done: int
    failed: int
    timed: int  # those whose times are known
    wall_s: float
    exec_s: float  # all together
    shortest_s: float
    median_s: float
    p90_s: float
    longest_s: float
    at_once: float  # calls that ran at the same time, on average
    workers: int
    attempts: int
    peak_bytes: int  # the most that one had; 0: not known

    def __str__(self) -> str:
        head = f"{self.calls:,} calls: {self.done:,} done, {self.failed:,} failed"
        if not self.timed:
            return head + "; their times are not kept (logs=True keeps them)"
        lines = [
            head + (f", {self.attempts - self.timed:,} tries more" if self.attempts > self.timed else ""),
            f"{self.wall_s:.3g} s in all, {self.exec_s:.3g} s of calls: {self.at_once:.2g} at once in {self.workers} workers",
            f"a call: {self.shortest_s:.3g} to {self.longest_s:.3g} s, median {self.median_s:.3g}, 90% below {self.p90_s:.3g}",
        ]
        if self.peak_bytes:
            lines.append(f"most memory of a worker: {self.peak_bytes / (1 << 20):,.0f} MB")
        return "\n".join(lines)


def _futures(of: Any) -> list[Any]:
    from .executors import _futures as futures_of

    inner = (
        [getattr(each, "_future", each) for each in of] if not hasattr(of, "futures") else of
    )  # PyWren's futures, too
    return futures_of(inner)


def spans(of: Any) -> list[Span]:
    """When each call of a call set, or of futures, ran; those that are done and whose times are known."""
    found = []
    for future in _futures(of):
        completion = future._completion()
        status = completion.status if completion is not None else {}
        if "start_time" in status and "end_time" in status:
            submitted = min(future.callset._began, status["start_time"])
            times = (submitted, status["start_time"], status["end_time"])
            found.append(
                Span(future.callset_id, future.index, status.get("pid", 0), *times, completion.error is not None)
            )
    return found


def summary(of: Any) -> Summary:
    """Of a call set, or of futures.

    >>> from daybreak import map
    >>> with map.executor(logs=True) as executor:
    ...     calls = executor.map(abs, range(4))
    ...     _ = map.wait(calls)
    ...     found = map.summary(calls)
    >>> found.calls, found.done, found.failed
    (4, 4, 0)
    """
    futures = _futures(of)
    timed = spans(futures)
    completions = [found for future in futures if (found := future._completion()) is not None]
    took = sorted(span.end - span.start for span in timed)
    wall = max((span.end for span in timed), default=0.0) - min((span.submitted for span in timed), default=0.0)
    if not timed:
        wall = time.time() - min((future.callset._began for future in futures), default=time.time())

    def at(part: float) -> float:
        return took[min(len(took) - 1, int(part * len(took)))] if took else 0.0

    return Summary(
        calls=len(futures),
        done=sum(future.done() for future in futures),
        failed=sum(each.error is not None for each in completions),
        timed=len(timed),
        wall_s=wall,
        exec_s=sum(took),
        shortest_s=at(0.0),
        median_s=at(0.5),
        p90_s=at(0.9),
        longest_s=took[-1] if took else 0.0,
        at_once=sum(took) / wall if timed and wall > 0 else 0.0,
        workers=len({span.pid for span in timed}),
        attempts=sum(each.status.get("attempts", 1) for each in completions if "start_time" in each.status),
        peak_bytes=max((each.status.get("peak_bytes") or 0 for each in completions), default=0),
    )
