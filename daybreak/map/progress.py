"""How far a map is: a bar in a terminal, elsewhere one line at its end."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from typing import Any

from daybreak.base.printable import clean

__all__ = ["Meter", "watch"]

_EVERY_S = 0.1
_WINDOW_S = 10.0  # the rate is that of these last seconds
_BAR = 24


class Meter:
    """Rate and time that is left, from counts as they come.

    >>> meter = Meter("f", total=100, began=0.0)
    >>> meter.at(now=2.0, done=20, failed=1)
    >>> meter.line(width=200)
    'f  20/100 [####....................]  10.0/s, 8 s left, 1 failed'
    >>> meter.end(now=10.0)
    'f: 20 of 100 calls in 10.0 s (2.0/s), 1 failed'
    """

    def __init__(self, name: str, total: int | None, began: float) -> None:
        self.name, self.total, self.began = clean(name), total, began
        self.done = self.failed = 0
        self._seen: deque[tuple[float, int]] = deque([(began, 0)])

    def at(self, now: float, done: int, failed: int, total: int | None = None) -> None:
        self.done, self.failed = done, failed
        self.total = total if total is not None else self.total
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[0][0] > _WINDOW_S:
            self._seen.popleft()

    @property
    def rate(self) -> float:
        """Calls a second, of late."""
        (since, before), (until, after) = self._seen[0], self._seen[-1]
        return (after - before) / (until - since) if until > since else 0.0

    def line(self, width: int = 80) -> str:
        parts = [f"{self.rate:.1f}/s"]
        if self.total is not None:
            share = self.done / self.total if self.total else 1.0
            bar = "#" * int(share * _BAR)
            counts = f"{self.done:,}/{self.total:,} [{bar:.<{_BAR}}]"
            if self.rate > 0 and self.done < self.total:
                parts.append(f"{_duration((self.total - self.done) / self.rate)} left")
        else:
            counts = f"{self.done:,}"
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        return f"{self.name}  {counts}  {', '.join(parts)}"[:width]

    def end(self, now: float) -> str:
        took = now - self.began
        of = f" of {self.total:,}" if self.total is not None and self.done < self.total else ""
        rate = f" ({self.done / took:.1f}/s)" if took > 0 else ""
        failed = f", {self.failed:,} failed" if self.failed else ""
        return f"{self.name}: {self.done:,}{of} calls in {took:.1f} s{rate}{failed}"


def _duration(seconds: float) -> str:
    """
    >>> _duration(8.4), _duration(75), _duration(7300)
    ('8 s', '1 min 15 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def watch(callset: Any, out: Any = None) -> None:
    """Shows a call set's progress on `out` (the standard error) until all is done."""
    stream = out if out is not None else sys.stderr
    live = bool(getattr(stream, "isatty", lambda: False)())
    name = getattr(callset._job.function, "__name__", type(callset._job.function).__name__)
    meter = Meter(name, callset._total, time.monotonic())
    lock = threading.Lock()
    drawn = 0.0
    over = False

    def on_change(of: Any) -> None:
        nonlocal drawn, over
        now = time.monotonic()
        counts = of.counts()
        with lock:
            if over:
                return
            meter.at(now, counts["done"], counts["failed"], of._total)
            over = of._exhausted and counts["done"] >= counts["taken"]
            try:
                if over:
                    print(("\r\x1b[K" if live else "") + meter.end(now), file=stream, flush=True)
                elif live and now - drawn >= _EVERY_S:
                    drawn = now
                    print(f"\r\x1b[K{meter.line()}", end="", file=stream, flush=True)
            except (OSError, ValueError):  # nobody reads any more
                over = True

    callset._hooks.append(on_change)
    on_change(callset)
