"""A Batch on an engine that is not this machine's: the same by the public verbs, in chunks that are tasks of it."""

from __future__ import annotations

import threading
import time
from collections import deque
from itertools import islice

from daybreak.runtime import batch as _batch

from . import ray_worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

__all__ = ["BatchElsewhere"]

_CHUNK_S = 0.05  # what a chunk should take: an engine's task costs about a millisecond
_MOST_CALLS = 1000
_GROWTH = 4
_EACH = 2  # chunks for each worker that run or wait there


class _Chunk:
    def __init__(self, first: int, size: int, ref: Any) -> None:
        self.first, self.size, self.ref = first, size, ref


class BatchElsewhere(_batch.Batch):
    """As Batch. Calls of a chunk are run again together when their worker dies, and without `retries` are lost together; a
    `chunksize` is how many calls a task has. `on_done` is called by who reads."""

    def __init__(
        self,
        function: Callable[..., Any],
        inputs: Iterable[Any],
        *,
        star: bool = False,
        chunksize: int | None = None,
        ahead: int | None = 1000,
        ordered: bool = True,
        retries: int = 3,
        options: dict[str, Any] | None = None,
        on_done: Callable[[], object] | None = None,
    ) -> None:
        from daybreak.runtime import remote
        from daybreak.runtime.tasks import name_of

        self._function, checked = _batch._checked(function, chunksize, ahead, retries, options)
        self._name = name_of(self._function)
        self._run = remote(ray_worker.run_chunk).options(**{**checked, "max_retries": retries})
        self._most = _EACH * _batch._workers(checked)
        self._lock = threading.RLock()
        self._star, self._chunksize, self._ahead, self._ordered = star, chunksize, ahead, ordered
        self._on_done = on_done
        taken = iter(inputs) if ahead is not None else iter(list(inputs))
        self._inputs, self._exhausted = taken, False
        self._problem = None
        self._size = chunksize or 1
        self._given = self._done_calls = self._failed = self._read_calls = 0
        self._running: deque[_Chunk] = deque()
        self._arrived: dict[int, Any] = {}  # by a chunk's first call, if ordered; else by arrival
        self._arrivals = 0
        self._ready: deque[tuple[int, bool, Any, str]] = deque()  # number, whether it is a value, it or the error
        self._next_first = 0
        self._closed = False
        self._index = 0
        self._go_on()

    def _go_on(self) -> None:
        """Collects what is done, and submits what there is room for."""
        from daybreak.runtime import wait

        refs = [chunk.ref for chunk in self._running]
        done = set(wait(refs, num_returns=len(refs), timeout=0)[0]) if refs else set()
        for chunk in [chunk for chunk in self._running if chunk.ref in done]:
            self._running.remove(chunk)
            self._collect(chunk)
        while not self._exhausted and len(self._running) < self._most:
            room = self._size if self._ahead is None else min(self._size, self._ahead - self._given + self._read_calls)
            if room <= 0:
                return
            inputs = self._take(room)
            if not inputs:
                return
            first, self._given = self._given, self._given + len(inputs)
            self._running.append(_Chunk(first, len(inputs), self._run.remote(self._function, self._star, inputs)))

    def _take(self, most: int) -> list[Any]:
        found: list[Any] = []
        try:
            for value in islice(self._inputs, most):
                found.append(value)
        except BaseException as error:
            self._exhausted, self._problem = True, error
        self._exhausted = self._exhausted or len(found) < most
        return found

    def _collect(self, chunk: _Chunk) -> None:
        from daybreak.runtime import get

        try:
            took, found = get(chunk.ref)
        except Exception as error:
            found = [(None, error, "")] * chunk.size
        else:
            if self._chunksize is None:
                fit = int(_CHUNK_S / max(took / chunk.size, 1e-9))
                self._size = max(1, min(fit, self._size * _GROWTH, _MOST_CALLS))
        results = [(chunk.first + i, *each) for i, each in enumerate(found)]
        self._done_calls += chunk.size
        self._failed += sum(each[0] is not True for each in found)
        self._arrived[chunk.first if self._ordered else self._arrivals] = results
        self._arrivals += 1
        if self._on_done is not None:
            self._on_done()

    def next(self, timeout: float | None = None) -> Any:
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            while not self._ready:
                self._check_open()
                self._go_on()
                key = self._next_first if self._ordered else next(iter(self._arrived), None)
                if key in self._arrived:
                    results = self._arrived.pop(key)
                    self._next_first += len(results)
                    self._ready.extend(results)
                elif self._running:
                    self._await(deadline, timeout)
                elif self._exhausted:
                    problem, self._problem = self._problem, None
                    try:
                        raise problem or StopIteration
                    finally:
                        del problem  # whose traceback has this frame
            self._index, is_value, content, text = self._ready.popleft()
            self._read_calls += 1
        if is_value:
            return content
        if is_value is None:
            raise content
        from daybreak.runtime import exceptions

        raise exceptions._task_error(self._name, text, 0, content)

    def _await(self, deadline: float | None, timeout: float | None) -> None:
        from daybreak.runtime import wait

        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not wait([chunk.ref for chunk in self._running], timeout=left)[0]:
            raise TimeoutError(f"no result in {timeout} s")

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the call set was closed")

    @property
    def index(self) -> int:
        return self._index

    def wait(self, timeout: float | None = None) -> bool:
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            while True:
                self._go_on()
                if not self._running:
                    return True
                try:
                    self._await(deadline, timeout)
                except TimeoutError:
                    return False

    def counts(self) -> _batch.Counts:
        running = sum(chunk.size for chunk in self._running)
        return _batch.Counts(0, running, self._done_calls, self._failed, self._done_calls - self._read_calls)

    def done(self) -> bool:
        with self._lock:
            self._go_on()
            return self._exhausted and not self._running

    def cancel(self, *, force: bool = False) -> None:
        from daybreak.runtime import cancel

        with self._lock:
            self._exhausted, self._inputs = True, iter(())
            for chunk in self._running:
                cancel(chunk.ref, force=force)

    def close(self) -> None:
        if not getattr(self, "_closed", True):
            self._closed = True
            self.cancel()
            self._running.clear()
            self._arrived.clear()
            self._ready.clear()
