"""The engine of this machine: call sets of the runtime (runtime/batch.py), run by its workers."""

from __future__ import annotations

import itertools
import os
import queue
import threading
import time
import weakref

from daybreak._core import runtime as _native
from daybreak.runtime import batch as _batch
from daybreak.runtime import exceptions

from . import worker
from .admission import Admission
from .engine import Completion
from .errors import CallCancelled, CallTimeout, WorkerDied
from .stragglers import Stragglers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from .engine import Job, Tell

__all__ = ["LocalEngine", "LocalRun", "LocalStream"]

_TICK_S = 0.05  # between two looks at calls that run, where time matters
_MOST_AT_ONCE = 1024  # inputs
_LIKELY_S = "it was likely out of memory: give memory=, so that fewer run at the same time"
_STUCK = "Timeout ("  # how faulthandler begins what it prints


class _Calls:
    """A call set of the runtime that inputs are added to as long as it is open."""

    def __init__(
        self, function: Any, runner: Any, workers: int, *, star: bool = False, ordered: bool = False, most: int = 0
    ) -> None:
        flags = _native._STAR_ARGUMENTS if star else 0
        self.native = _native._Calls(function, 1, flags, ordered, 2, most)
        self.native.add_tasks(runner, workers)

    def feed(self, inputs: Any, most: int) -> bool:
        """False: there were no more."""
        more = self.native.feed(inputs, most, True)
        self.native.pump()
        _batch.go_on_with(self.native)
        return bool(more)


class LocalEngine:
    """Runs calls in the workers of this process's runtime, which is started when it is not there."""

    name = "local"

    def __init__(self, options: dict[str, Any] | None = None) -> None:
        self.options = dict(options or {})
        self._lock = threading.Lock()
        self._news: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._runs: weakref.WeakSet[Any] = weakref.WeakSet()
        self._closed = False

    def start(self, job: Job, tell: Tell) -> LocalRun:
        run = LocalRun(self, job, tell)
        self._runs.add(run)
        return run

    def stream(self, job: Job) -> LocalStream:
        """The same for somebody who reads results one after the other: nothing stands between him and the runtime."""
        run = LocalStream(self, job)
        self._runs.add(run)
        return run

    def slots(self, job: Job) -> int:
        _started()
        return _batch._workers(self._checked(job))

    def close(self) -> None:
        self._closed = True
        for run in list(self._runs):
            run.close()
        self._news.put(None)

    def _checked(self, job: Job) -> dict[str, Any]:
        options = {**self.options, **job.options}
        if job.memory is not None:
            options["memory"] = job.memory
        return _batch._checked(job.function, None, None, 0, options)[1]  # type: ignore[no-any-return]

    def calls(self, job: Job, function: Any, **how: Any) -> _Calls:
        from daybreak.runtime.tasks import RemoteFunction, name_of

        checked = self._checked(job)
        runner = RemoteFunction(_native.run_chunk, {"name": name_of(job.function), **checked, "max_retries": 0})
        return _Calls(function, runner, _batch._workers(checked), **how)

    # ---- the thread that hears of what is done

    def news_of(self, run: Any) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._hear, name="daybreak-map", daemon=True)
                self._thread.start()
        self._news.put(run)

    def _hear(self) -> None:
        ticking: set[Any] = set()
        while True:
            try:
                run = self._news.get(timeout=_TICK_S if ticking else None)
            except queue.Empty:
                run = ticking
            if run is None:
                return
            for each in list(run) if isinstance(run, set) else [run]:
                try:
                    ticks = each.look()
                except RuntimeError as error:  # the runtime is gone
                    each.fail_all(error)
                    ticks = False
                (ticking.add if ticks else ticking.discard)(each)
            run = each = None


def _started() -> None:
    from daybreak.runtime import init, is_initialized

    if not is_initialized():
        init()


def _budget() -> int:
    from daybreak.runtime.session import cluster_resources

    return int(cluster_resources().get("memory", 0)) or 1


