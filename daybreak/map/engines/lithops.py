"""Our map on Lithops' back ends: functions of AWS, GCP, Azure, IBM, Aliyun, Oracle, Kubernetes, or processes of this machine.

What Lithops' monitor hears of a call is handed on at once: by its message queues (redis, rabbitmq, ...) as it comes, by its storage
as often as that is listed. Each `take` is one job of Lithops under an id of its own; the first result of a call wins, whatever is
heard later. No call is waited for without end: what has not been heard of for its time limit and `start_timeout` more is lost, and
is run again or ends in an error.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import queue
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from daybreak.base import numbers, paths
from daybreak.base.errors import FailedPreconditionError, InvalidArgumentError
from daybreak.base.options import checked

from ..clouds.plan import Spending
from ..engine import Completion
from ..errors import CallCancelled, CallTimeout, WorkerDied
from ..retrying import Inputs, with_place
from .shipping import Shipping, completion_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..engine import Job, Tell

__all__ = ["LithopsEngine", "configuration"]

START_TIMEOUT_S = (
    600.0  # beyond a call's time limit: for what waits in a queue of the cloud, and for an image to be pulled
)
_LOOK_S = 0.5  # between two looks for calls that are lost
_LOST_S = 2.0  # a process that is gone has said its last word by then
_READERS = 16
_MIB = 1 << 20


def configuration(config: Any) -> dict[str, Any]:
    """A dict as it is given, or read from a YAML file; None: what Lithops finds by itself, as text and files say.

    Raises:
        FailedPreconditionError: Lithops is not installed.
        InvalidArgumentError: it is no dict and no path, or the file holds something else.
    """
    _lithops()
    from lithops.config import load_config, load_yaml_config

    if config is None:
        return dict(load_config(log=False))
    if isinstance(config, dict):
        return dict(config)
    path = paths.given(config, "config")
    paths.read(path, 1 << 20)  # which says what is wrong with the file
    found = load_yaml_config(path)
    if not isinstance(found, dict):
        raise InvalidArgumentError(f"config={path}: Lithops' configuration is a mapping of sections, this is none")
    return found


def _of_this_interpreter(config: dict[str, Any]) -> dict[str, Any]:
    """Lithops' `localhost` takes the first python3 of the PATH, which need not have what this one has."""
    common = config.get("lithops") or {}
    if "localhost" in (common.get("backend"), common.get("mode")):
        section = {"runtime": sys.executable, **(config.get("localhost") or {})}
        return {**config, "localhost": section}
    return config


def _lithops() -> Any:
    try:
        import lithops
    except ImportError as error:
        raise FailedPreconditionError(
            f"backend='lithops' needs Lithops 3.8 or later ({error}): pip install 'daybreak[lithops]'"
        ) from None
    return lithops


@contextlib.contextmanager
def _session_of_its_own() -> Iterator[None]:
    """Lithops counts executors in the environment, which child processes inherit: the child's first and the next one here would
    have one id, and read each other's results from the storage."""
    from lithops.constants import SESSION_ID_ENV, TOTAL_EXECUTORS_ENV

    before = {name: os.environ.pop(name, None) for name in (SESSION_ID_ENV, TOTAL_EXECUTORS_ENV)}
    os.environ[SESSION_ID_ENV] = uuid.uuid4().hex[:12]
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


_OPTIONS = {
    "max_cost": lambda name, value: numbers.real(value, name, minimum=0, finite=True),
    "seconds": lambda name, value: numbers.real(value, name, minimum=1e-6, finite=True),
    "prices": lambda name, value: value,
    "start_timeout": lambda name, value: numbers.real(value, name, minimum=0.1, finite=True),
}


