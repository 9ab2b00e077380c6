"""One function over many inputs. What `map`s stand on: the executor's, and the room of that name.

>>> from daybreak.runtime.batch import Batch
>>> with Batch(abs, [-1, -2, -3]) as batch:
...     list(batch)
[1, 2, 3]
"""

from __future__ import annotations

import atexit
import threading

from .._core import runtime as _native
from . import engine as _engine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType
    from typing import Any

__all__ = ["Batch", "Counts", "export", "go_on_with"]

_MOST_AT_ONCE = 1024  # inputs, between two looks at how many lie there


class Counts:
    """Of a batch's calls: how many wait, have begun, are done, and of those have failed; how many are done and not read."""

    __slots__ = ("done", "failed", "queued", "running", "unread")

    def __init__(self, queued: int, running: int, done: int, failed: int, unread: int) -> None:
        self.queued, self.running, self.done, self.failed, self.unread = queued, running, done, failed, unread

    def __repr__(self) -> str:
        return "Counts(" + ", ".join(f"{name}={getattr(self, name)}" for name in self.__slots__) + ")"


def export(function: Callable[..., Any]) -> Any:
    """A function in the store, for one batch: its reference."""
    from . import serialization, tasks

    ref = _native._reserve()
    try:
        name = tasks.name_of(function)
        _native._fill(ref, serialization.world(), (function, None, 0, name), name)
    except BaseException:
        _native._abandon(ref)
        raise
    return ref


def go_on_with(calls: Any) -> None:
    """The thread that all batches of this process share looks after this one."""
    global _thread
    if _native._go_on_with(calls):
        _thread = threading.Thread(target=_native._run_pump, name="daybreak-batches", daemon=True)
        _thread.start()


_thread: threading.Thread | None = None


@atexit.register
def _end_thread() -> None:
    """An interpreter that is gone ends a thread that asks for it, in the middle of C++: that would abort the process."""
    if _native._end_pump() and _thread is not None:
        _thread.join(5)


def _checked(function: Any, chunksize: int | None, ahead: int | None, retries: int, options: Any) -> tuple[Any, Any]:
    """The function itself, and the options of its tasks."""
    from daybreak.base import numbers

    from . import options as _options
    from .tasks import RemoteFunction, _refuse_coroutine

    options = dict(options or {})
    if isinstance(function, RemoteFunction):
        function, options = function._function, {**function._options, **options}
    if not callable(function):
        raise TypeError(f"{function!r} is not callable: a Batch takes a function and its inputs")
    _refuse_coroutine(function)
    for name, value, most in (("chunksize", chunksize, _native._MAX_UNIT), ("ahead", ahead, 1 << 30)):
        if value is not None and not 1 <= numbers.integer(value, name) <= most:
            raise ValueError(f"{name}={value}: it must be from 1 to {most}, or None")
    if numbers.integer(retries, "retries") < -1:
        raise ValueError(f"retries={retries}: it must be -1 (without end), 0 or more")
    for name in ("num_returns", "max_retries", "retry_exceptions", "max_calls", "_generator_backpressure_num_objects"):
        if options.pop(name, None) not in (None, False):
            raise ValueError(
                f"options: {name} is none of a Batch; retries= says how often calls of a dead worker run again"
            )
    return function, _options.check_task(options)