class _Inputs:
    """The inputs of a job as they are taken. Those that come once are kept until their call is done."""

    def __init__(self, job: Job) -> None:
        self._again, self._inputs = job.again, job.inputs
        self.kept: dict[int, Any] = {}
        self.taken = 0

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        value = next(self._inputs)
        if self._again is None:
            self.kept[self.taken] = value
        self.taken += 1
        return value

    def again(self, index: int) -> Any:
        return self.kept[index] if self._again is None else self._again(index)

    def of_failed(self, index: int) -> tuple[Any, ...]:
        """The input of a call that is to be forgotten, in a tuple, where it comes once."""
        return (self.kept[index],) if self._again is None and index in self.kept else ()

    def forget(self, index: int) -> None:
        if self._again is None:
            self.kept.pop(index, None)


def _error_of(job: Job, index: int, error: BaseException, tries: int) -> BaseException:
    """What a call ends with whose process is gone."""
    text = str(error)
    if isinstance(error, exceptions.TaskCancelledError):
        return CallCancelled(f"call {index} of {job.callset_id} was cancelled")
    if _STUCK in text and job.timeout is not None:
        return CallTimeout(
            f"call {index} of {job.callset_id} ran longer than timeout={job.timeout:g} s, and its process had to be ended: {text}"
        )
    if isinstance(error, exceptions.WorkerCrashedError):
        likely = f"; {_LIKELY_S}" if "SIGKILL" in text else ""
        return WorkerDied(f"call {index} of {job.callset_id}, try {tries} of {job.retries + 1}: {text}{likely}")
    return error


def _may_try_again(job: Job, error: BaseException, tries: int) -> bool:
    return (
        isinstance(error, (exceptions.WorkerCrashedError, exceptions.OutOfMemoryError))
        and not (_STUCK in str(error) and job.timeout is not None)
        and (job.retries < 0 or tries <= job.retries)
    )


def with_place(error: BaseException, job: Job, index: int) -> BaseException:
    """The error says which call it is of."""
    try:
        error.add_note(f"(call {index} of {job.callset_id})")
        error.call_index = index  # type: ignore[attr-defined]
    except Exception:  # of a class with a mind of its own
        pass
    return error


