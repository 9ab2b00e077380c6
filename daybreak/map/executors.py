"""The executor: what a user gives a function and inputs to."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Sized
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from daybreak.base import numbers
from daybreak.base.errors import InvalidArgumentError
from daybreak.base.options import checked

from .callset import CallSet, Future
from .chains import Chained
from .engine import Engine, Job

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

__all__ = [
    "ALL_COMPLETED",
    "ALWAYS",
    "ANY_COMPLETED",
    "BACKENDS",
    "Executor",
    "as_completed",
    "executor",
    "get_all_results",
    "wait",
]

ALL_COMPLETED, ANY_COMPLETED, ALWAYS = 1, 2, 3
DEFAULT_AHEAD = 1000
_numbers = itertools.count()


def _local(config: Any, options: dict[str, Any]) -> Engine:
    from daybreak.runtime import engine as elsewhere

    if config is not None:
        raise InvalidArgumentError("config= is of backend='lithops' alone: leave it out, or name that backend")
    if elsewhere.current() is not None:
        from .engines.tasks import TaskEngine

        return TaskEngine(options)
    from .local import LocalEngine

    return LocalEngine(options)


def _ray(config: Any, options: dict[str, Any]) -> Engine:
    from .engines.tasks import TaskEngine

    return TaskEngine.on_ray(config, options)


def _lithops(config: Any, options: dict[str, Any]) -> Engine:
    from .engines.lithops import LithopsEngine

    return LithopsEngine(config, options)


BACKENDS: dict[str, Callable[[Any, dict[str, Any]], Engine]] = {"local": _local, "ray": _ray, "lithops": _lithops}


@dataclass(frozen=True)
class Limits:
    """What a job may be told, checked: the executor's own and those of one `map`."""

    memory: int | None = None
    timeout: float | None = None
    job_timeout: float | None = None
    retries: int = 3
    pure: bool = False
    logs: bool = False
    extra_env: dict[str, str] | None = None
    ahead: int | None = DEFAULT_AHEAD
    include_modules: tuple[str, ...] | None = None
    exclude_modules: tuple[str, ...] = ()
    clean: bool = False

    def but(self, **given: Any) -> Limits:
        """With others. InvalidArgumentError names what is out of its range, or none of these."""
        if not given:
            return self
        found = checked(given, _CHECKS, "a map")
        missing = [name for name, value in found.items() if value is None and name not in _MAY_BE_NONE]
        return replace(self, **{name: value for name, value in found.items() if name not in missing})

    @property
    def plain(self) -> bool:
        """Whether a call is nothing but the function's own."""
        return not (
            self.memory
            or self.timeout
            or self.pure
            or self.logs
            or self.extra_env
            or self.clean
            or self.exclude_modules
        )


def _seconds(name: str, value: Any) -> float:
    return numbers.real(value, name, minimum=1e-3, maximum=1e9)


def _whole(name: str, value: Any) -> int:
    return numbers.integer(value, name, minimum=1)


def _flag(name: str, value: Any) -> bool:
    return numbers.flag(value, name)


def _environment(name: str, value: Any) -> dict[str, str]:
    found = dict(value)
    for key, text in found.items():
        if not isinstance(key, str) or not isinstance(text, str) or not key or "=" in key or "\0" in key + text:
            raise InvalidArgumentError(
                f"{name}={{{key!r}: {text!r}}}: names and values of environment variables are text"
            )
    return found


def _names(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        raise InvalidArgumentError(f"{name}={value!r}: a list of names, not one text")
    found = tuple(value)
    for each in found:
        if not isinstance(each, str) or not each:
            raise InvalidArgumentError(f"{name}: {each!r} is no name of a module")
    return found


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "memory": _whole,
    "timeout": _seconds,
    "job_timeout": _seconds,
    "retries": lambda name, value: numbers.integer(value, name, minimum=-1),
    "pure": _flag,
    "logs": _flag,
    "extra_env": _environment,
    "ahead": _whole,
    "include_modules": _names,
    "exclude_modules": _names,
    "clean": _flag,
}
_MAY_BE_NONE = ("memory", "timeout", "job_timeout", "extra_env", "ahead", "include_modules")


