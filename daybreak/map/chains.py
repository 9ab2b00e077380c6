"""Calls that wait for other calls: each begins when what it needs is there, and nobody waits for that here."""

from __future__ import annotations

import queue
import threading
from dataclasses import replace

from .callset import CallSet, Future, _teller
from .engine import Completion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from .engine import Engine, Job

__all__ = ["Chained"]


class Chained(CallSet):
    """A call for each list in `needs`, of its result (or, together, of the list of results)."""

    def __init__(
        self, engine: Engine, job: Job, needs: Sequence[list[Future]], job_timeout: float | None, *, together: bool
    ) -> None:
        ready: queue.SimpleQueue[Any] = queue.SimpleQueue()
        job = replace(job, inputs=_taken_from(ready), again=None)
        super().__init__(engine, job, ahead=None, total=len(needs), job_timeout=job_timeout)
        self._ready, self._together = ready, together
        self._numbers: list[int] = []  # of our calls, in the order in which the engine got them
        self._starting = threading.Lock()
        self._taken, self._exhausted = len(needs), True
        tell = _teller(self)
        numbers = self._numbers

        def translated(completions: Sequence[Completion]) -> None:
            for each in completions:
                each.index = numbers[each.index]
            tell(completions)

        self._running = engine.start(job, translated)
        for number, of_one in enumerate(needs):
            self._when_all(number, of_one)

    def _when_all(self, number: int, needed: list[Future]) -> None:
        left = len(needed)
        lock = threading.Lock()

        def one_is_there(_: Future) -> None:
            nonlocal left
            with lock:
                left -= 1
                last = left == 0
            if last:
                self._begin(number, needed)

        if not needed:
            self._begin(number, needed)
        for future in needed:
            future.add_done_callback(one_is_there)

    def _begin(self, number: int, needed: list[Future]) -> None:
        failed = next((error for future in needed if (error := future.exception()) is not None), None)
        if failed is not None:
            self._tell([Completion(number, error=failed)])
            return
        values = [future.result() for future in needed]
        with self._starting:
            self._numbers.append(number)
            self._ready.put(values if self._together else values[0])
            self._running.take(1)


def _taken_from(ready: Any) -> Iterator[Any]:
    while True:
        yield ready.get()
