"""Worker processes that take calls from one queue: what the pools, the executor and the joblib backend stand on.

Each worker is an actor that needs no CPU. One thread of the submitting process hands the calls out and settles them; everything
that a `Call` is told happens on that thread. Only the public verbs are used, so that this runs on every engine.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
import traceback
from collections import deque

from daybreak._core import runtime as _native
from daybreak.runtime import engine as _engine
from daybreak.runtime import exceptions, get, init, is_initialized, kill, put, remote, wait
from daybreak.runtime.batch import go_on_with
from daybreak.runtime.engines.ray_actors import DONE, RAISED, UNREADABLE
from daybreak.runtime.engines.ray_actors import Worker as _WorkerOnRay
from daybreak.runtime.futures import ring

from .together import Together

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Call", "CallSet", "Unreadable", "Workers", "ensure_runtime", "logical_cpus", "rebuilt"]

_MAX_GONE = 64  # ended workers whose references are kept until somebody looks
_LOOK_EVERY_S = 0.01  # for what is new, on an engine whose waits cannot be ended
_LEAVE_S = 5.0  # for a worker that has been told to end; then it is killed
_SHUT_DOWN = "the runtime was shut down, and its workers with it: make new ones"


class Unreadable(Exception):
    """A call or its result could not be unpickled where it was needed."""


class _Worker:
    """In the actor, on this machine's engine: runs one call after the other, or chunks of call sets."""

    def __init__(self, setup: list[Any]) -> None:
        import multiprocessing

        multiprocessing.current_process().authkey = setup[0]  # proxies of a Manager there work here
        initializer, initargs = get(setup[1])
        if initializer is not None:
            initializer(*initargs)

    run_chunk = staticmethod(_native.run_chunk)

    def pid(self) -> int:
        import os

        return os.getpid()

    def run(self, payload: list[Any]) -> tuple[int, Any]:
        """What came of a call; it never raises. The result lies in an object of its own, so that one that does not unpickle is
        told from a call that raised."""
        try:
            function, args, kwargs = get(payload.pop())
        except BaseException as error:
            return UNREADABLE, f"{type(error).__name__}: {error}"
        try:
            return DONE, put(function(*args, **kwargs))
        except BaseException as error:
            if error.__traceback__ is not None:
                error.__traceback__ = error.__traceback__.tb_next  # without this frame
            return RAISED, exceptions._to_payload(_as_pickle_said(error), "", function)


def _as_pickle_said(error: BaseException) -> BaseException:
    """The exception that pickling raised, in place of ours that explains it: a PicklingError, or what the user's code raised."""
    cause = error.__cause__
    return error if cause is None or type(error) is not TypeError or type(cause) is TypeError else cause


def rebuilt(payload: dict[str, Any], remote_traceback: Any) -> BaseException:
    """The exception of a call. remote_traceback: the class of its cause, made of the worker's traceback."""
    cause, note = exceptions._load_cause(payload)
    text = payload["traceback"] + note
    if cause is None:
        return exceptions._task_error(payload["function"], text, payload["pid"], None)
    cause.__cause__ = remote_traceback(f'\n"""\n{text}"""')
    return cause


class Call:
    """A call of a function, and what becomes of it.

    depth: how many calls may wait in the worker that takes it. 1: it is taken by a worker that is idle.
    """

    def __init__(self, function: Callable[..., Any], args: Any = (), kwargs: Any = None, depth: int = 1) -> None:
        self.task: tuple[Any, Any, Any] | None = (function, args, kwargs or {})
        self.depth = depth

    def start(self) -> bool:
        """A worker takes it now. False: nobody wants it any more."""
        return True

    def cancel(self) -> None:
        """Nobody will take it; see `Workers.cancel_pending`."""

    def succeed(self, value: Any) -> None:
        raise NotImplementedError

    def fail(self, error: BaseException) -> None:
        raise NotImplementedError

    def unpicklable(self, error: BaseException) -> None:
        """The function or an argument could not be pickled."""
        self.fail(error)

    def raised(self, payload: dict[str, Any]) -> None:
        """The function raised; the payload is for `rebuilt`."""
        raise NotImplementedError


