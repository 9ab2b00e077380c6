"""References as futures: `ref.future()` and `await ref`. However many there are, one thread waits for all of them."""

from __future__ import annotations

import threading
from concurrent.futures import Future

from .._core import runtime as _native
from .._core.runtime import ObjectRef

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["asyncio_future_of", "await_ref", "call_when_done", "future_of", "ring"]

_IDLE_S = 1.0  # then the thread ends: a new one costs 50 us


def ring(bell: ObjectRef | None) -> None:
    """Ends the wait of a thread that waits for this reserved reference with others."""
    if bell is not None:
        try:
            _native._abandon(bell)
        except Exception:  # of a runtime that has been shut down meanwhile: the wait has ended
            pass


class _Waiter:
    """The futures that are not done, and the thread that waits for their references."""

    def __init__(self) -> None:
        # Reentrant: the collector may drop the last hold on a future, which is cancelled then, wherever it runs.
        self._lock = threading.RLock()
        self._more = threading.Condition(self._lock)
        self._pending: dict[ObjectRef, list[Future[Any]]] = {}
        self._thread: threading.Thread | None = None
        self._bell: ObjectRef | None = None  # waited for with the others; made ready when those have changed

    def add(self, ref: ObjectRef, future: Future[Any]) -> None:
        with self._lock:
            self._pending.setdefault(ref, []).append(future)
            self._ring()
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="daybreak-futures", daemon=True)
                self._thread.start()
        future.add_done_callback(lambda done: self._forget(ref, done))

    def _forget(self, ref: ObjectRef, future: Future[Any]) -> None:
        """Nobody waits any more: the reference is not kept for a future that was cancelled."""
        with self._lock:
            waiting = self._pending.get(ref, [])
            if future in waiting:
                waiting.remove(future)
                if not waiting:
                    del self._pending[ref]
                    self._ring()

    def _ring(self) -> None:
        self._more.notify()
        bell, self._bell = self._bell, None
        ring(bell)

    def _run(self) -> None:
        while True:
            refs: list[ObjectRef] = []
            try:
                with self._lock:
                    if not self._pending:
                        self._more.wait(_IDLE_S)
                    if not self._pending:
                        self._thread = None
                        return
                    refs = list(self._pending)
                    bell = self._bell = _native._reserve()
                _native.wait([*refs, bell], num_returns=1)
                with self._lock:
                    if self._bell is not None:
                        self._ring()
                ready = _native.wait(refs, num_returns=len(refs), timeout=0)[0]
            except Exception as error:
                self._fail(refs, error)
                continue
            self._settle_all(ready)
            del refs, ready, bell  # while this thread sleeps it holds nothing

    def _settle_all(self, ready: list[ObjectRef]) -> None:
        for ref in ready:
            with self._lock:
                futures = self._pending.pop(ref, [])
            for future in futures:
                _settle(ref, future)

    def _fail(self, refs: list[ObjectRef], error: Exception) -> None:
        """The runtime has been shut down. A reference of the next one is tried again."""
        if isinstance(error, ValueError):  # it was over before the wait began
            error = RuntimeError("the runtime was shut down while this future waited")
        with self._lock:
            self._bell = None
            failed = [future for ref in refs for future in self._pending.pop(ref, [])]
        for future in failed:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)


def _settle(ref: ObjectRef, future: Future[Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        value = _native.get(ref)
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(value)


_waiter = _Waiter()


def future_of(ref: ObjectRef) -> Future[Any]:
    """A concurrent.futures.Future for a reference. Its callbacks run on the thread that waits for all of them: they must
    not wait for another future."""
    future: Future[Any] = Future()
    if _native.wait([ref], timeout=0)[0]:
        _settle(ref, future)
    else:
        _waiter.add(ref, future)
    return future


def asyncio_future_of(ref: ObjectRef) -> Any:
    """An asyncio.Future of the running loop."""
    import asyncio

    return asyncio.wrap_future(future_of(ref))


def await_ref(ref: ObjectRef) -> Any:
    """What `await ref` iterates over."""
    return asyncio_future_of(ref).__await__()


def call_when_done(ref: ObjectRef, callback: Any) -> None:
    """Calls it with the value or the exception, on the thread that waits for all."""

    def call(future: Future[Any]) -> None:
        error = future.exception()
        callback(future.result() if error is None else error)

    future_of(ref).add_done_callback(call)