class LocalStream:
    """Results of a job in the order of its inputs, for one reader; see `told`."""

    def __init__(self, engine: LocalEngine, job: Job) -> None:
        _started()
        self.engine, self.job = engine, job
        self._inputs = _Inputs(job)
        self._source = self._inputs if job.again is None else job.inputs
        self._function = _batch.export(job.function)
        self._main = engine.calls(job, self._function, star=job.star, ordered=True)
        self.native = self._main.native
        self._lock = threading.RLock()
        self._closed = False
        self._fed = 0
        self._spare: _Calls | None = None

    @property
    def taken(self) -> int:
        return self._fed

    def take(self, most: int) -> int:
        before = self.native.fed
        try:
            if not self._main.feed(self._source, most):
                self.end()
        except BaseException:
            self.end()
            raise
        finally:
            self._fed = int(self.native.fed)
        return self._fed - before

    def end(self) -> None:
        self.native.end_inputs()

    def next(self, timeout: float | None = None) -> Any:
        """As Batch.next(); _MORE_INPUTS: `take` is to be called first."""
        native = self.native
        try:
            value = native.next(timeout)
            if self._inputs.kept:
                self._inputs.forget(native.index)
            return value
        except (StopIteration, TimeoutError) as ended:
            if type(ended) not in (StopIteration, TimeoutError):
                raise with_place(ended, self.job, native.index)  # of the function
            problem = native.take_problem() if isinstance(ended, StopIteration) else None
            if problem is None:
                raise
        except (exceptions.WorkerCrashedError, exceptions.OutOfMemoryError, exceptions.TaskCancelledError) as error:
            if not native.lost:
                raise with_place(error, self.job, native.index)
            return self._alone(native.index, error)
        except Exception as error:
            self._inputs.forget(native.index)
            raise with_place(error, self.job, native.index)
        raise problem

    def _alone(self, index: int, error: BaseException) -> Any:
        """A call whose process died is run again by itself, so that it takes no other along."""
        tries = 1
        while _may_try_again(self.job, error, tries):
            if self._spare is None:
                self._spare = self.engine.calls(self.job, self._function, star=self.job.star, ordered=True, most=1)
            self._spare.feed(iter([self._inputs.again(index)]), 1)
            try:
                value = self._spare.native.next(None)
                self._inputs.forget(index)
                return value
            except (exceptions.WorkerCrashedError, exceptions.OutOfMemoryError) as again:
                error = again
            tries += 1
        self._inputs.forget(index)
        raise with_place(_error_of(self.job, index, error, tries), self.job, index) from None

    # ---- or told

    def told(self, tell: Tell) -> LocalStream:
        """From now on what is done is told, in whatever order, and `next` is not to be called any more."""
        self._tell = tell
        self._numbers: dict[int, int] = {}  # of the spare's calls
        self._tries: dict[int, int] = {}
        self._hear(self.native)
        self.native.unorder()
        self.engine.news_of(self)
        return self

    def _hear(self, native: Any) -> None:
        me, engine = weakref.ref(self), self.engine

        def on_done() -> None:
            run = me()
            if run is not None:
                engine.news_of(run)

        native.on_done = on_done
        _batch.go_on_with(native)

    def look(self) -> bool:
        told: list[Completion] = []
        with self._lock:
            if self._closed:
                return False
            for number, how, content in self.native.read_ready():
                self._settle(number, how, content, told)
            if self._spare is not None:
                for number, how, content in self._spare.native.read_ready():
                    self._settle(self._numbers.pop(number), how, content, told)
        if told:
            self._tell(told)
        return False

    def _settle(self, index: int, how: int, content: Any, told: list[Completion]) -> None:
        error = None
        if how == 1:
            error, content = exceptions._from_object(_USER, content), None
        elif how == 2:
            error, content = content, None
            tries = self._tries.get(index, 0) + 1
            if _may_try_again(self.job, error, tries):
                self._tries[index] = tries
                self._again(index)
                return
            error = _error_of(self.job, index, error, tries)
        completion = Completion(index, content, error)
        if error is not None:
            with_place(error, self.job, index)
            completion.input = self._inputs.of_failed(index)
        self._inputs.forget(index)
        told.append(completion)

    def _again(self, index: int) -> None:
        if self._spare is None:
            self._spare = self.engine.calls(self.job, self._function, star=self.job.star, most=1)
            self._hear(self._spare.native)
        self._numbers[self._spare.native.fed] = index
        self._spare.feed(iter([self._inputs.again(index)]), 1)

    def fail_all(self, error: BaseException) -> None:
        """The runtime is gone. Who waits is told so by what he waits for: a call that is not known to be done."""
        with self._lock:
            self._closed = True
            text = f"{self.job.callset_id}: {error}"
            told = [Completion(index, error=RuntimeError(f"call {index} of {text}")) for index in range(self._fed)]
        self._tell(told)

    def counts(self) -> tuple[int, int]:
        queued, running, *_ = self.native.counts()
        return queued, running

    def cancel(self, indices: Sequence[int] | None = None, *, force: bool = False) -> None:
        if indices is not None:
            of = self.job.callset_id
            self._tell([Completion(i, error=CallCancelled(f"call {i} of {of} was cancelled")) for i in indices])
            return
        self.end()
        self.native.cancel(force)
        self.native.pump()
        _batch.go_on_with(self.native)

    def close(self) -> None:
        self._closed = True
        self.native.close()
        if self._spare is not None:
            self._spare.native.close()


