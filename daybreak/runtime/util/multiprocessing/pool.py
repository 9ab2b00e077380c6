"""A pool as that of `multiprocessing`, on the runtime's processes.

>>> from daybreak.util.multiprocessing import Pool
>>> with Pool(processes=1) as pool:
...     squares = pool.map(lambda x: x * x, range(4))
...     power = pool.apply_async(pow, (2, 10))
...     lengths = list(pool.imap(len, ["a", "bb"]))
...     power.get(timeout=60)
1024
>>> squares, lengths
([0, 1, 4, 9], [1, 2])
"""

from __future__ import annotations

import threading
import warnings
import weakref
from collections import deque
from itertools import islice
from multiprocessing import TimeoutError
from multiprocessing.pool import RemoteTraceback  # type: ignore[attr-defined]

from daybreak.base import numbers
from daybreak.runtime import put
from daybreak.runtime.engines import ray_actors
from daybreak.runtime.exceptions import ActorDiedError
from daybreak.runtime.util.annotations import RayDeprecationWarning
from daybreak.runtime.util.workers import Call, Workers, ensure_runtime, logical_cpus, rebuilt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType
    from typing import Any

    Hook = Callable[[Any], object] | None

__all__ = ["AsyncResult", "IMapIterator", "IMapUnorderedIterator", "Pool"]

_CHUNKS_EACH = 4  # of a map, for each worker: where items differ in length, some even out
_AHEAD_EACH = 2  # chunks of an imap, for each worker, that run or lie there before they are asked for


class _Raised:
    """In a chunk's list of results, for an item whose call raised."""

    def __init__(self, payload: dict[str, Any]) -> None:
        self.payload = payload


def _raised(error: BaseException) -> _Raised:
    from daybreak.runtime import exceptions

    return _Raised(exceptions._to_payload(error, "imap", None))


class AsyncResult:
    """What `apply_async`, `map_async` and `starmap_async` give."""

    def __init__(self, parts: int, single: bool, callback: Hook, error_callback: Hook) -> None:
        self._parts: list[Any] = [None] * parts
        self._left = parts
        self._single = single
        self._callback = callback
        self._error_callback = error_callback
        self._error: BaseException | None = None
        self._value: Any = None
        self._done = threading.Event()
        self._lock = threading.Lock()  # a pool that stops fails parts on the thread that submits them
        if parts == 0:
            self._settle()

    def ready(self) -> bool:
        """Whether all calls are done."""
        return self._done.is_set()

    def successful(self) -> bool:
        """Whether no call has raised.

        Raises:
            ValueError: it is not ready.
        """
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self._error is None

    def wait(self, timeout: float | None = None) -> None:
        """Until it is ready, or `timeout` seconds are over."""
        self._done.wait(timeout)

    def get(self, timeout: float | None = None) -> Any:
        """The result, or the list of them. Raises what a call raised.

        Raises:
            multiprocessing.TimeoutError: it was not ready in `timeout` seconds.
            ActorDiedError: the worker died, or the pool was terminated.
        """
        if not self._done.wait(timeout):
            raise TimeoutError(f"not ready after {timeout} s")
        if self._error is not None:
            raise self._error
        return self._value

    def _part_done(self, index: int, value: Any, error: BaseException | None) -> None:
        with self._lock:
            self._parts[index] = value
            if error is not None and self._error is None:
                self._error = error
            self._left -= 1
            if self._left > 0:
                return
        self._settle()

    def _settle(self) -> None:
        parts, self._parts = self._parts, []
        if self._error is None:
            self._value = parts[0] if self._single else [item for part in parts for item in part]
        hook, content = (self._callback, self._value) if self._error is None else (self._error_callback, self._error)
        self._callback = self._error_callback = None
        try:
            if hook is not None:
                hook(content)
        finally:
            self._done.set()


class _PartCall(Call):
    """One call, or one chunk, of a result."""

    def __init__(self, result: AsyncResult, index: int, function: Any, args: Any, kwargs: Any, depth: int) -> None:
        super().__init__(function, args, kwargs, depth)
        self.result = result
        self.index = index

    def succeed(self, value: Any) -> None:
        self.result._part_done(self.index, value, None)

    def fail(self, error: BaseException) -> None:
        self.result._part_done(self.index, None, error)

    def raised(self, payload: dict[str, Any]) -> None:
        self.fail(rebuilt(payload, RemoteTraceback))