def _workers(options: dict[str, Any]) -> int:
    """How many tasks of this kind can run at the same time, as far as resources say."""
    from .session import cluster_resources

    there = cluster_resources()
    wanted = {"CPU": options.get("num_cpus"), "GPU": options.get("num_gpus"), **(options.get("resources") or {})}
    wanted["CPU"] = 1 if wanted["CPU"] is None else wanted["CPU"]
    counts = [int(there.get(name, 0) // amount) for name, amount in wanted.items() if amount]
    return max(1, min(counts, default=int(there.get("CPU", 1))))


class Batch:
    """Calls of `function`, one for each input, in the workers. Iterate over it for the results.

    An input is what the function gets as its argument; references and handles in it stay what they are. A call that raises
    raises where its result is read, and `next()` can go on behind it.

    Args:
        function: or a remote function, whose options count.
        inputs: any iterable. It is taken from as results are read.
        star: an input is a tuple of the arguments.
        chunksize: so many calls run in one worker, one after the other. None: each goes where there is room.
        ahead: how many calls may have been taken from `inputs` whose results were not read; besides, inputs of at most
            64 MiB wait. None: all are taken now, and those that are large are encoded when it is their turn.
        ordered: results come in the order of the inputs, else as they are ready; `index` says whose the last one was.
        retries: how often the calls of a worker that died are begun again; -1: without end. 0: those that it had begun
            raise WorkerCrashedError, and no call is run twice.
        options: of the tasks, as `.options()` takes them.
        on_done: called when more calls are done than when it was last called, on a thread that it must not hold up.

    Raises:
        ValueError: chunksize, ahead or retries is out of its range; an option that a call cannot have.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Batch:
        if cls is Batch and _engine.current() is not None:
            from .engines.batch import BatchElsewhere

            cls = BatchElsewhere
        return super().__new__(cls)

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
        from . import init, is_initialized
        from .tasks import RemoteFunction, name_of

        function, checked = _checked(function, chunksize, ahead, retries, options)
        if not is_initialized():
            init()
        self._start(export(function), inputs, _native._STAR_ARGUMENTS if star else 0, chunksize, ahead, ordered)
        self._calls.on_done = on_done
        runner = {"name": name_of(function), **checked, "max_retries": retries}
        self._runner = RemoteFunction(_native.run_chunk, runner)  # whose function the tasks name
        self._calls.add_tasks(self._runner, _workers(checked))
        self._take_inputs()

    def _start(
        self, function: Any, inputs: Iterable[Any], flags: int, unit: int | None, ahead: int | None, ordered: bool
    ) -> None:
        self._inputs = iter(inputs)
        self._ahead = ahead
        self._every = 1 if ahead is None else max(1, min(ahead // 4, _MOST_AT_ONCE))  # reads, then inputs are taken
        self._reads = 0
        self._exhausted = False
        self._problem: BaseException | None = None  # what the iterable raised, until it was told
        self._calls = _native._Calls(function, unit or 1, flags, ordered)
        self._next = self._calls.next

    # ---- inputs

    def _take_inputs(self) -> None:
        self._reads = 0
        if self._exhausted:
            return
        try:
            while not self._exhausted:
                room = _MOST_AT_ONCE if self._ahead is None else self._room(self._ahead)
                if room <= 0:
                    break
                self._exhausted = not self._calls.feed(self._inputs, room, self._ahead is None)
                if self._ahead is not None:
                    self._calls.pump()
        except (
            BaseException
        ) as error:  # of the iterable, or an input that does not pickle: told behind what came before
            self._exhausted, self._problem = True, error
        if self._exhausted:
            self._calls.end_inputs()
            self._inputs = iter(())
        self._calls.pump()
        go_on_with(self._calls)

    def _room(self, ahead: int) -> int:
        queued, running, _, _, unread, _, size = self._calls.counts()
        return 0 if size >= _native._AHEAD_BYTES else min(ahead - queued - running - unread, _MOST_AT_ONCE)

    # ---- results

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return self.next()

    def next(self, timeout: float | None = None) -> Any:
        """The next result; raises what its call raised.

        Raises:
            StopIteration: there are no more.
            TimeoutError: it was not there in `timeout` seconds.
        """
        self._reads += 1
        if self._reads > self._every:
            self._take_inputs()
        try:
            while True:
                value = self._next(timeout)
                if value is not _native._MORE_INPUTS:
                    return value
                self._take_inputs()
        except StopIteration:
            problem, self._problem = self._problem or self._calls.take_problem(), None
            if problem is None:
                raise
        try:
            raise problem
        finally:
            del problem  # whose traceback has this frame

    @property
    def index(self) -> int:
        """The number of the input whose result was read last."""
        return int(self._calls.index)

    def wait(self, timeout: float | None = None) -> bool:
        """Until every call is done whose input was taken so far; False: that took more than `timeout` seconds."""
        return bool(self._calls.wait(timeout))

    def counts(self) -> Counts:
        return Counts(*self._calls.counts()[:5])

    def done(self) -> bool:
        """Whether all inputs were taken and all calls are done."""
        queued, running, *_ = self._calls.counts()
        return self._exhausted and queued + running == 0

    def cancel(self, *, force: bool = False) -> None:
        """What has not begun never does: its result is TaskCancelledError. force: what runs is ended, too."""
        self._exhausted, self._inputs = True, iter(())
        self._calls.cancel(force)
        self._calls.pump()
        go_on_with(self._calls)

    def close(self) -> None:
        """Cancels what has not begun, and lets go of all results."""
        calls = getattr(self, "_calls", None)
        if calls is not None:
            calls.close()

    def __enter__(self) -> Batch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        try:
            self.close()
        except Exception:  # of an interpreter that ends
            pass