class LocalRun:
    """A job whose completions are told. Calls are wrapped (worker.Work), so that each has a status."""

    def __init__(self, engine: LocalEngine, job: Job, tell: Tell) -> None:
        _started()
        self.engine, self.job, self._tell = engine, job, tell
        self._lock = threading.RLock()
        self._inputs = _Inputs(job)
        self._waiting: list[int] = []  # for memory
        self._cancelled: set[int] = set()
        self._all_cancelled = self._closed = False
        self._done: bytearray = bytearray()
        work = worker.Work(job.function, job.star, job.timeout, dict(job.extra_env), job.logs)
        self._function = _batch.export(work)
        slots = engine.slots(job)
        self._admission = Admission(_budget(), slots, job.memory)
        self._calls: list[tuple[_Calls, dict[int, int] | None]] = []  # and the call of each number; None: they are the same
        self._tries: dict[int, int] = {}
        self._running: dict[int, float] = {}  # since when, of those that were handed over, where that is counted
        self._stragglers = Stragglers(slots) if job.pure else None
        self._main = self._open(most=1)

    def _open(self, most: int) -> _Calls:
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
                if self.job.again is None:
                    keep.kept[index] = value
                self._waiting.append(index)
            if not self._all_cancelled:
                self._hand_on()
        if self._admission.learning or self._stragglers is not None:
            self.engine.news_of(self)
        if problem is not None:
            raise problem
        return keep.taken - before

    def _hand_on(self) -> None:
        """As many as memory has room for. With the lock."""
        if not self._waiting:
            return
        if self._admission.unlimited() or (self.job.memory is not None and not self._counts_memory()):
            room = len(self._waiting)
        else:
            room = self._admission.limit(time.monotonic()) - len(self._running)
        now = time.monotonic()
        batch, self._waiting = self._waiting[: max(0, room)], self._waiting[max(0, room) :]
        batch = [index for index in batch if index not in self._cancelled]
        if batch:
            self._feed(self._main, batch, now)

    def _counts_memory(self) -> bool:
        return self.job.memory is None

    def _feed(self, calls: _Calls, indices: list[int], now: float) -> None:
        numbers = next(numbers for each, numbers in self._calls if each is calls)
        assert numbers is not None
        first = calls.native.fed
        for offset, index in enumerate(indices):
            numbers[first + offset] = index
            self._running[index] = now
        calls.feed(iter([self._inputs.again(index) for index in indices]), len(indices))

    def counts(self) -> tuple[int, int]:
        with self._lock:
            return len(self._waiting), len(self._running)

    def cancel(self, indices: Sequence[int] | None = None, *, force: bool = False) -> None:
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
                    self._settle(found, numbers or {}, told)
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
                error, value = with_place(exceptions._from_object(_USER, value), self.job, index), None
            told.append(self._ended(index, value=value, error=error, status=status))
        for index, error in lost:
            self._lose(index, error, len(lost), told)

    def _lose(self, index: int, error: BaseException, together: int, told: list[Completion]) -> None:
        if self._is_done(index):
            return
        tries = self._tries.get(index, 0) + 1
        if _may_try_again(self.job, error, tries) and not self._all_cancelled and index not in self._cancelled:
            self._tries[index] = tries
            self._feed(self._main, [index], time.monotonic())
            return
        ended = with_place(_error_of(self.job, index, error, tries), self.job, index)
        told.append(self._ended(index, error=ended, status={"attempts": tries}))

    def _back_up(self, told: list[Completion]) -> None:
        assert self._stragglers is not None
        if self._waiting or len(self._running) > self._admission.slots:
            return
        for index in self._stragglers.late(self._running, len(self._done), time.monotonic()):
            spare = self._calls[1][0] if len(self._calls) > 1 else self._open(most=1)
            since = self._running[index]
            self._feed(spare, [index], since)

    def fail_all(self, error: BaseException) -> None:
        with self._lock:
            left = [index for index in range(len(self._done)) if not self._is_done(index)]
            told = [self._ended(index, error=RuntimeError(f"call {index} of {self.job.callset_id}: {error}")) for index in left]
            self._closed = True
        if told:
            self._tell(told)


_USER = int(exceptions._ErrorKind.USER)
