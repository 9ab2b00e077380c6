"""The engine of this machine: call sets of the runtime (runtime/batch.py), run by its workers."""

from __future__ import annotations

import atexit
import queue
import threading
import weakref

from daybreak._core import runtime as _native
from daybreak.runtime import batch as _batch

from .local_calls import Calls, started
from .local_run import LocalRun
from .local_stream import LocalStream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .engine import Job, Tell

__all__ = ["LocalEngine"]

_TICK_S = 0.05  # between two looks at calls that run, where time matters
_LIFE_S = 0.5  # between two looks at whether the runtime is still there: its end rings nobody
_MAX_RUNNERS = 100

_listening: weakref.WeakSet[LocalEngine] = weakref.WeakSet()  # those with a thread


class LocalEngine:
    """Runs calls in the workers of this process's runtime, which is started when it is not there."""

    name = "local"

    def __init__(self, options: dict[str, Any] | None = None) -> None:
        self.options = dict(options or {})
        self._lock = threading.Lock()
        self._news: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._runs: weakref.WeakSet[Any] = weakref.WeakSet()
        self._runners: dict[Any, Any] = {}  # what a chunk's task is, by its name and options: making one takes 0.3 ms
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
        started()
        return _batch._workers(self._checked(job))

    def close(self) -> None:
        self._closed = True
        for run in list(self._runs):
            run.close()
        self._news.put(None)

    def end(self) -> None:
        """Its thread has ended when this returns."""
        self.close()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(5)

    def _checked(self, job: Job) -> dict[str, Any]:
        options = {**self.options, **job.options}
        if job.memory is not None:
            options["memory"] = job.memory
        return _batch._checked(job.function, None, None, 0, options)[1]  # type: ignore[no-any-return]

    def calls(self, job: Job, function: Any, **how: Any) -> Calls:
        from daybreak.runtime.tasks import RemoteFunction, name_of

        checked = self._checked(job)
        name = name_of(job.function)
        kind = (name, repr(sorted(checked.items())), _native._life())
        runner = self._runners.get(kind)
        if runner is None:
            if len(self._runners) >= _MAX_RUNNERS:
                self._runners.clear()
            runner = RemoteFunction(_native.run_chunk, {"name": name, **checked, "max_retries": 0})
            self._runners[kind] = runner
        return Calls(function, runner, _batch._workers(checked), **how)

    # ---- the thread that hears of what is done

    def news_of(self, run: Any) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._hear, name="daybreak-map", daemon=True)
                self._thread.start()
                _listening.add(self)
        self._news.put(run)

    def _hear(self) -> None:
        ticking: set[Any] = set()
        while True:
            try:
                run = self._news.get(timeout=_TICK_S if ticking else _LIFE_S if self._runs else None)
            except queue.Empty:
                run = ticking
                self._fail_of_runtimes_that_ended()
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

    def _fail_of_runtimes_that_ended(self) -> None:
        life = _native._life()
        for each in list(self._runs):
            if each.life != life:
                self._runs.discard(each)
                each.fail_all(RuntimeError("the runtime was shut down"))


@atexit.register
def _end_threads() -> None:
    """An interpreter that is gone ends a thread that asks for it, in the middle of C++: that would abort the process."""
    for engine in list(_listening):
        engine.end()