class LithopsEngine:
    """An engine of `map`. Options: max_cost (of all calls, in the price table's currency; more is refused before it is submitted),
    seconds (that a call takes, for that; without it, its time limit), prices (a table, see clouds.prices), start_timeout."""

    name = "lithops"

    def __init__(self, config: Any = None, options: dict[str, Any] | None = None) -> None:
        given = checked(options or {}, _OPTIONS, "backend='lithops'")
        self._start_timeout = float(given.get("start_timeout") or START_TIMEOUT_S)
        self._config = _of_this_interpreter(configuration(config))
        self._max_cost, self._seconds, self._prices = given.get("max_cost"), given.get("seconds"), given.get("prices")
        self._lock = threading.RLock()
        self._made: Any = None
        self._news: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._runs: dict[str, LithopsRun] = {}  # by the key of a job of Lithops
        self._thread: threading.Thread | None = None
        self._closed = False
        self.spending: Spending | None = None

    # ---- Lithops' executor

    def executor(self) -> Any:
        """Lithops' own, made when it is first needed.

        Raises:
            FailedPreconditionError: it cannot be made as the configuration says.
        """
        with self._lock:
            if self._closed:
                raise RuntimeError("the executor was closed")
            if self._made is None:
                self._made = self._make()
        return self._made

    def _make(self) -> Any:
        lithops = _lithops()
        common = self._config.get("lithops") or {}
        if "daybreak" in (common.get("backend"), common.get("monitoring"), common.get("storage")):
            from ..lithops_backend import install

            install()
        try:
            with _session_of_its_own():
                made = lithops.FunctionExecutor(config=self._config, log_level=None)
        except Exception as error:
            raise FailedPreconditionError(
                f"Lithops cannot use the back end {common.get('backend')!r}: {type(error).__name__}: {error}; "
                f"`daybreak map doctor --backend {common.get('backend')}` says what is missing"
            ) from error
        made.data_cleaner = False  # this engine deletes what it leaves
        news, heard = self._news, made.job_monitor.MonitorClass

        class Heard(heard):  # type: ignore[misc, valid-type]
            """Lithops' monitor, which says of each call that it is done as soon as it knows."""

            def _mark_ready(self, future: Any, call_status: Any, outcome: Any = None) -> Any:
                try:
                    return super()._mark_ready(future, call_status, outcome)
                finally:
                    news.put(future)

            def _check_new_futures(self, call_status: Any, f: Any) -> Any:
                return False  # a result is bytes of ours, and no future of Lithops

        made.job_monitor.MonitorClass = Heard
        self.spending = Spending(made.backend, made.config, self._prices, self._max_cost, self._seconds)
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="daybreak-map-lithops-read")
        self._thread = threading.Thread(target=self._hear, name="daybreak-map-lithops", daemon=True)
        self._thread.start()
        return made

    # ---- an engine

    def start(self, job: Job, tell: Tell) -> LithopsRun:
        if job.options:
            raise InvalidArgumentError(f"backend='lithops': {', '.join(job.options)}: no option of a cloud's call")
        return LithopsRun(self, job, tell)

    def slots(self, job: Job) -> int:
        made = self.executor()
        workers = int(made.invoker.max_workers or 1)
        section = made.config.get(made.backend) or {}
        return max(1, workers * int(section.get("worker_processes") or 1))

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            made = self._made
        for run in list(self._runs.values()):
            run.close()
        self._news.put(None)
        if made is None:
            return
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(10)
        self._readers.shutdown(wait=True, cancel_futures=True)
        made.__exit__(None, None, None)
        # Of jobs, PREFIX/EXECUTOR-JOB/...; of functions, PREFIX/EXECUTOR/...
        self._delete(f"{made.executor_id}-", f"{made.executor_id}/")

    def _delete(self, *prefixes: str) -> None:
        """What Lithops has left in the storage. It has a process of its own for that, which comes later or not at all."""
        from lithops.constants import JOBS_PREFIX

        storage = self._made.internal_storage.storage
        try:
            for prefix in prefixes:
                keys = storage.list_keys(storage.bucket, prefix=f"{JOBS_PREFIX}/{prefix}")
                if keys:
                    storage.delete_objects(storage.bucket, keys)
        except Exception as error:
            print(
                f"daybreak: {storage.backend}: what is below {JOBS_PREFIX}/{prefixes[0]} could not be deleted "
                f"({type(error).__name__}): `daybreak map clean` lists it",
                file=sys.stderr,
            )

    def submit(self, run: LithopsRun, function: Any, indices: list[int], items: list[bytes]) -> None:
        """One job of Lithops. With its futures known before any of their news is looked at."""
        made, job = self.executor(), run.job
        if self.spending is not None:
            self.spending.check(len(items), sum(map(len, items)), job.memory, job.timeout)
        memory = None if job.memory is None else max(1, math.ceil(job.memory / _MIB))
        with self._lock:
            futures = list(
                made.map(
                    function,
                    items,
                    extra_env=dict(job.extra_env) or None,
                    runtime_memory=memory,
                    timeout=job.timeout and max(1, math.ceil(job.timeout)),
                    include_modules=None,
                )
            )
            run.submitted(futures, indices)
            self._runs[futures[0].job_key] = run

    def forget(self, futures: list[Any]) -> None:
        """A job of Lithops has ended: what it left in the storage is deleted."""
        made = self._made
        with self._lock:
            self._runs.pop(futures[0].job_key, None)
            gone = set(map(id, futures))
            made.futures = [each for each in made.futures if id(each) not in gone]
        self._delete(f"{futures[0].job_key}/")

    # ---- what is heard

    def _hear(self) -> None:
        looked = time.monotonic()
        while True:
            try:
                future = self._news.get(timeout=_LOOK_S)
                if future is None:
                    return
                with self._lock:  # submit() lets go of it when the run knows the future
                    run = self._runs.get(future.job_key)
                if run is not None:
                    if "result" in (future._call_status or {}):
                        run.arrived(future, self._made.internal_storage)
                    else:
                        self._readers.submit(run.arrived, future, self._made.internal_storage)
            except queue.Empty:
                pass
            if time.monotonic() - looked >= _LOOK_S:
                looked = time.monotonic()
                for run in set(self._runs.values()):
                    run.look_for_lost(self._start_timeout)

    def process_of(self, future: Any) -> bool | None:
        """Whether there is a process of a call on this machine; None: it runs elsewhere."""
        handler = getattr(self._made, "compute_handler", None)
        environment = getattr(handler, "env", None)
        there = getattr(environment, "task_processes", None)
        if there is None:
            return None
        latch = getattr(environment, "jobs", {}).get(future.job_key)
        waits = latch is not None and not latch.done and not future.running
        process = there.get(f"{future.job_key}-{future.call_id}")
        return waits or (process is not None and process.poll() is None)

    def kill(self, job_keys: set[str]) -> None:
        """Ends what runs, where the back end can."""
        handler = self._made.compute_handler
        with self._lock:  # Lithops' localhost loses a job that is submitted while its consumers are being stopped
            try:
                handler.clear(job_keys, exception=CallCancelled("cancelled"))
            except TypeError:
                handler.clear(job_keys)


