"""A job of this machine's engine whose completions are told: admission by memory, retries, stragglers."""

from __future__ import annotations

import itertools
import threading
import time
import weakref

from daybreak.runtime import batch as _batch
from daybreak.runtime import exceptions

from . import worker
from .admission import Admission
from .engine import Completion
from .errors import CallCancelled
from .local_calls import USER, Calls, budget_bytes, started
from .retrying import Inputs, error_of, may_try_again, with_place
from .stragglers import Stragglers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .engine import Job, Tell
    from .local_calls import Host

__all__ = ["LocalRun"]


class LocalRun:
    """A job whose completions are told. Calls are wrapped (worker.Work), so that each has a status."""

    def __init__(self, engine: Host, job: Job, tell: Tell) -> None:
        self.life = started()
        self.engine, self.job, self._tell = engine, job, tell
        self._lock = threading.RLock()
        self._inputs = Inputs(job)
        self._waiting: list[int] = []  # for memory
        self._cancelled: set[int] = set()
        self._all_cancelled = self._closed = False
        self._done: bytearray = bytearray()
        work = worker.Work(job.function, job.star, job.timeout, dict(job.extra_env), job.logs)
        self._function = _batch.export(work)
        slots = engine.slots(job)
        self._admission = Admission(budget_bytes(), slots, job.memory)
        self._calls: list[tuple[Calls, dict[int, int]]] = []  # and which call of the job each number is
        self._tries: dict[int, int] = {}
        self._running: dict[int, float] = {}  # since when, of those that were handed over, where that is counted
        self._stragglers = Stragglers(slots) if job.pure else None
        self._main = self._open(most=1)
        self._bulk = self._open(most=0) if job.memory is None and not job.pure else self._main

    def _open(self, most: int) -> Calls:
        calls = self.engine.calls(self.job, self._function, most=most)
        me = weakref.ref(self)
        engine = self.engine

        def on_done() -> None:
            run = me()
            if run is not None:
                engine.news_of(run)

        calls.native.on_done = on_done
        self._calls.append((calls, {}))
        return calls

    # ---- the caller's side

    @property
    def taken(self) -> int:
        return self._inputs.taken

    def is_running(self, index: int) -> bool:
        return index in self._running

    def take(self, most: int) -> int:
        before = self._inputs.taken
        keep = self._inputs
        problem: BaseException | None = None
        fresh: list[tuple[int, Any]] = []
        try:
            for value in itertools.islice(self.job.inputs, most):
                fresh.append((keep.taken, value))
                keep.taken += 1
        except BaseException as error:
            problem = error
        with self._lock:
            self._done.extend(bytes(len(fresh)))
            for index, value in fresh:
                keep.keep(index, value)
                self._waiting.append(index)
            if not self._all_cancelled:
                self._hand_on()
        self.engine.news_of(self)
        if problem is not None:
            raise problem
        return keep.taken - before

    def _hand_on(self) -> None:
        """As many as memory has room for. With the lock."""
        if not self._waiting:
            return
        if self._is_free() or self.job.memory is not None:
            room = len(self._waiting)
        else:
            room = self._admission.limit(time.monotonic()) - len(self._running)
        now = time.monotonic()
        batch, self._waiting = self._waiting[: max(0, room)], self._waiting[max(0, room) :]
        batch = [index for index in batch if index not in self._cancelled]
        if batch:
            self._feed(self._bulk if self._is_free() else self._main, batch, now)

    def _is_free(self) -> bool:
        """Whether calls go as they come, many in one chunk: nothing is known against it, and no call is watched by itself."""
        return self.job.memory is None and self._stragglers is None and self._admission.unlimited()

    def _feed(self, calls: Calls, indices: list[int], now: float) -> None:
        numbers = next(numbers for each, numbers in self._calls if each is calls)
        first = calls.native.fed
        for offset, index in enumerate(indices):
            numbers[first + offset] = index
            self._running[index] = now
        calls.feed(iter([self._inputs.again(index) for index in indices]), len(indices))

    def counts(self) -> tuple[int, int]:
        with self._lock:
            return len(self._waiting), len(self._running)

    def cancel(self, indices: Sequence[int] | None = None, *, force: bool = False) -> None:
        if self._closed:
            return
        with self._lock:
            if indices is None:
                self._all_cancelled = True
                gone, self._waiting = self._waiting, []
            else:
                wanted = set(indices)
                gone = [index for index in self._waiting if index in wanted]
                self._waiting = [index for index in self._waiting if index not in wanted]
                self._cancelled |= wanted
                gone += [index for index in wanted if index in self._running]
            told = [self._ended(index, error=self._cancel_error(index)) for index in gone if not self._is_done(index)]
            if indices is not None and force:
                for calls, numbers in self._calls:
                    for number in [number for number, index in numbers.items() if index in wanted]:
                        calls.native.cancel_one(number, True)
            if indices is None:
                for calls, _ in self._calls:
                    calls.native.cancel(force)
                    calls.native.pump()
                    _batch.go_on_with(calls.native)
        if told:
            self._tell(told)
        self.engine.news_of(self)

    def _cancel_error(self, index: int) -> BaseException:
        return CallCancelled(f"call {index} of {self.job.callset_id} was cancelled")

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._waiting.clear()
        for calls, _ in self._calls:
            try:
                calls.native.cancel(True)
            except RuntimeError:  # the runtime is gone
                pass
            calls.native.close()
        self._inputs.kept.clear()

    # ---- the engine's thread

    def look(self) -> bool:
        """What is done is told, and what there is room for handed over. True: look again soon."""
        told: list[Completion] = []
        with self._lock:
            if self._closed:
                return False
            for calls, numbers in self._calls:
                found = calls.native.read_ready()
                if found:
                    self._settle(found, numbers, told)
            if not self._all_cancelled:
                self._hand_on()
                if self._stragglers is not None:
                    self._back_up(told)
            ticks = bool(self._running or self._waiting) and (
                self._stragglers is not None or (bool(self._waiting) and self._admission.learning)
            )
        if told:
            self._tell(told)
        return ticks

    def _is_done(self, index: int) -> bool:
        return self._done[index] != 0

    def _ended(self, index: int, **how: Any) -> Completion:
        """The call's completion: there is one. With the lock."""
        self._done[index] = 1
        self._running.pop(index, None)
        completion = Completion(index, **how)
        if completion.error is not None:
            completion.input = self._inputs.of_failed(index)
        self._inputs.forget(index)
        return completion

    def _settle(self, found: list[Any], numbers: dict[int, int], told: list[Completion]) -> None:
        lost: list[tuple[int, BaseException]] = []
        for number, how, content in found:
            index = numbers.pop(number)
            if how == 2:
                lost.append((index, content))
                continue
            if how == 1:  # the wrapper itself: its arguments could not be read, or its result not be pickled
                content = (worker.RAISED, content, {})
            kind, value, status = content
            self._admission.saw(status.get("peak_bytes"))
            if self._is_done(index):
                continue
            status["attempts"] = self._tries.get(index, 0) + 1
            if self._stragglers is not None:
                self._stragglers.took(status.get("exec_time", 0.0))
            error = None
            if kind == worker.RAISED:
                error, value = with_place(exceptions._from_object(USER, value), self.job, index), None
            told.append(self._ended(index, value=value, error=error, status=status))
        for index, error in lost:
            self._lose(index, error, len(lost), told)

    def _lose(self, index: int, error: BaseException, together: int, told: list[Completion]) -> None:
        if self._is_done(index):
            return
        tries = self._tries.get(index, 0) + 1
        if may_try_again(self.job, error, tries) and not self._all_cancelled and index not in self._cancelled:
            self._tries[index] = tries  # by itself now: it takes no other along
            self._feed(self._main, [index], time.monotonic())
            return
        ended = with_place(error_of(self.job, index, error, tries), self.job, index)
        told.append(self._ended(index, error=ended, status={"attempts": tries}))

    def _back_up(self, told: list[Completion]) -> None:
        assert self._stragglers is not None
        if self._waiting or len(self._running) > self._admission.slots:
            return
        for index in self._stragglers.late(self._running, len(self._done), time.monotonic()):
            self._feed(self._main, [index], self._running[index])

    def fail_all(self, error: BaseException) -> None:
        with self._lock:
            left = [index for index in range(len(self._done)) if not self._is_done(index)]
            told = [
                self._ended(index, error=RuntimeError(f"call {index} of {self.job.callset_id}: {error}"))
                for index in left
            ]
            self._closed = True
        if told:
            self._tell(told)