def executor(backend: str = "local", **options: Any) -> Executor:
    """An Executor: see there."""
    return Executor(backend, **options)


class Executor:
    """Runs a function over many inputs, here or elsewhere.

    Args:
        backend: "local", the workers of this machine; "ray", those of a Ray cluster; "lithops", a cloud's.
        config: of Lithops: a dict or the path of a file.
        memory: bytes that a call needs: as many run at the same time as there is memory for. None: calls with a status are
            measured, and the most that one had counts.
        timeout: seconds that a call may run; then it is CallTimeout.
        job_timeout: seconds for all calls of a map; then those left are ended and who waits gets JobTimeout.
        retries: how often a call is run again whose worker died; -1: without end. What a function raises is never retried.
        pure: a call may run twice: near the end, one that takes three times the median is run again, the first result counts.
        logs: what calls print is kept (64 K characters each) in their status, instead of being shown.
        extra_env: variables of the environment while a call runs.
        ahead: how many inputs may have been taken whose results were not read. None: all are taken at once.
        progress: show a bar in a terminal while somebody waits, elsewhere a line at the end.
        options: of the engine: num_cpus, resources, runtime_env, ... as `daybreak.remote` takes them.

    >>> from daybreak import map
    >>> with map.executor() as executor:
    ...     squares = list(executor.map(pow, [(1, 2), (2, 2), (3, 2)], star=True))
    ...     future = executor.call_async(abs, -3)
    ...     future.result(), squares
    (3, [1, 4, 9])
    """

    def __init__(
        self, backend: str = "local", *, config: Any = None, progress: bool | None = None, **options: Any
    ) -> None:
        if backend not in BACKENDS:
            raise InvalidArgumentError(f"backend={backend!r}: one of {', '.join(BACKENDS)}")
        own = {name: options.pop(name) for name in list(options) if name in Limits.__dataclass_fields__}
        self.backend = backend
        self._limits = Limits().but(**own)
        self._engine = BACKENDS[backend](config, options)
        self._progress = None if progress is None else numbers.flag(progress, "progress")
        self._name = f"{os.getpid():x}-{time.time_ns() & 0xFFFFFFFF:08x}"
        self._lock = threading.Lock()
        self._closed = False

    # ---- calls

    def map(self, function: Callable[..., Any], inputs: Iterable[Any], *, star: bool = False, **limits: Any) -> CallSet:
        """Calls `function` on each input. Iterate over what is returned for the results, in order; `[i]` and `futures()` are
        futures, `as_completed()` gives them as they end.

        star: an input is a tuple of the arguments. Further options are the executor's own, for this map alone. Inputs are taken
        as results are read, at most `ahead` before; what the iterable raises is raised behind the results before it.
        """
        made = self._prepared(function, inputs, star=star, **limits)
        made._start(self._limits.but(**limits).plain and not self._progress)
        return self._watched(made)

    def _prepared(self, function: Callable[..., Any], inputs: Any, *, star: bool = False, **limits: Any) -> CallSet:
        """A call set that does not run yet."""
        given = self._limits.but(**limits)
        job = self._job(function, inputs, star, given)
        total = len(inputs) if isinstance(inputs, Sized) else None
        return CallSet(self._engine, job, ahead=given.ahead, total=total, job_timeout=given.job_timeout)

    def call_async(self, function: Callable[..., Any], *args: Any, **limits: Any) -> Future:
        """One call, `function(*args)`: its future."""
        made = self._prepared(function, [args], star=True, **limits)
        made._reading = threading.Lock()
        made._start(self._limits.but(**limits).plain and not self._progress)
        return Future(self._watched(made), 0)

    def reduce(self, function: Callable[[list[Any]], Any], futures: Any, **limits: Any) -> Future:
        """`function([result, ...])` as soon as all are done, without anybody waiting here: its future. A call that failed fails
        it, with the same error."""
        given = self._limits.but(**limits)
        job = self._job(function, (), False, given)
        return Chained(self._engine, job, [_futures(futures)], given.job_timeout, together=True)[0]  # type: ignore[no-any-return]

    def chain(self, function: Callable[[Any], Any], futures: Any, **limits: Any) -> CallSet:
        """`function(result)` of each of the calls, each as soon as that one is done."""
        given = self._limits.but(**limits)
        job = self._job(function, (), False, given)
        made = Chained(self._engine, job, [[each] for each in _futures(futures)], given.job_timeout, together=False)
        return self._watched(made)

    def map_reduce(
        self,
        map_function: Callable[..., Any],
        inputs: Iterable[Any],
        reduce_function: Callable[[list[Any]], Any],
        *,
        star: bool = False,
        **limits: Any,
    ) -> Future:
        """`reduce_function` of the list of all results of `map_function`: its future."""
        return self.reduce(reduce_function, self.map(map_function, inputs, star=star, **limits), **limits)

    def retry(self, futures: Any) -> list[Future]:
        """Runs those again that failed or were cancelled; those that are done well, or not done, stay as they are. In the same
        order."""
        given = _futures(futures)
        failed: dict[CallSet, list[Future]] = {}
        for future in given:
            if future.done() and future.exception() is not None:
                failed.setdefault(future.callset, []).append(future)
        again: dict[Future, Future] = {}
        for callset, of_set in failed.items():
            made = callset._again(self._next_id(callset._job.function), [future.index for future in of_set])
            self._watched(made)
            again.update(zip(of_set, made.futures(), strict=True))
        return [again.get(future, future) for future in given]

    # ---- waiting

    def wait(
        self, futures: Any, return_when: int = ALL_COMPLETED, timeout: float | None = None
    ) -> tuple[list[Any], list[Any]]:
        """See `daybreak.map.wait`."""
        return wait(futures, return_when, timeout)

    def as_completed(self, futures: Any, timeout: float | None = None) -> Iterator[Future]:
        """See `daybreak.map.as_completed`."""
        return as_completed(futures, timeout)

    def get_all_results(self, futures: Any) -> list[Any]:
        """See `daybreak.map.get_all_results`."""
        return get_all_results(futures)

    def cancel(self, futures: Any, *, force: bool = False) -> int:
        """What has not begun never does; force: what runs is ended. How many were told so."""
        if isinstance(futures, CallSet):
            return futures.cancel(force=force)
        of: dict[CallSet, list[int]] = {}
        for future in _futures(futures):
            of.setdefault(future.callset, []).append(future.index)
        return sum(callset.cancel(indices, force=force) for callset, indices in of.items())

    # ---- a look at them

    def summary(self, futures: Any) -> Any:
        """See `daybreak.map.summary`."""
        from .summaries import summary

        return summary(futures)

    def timeline(self, futures: Any, path: Any = None) -> str:
        """See `daybreak.map.timeline`."""
        from .timelines import timeline

        return timeline(futures, path)

    def logs(self, futures: Any) -> dict[Future, str]:
        """What the calls that are done have printed, where the executor keeps it (logs=True)."""
        return {future: future.status.get("stdout", "") for future in _futures(futures) if future.done()}

    # ---- the end

    def close(self) -> None:
        """Ends what runs. Nothing of it is left."""
        with self._lock:
            self._closed = True
        self._engine.close()

    def __enter__(self) -> Executor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- inside

    def _next_id(self, function: Any) -> str:
        return f"{self._name}-{next(_numbers)}"

    def _job(self, function: Any, inputs: Any, star: bool, given: Limits) -> Job:
        if self._closed:
            raise RuntimeError("the executor was closed: make a new one")
        if not callable(function):
            raise TypeError(f"{function!r} is not callable: map(function, inputs)")
        again = inputs.__getitem__ if _comes_again(inputs) else None
        return Job(
            self._next_id(function),
            function,
            iter(inputs),
            again,
            numbers.flag(star, "star"),
            given.memory,
            given.timeout,
            given.retries,
            given.pure,
            given.logs,
            given.extra_env or {},
            given.include_modules,
            given.exclude_modules,
            given.clean,
        )

    def _watched(self, callset: CallSet) -> CallSet:
        if callset._job.logs:
            from . import records

            records.keep(callset)
        if self._progress:
            from .progress import watch

            watch(callset)
        return callset


