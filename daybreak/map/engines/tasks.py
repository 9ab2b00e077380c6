"""A job as tasks of whatever engine the runtime has (a Ray cluster, this process alone), by the public verbs.

Such an engine's workers may have no Daybreak: the function goes there by value, as it is, and a
call's status has what is known here.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque

from daybreak.base.errors import FailedPreconditionError, InvalidArgumentError
from daybreak.map.engine import Completion
from daybreak.map.errors import CallCancelled
from daybreak.map.retrying import Inputs, error_of, with_place
from daybreak.runtime import batch as _batch
from daybreak.runtime import engine as _engine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from daybreak.map.engine import Job, Tell

__all__ = ["TaskEngine"]

_AHEAD = 4  # tasks for each slot that run or wait there
_LOOK_S = 0.2  # how soon a thread that waits sees that there are others to wait for


class TaskEngine:
    """Runs each call as a task."""

    def __init__(self, options: dict[str, Any], name: str = "tasks") -> None:
        self.options, self.name = dict(options), name
        self._runs: weakref.WeakSet[_TaskRun] = weakref.WeakSet()

    @classmethod
    def on_ray(cls, config: Any, options: dict[str, Any]) -> TaskEngine:
        """On the Ray cluster that the runtime is connected to, or is connected now to `config`, its address."""
        from daybreak.runtime import init, is_initialized

        if config is not None and not isinstance(config, str):
            raise InvalidArgumentError(
                f'config={config!r}: for backend="ray" the address of a cluster, "ray://HOST:10001"'
            )
        if not is_initialized():
            init(config) if config is not None else init(engine="ray")
        if not _engine.is_ray():
            raise FailedPreconditionError(
                'backend="ray": the runtime runs already and is not on Ray: daybreak.shutdown(), then executor(backend="ray")'
            )
        return cls(options, "ray")

    def start(self, job: Job, tell: Tell) -> _TaskRun:
        for name in ("timeout", "extra_env", "logs", "pure", "clean", "exclude_modules"):
            if getattr(job, name):
                raise InvalidArgumentError(
                    f"{name}= is not understood by backend={self.name!r}: leave it out, or use the local backend"
                )
        run = _TaskRun(self, job, tell)
        self._runs.add(run)
        return run

    def slots(self, job: Job) -> int:
        return _batch._workers(self.checked(job))

    def checked(self, job: Job) -> dict[str, Any]:
        options = {**self.options, **job.options}
        if job.memory is not None:
            options["memory"] = job.memory
        return _batch._checked(job.function, None, None, 0, options)[1]  # type: ignore[no-any-return]

    def close(self) -> None:
        for run in list(self._runs):
            run.close()


class _TaskRun:
    def __init__(self, engine: TaskEngine, job: Job, tell: Tell) -> None:
        from daybreak.runtime import remote

        self.job, self._tell = job, tell
        self._inputs = Inputs(job)
        self._most = _AHEAD * engine.slots(job)
        self._remote = remote(job.function).options(**{**engine.checked(job), "max_retries": job.retries})
        self._lock = threading.Lock()
        self._waiting: deque[int] = deque()
        self._refs: dict[Any, tuple[int, float]] = {}
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def taken(self) -> int:
        return self._inputs.taken

    def take(self, most: int) -> int:
        before = self._inputs.taken
        try:
            for _ in range(most):
                value = next(self.job.inputs)
                with self._lock:
                    index = self._inputs.taken
                    self._inputs.keep(index, value)
                    self._inputs.taken += 1
                    self._waiting.append(index)
        except StopIteration:
            pass
        finally:
            self._submit()
        return self._inputs.taken - before

    def _submit(self) -> None:
        with self._lock:
            while self._waiting and len(self._refs) < self._most and not self._closed:
                index = self._waiting.popleft()
                value = self._inputs.again(index)
                ref = self._remote.remote(*value) if self.job.star else self._remote.remote(value)
                self._refs[ref] = (index, time.time())
            if self._refs and self._thread is None:
                self._thread = threading.Thread(target=self._hear, name="daybreak-map-tasks", daemon=True)
                self._thread.start()

    def _hear(self) -> None:
        from daybreak.runtime import get, wait

        while True:
            with self._lock:
                refs = list(self._refs)
                if not refs:
                    self._thread = None
                    return
            ready = wait(refs, num_returns=1, timeout=_LOOK_S)[0]
            told = []
            for ref in ready:
                with self._lock:
                    index, since = self._refs.pop(ref, (-1, 0.0))
                if index < 0:
                    continue
                completion = Completion(index, status={"host_submit_time": since, "end_time": time.time()})
                try:
                    completion.value = get(ref)
                except Exception as error:
                    completion.error = with_place(error_of(self.job, index, error, 1), self.job, index)
                    completion.input = self._inputs.of_failed(index)
                self._inputs.forget(index)
                told.append(completion)
            self._submit()
            if told and not self._closed:
                self._tell(told)

    def counts(self) -> tuple[int, int]:
        with self._lock:
            return len(self._waiting), len(self._refs)

    def cancel(self, indices: Sequence[int] | None = None, *, force: bool = False) -> None:
        from daybreak.runtime import cancel

        with self._lock:
            wanted = None if indices is None else set(indices)
            gone = [index for index in self._waiting if wanted is None or index in wanted]
            self._waiting = deque(index for index in self._waiting if index not in set(gone))
            refs = [ref for ref, (index, _) in self._refs.items() if wanted is None or index in wanted]
        for ref in refs:
            cancel(ref, force=force)
        of = self.job.callset_id
        if gone and not self._closed:
            self._tell(
                [Completion(index, error=CallCancelled(f"call {index} of {of} was cancelled")) for index in gone]
            )

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self.cancel(force=True)
            self._inputs.kept.clear()