class IMapIterator:
    """Results in the order of the items, as they come. An item whose call raised gives the exception, as a value: what comes
    after it can still be read, as from Ray's pool.

    The items are taken from the iterable as results are asked for, with some chunks ahead.
    """

    def __init__(self, pool: Pool, function: Any, iterable: Iterable[Any], chunksize: int) -> None:
        self._pool = pool
        self._function = [put(function)]
        self._chunks = _chunks_of(iterable, chunksize)
        self._exhausted = False
        self._problem: BaseException | None = None  # what the iterable raised
        self._submitted = 0
        self._changed = threading.Condition()
        self._arrived: dict[int, list[Any]] = {}
        self._next = 0
        self._ready: deque[Any] = deque()
        self._refill()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return self.next()

    def next(self, timeout: float | None = None) -> Any:
        """The next result.

        Raises:
            StopIteration: there are no more.
            multiprocessing.TimeoutError: it was not there in `timeout` seconds.
        """
        while not self._ready:
            with self._changed:
                if not self._changed.wait_for(self._can_go_on, timeout):
                    raise TimeoutError(f"no result in {timeout} s")
                part = self._take()
            self._refill()
            if part is None:
                problem, self._problem = self._problem, None
                try:
                    raise problem or StopIteration
                finally:
                    del problem  # whose traceback has this frame
            self._ready.extend(part)
        found = self._ready.popleft()
        return rebuilt(found.payload, RemoteTraceback) if isinstance(found, _Raised) else found

    def _can_go_on(self) -> bool:
        return self._next in self._arrived or self._next == self._submitted

    def _take(self) -> list[Any] | None:
        if self._next not in self._arrived:
            return None
        self._next += 1
        return self._arrived.pop(self._next - 1)

    def _refill(self) -> None:
        while not self._exhausted and self._submitted - self._next < _AHEAD_EACH * self._pool._processes:
            try:
                chunk = next(self._chunks)
            except StopIteration:
                self._exhausted = True
                return
            except BaseException as error:  # of the user's iterable: told when what came before it has been read
                self._exhausted, self._problem = True, error
                return
            index = self._submitted
            self._submitted += 1
            if not self._pool._workers.submit(_ChunkCall(self, index, chunk)):
                self._part_done(index, [_raised(_terminated())] * len(chunk))

    def _part_done(self, index: int, part: list[Any]) -> None:
        with self._changed:
            self._arrived[index] = part
            self._changed.notify_all()


class IMapUnorderedIterator(IMapIterator):
    """As IMapIterator; results come as they are ready."""

    def _can_go_on(self) -> bool:
        return bool(self._arrived) or self._next == self._submitted

    def _take(self) -> list[Any] | None:
        if not self._arrived:
            return None
        self._next += 1
        return self._arrived.pop(next(iter(self._arrived)))


class _ChunkCall(Call):
    def __init__(self, results: IMapIterator, index: int, chunk: list[Any]) -> None:
        super().__init__(ray_actors.run_each, (results._function, chunk))
        self.results = results
        self.index = index
        self.size = len(chunk)

    def succeed(self, value: Any) -> None:
        part, raised = value
        for place, payload in raised.items():
            part[place] = _Raised(payload)
        self.results._part_done(self.index, part)

    def fail(self, error: BaseException) -> None:
        self.results._part_done(self.index, [_raised(error)] * self.size)

    def raised(self, payload: dict[str, Any]) -> None:  # not of an item: of the function, which did not unpickle
        self.fail(rebuilt(payload, RemoteTraceback))


def _terminated() -> ActorDiedError:
    return ActorDiedError("the pool was terminated")


def _chunks_of(iterable: Iterable[Any], size: int) -> Iterator[list[Any]]:
    items = iter(iterable)
    return iter(lambda: list(islice(items, size)), [])


def _checked_chunksize(chunksize: int | None, default: int) -> int:
    if chunksize is None:
        return max(1, default)
    size = numbers.integer(chunksize, "chunksize")
    if size < 1:
        raise ValueError(f"Chunksize must be 1+, not {size}")
    return size


def _listed(iterable: Any) -> Any:
    try:
        iter(iterable)
    except TypeError:
        warnings.warn(
            f"Passing a non-iterable argument ({type(iterable).__name__}) is deprecated: pass a list of one item",
            RayDeprecationWarning,
            stacklevel=3,
        )
        return [iterable]
    return iterable


