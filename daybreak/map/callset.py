"""The calls of one `map`: a lazy sequence of results, and a future for each that is asked for."""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from dataclasses import replace

from daybreak._core import runtime as _native

from .engine import Completion
from .errors import CallCancelled, JobTimeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from .engine import Engine, Job

__all__ = ["CallSet", "Future", "callset_of"]

_MOST_AT_ONCE = 1024  # inputs that are taken between two looks
_MOST_PICKLED = 64  # call sets that are kept because a future of theirs was pickled, the last ones
_UNTIL_READ = object()

_callsets: weakref.WeakValueDictionary[str, CallSet] = weakref.WeakValueDictionary()  # of this process


_pickled: deque[CallSet] = deque(maxlen=_MOST_PICKLED)  # whose futures may live on as bytes alone

_called_for: set[CallSet] = set()  # those that somebody wants to be called by, whoever holds them


def callset_of(callset_id: str) -> CallSet | None:
    """The call set of this process with that id, as long as somebody holds it or a future of it."""
    return _callsets.get(callset_id)


class Future:
    """One call of a call set. Equal to every other future of the same call; it pickles: in another process it knows what was
    known of the call when it was pickled."""

    __slots__ = ("_callset", "_known", "index")

    def __init__(self, callset: CallSet, index: int, known: Completion | None = None) -> None:
        self._callset, self.index = callset, index
        self._known = known  # where the call set does not keep it

    @property
    def callset_id(self) -> str:
        return self._callset.callset_id

    @property
    def callset(self) -> CallSet:
        return self._callset

    def done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self._known is not None or self._callset._is_done(self.index)

    def running(self) -> bool:
        """Whether it was started and has not ended, as far as is known."""
        return not self.done() and self._callset.is_running(self.index)

    def cancelled(self) -> bool:
        found = self._completion()
        return found is not None and isinstance(found.error, CallCancelled)

    def result(self, timeout: float | None = None) -> Any:
        """What the call returned; raises what it raised.

        Raises:
            TimeoutError: it was not done in `timeout` seconds. The call goes on.
            CallCancelled, CallTimeout, WorkerDied: it did not end by itself.
        """
        found = self._await(timeout)
        if found.error is not None:
            error = found.error
            try:
                raise error
            finally:
                del error, found  # whose traceback has this frame
        return found.value

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the call raised, or None."""
        return self._await(timeout).error

    @property
    def status(self) -> dict[str, Any]:
        """Of a call that is done: start_time, end_time, exec_time, pid, peak_bytes, attempts, stdout, ...; else empty."""
        found = self._completion()
        return dict(found.status) if found is not None else {}

    def cancel(self, *, force: bool = False) -> bool:
        """It never begins if it has not; force: it is ended, too, where the engine can. False: it is done."""
        return self._callset.cancel([self.index], force=force) > 0

    def add_done_callback(self, call: Callable[[Future], object]) -> None:
        """Calls `call(self)` when it is done: on a thread of the executor, or now if it is."""
        self._callset._when_done(self.index, lambda: call(self))

    def _completion(self) -> Completion | None:
        return self._known if self._known is not None else self._callset._completion(self.index)

    def _await(self, timeout: float | None) -> Completion:
        return self._known if self._known is not None else self._callset._await(self.index, timeout)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Future):
            return NotImplemented
        return (self.callset_id, self.index) == (other.callset_id, other.index)

    def __hash__(self) -> int:
        return hash((self.callset_id, self.index))

    def __repr__(self) -> str:
        found = self._completion()
        state = "pending" if found is None else "done" if found.error is None else type(found.error).__name__
        return f"<Future {self.callset_id}/{self.index:05d} {state}>"

    def __reduce__(self) -> Any:
        if self._callset not in _pickled and not isinstance(self._callset, _Elsewhere):
            _pickled.append(self._callset)
        return _future_again, (self.callset_id, self.index, self._completion())


def _future_again(callset_id: str, index: int, known: Completion | None) -> Future:
    there = callset_of(callset_id)
    return Future(there if there is not None else _Elsewhere(callset_id, index, known), index, known)


class CallSet:
    """What `Executor.map` gives: iterate over it for the results, in the order of the inputs; `[i]` is the future of a call.

    A result that iteration gave is dropped, so that a million calls need no room for a million results; futures keep theirs. A map
    that is given up in the middle of its iteration is cancelled; calls that have futures are done, whoever holds those.
    """

    def __init__(
        self, engine: Engine, job: Job, *, ahead: int | None, total: int | None, job_timeout: float | None
    ) -> None:
        self.callset_id = job.callset_id
        self._engine, self._job, self._ahead = engine, job, ahead
        self._total = total  # None: not known yet
        self._began = time.time()
        self._deadline = None if job_timeout is None else time.monotonic() + job_timeout
        self._job_timeout = job_timeout
        # Reentrant: a callback of the user's may ask for other calls.
        self._change = threading.Condition(threading.RLock())
        self._completions: dict[int, Completion] = {}
        self._arrived: deque[int] | None = None  # as they came, while somebody reads them so
        self._callbacks: dict[int, list[Callable[[], object]]] = {}
        self._hooks: list[Callable[[CallSet], None]] = []  # when more is done
        self._taken = self._done = self._failed = self._given = 0
        self._every = 1 if ahead is None else max(1, min(ahead // 4, _MOST_AT_ONCE))  # reads, then inputs are taken
        self._reads = 0
        self._dropped = 0  # calls before this one were read by iteration
        self._read = bytearray()  # those that as_completed() gave
        self._exhausted = False
        self._problem: BaseException | None = None  # what the inputs raised
        self._stream: Any = None
        self._running: Any = None
        self._over = False  # cancelled, or closed
        self._reading: threading.Lock | None = None  # of a set of one call: who waits for it reads it himself
        _callsets[self.callset_id] = self

    def _start(self, plain: bool) -> CallSet:
        stream = getattr(self._engine, "stream", None) if plain else None
        if stream is not None:
            self._stream = stream(self._job)
        else:
            self._running = self._engine.start(self._job, _teller(self))
        self._take_some()
        return self

    # ---- inputs

    def _room(self) -> int:
        if self._ahead is None:
            return _MOST_AT_ONCE
        return min(self._ahead - (self._taken - self._given), _MOST_AT_ONCE)

    def _take_some(self, until: int | None = None) -> None:
        """Takes inputs, as many as may lie ahead; or until there are so many, or (-1) all."""
        source = self._stream if self._stream is not None else self._running
        while not self._exhausted:
            room = self._room() if until is None else _MOST_AT_ONCE if until < 0 else until - self._taken
            if room <= 0:
                return
            try:
                taken = source.take(room)
            except BaseException as error:  # of the iterable: it is told behind what came before
                if not isinstance(error, Exception):
                    self.cancel(force=True)
                    raise
                self._problem, taken = error, -1
            with self._change:
                if taken < 0:
                    taken, self._exhausted = source.taken - self._taken, True
                self._taken += taken
                if taken < room:
                    self._exhausted = True
                if self._exhausted:
                    self._total = self._taken
                    self._change.notify_all()

    # ---- results, one after the other

    def __iter__(self) -> Iterator[Any]:
        return self._results()

    def _results(self) -> Iterator[Any]:
        try:
            while True:
                value = None
                if self._stream is not None:
                    value = self._next_of_stream()
                else:
                    value = self._next_in_order()
                if value is _UNTIL_READ:
                    return
                yield value
                del value
        except KeyboardInterrupt:
            self.cancel(force=True)
            raise

    def _next_of_stream(self) -> Any:
        stream = self._stream
        self._reads += 1
        if self._reads >= self._every:
            self._reads = 0
            self._take_some()
        while True:
            try:
                value = stream.next(self._left())
            except StopIteration:
                self._raise_problem()
                return _UNTIL_READ
            except TimeoutError as error:
                if type(error) is TimeoutError and self._left() == 0:
                    raise self._job_is_over() from None
                self._given = self._done = self._given + 1
                self._failed += 1
                raise
            except Exception:
                self._given = self._done = self._given + 1
                self._failed += 1
                raise
            if value is _native._MORE_INPUTS:
                self._take_some()
                continue
            self._given = self._done = self._given + 1
            return value

    def _next_in_order(self) -> Any:
        self._take_some()
        index = self._given
        if self._exhausted and index >= self._taken:
            self._raise_problem()
            return _UNTIL_READ
        found = self._await(index, None)
        self._given += 1
        with self._change:
            self._dropped = self._given
            del self._completions[index], index
        if found.error is not None:
            raise found.error
        return found.value

    def _raise_problem(self) -> None:
        problem, self._problem = self._problem, None
        if problem is not None:
            raise problem

    def as_completed(self) -> Iterator[Future]:
        """Futures as their calls end; a result is kept as long as its future is."""
        self._listen()
        with self._change:
            if self._arrived is None:
                self._arrived = deque(sorted(self._completions))
        while True:
            self._take_some()
            with self._change:
                self._wait_for(lambda: self._arrived or (self._exhausted and self._given >= self._taken), None)
                if not self._arrived:
                    break
                index = self._arrived.popleft()
                known = self._completions.pop(index)
                self._read.extend(bytes(max(0, index + 1 - len(self._read))))
                self._read[index] = 1
            self._given += 1
            yield Future(self, index, known)
            del known
        self._raise_problem()

    # ---- calls by their number

    def __len__(self) -> int:
        if self._total is None:
            raise TypeError(
                f"{self.callset_id}: how many calls there are is known when all inputs were taken: futures() takes them"
            )
        return self._total

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self.futures()[index]
        from daybreak.base import numbers

        index = numbers.integer(index, "index")
        self._listen()
        self._take_some(-1 if index < 0 else index + 1)
        if not -self._taken <= index < self._taken:
            raise IndexError(f"call {index} of {self.callset_id}, which has {self._taken:,}")
        return Future(self, index % self._taken)

    def futures(self) -> list[Future]:
        """A future for each call. All inputs are taken now."""
        self._listen()
        self._take_some(-1)
        self._raise_problem()
        return [Future(self, index) for index in range(self._taken)]

    def results(self) -> list[Any]:
        """All results, in the order of the inputs. Raises what the first that failed raised."""
        return list(self)

    def _listen(self) -> None:
        """From now on completions are told, and kept."""
        if self._stream is None:
            return
        if self._reading is not None and not self._reading.acquire(blocking=False):
            return  # somebody reads it, and will tell
        try:
            stream, self._stream = self._stream, None
            if stream is not None:
                self._dropped = self._given
                self._running = stream.told(_teller(self))
        finally:
            if self._reading is not None:
                self._reading.release()

    def _read_alone(self, timeout: float | None) -> None:
        """The result of a set of one call, by the thread that waits for it: no other has to wake for that."""
        stream, reading = self._stream, self._reading
        if stream is None or reading is None or not reading.acquire(blocking=False):
            return
        try:
            try:
                found = Completion(0, stream.next(_least(timeout, self._left())))
            except (StopIteration, TimeoutError) as error:
                if type(error) in (StopIteration, TimeoutError):
                    return
                found = Completion(0, error=error)
            except KeyboardInterrupt:
                self.cancel(force=True)
                raise
            except Exception as error:
                found = Completion(0, error=error)
            self._stream, self._running = None, stream
            self._tell([found])
        finally:
            reading.release()

    def _tell(self, completions: Any) -> None:
        callbacks: list[Callable[[], object]] = []
        with self._change:
            for each in completions:
                if self._has(each.index):
                    continue  # the first result counts
                self._completions[each.index] = each
                self._done += 1
                self._failed += each.error is not None
                if self._arrived is not None:
                    self._arrived.append(each.index)
                callbacks += self._callbacks.pop(each.index, ())
            if not self._callbacks and self._done >= self._taken:
                _called_for.discard(self)
            self._change.notify_all()
            hooks = list(self._hooks)
            ended = self._exhausted and self._done >= self._taken
        if ended and self._running is not None:
            self._running.close()  # a second run that has lost ends, and nothing is held any more
        for call in callbacks:
            _call(call)
        for hook in hooks:
            _call(lambda hook=hook: hook(self))  # type: ignore[misc]

    def _completion(self, index: int) -> Completion | None:
        self._listen()
        return self._completions.get(index)

    def _is_done(self, index: int) -> bool:
        self._listen()
        return self._has(index)

    def is_running(self, index: int) -> bool:
        find = getattr(self._running, "is_running", None)
        return bool(find(index)) if find is not None else False

    def _when_done(self, index: int, call: Callable[[], object]) -> None:
        self._listen()
        with self._change:
            if not self._has(index):
                self._callbacks.setdefault(index, []).append(call)
                _called_for.add(self)
                return
        _call(call)

    def _await(self, index: int, timeout: float | None) -> Completion:
        asked = timeout
        if self._reading is not None:
            deadline = None if timeout is None else time.monotonic() + timeout
            self._read_alone(timeout)
            timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        self._listen()
        with self._change:
            if not self._wait_for(lambda: self._has(index), timeout):
                raise TimeoutError(f"call {index} of {self.callset_id} is not done after {asked:g} s")
            return self._found(index)

    def _has(self, index: int) -> bool:
        return (
            index in self._completions or index < self._dropped or (index < len(self._read) and self._read[index] != 0)
        )

    def _found(self, index: int) -> Completion:
        found = self._completions.get(index)
        if found is None:
            raise LookupError(
                f"call {index} of {self.callset_id}: its result was read by iteration, which drops it; futures() keep theirs"
            )
        return found

    def _wait_for(self, come: Callable[[], Any], timeout: float | None) -> bool:
        """With the lock. False: the time was over. Raises JobTimeout; Ctrl-C ends the calls."""
        try:
            while not come():
                left = self._left()
                if left is not None and left <= 0:
                    raise self._job_is_over()
                if not self._change.wait(_least(timeout, left)) and not come():
                    if left is not None and self._left() == 0:
                        raise self._job_is_over()
                    return False
            return True
        except KeyboardInterrupt:
            self.cancel(force=True)
            raise

    def _left(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def _job_is_over(self) -> BaseException:
        self.cancel(force=True)
        return JobTimeout(
            f"{self.callset_id}: {self._done:,} of {self._total if self._total is not None else self._taken:,} calls were done in "
            f"job_timeout={self._job_timeout:g} s; the others were ended"
        )

    def wait(self, timeout: float | None = None) -> bool:
        """Until all calls are done; False: that took longer than `timeout` seconds. All inputs are taken now."""
        self.futures()
        with self._change:
            return self._wait_for(lambda: self._done >= self._taken, timeout)

    # ---- the whole

    def _again(self, callset_id: str, indices: list[int]) -> CallSet:
        """A new set of those calls, which have failed."""
        inputs = []
        for index in indices:
            if self._job.again is not None:
                inputs.append(self._job.again(index))
            elif self._completions[index].input:
                inputs.append(self._completions[index].input[0])
            else:
                raise LookupError(f"call {index} of {self.callset_id}: its input is not there any more, map it again")
        job = replace(self._job, callset_id=callset_id, inputs=iter(inputs), again=inputs.__getitem__)
        made = CallSet(self._engine, job, ahead=None, total=len(inputs), job_timeout=self._job_timeout)
        return made._start(False)

    def counts(self) -> dict[str, int]:
        """Of the calls: how many were `taken` from the inputs, are `done`, and of those have `failed`."""
        return {"taken": self._taken, "done": self._done, "failed": self._failed}

    def cancel(self, indices: list[int] | None = None, *, force: bool = False) -> int:
        """All calls, or those: what has not begun never does. force: what runs is ended. How many were told that they are."""
        if indices is None:
            self._exhausted = self._over = True
        elif self._stream is not None:
            self._listen()
        running = self._stream if self._stream is not None else self._running
        if indices is not None:
            indices = [index for index in indices if not self._has(index)]
            if not indices:
                return 0
        if running is not None:
            running.cancel(indices, force=force)
        elif indices is not None:  # it does not run yet
            of = self.callset_id
            self._tell([Completion(i, error=CallCancelled(f"call {i} of {of} was cancelled")) for i in indices])
        return self._taken - self._done if indices is None else len(indices)

    def close(self) -> None:
        """Ends what runs, and lets go of all that is held."""
        self._over = True
        _called_for.discard(self)
        for each in (self._stream, self._running):
            if each is not None:
                each.close()

    def __del__(self) -> None:
        try:
            if self._goes_on():  # what was begun with a future is done, also where nobody keeps that
                _called_for.add(self)
                self._listen()
                return
            self.close()
        except Exception:  # of an interpreter that ends
            pass

    def _goes_on(self) -> bool:
        has_futures = self._running is not None or self._reading is not None
        return has_futures and not self._over and self._done < self._taken

    def __repr__(self) -> str:
        return f"<CallSet {self.callset_id}: {self._done:,} of {self._total if self._total is not None else '?'} done>"


class _Elsewhere(CallSet):
    """What a future is of in a process that has not made it."""

    def __init__(self, callset_id: str, index: int, known: Completion | None) -> None:
        self.callset_id = callset_id
        self._stream = self._running = None
        self._completions = {} if known is None else {index: known}
        self._began, self._total, self._over, self._reading = 0.0, None, True, None
        self._taken = self._done = self._failed = 0
        self._dropped = 0
        self._read = bytearray()

    def _await(self, index: int, timeout: float | None) -> Completion:
        found = self._completions.get(index)
        if found is None:
            raise LookupError(
                f"call {index} of {self.callset_id} belongs to another process, and was not done when its future was pickled: wait "
                "for it there first"
            )
        return found

    def _when_done(self, index: int, call: Callable[[], object]) -> None:
        self._await(index, None)
        _call(call)

    def cancel(self, indices: list[int] | None = None, *, force: bool = False) -> int:
        raise LookupError(f"{self.callset_id} belongs to another process: cancel it there")


def _teller(callset: CallSet) -> Any:
    """That the engine holds no call set alive."""
    me = weakref.ref(callset)

    def tell(completions: Any) -> None:
        there = me()
        if there is not None:
            there._tell(completions)

    return tell


def _call(call: Callable[[], object]) -> None:
    import traceback

    try:
        call()
    except Exception:  # the user's own: it must not end the engine's thread
        traceback.print_exc()


def _least(*seconds: float | None) -> float | None:
    return min((each for each in seconds if each is not None), default=None)