class LithopsRun:
    """A job of `map`, as jobs of Lithops. Thread-safe."""

    def __init__(self, engine: LithopsEngine, job: Job, tell: Tell) -> None:
        self.engine, self.job, self._tell = engine, job, tell
        self._lock = threading.RLock()
        self._inputs = Inputs(job)
        self._pending: dict[int, Any] = {}  # by the call's number: its future of Lithops, of the last try
        self._of: dict[tuple[str, str], int] = {}  # by the key of Lithops' job and the call's id there
        self._jobs: dict[str, list[Any]] = {}  # futures that have not ended, by the key of Lithops' job
        self._all: dict[str, list[Any]] = {}
        self._tries: dict[int, int] = {}
        self._heard = time.monotonic()
        self._gone: dict[int, float] = {}  # since when there is no process of the call
        self._cancelled = self._closed = False
        self._telling = threading.Lock()
        self._shipping = Shipping(job)

    # ---- the caller's side

    @property
    def taken(self) -> int:
        return self._inputs.taken

    def is_running(self, index: int) -> bool:
        future = self._pending.get(index)
        return future is not None and bool(future.running)

    def take(self, most: int) -> int:
        before = self._inputs.taken
        if self._cancelled:
            return 0
        problem: BaseException | None = None
        fresh: list[tuple[int, Any]] = []
        try:
            for value in itertools.islice(self._inputs, most):
                fresh.append((before + len(fresh), value))
        except BaseException as error:
            problem = error
        if fresh:
            self._begin(fresh)
        if problem is not None:
            raise problem
        return self._inputs.taken - before

    def _begin(self, calls: list[tuple[int, Any]]) -> None:
        """What cannot be submitted has failed: a limit of money, a module that cannot be shipped, a cloud that refuses."""
        try:
            self._start(calls)
        except Exception as error:
            with self._lock:
                lost = [index for index, _ in calls if index not in self._pending]
            self._told(
                [Completion(i, error=with_place(error, self.job, i), input=self._inputs.of_failed(i)) for i in lost]
            )

    def _start(self, calls: list[tuple[int, Any]]) -> None:
        """An input that does not pickle fails its call, and no other."""
        indices, items, failed = self._shipping.dumped(calls)
        if failed:
            self._told(failed)
        if indices:
            self.engine.submit(self, self._shipping.work(), indices, items)

    def submitted(self, futures: list[Any], indices: list[int]) -> None:
        with self._lock:
            self._heard = time.monotonic()
            key = futures[0].job_key
            self._jobs[key], self._all[key] = list(futures), futures
            for future, index in zip(futures, indices, strict=True):
                self._pending[index] = future
                self._of[future.job_key, future.call_id] = index
                self._tries[index] = self._tries.get(index, 0) + 1

    # ---- what is heard

    def arrived(self, future: Any, storage: Any) -> None:
        """A call has ended, as Lithops says: its result, its error or how its worker died."""
        with self._lock:
            self._heard = time.monotonic()
            index = self._of.get((future.job_key, future.call_id), -1)
            if index not in self._pending or self._pending[index] is not future:
                return  # told already
        try:
            value = future.result(throw_except=False, internal_storage=storage)
            problem = None if not future.error else _exception_of(future)
        except Exception as error:
            value, problem = None, error  # of the storage, or of a class that is not here
        with self._lock:
            if index not in self._pending or self._pending[index] is not future:
                return
            if problem is None and value is None:
                problem = RuntimeError("there is no result of it in the storage")
            if problem is None:
                try:
                    done = completion_of(self.job, index, value, self._tries[index], self._inputs.of_failed)
                except Exception as error:  # not what a call of ours gives
                    problem = RuntimeError(f"what the storage has of it is no result: {type(error).__name__}: {error}")
            if problem is None:
                self._end(future, done)
            else:
                self._died(index, future, problem)

    def _died(self, index: int, future: Any, problem: BaseException) -> None:
        """With the lock. Another try, or the error."""
        tries = self._tries[index]
        where = f"call {index} of {self.job.callset_id}, try {tries} of {self.job.retries + 1}"
        if isinstance(problem, TimeoutError):
            limit = future.execution_timeout if self.job.timeout is None else self.job.timeout
            self._fail(index, future, CallTimeout(f"{where}: ran longer than {limit:g} s: {problem}"))
        elif not self._cancelled and (self.job.retries < 0 or tries <= self.job.retries):
            self._pending.pop(index)
            self._settle(future)
            value = self._inputs.again(index)
            threading.Thread(
                target=self._begin, args=([(index, value)],), name="daybreak-map-retry", daemon=True
            ).start()
        else:
            likely = "; it was likely out of memory: give memory=" if isinstance(problem, MemoryError) else ""
            self._fail(index, future, WorkerDied(f"{where}: {type(problem).__name__}: {problem}{likely}"))

    def _fail(self, index: int, future: Any, error: BaseException) -> None:
        found = with_place(error, self.job, index)
        self._end(future, Completion(index, error=found, input=self._inputs.of_failed(index)))

    def _end(self, future: Any, completion: Completion) -> None:
        self._pending.pop(completion.index, None)
        self._gone.pop(completion.index, None)
        self._inputs.forget(completion.index)
        self._settle(future)  # first: who is told may close this at once, and what has ended is not to be killed
        self._told([completion])

    def _settle(self, future: Any) -> None:
        """When the last call of Lithops' job has ended, nothing of it is kept."""
        self._of.pop((future.job_key, future.call_id), None)
        left = self._jobs.get(future.job_key, [])
        if future in left:
            left.remove(future)
            if not left:
                del self._jobs[future.job_key]
                futures = self._all.pop(future.job_key)
                threading.Thread(target=self.engine.forget, args=(futures,), daemon=True).start()

    def _told(self, completions: list[Completion]) -> None:
        with self._telling:
            if not self._closed:
                self._tell(completions)

    def look_for_lost(self, start_timeout: float) -> None:
        now = time.monotonic()
        with self._lock:
            for index, future in list(self._pending.items()):
                if future.ready or future.success or future.done:
                    continue
                there = self.engine.process_of(future)
                silent = now - self._heard
                if there is False:
                    since = self._gone.setdefault(index, now)
                    if now - since >= _LOST_S:
                        self._gone.pop(index)
                        self._died(index, future, RuntimeError("its process has ended without a word (killed?)"))
                elif there:
                    self._gone.pop(index, None)
                elif not future.running and silent > start_timeout + (future.execution_timeout or 0):
                    reason = (
                        f"nothing was heard of the job for {silent:.0f} s (start_timeout={start_timeout:g} s), and the"
                    )
                    self._died(
                        index, future, RuntimeError(f"{reason} call has not begun: its worker never came or was lost")
                    )

    # ---- the end

    def cancel(self, indices: Sequence[int] | None = None, *, force: bool = False) -> None:
        """A cloud takes no call back: what has not ended counts as cancelled, and its result is dropped when it comes. force:
        what runs is ended where the back end can (whole jobs of Lithops alone)."""
        with self._lock:
            if indices is None:
                self._cancelled = True
            wanted = list(self._pending) if indices is None else [i for i in indices if i in self._pending]
            chosen = [(index, self._pending[index]) for index in wanted if force or not self._pending[index].running]
            keys = {future.job_key for _, future in chosen}
            others = {future.job_key for index, future in self._pending.items() if index not in set(wanted)}
            for index, future in chosen:
                self._fail(index, future, CallCancelled(f"call {index} of {self.job.callset_id} was cancelled"))
        if force and keys - others:
            self.engine.kill(keys - others)

    def counts(self) -> tuple[int, int]:
        with self._lock:
            running = sum(1 for future in self._pending.values() if future.running)
            return len(self._pending) - running, running

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = self._cancelled = True
            keys = set(self._jobs)
            self._pending.clear()
        if keys:
            self.engine.kill(keys)


def _exception_of(future: Any) -> BaseException:
    found = future._exception
    error = found[1] if isinstance(found, tuple) else None
    return error if isinstance(error, BaseException) else RuntimeError(str(found))
