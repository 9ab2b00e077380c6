"""An executor as those of `concurrent.futures`, on the runtime's processes.

>>> from daybreak.util import Executor
>>> with Executor(max_workers=2) as executor:
...     future = executor.submit(pow, 2, 10)
...     squares = list(executor.map(abs, [-1, -2, -3], chunksize=2))
>>> future.result(), squares
(1024, [1, 2, 3])
"""

from __future__ import annotations

import operator
import threading
import time
import weakref
from concurrent import futures
from concurrent.futures.process import BrokenProcessPool, _RemoteTraceback
from itertools import islice

from daybreak._core import runtime as _native
from daybreak.base import numbers
from daybreak.runtime import engine as _engine
from daybreak.runtime.batch import export
from daybreak.runtime.engines.ray_actors import run_all
from daybreak.runtime.exceptions import TaskCancelledError

from .workers import Call, CallSet, Workers, _as_pickle_said, ensure_runtime, logical_cpus, rebuilt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

__all__ = ["BrokenProcessPool", "Executor"]

_FED_AT_ONCE = 1024

_alive: weakref.WeakSet[Workers] = weakref.WeakSet()
_leaving = False  # the interpreter ends


def _at_exit() -> None:
    """As the standard library's executors: what was submitted is done before the interpreter ends."""
    global _leaving
    _leaving = True
    for workers in list(_alive):
        workers.close()
    for workers in list(_alive):
        workers.join()


threading._register_atexit(_at_exit)  # type: ignore[attr-defined]  # as concurrent.futures does: before threads are joined


class _FutureCall(Call):
    def __init__(self, future: futures.Future[Any], function: Callable[..., Any], args: Any, kwargs: Any) -> None:
        super().__init__(function, args, kwargs)
        self.future: futures.Future[Any] = future

    def start(self) -> bool:
        return self.future.set_running_or_notify_cancel()

    def cancel(self) -> None:
        self.future.cancel()

    def succeed(self, value: Any) -> None:
        self.future.set_result(value)

    def fail(self, error: BaseException) -> None:
        self.future.set_exception(error)

    def raised(self, payload: dict[str, Any]) -> None:
        self.future.set_exception(rebuilt(payload, _RemoteTraceback))


def _made_broken(error: BaseException) -> BrokenProcessPool:
    broken = BrokenProcessPool(
        f"a worker ended while it ran a call or before it could; what was not done has failed, make a new executor: {error}"
    )
    broken.__cause__ = error
    return broken