def _comes_again(inputs: Any) -> bool:
    """Whether input `i` can be had a second time by `inputs[i]`: of an array that is a view of what may be changed, it cannot."""
    return isinstance(inputs, (list, tuple, range, str, bytes))


def _futures(given: Any) -> list[Future]:
    if isinstance(given, CallSet):
        return given.futures()
    if isinstance(given, Future):
        return [given]
    found: list[Future] = []
    for each in given:
        found += _futures(each) if isinstance(each, (CallSet, list, tuple)) else [each]
    for each in found:
        if not isinstance(each, Future):
            raise TypeError(f"{each!r} is no future of a map: wait([future, ...]) or wait(callset)")
    return found


def wait(futures: Any, return_when: int = ALL_COMPLETED, timeout: float | None = None) -> tuple[list[Any], list[Any]]:
    """Waits for calls: (done, not done), each in the order in which they were given; of whatever call sets.

    return_when: ALL_COMPLETED, ANY_COMPLETED (at least one is done), ALWAYS (do not wait). timeout: seconds, then it returns, too.
    """
    if return_when not in (ALL_COMPLETED, ANY_COMPLETED, ALWAYS):
        raise InvalidArgumentError(
            f"return_when={return_when!r}: ALL_COMPLETED (1), ANY_COMPLETED (2) or ALWAYS (3) of daybreak.map"
        )
    given = _futures(futures)
    if return_when != ALWAYS and given:
        _wait_until(given, len(set(given)) if return_when == ALL_COMPLETED else 1, timeout)
    done = [future.done() for future in given]
    return (
        [future for future, is_done in zip(given, done, strict=True) if is_done],
        [future for future, is_done in zip(given, done, strict=True) if not is_done],
    )