class CallSet(Call):
    """Calls of one function over many inputs (batch.py), for which workers are taken as they have nothing else to do, one
    after the other, until all calls have begun. It waits its turn as a call does."""

    def __init__(self, calls: Any) -> None:
        super().__init__(None, ())  # type: ignore[arg-type]
        self.calls = calls
        self.cancelled = False  # what had not begun, by whom it may be
        self.lent: list[_Seat | None] = []  # by the number of the lane; None: it was given back

    def waits(self) -> bool:
        """Whether there are calls that have not begun, nor lie with a worker."""
        return bool(self.calls.waiting())

    def lend(self, seat: _Seat) -> None:
        seat.calls.append(self)
        self.lent.append(seat)
        self.calls.add_actor(seat.actor)

    def why_lost(self) -> BaseException:
        return exceptions.ActorDiedError("a worker has died with calls of a map")

    def cancel(self) -> None:
        self.cancelled = True
        self.calls.cancel(False)

    def fail(self, error: BaseException) -> None:
        self.calls.cancel(False)


class _Seat:
    """A worker as the submitting process sees it."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.pid = actor.pid.remote()  # the first call: it is there as soon as the initializer has run
        self.calls: list[Call] = []
        self.taken = 0


def logical_cpus() -> int:
    """Of the runtime, which is started when it is not running."""
    from daybreak.runtime import cluster_resources

    ensure_runtime()
    return int(cluster_resources().get("CPU", 0))


def ensure_runtime(num_cpus: int | None = None, address: str | None = None) -> None:
    if not is_initialized():
        init(address, num_cpus=num_cpus)


class Workers:
    """Up to `count` workers and the calls that wait for them.

    Args:
        count: of workers.
        initializer, initargs: called in each worker before its first call.
        calls_each: a worker ends after so many calls, and another takes its place. None: never.
        options: of the actors.
        eager: all workers start at once; else one starts when a call finds none that is idle.
        together: calls that are short are handed on together. When a worker dies with some, those that it had begun fail.
        broken: makes the exception that all calls get when a worker is lost; None: only those of that worker fail, with the
            reason, and another takes its place.
    """

    def __init__(
        self,
        count: int,
        *,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        calls_each: int | None = None,
        options: dict[str, Any] | None = None,
        eager: bool = False,
        together: bool = False,
        broken: Callable[[BaseException], BaseException] | None = None,
    ) -> None:
        self._count = count
        self._class = remote(_WorkerOnRay if _engine.is_ray() else _Worker).options(
            **{"num_cpus": 0, **(options or {})}
        )
        self._setup = [bytes(multiprocessing.current_process().authkey), put((initializer, initargs))]
        self._calls_each = calls_each
        self._eager = eager
        self._make_broken = broken
        self._hands_on_together = together and calls_each is None and _engine.current() is None
        self._life = _native._life()
        self._lock = threading.Lock()  # of what follows, to `_stopped`
        self._pending: deque[Call] = deque()
        self._full = False  # no worker can take another call before one is done
        self._news = False  # something changed since the thread looked
        self._bell: Any = None  # what the thread waits for beside its calls; ready when something is new
        self._cancel = False
        self._closed = False
        self._stopped: Callable[[], BaseException] | None = None  # set: what waits and what runs fails with it
        self._seats: list[_Seat] = []  # these are the thread's
        self._running: dict[Any, tuple[_Seat, Call]] = {}  # by the reference of the result
        self._together: Together | None = None
        self._sets: list[CallSet] = []  # that workers are lent to
        self._gone: list[Any] = []  # references of workers that were told to end
        self._thread: threading.Thread | None = None
        if eager:
            self._fill()
            self.start_thread()

    # ---- any thread

    def start_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="daybreak-workers", daemon=True)
            self._thread.start()

    def submit(self, call: Call) -> bool:
        """False: no calls are taken any more, and the call has been told nothing."""
        with self._lock:
            if self._closed or self._stopped is not None:
                return False
            self._pending.append(call)
            self.start_thread()
            full = self._full
        if not full:
            self._wake()
        return True

    def _wake(self) -> None:
        with self._lock:
            self._news = True
            bell, self._bell = self._bell, None
        ring(bell)

    @property
    def stopped(self) -> Callable[[], BaseException] | None:
        """Makes the exception that every call gets, once `stop` was called or a worker was lost that breaks all."""
        return self._stopped

    def usable(self) -> bool:
        """Whether calls are taken: not closed, not stopped, and of the runtime that is running."""
        return not self._closed and self._stopped is None and self._runtime_is_there()

    def close(self) -> None:
        """What was submitted is still done; then the workers end."""
        with self._lock:
            self._closed = True
        self._wake()

    def cancel_pending(self) -> None:
        """The calls that find no idle worker are told that they are cancelled."""
        with self._lock:
            self._cancel = True
        self._wake()

    def stop(self, error: Callable[[], BaseException]) -> None:
        """Kills the workers. Every call that is not done fails."""
        with self._lock:
            self._closed = True
            self._stopped = self._stopped or error
        self._wake()

    def join(self, timeout: float | None = None) -> None:
        """Waits until all calls are done and all workers have ended, after `close` or `stop`."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def await_ready(self) -> None:
        """Waits for the initializers of the workers that have been started; raises what one of them raised."""
        get([seat.pid for seat in self._seats])

    def pids(self) -> list[int]:
        """Of the workers that have been started, once their initializers have run."""
        return list(get([seat.pid for seat in list(self._seats)]))

    # ---- the thread of its own

    def _run(self) -> None:
        try:
            while True:
                self._dispatch()
                if self._cancel:
                    self._cancel = False
                    for call in [*self._take_pending(), *self._sets]:
                        call.cancel()
                if self._over():
                    break
                self._settle_what_comes()
        except BaseException as error:
            text = (
                f"the workers cannot go on: {type(error).__name__}: {error}" if self._runtime_is_there() else _SHUT_DOWN
            )
            self.stop(lambda: RuntimeError(text))
            self._abort()
            for _, call in self._running.values():
                self._tell(call.fail, RuntimeError(text))
        finally:
            if self._together is not None:
                self._together.calls.close()
            self._release()

    def _settle_what_comes(self) -> None:
        """Waits until a call is done or something is new."""
        with self._lock:
            if not self._news and self._bell is None and _engine.current() is None:
                self._bell = _native._reserve()
            news, self._news, bell = self._news, False, self._bell
        refs = list(self._running)
        together = self._together
        if together is not None and together.lent:
            refs += together.calls.refs()
        if together is not None and together.has_results():  # collected when something was handed on
            news = True
        if not news and bell is not None:
            wait([*refs, bell], num_returns=1)
        elif not news:
            wait(refs, timeout=_LOOK_EVERY_S) if refs else time.sleep(_LOOK_EVERY_S)
        for ref in wait(refs, num_returns=len(refs), timeout=0)[0] if refs else ():
            if ref in self._running:
                self._settle(ref)
        if together is not None:
            self._settle_together(together)

    def _settle_together(self, together: Together) -> None:
        together.calls.pump()
        for number, how, content in together.calls.read_ready():
            call = together.open.pop(number)
            if how == 0:
                self._tell(call.succeed, content)
            elif how == 1:
                self._tell(call.raised, content)
            else:
                if not isinstance(content, (Unreadable, exceptions.Error)):
                    text = f"the result of a call could not be unpickled: {type(content).__name__}: {content}"
                    content = Unreadable(text)
                self._tell(call.fail, self._broken_by(content))

    def _over(self) -> bool:
        with self._lock:
            waits = self._pending or self._running or self._sets or (self._together is not None and self._together.open)
            return self._closed and not waits

    def _take_back(self) -> None:
        """Workers of call sets that have nothing more for them; a worker that was lost breaks what it breaks."""
        if self._together is not None:
            for seat in self._together.take_back()[1]:
                if seat in self._seats:
                    self._seats.remove(seat)
        for each in list(self._sets):
            for lane, chunks in enumerate(each.calls.lanes()):
                seat = each.lent[lane]
                if seat is None or (chunks > 0 or (chunks == 0 and (each.waits() or not each.calls.retire(lane)))):
                    continue
                each.lent[lane] = None
                seat.calls.remove(each)
                if chunks < 0 and seat in self._seats:
                    self._seats.remove(seat)
                    self._broken_by(each.why_lost())
            if not any(each.lent) and not each.waits():
                self._sets.remove(each)
                each.calls.on_done = None  # which knows the set, which knows the calls

    def _fill(self) -> None:
        while len(self._seats) < self._count:
            self._seats.append(_Seat(self._class.remote(self._setup)))

    def _runtime_is_there(self) -> bool:
        return is_initialized() and _native._life() == self._life

    def _dispatch(self) -> None:
        if not self._runtime_is_there():
            self.stop(lambda: RuntimeError(_SHUT_DOWN))
        with self._lock:
            stopped, closed = self._stopped, self._closed
        if stopped is not None:
            self._abort()
            return
        self._take_back()
        if self._eager and not closed:
            self._fill()
        while True:
            with self._lock:
                self._full = False
                if not self._pending:
                    break
                first = self._pending[0]
                if isinstance(first, CallSet) and not first.waits():
                    self._pending.popleft()
                    continue
                seat = self._seat_for(first)
                if seat is None:
                    self._full = True
                    return
                together = self._hands_on_together and not isinstance(first, CallSet)
                call = first if together or isinstance(first, CallSet) else self._pending.popleft()
            if together:
                self._hand_together(seat)
            elif isinstance(call, CallSet):
                self._lend(call, seat)
            elif call.start():
                self._hand(call, seat)
        self._share_out()

    def _share_out(self) -> None:
        """Workers that have nothing to do get calls that lie with others and have not begun."""
        together = self._together
        idle = [seat for seat in self._seats if not seat.calls]
        if together is None or not together.has_more():
            return
        if not idle and together.calls.waiting() and len(self._seats) < self._count:
            idle = [_Seat(self._class.remote(self._setup))]
            self._seats += idle
        for seat in idle:
            together.lend(seat)
        if idle:
            together.calls.pump()
            self._take_back()

    def _seat_for(self, call: Call) -> _Seat | None:
        usable = [seat for seat in self._seats if self._calls_each is None or seat.taken < self._calls_each]
        best = min(usable, key=lambda seat: len(seat.calls), default=None)
        if best is not None and not best.calls:
            return best
        if len(self._seats) < self._count:
            self._seats.append(_Seat(self._class.remote(self._setup)))
            return self._seats[-1]
        return best if best is not None and len(best.calls) < call.depth else None

    def _hand_together(self, seat: _Seat) -> None:
        together = self._together = self._together or Together()
        together.lend(seat)
        most, taken = together.room(), list[Call]()
        others = sum(not each.calls for each in self._seats) + self._count - len(self._seats)
        with self._lock:
            most = min(most, -(-len(self._pending) // (1 + others)))  # as many for each that has nothing to do
            while self._pending and len(taken) < most and not isinstance(self._pending[0], CallSet):
                taken.append(self._pending.popleft())
        for call, error in together.hand([call for call in taken if call.start()]):
            self._tell(call.unpicklable, _as_pickle_said(error))
        self._take_back()  # of which none may have been wanted

    def _lend(self, calls: CallSet, seat: _Seat) -> None:
        if calls not in self._sets:
            self._sets.append(calls)
        calls.lend(seat)
        go_on_with(calls.calls)

    def _hand(self, call: Call, seat: _Seat) -> None:
        try:
            payload = put(call.task)
        except BaseException as error:
            self._tell(call.unpicklable, _as_pickle_said(error))
            return
        call.task = None  # what it was called with may be freed
        seat.calls.append(call)
        seat.taken += 1
        self._running[seat.actor.run.remote([payload])] = (seat, call)

    def _settle(self, ref: Any) -> None:
        seat, call = self._running.pop(ref)
        seat.calls.remove(call)
        try:
            kind, content = get(ref)
        except BaseException as lost:
            if seat in self._seats:
                self._seats.remove(seat)  # its other calls come here, too
            self._tell(call.fail, self._broken_by(lost))
            return
        if kind == DONE:
            try:
                value = get(content)
            except BaseException as error:
                text = f"the result of a call could not be unpickled: {type(error).__name__}: {error}"
                self._tell(call.fail, self._broken_by(Unreadable(text)))
            else:
                self._tell(call.succeed, value)
        elif kind == RAISED:
            self._tell(call.raised, content)
        else:
            self._tell(call.fail, self._broken_by(Unreadable(f"a worker could not unpickle a call: {content}")))
        if self._calls_each is not None and seat.taken >= self._calls_each and not seat.calls and seat in self._seats:
            self._retire(seat)

    def _retire(self, seat: _Seat) -> None:
        self._seats.remove(seat)
        if len(self._gone) >= _MAX_GONE:
            self._gone = wait(self._gone, num_returns=len(self._gone), timeout=0)[1]
        self._gone.append(seat.actor.__ray_terminate__.remote())

    def set_went_on(self, calls: CallSet) -> None:
        """On the thread of the call sets: a worker of it may be free."""
        if not calls.waits():
            self._wake()

    def broken_by(self, error: BaseException) -> BaseException:
        """What a call of a set gets that was lost."""
        return self._broken_by(error)

    def _broken_by(self, error: BaseException) -> BaseException:
        """What the call gets that was lost; where one loss breaks all, it does so here."""
        if self._stopped is None and self._make_broken is not None:
            make = self._make_broken
            self.stop(lambda: make(error))
        return self._stopped() if self._stopped is not None else error

    def _take_pending(self) -> list[Call]:
        with self._lock:
            taken, self._pending = list(self._pending), deque()
        return taken

    def _abort(self) -> None:
        """Fails what waits and kills the workers; what they run comes to `_settle` then."""
        stopped = self._stopped
        assert stopped is not None
        for call in self._take_pending():
            if call.start():
                self._tell(call.fail, stopped())
        together, self._together = self._together, None
        if together is not None:
            for call in together.open.values():
                self._tell(call.fail, stopped())
            together.calls.close()
        for each in self._sets:
            self._tell(each.fail, stopped())
            each.calls.on_done = None
        self._sets.clear()
        for seat in self._seats:
            self._kill(seat)
        self._seats.clear()

    def _kill(self, seat: _Seat) -> None:
        if self._runtime_is_there():
            try:
                kill(seat.actor)
            except Exception:  # it has ended already
                pass

    def _release(self) -> None:
        """The workers end; those that do not, are killed."""
        if self._runtime_is_there():
            try:
                if self._stopped is None:
                    self._gone += [seat.actor.__ray_terminate__.remote() for seat in self._seats]
                    ended = wait(self._gone, num_returns=len(self._gone), timeout=_LEAVE_S)[0] if self._gone else []
                    if len(ended) < len(self._gone):
                        for seat in self._seats:
                            self._kill(seat)
            except Exception:  # of a runtime that is being shut down
                pass
        self._seats.clear()
        self._gone.clear()
        self._wake()  # the bell is not left waiting

    @staticmethod
    def _tell(hook: Callable[[Any], None], content: Any) -> None:
        """What the user hung on it may raise, and must not end the thread."""
        try:
            hook(content)
        except BaseException:
            traceback.print_exc()