class Executor(futures.Executor):
    """Runs calls in processes of the runtime: for programs that know `concurrent.futures.ProcessPoolExecutor`.

    Functions, arguments and results may be whatever a task takes: closures, lambdas, classes of `__main__`; large arrays come as
    read-only views of shared memory. A worker starts when a call finds none that is idle. A call is never run twice: when a
    worker dies, all that is not done raises BrokenProcessPool.

    Args:
        max_workers: processes; the default is the runtime's number of CPUs. They need no CPU of the runtime's: tasks and
            actors run beside them.
        mp_context: must be None, the workers are the runtime's.
        initializer, initargs: called in each worker at its start; when it raises, the executor is broken.
        max_tasks_per_child: a worker ends after so many calls, and another takes its place.

    Raises:
        ValueError: max_workers or max_tasks_per_child is not above 0; an mp_context was given.
        TypeError: initializer is not callable, max_tasks_per_child no integer.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_tasks_per_child: int | None = None,
    ) -> None:
        if mp_context is not None:
            raise ValueError(f"mp_context={mp_context!r}: the workers are the runtime's, leave it out")
        if max_workers is not None and (max_workers := numbers.integer(max_workers, "max_workers")) <= 0:
            raise ValueError(f"max_workers must be greater than 0, not {max_workers}")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if max_tasks_per_child is not None:
            try:
                max_tasks_per_child = operator.index(max_tasks_per_child)
            except TypeError:
                raise TypeError(f"max_tasks_per_child must be an integer, not {max_tasks_per_child!r}") from None
            if max_tasks_per_child <= 0:
                raise ValueError(f"max_tasks_per_child must be >= 1, not {max_tasks_per_child}")
        ensure_runtime()
        self._max_workers = max_workers or max(1, logical_cpus())
        self._max_calls = max_tasks_per_child
        self._workers = Workers(
            self._max_workers,
            initializer=initializer,
            initargs=initargs,
            calls_each=max_tasks_per_child,
            together=True,
            broken=_made_broken,
        )
        _alive.add(self._workers)
        weakref.finalize(self, self._workers.close).atexit = False
        self._shut_down = False

    @property
    def _broken(self) -> BaseException | None:
        """Why no calls are taken any more, when a worker was lost."""
        stopped = self._workers.stopped
        return stopped() if stopped is not None and not self._shut_down else None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> futures.Future[Any]:
        """Runs `fn(*args, **kwargs)` in a worker.

        Raises:
            BrokenProcessPool: a worker was lost.
            RuntimeError: after `shutdown`, and while the interpreter ends.
        """
        self._check_open()
        future: futures.Future[Any] = futures.Future()
        if not self._workers.submit(_FutureCall(future, fn, args, kwargs)):
            raise self._broken or RuntimeError("cannot schedule new futures after shutdown")
        return future

    def map(
        self, fn: Callable[..., Any], *iterables: Iterable[Any], timeout: float | None = None, chunksize: int = 1
    ) -> Iterator[Any]:
        """As the builtin `map`: all calls are submitted now, `chunksize` of them as one; results come in order.

        Raises:
            ValueError: chunksize is below 1.
            TimeoutError: from the iterator, where a result was not there `timeout` seconds after this call.
        """
        chunksize = numbers.integer(chunksize, "chunksize")
        if chunksize < 1:
            raise ValueError(f"chunksize must be >= 1, not {chunksize}")
        if _engine.current() is None and self._max_calls is None and chunksize <= _native._MAX_UNIT:
            deadline = None if timeout is None else time.monotonic() + timeout
            return self._map_as_set(fn, iterables, deadline, chunksize)
        arguments = zip(*iterables, strict=False)
        chunks = iter(lambda: list(islice(arguments, chunksize)), [])
        return _flattened(super().map(run_all, _repeat(fn), chunks, timeout=timeout))

    def _map_as_set(self, fn: Any, iterables: tuple[Any, ...], deadline: float | None, unit: int) -> Iterator[Any]:
        """All of it as one record."""
        self._check_open()
        flags = _native._ANY_EXCEPTION | (_native._STAR_ARGUMENTS if len(iterables) != 1 else 0)
        try:
            calls = _native._Calls(export(fn), unit, flags, True)
        except BaseException as error:  # it does not pickle
            return _raised(_as_pickle_said(error))
        inputs = iter(iterables[0]) if len(iterables) == 1 else zip(*iterables, strict=False)
        while calls.feed(inputs, _FED_AT_ONCE, True):
            pass
        calls.end_inputs()
        calls.make_error = lambda payload: rebuilt(payload, _RemoteTraceback)
        workers, of_set = self._workers, CallSet(calls)
        calls.on_done = lambda: workers.set_went_on(of_set)
        if not workers.submit(of_set):
            raise self._broken or RuntimeError("cannot schedule new futures after shutdown")
        return _results(workers, of_set, deadline)

    def _check_open(self) -> None:
        if self._shut_down:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if _leaving:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more calls. wait: until all are done and the workers have ended. cancel_futures: those that wait are
        cancelled."""
        self._shut_down = True
        if cancel_futures:
            self._workers.cancel_pending()
        self._workers.close()
        if wait:
            self._workers.join()


def _results(workers: Workers, of_set: CallSet, deadline: float | None) -> Iterator[Any]:
    """As the standard library's: who gives the iterator up cancels what has not begun."""
    calls = of_set.calls
    try:
        while True:
            yield _next(workers, of_set, deadline)  # and not held
    except _Ended:
        pass
    finally:
        calls.cancel_quietly()
    problem = calls.take_problem()
    try:
        if problem is not None:
            raise _as_pickle_said(problem)
    finally:
        del problem


class _Ended(Exception):
    """There are no more results."""


def _next(workers: Workers, of_set: CallSet, deadline: float | None) -> Any:
    try:
        return of_set.calls.next(None if deadline is None else max(0.0, deadline - time.monotonic()))
    except StopIteration:
        raise _Ended from None
    except BaseException as error:
        if not of_set.calls.lost or isinstance(error, TimeoutError):
            raise
        lost = error
    try:
        raise _why_lost(workers, of_set, lost)
    finally:
        del lost  # whose traceback has this frame


def _why_lost(workers: Workers, of_set: CallSet, error: BaseException) -> BaseException:
    if isinstance(error, TaskCancelledError):
        stopped = workers.stopped
        return stopped() if stopped is not None else futures.CancelledError()
    return workers.broken_by(error)


def _raised(error: BaseException) -> Iterator[Any]:
    raise error
    yield  # that it is raised where the first result would be


def _repeat(value: Any) -> Iterator[Any]:
    while True:
        yield value


def _flattened(chunks: Iterator[list[Any]]) -> Iterator[Any]:
    """The items one after the other; what was yielded is not held."""
    for chunk in chunks:
        chunk.reverse()
        while chunk:
            yield chunk.pop()