def _wait_until(futures: list[Future], many: int, timeout: float | None) -> None:
    """Until so many are done. Nobody is asked again and again: each says so once."""
    deadline = None if timeout is None else time.monotonic() + timeout
    change = threading.Condition()
    done = 0

    def one_more(_: Future) -> None:
        nonlocal done
        with change:
            done += 1
            if done >= many:
                change.notify_all()

    pending = [future for future in dict.fromkeys(futures) if not future.done()]
    done = len(set(futures)) - len(pending)
    if done >= many:
        return
    for future in pending:
        future.add_done_callback(one_more)
    callsets = {future.callset for future in pending}
    try:
        with change:
            while done < many:
                left = [callset._left() for callset in callsets]
                if any(each == 0 for each in left):
                    break
                now = None if deadline is None else max(0.0, deadline - time.monotonic())
                if now == 0:
                    return
                change.wait(min([each for each in [now, *left] if each is not None], default=None))
    except KeyboardInterrupt:
        for callset in callsets:
            callset.cancel(force=True)
        raise
    for callset in callsets:
        if callset._left() == 0 and callset.counts()["done"] < callset.counts()["taken"]:
            raise callset._job_is_over()


def as_completed(futures: Any, timeout: float | None = None) -> Iterator[Future]:
    """The futures as their calls end. TimeoutError: not all were done `timeout` seconds after the first was asked for."""
    given = list(dict.fromkeys(_futures(futures)))
    import queue

    ended: queue.SimpleQueue[Future] = queue.SimpleQueue()
    for future in given:
        future.add_done_callback(ended.put)
    deadline = None if timeout is None else time.monotonic() + timeout
    for number in range(len(given)):
        try:
            yield ended.get(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise TimeoutError(f"{len(given) - number} (of {len(given)}) futures unfinished") from None
        except KeyboardInterrupt:
            for callset in {future.callset for future in given}:
                callset.cancel(force=True)
            raise


def get_all_results(futures: Any) -> list[Any]:
    """All results, in the order of the futures. Raises what the first that failed raised."""
    return [future.result() for future in _futures(futures)]