class Pool:
    """A pool of worker processes with the interface of `multiprocessing.Pool`.

    Functions may be whatever a task takes (lambdas and closures, too), large arrays cross without a copy, and items that hold
    references or actor handles keep them. When a worker dies, the calls that it had raise ActorDiedError, and another takes its
    place.

    Args:
        processes: the default is the runtime's number of CPUs. The workers need no CPU of the runtime's.
        initializer, initargs: called in each worker at its start.
        maxtasksperchild: a worker ends after so many calls or chunks, and another takes its place.
        context: without effect, the workers are the runtime's.
        ray_address: of `init`, when the runtime is not running.
        ray_remote_args: options of the actors that the workers are.

    Raises:
        ValueError: processes is below 1, or above the CPUs of the runtime that is running.
    """

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        maxtasksperchild: int | None = None,
        context: Any = None,
        ray_address: str | None = None,
        ray_remote_args: dict[str, Any] | None = None,
    ) -> None:
        if processes is not None and (processes := numbers.integer(processes, "processes")) < 1:
            raise ValueError(f"processes={processes}: Number of processes must be at least 1")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if maxtasksperchild is not None:
            try:
                maxtasksperchild = numbers.integer(maxtasksperchild, "maxtasksperchild", minimum=1)
            except ValueError as error:
                raise ValueError(f"maxtasksperchild must be a positive int or None: {error}") from None
        ensure_runtime(processes, ray_address)
        cpus = logical_cpus()
        if processes is not None and processes > cpus:
            raise ValueError(
                f"processes={processes}: the runtime has {cpus} CPUs; ask for fewer, or init(num_cpus=) with more"
            )
        self._processes = processes or max(1, cpus)
        self._workers = Workers(
            self._processes,
            initializer=initializer,
            initargs=initargs,
            calls_each=maxtasksperchild,
            options=ray_remote_args,
            eager=True,
        )
        self._closed = False
        self._finalizer = weakref.finalize(self, self._workers.stop, _terminated)
        self._workers.await_ready()

    def apply(self, func: Callable[..., Any], args: Any = (), kwargs: Any = None) -> Any:
        """`func(*args, **kwargs)` in a worker; waits for the result."""
        return self.apply_async(func, args, kwargs).get()

    def apply_async(
        self,
        func: Callable[..., Any],
        args: Any = (),
        kwargs: Any = None,
        callback: Hook = None,
        error_callback: Hook = None,
    ) -> AsyncResult:
        """The same at once. The callbacks run on a thread of the pool, which they must not hold up."""
        self._check_running()
        result = AsyncResult(1, True, callback, error_callback)
        self._submit(_PartCall(result, 0, func, tuple(args), dict(kwargs or {}), 1))
        return result

    def map(self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int | None = None) -> list[Any]:
        """The results of `func(item)` in order. Raises what the first failing call raised, when all are done."""
        return self.map_async(func, iterable, chunksize).get()  # type: ignore[no-any-return]

    def map_async(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        callback: Hook = None,
        error_callback: Hook = None,
    ) -> AsyncResult:
        return self._map(func, iterable, chunksize, callback, error_callback, star=False)

    def starmap(self, func: Callable[..., Any], iterable: Iterable[Any], chunksize: int | None = None) -> list[Any]:
        """As `map`, with `func(*item)`."""
        return self.starmap_async(func, iterable, chunksize).get()  # type: ignore[no-any-return]

    def starmap_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        callback: Hook = None,
        error_callback: Hook = None,
    ) -> AsyncResult:
        return self._map(func, iterable, chunksize, callback, error_callback, star=True)

    def imap(self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int | None = 1) -> IMapIterator:
        """As `map`, lazily, for iterables of any length. See IMapIterator."""
        self._check_running()
        return IMapIterator(self, func, _listed(iterable), _checked_chunksize(chunksize, 1))

    def imap_unordered(
        self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int | None = 1
    ) -> IMapUnorderedIterator:
        self._check_running()
        return IMapUnorderedIterator(self, func, _listed(iterable), _checked_chunksize(chunksize, 1))

    def close(self) -> None:
        """Takes no more calls; those that were submitted are still done."""
        self._closed = True
        self._workers.close()

    def terminate(self) -> None:
        """Kills the workers; calls that are not done raise ActorDiedError."""
        self._closed = True
        self._workers.stop(_terminated)

    def join(self) -> None:
        """Waits for the workers' end, after `close` or `terminate`."""
        if not self._closed:
            raise ValueError("Pool is still running")
        self._workers.join()

    def __enter__(self) -> Pool:
        self._check_running()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.terminate()

    def __reduce__(self) -> Any:
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")

    def _check_running(self) -> None:
        if self._closed:
            raise ValueError("Pool not running")

    def _submit(self, call: _PartCall) -> None:
        if not self._workers.submit(call):
            stopped = self._workers.stopped
            call.fail(stopped() if stopped is not None else _terminated())

    def _map(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        chunksize: int | None,
        callback: Hook,
        error_callback: Hook,
        star: bool,
    ) -> AsyncResult:
        self._check_running()
        items = list(_listed(iterable))
        size = _checked_chunksize(chunksize, -(-len(items) // (_CHUNKS_EACH * self._processes)))
        chunks = list(_chunks_of(items, size))
        result = AsyncResult(len(chunks), False, callback, error_callback)
        if chunks:
            function = [put(func)]
            depth = _CHUNKS_EACH if chunksize is None else 1  # so few are dealt out at once, evenly
            for index, chunk in enumerate(chunks):
                self._submit(_PartCall(result, index, ray_actors.run_chunk, (function, chunk, star), None, depth))
        return result
