"""Calls as tasks of another engine of the runtime: a Ray cluster, by the runtime's public verbs alone."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Any

import cloudpickle

from daybreak.base.errors import InvalidArgumentError
from daybreak.runtime import exceptions

from ..engine import Completion
from ..errors import CallCancelled
from ..retrying import Inputs, error_of, with_place
from . import shipped
from .shipping import Shipping, by_value, completion_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..engine import Job, Tell

__all__ = ["TaskEngine"]

_EACH = 2  # calls for each worker that run or wait there
_LOOK_S = 0.2
_CONNECTION = ("address", "num_cpus", "num_gpus", "resources", "namespace", "log_to_driver", "runtime_env")


class TaskEngine:
    """An engine of `map` on whatever engine the runtime has. options: of the tasks, as `daybreak.remote` takes them."""

    name = "tasks"

    def __init__(self, options: dict[str, Any] | None = None) -> None:
        self.options = dict(options or {})
        self._runs: list[TaskRun] = []
        self._lock = threading.Lock()
        self._closed = False

    @classmethod
    def on_ray(cls, config: Any, options: dict[str, Any] | None = None) -> TaskEngine:
        """On a Ray cluster: the one that the runtime is connected to, or that `config` says, as `daybreak.init` takes it
        (address, num_cpus, ...); without it one of this machine.

        Raises:
            InvalidArgumentError: config is no mapping or has something else in it, or the runtime runs on this machine's engine.
        """
        from daybreak import runtime
        from daybreak.runtime import engine

        given = dict(config or {}) if config is None or isinstance(config, dict) else None
        if given is None or set(given) - set(_CONNECTION):
            raise InvalidArgumentError(f"config={config!r}: backend='ray' takes a dict of {', '.join(_CONNECTION)}")
        if not runtime.is_initialized():
            runtime.init(engine="ray", **given)
        elif engine.current() is None:
            raise InvalidArgumentError(
                "backend='ray': the runtime of this process runs on this machine's own engine: call daybreak.shutdown() first, "
                "or leave backend= out"
            )
        made = cls(options)
        made.name = "ray"
        return made

    def start(self, job: Job, tell: Tell) -> TaskRun:
        run = TaskRun(self, job, tell)
        with self._lock:
            if self._closed:
                raise RuntimeError("the executor was closed")
            self._runs = [each for each in self._runs if not each.over] + [run]
        return run

    def slots(self, job: Job) -> int:
        from daybreak.runtime import batch

        return batch._workers({**self.options, **job.options})

    def close(self) -> None:
        with self._lock:
            self._closed = True
            runs, self._runs = self._runs, []
        for run in runs:
            run.close()


class TaskRun:
    """A job: at most twice as many of its calls are with the cluster as can run there."""

    def __init__(self, engine: TaskEngine, job: Job, tell: Tell) -> None:
        from daybreak.runtime import put, remote

        self.engine, self.job, self._tell = engine, job, tell
        self._inputs = Inputs(job)
        self._changed = threading.Condition(threading.RLock())
        self._waiting: list[int] = []
        self._refs: dict[Any, int] = {}
        self._tries: dict[int, int] = {}
        self._put = put
        self._work: Any = None
        self._ref: Any = None
        options = {**engine.options, **job.options, "max_retries": 0}
        if job.memory is not None:
            options["memory"] = job.memory
        self._call = remote(by_value(shipped.call)).options(**options)
        self._most = _EACH * engine.slots(job)
        self._shipping = Shipping(job, limits=True)
        self._cancelled = self._closed = self.over = False
        self._thread: threading.Thread | None = None

    @property
    def taken(self) -> int:
        return self._inputs.taken

    def is_running(self, index: int) -> bool:
        return index in list(self._refs.values())

    def take(self, most: int) -> int:
        before = self._inputs.taken
        problem: BaseException | None = None
        fresh: list[tuple[int, Any]] = []
        try:
            for value in itertools.islice(self._inputs, 0 if self._cancelled else most):
                fresh.append((before + len(fresh), value))
        except BaseException as error:
            problem = error
        with self._changed:
            for index, value in fresh:
                self._inputs.kept[index] = value
                self._waiting.append(index)
            self._changed.notify()
            if self._thread is None and fresh:
                self._thread = threading.Thread(target=self._look, name="daybreak-map-tasks", daemon=True)
                self._thread.start()
        if problem is not None:
            raise problem
        return self._inputs.taken - before

    def _hand_on(self) -> list[Completion]:
        """With the lock: as many as there is room for."""
        room = max(0, self._most - len(self._refs))
        wanted, self._waiting = self._waiting[:room], self._waiting[room:]
        indices, items, failed = self._shipping.dumped((index, self._inputs.kept[index]) for index in wanted)
        if indices:
            work = self._shipping.work()
            if self._work is not work:
                self._work, self._ref = work, self._put(cloudpickle.dumps(work))
            for index, item in zip(indices, items, strict=True):
                self._tries[index] = self._tries.get(index, 0) + 1
                self._refs[self._call.remote(self._ref, item)] = index
        for each in failed:
            self._inputs.kept.pop(each.index, None)
        return failed

    def _look(self) -> None:
        from daybreak.runtime import wait

        while True:
            with self._changed:
                while not self._closed and not self._refs and not self._waiting:
                    self._changed.wait()
                if self._closed:
                    return
                try:
                    told = self._hand_on()
                except Exception as error:  # the cluster is gone, or a module of the caller cannot be shipped
                    told = [self._ended(index, error) for index in [*self._waiting, *self._inputs.kept]]
                    self._waiting.clear()
                    self._refs.clear()
                refs = list(self._refs)
            if told:
                self._tell(told)
            done = wait(refs, num_returns=1, timeout=_LOOK_S)[0] if refs else []
            if done and len(refs) > 1:
                done = wait(refs, num_returns=len(refs), timeout=0)[0]
            told = [each for ref in done for each in self._arrived(ref)]
            if told:
                self._tell(told)

    def _arrived(self, ref: Any) -> list[Completion]:
        from daybreak.runtime import get

        with self._changed:
            index = self._refs.pop(ref, None)
        if index is None:
            return []
        tries = self._tries[index]
        try:
            value = get(ref)
        except Exception as error:
            with self._changed:
                died = isinstance(error, (exceptions.WorkerCrashedError, exceptions.OutOfMemoryError))
                if died and not self._cancelled and (self.job.retries < 0 or tries <= self.job.retries):
                    self._waiting.append(index)
                    return []
                return [self._ended(index, error_of(self.job, index, error, tries))]
        with self._changed:
            found = completion_of(self.job, index, value, tries, lambda i: (self._inputs.kept[i],))
            self._inputs.kept.pop(index, None)
            return [found]

    def _ended(self, index: int, error: BaseException) -> Completion:
        kept = self._inputs.kept.pop(index, None)
        return Completion(index, error=with_place(error, self.job, index), input=(kept,))

    def cancel(self, indices: Sequence[int] | None = None, *, force: bool = False) -> None:
        from daybreak.runtime import cancel

        with self._changed:
            if indices is None:
                self._cancelled = True
            wanted = set(self._waiting if indices is None else indices) & set(self._waiting)
            self._waiting = [index for index in self._waiting if index not in wanted]
            running = [(ref, i) for ref, i in self._refs.items() if indices is None or i in set(indices)]
            told = [
                self._ended(index, CallCancelled(f"call {index} of {self.job.callset_id} was cancelled"))
                for index in sorted(wanted)
            ]
        for ref, _ in running:
            cancel(ref, force=force)  # what has begun goes on without force; its result is told
        if told:
            self._tell(told)

    def counts(self) -> tuple[int, int]:
        with self._changed:
            return len(self._waiting), len(self._refs)

    def close(self) -> None:
        from daybreak.runtime import cancel

        with self._changed:
            if self._closed:
                return
            self._closed = self._cancelled = self.over = True
            refs = list(self._refs)
            self._refs.clear()
            self._waiting.clear()
            self._inputs.kept.clear()
            self._changed.notify_all()
        for ref in refs:
            try:
                cancel(ref, force=True)
            except Exception:  # it has ended, or the cluster has
                pass
