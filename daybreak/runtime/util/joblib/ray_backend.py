"""joblib's backend: batches of calls in worker processes, arrays in shared memory."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from concurrent.futures.process import _RemoteTraceback
from pickle import PicklingError

from joblib._parallel_backends import (
    AutoBatchingMixin,
    FallbackToBackend,
    ParallelBackendBase,
    SequentialBackend,
)
from joblib.parallel import BatchedCalls

from daybreak.runtime import get, put
from daybreak.runtime.util.workers import Call, Workers, logical_cpus, rebuilt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["RayBackend"]

_STORED_BYTES = 64 << 10  # arguments of that size are put into the store once in each call of Parallel
_IDLE_S = 300.0  # then workers that wait for another call of Parallel end, as loky's do

_idle_lock = threading.Lock()
_idle: tuple[Any, Workers, threading.Timer] | None = None  # what they were made with, they, and their end


def _bytes_of(value: Any) -> int:
    """Of an array, of a sparse one (its values), of a table of pandas or polars; 0 for anything else."""
    size = getattr(value, "nbytes", None)
    if size is None and hasattr(value, "toarray"):
        size = getattr(getattr(value, "data", None), "nbytes", None)
    elif size is None and type(value).__module__.partition(".")[0] in ("pandas", "polars"):
        usage = getattr(value, "memory_usage", None)
        size = int(usage().sum()) if usage is not None else value.estimated_size()
    return size if isinstance(size, int) else 0


class _Stored:
    """Stands for a large argument in a batch."""

    def __init__(self, ref: Any) -> None:
        self.ref = ref


class _Store:
    """The large arguments of one call of Parallel: those given to many tasks are put once."""

    def __init__(self) -> None:
        self._registry: list[
            tuple[Any, Any]
        ] = []  # the objects themselves, so that an id means one, and their references
        self._by_id: dict[int, Any] = {}

    def stored(self, value: Any) -> Any:
        if _bytes_of(value) < _STORED_BYTES:
            return value
        known = self._by_id.get(id(value))
        if known is None:
            known = self._by_id[id(value)] = put(value)
            self._registry.append((value, known))
        return _Stored(known)

    def clear(self) -> None:
        self._registry.clear()
        self._by_id.clear()


def _loaded(value: Any) -> Any:
    return get(value.ref) if isinstance(value, _Stored) else value


def _run_batch(batch: Any) -> Any:
    """In the worker."""
    if isinstance(batch, BatchedCalls):
        batch.items = [
            (function, [_loaded(each) for each in args], {name: _loaded(each) for name, each in kwargs.items()})
            for function, args, kwargs in batch.items
        ]
    return batch()


def _prepare_worker(environment: dict[str, str], threads: int, then: Any, initargs: tuple[Any, ...]) -> None:
    """In the worker, first: BLAS and OpenMP take their share of the cores."""
    os.environ.update(environment)
    try:
        import threadpoolctl  # for libraries that the process was forked with
    except ImportError:
        pass
    else:
        threadpoolctl.threadpool_limits(threads)
    if then is not None:
        then(*initargs)


class _BatchCall(Call):
    def __init__(self, future: Future[Any], batch: Any) -> None:
        super().__init__(_run_batch, (batch,))
        self.future = future

    def start(self) -> bool:
        return self.future.set_running_or_notify_cancel()

    def succeed(self, value: Any) -> None:
        self.future.set_result(value)

    def fail(self, error: BaseException) -> None:
        self.future.set_exception(error)

    def unpicklable(self, error: BaseException) -> None:
        wrapped = PicklingError(f"Could not pickle the task to send to the workers: {error}")
        wrapped.__cause__ = error
        self.fail(wrapped)

    def raised(self, payload: dict[str, Any]) -> None:
        self.future.set_exception(rebuilt(payload, _RemoteTraceback))


class RayBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]
    """Runs joblib's batches in worker processes of the runtime.

    Functions and arguments may be whatever a task takes. A large array that many tasks take is put into shared memory once in each
    call of Parallel, and is a read-only view in the tasks; results that are large arrays are read-only, too. `max_nbytes`,
    `mmap_mode` and `temp_folder` have no effect. n_jobs=-1 means the CPUs of the runtime; more workers than CPUs are possible.

    Args:
        ray_remote_args: options of the actors that the workers are.
    """

    supports_retrieve_callback = True
    supports_inner_max_num_threads = True
    default_n_jobs = -1

    def __init__(
        self,
        nesting_level: int | None = None,
        inner_max_num_threads: int | None = None,
        ray_remote_args: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads, **options)
        self._remote_args = ray_remote_args
        self._workers: Workers | None = None
        self._made_with: Any = None
        self._pool: _Store | None = None  # the large arguments of this call

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """The number of workers for `n_jobs`.

        Raises:
            ValueError: it is 0.
        """
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None:
            return 1
        return int(n_jobs) if n_jobs > 0 else max(logical_cpus() + 1 + n_jobs, 1)

    def configure(
        self,
        n_jobs: int = 1,
        parallel: Any = None,
        prefer: str | None = None,
        require: str | None = None,
        ray_remote_args: dict[str, Any] | None = None,
        **options: Any,
    ) -> int:
        """Gets the workers ready."""
        jobs = self.effective_n_jobs(n_jobs)
        if jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        logical_cpus()  # the runtime runs from here on
        options = {**self.backend_kwargs, **options}
        environment = self._prepare_worker_env(n_jobs=jobs)
        self._made_with = {
            "count": jobs,
            "initializer": _prepare_worker,
            "initargs": (
                environment,
                int(environment["OMP_NUM_THREADS"]),
                options.get("initializer"),
                tuple(options.get("initargs", ())),
            ),
            "together": True,
            "options": self._remote_args if ray_remote_args is None else ray_remote_args,
        }
        self._workers, self._pool = _take(self._made_with), _Store()
        self.parallel = parallel
        return jobs

    def start_call(self) -> None:
        if self._pool is not None:
            self._pool.clear()  # what it was given for the call before may have changed since

    def submit(self, func: Any, callback: Callable[[Any], object] | None = None) -> Future[Any]:
        """Hands a batch to the workers."""
        future: Future[Any] = Future()
        workers = self._workers
        if workers is None or not workers.submit(_BatchCall(future, self._with_stored(func))):
            raise RuntimeError(
                "the workers of this call of Parallel have ended: its generator was given up, or shutdown() called"
            )
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out: Future[Any]) -> Any:
        return out.result()

    def terminate(self) -> None:
        """The workers wait for the next call of Parallel."""
        workers, self._workers, self._pool = self._workers, None, None
        if workers is not None:
            _give_back(self._made_with, workers)
        self.reset_batch_stats()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Kills the workers."""
        workers, self._workers, self._pool = self._workers, None, None
        if workers is not None:
            workers.stop(_aborted)
        self.reset_batch_stats()
        if ensure_ready:
            self._workers, self._pool = _take(self._made_with), _Store()

    def _with_stored(self, batch: Any) -> Any:
        if not isinstance(batch, BatchedCalls) or self._pool is None:
            return batch
        stored = self._pool.stored
        items = [
            (function, [stored(each) for each in args], {name: stored(each) for name, each in kwargs.items()})
            for function, args, kwargs in batch.items
        ]
        return BatchedCalls(items, (batch._backend, batch._n_jobs), None, batch._pickle_cache)


def _aborted() -> RuntimeError:
    return RuntimeError(
        "another task of this call of Parallel raised, or its generator was given up: this one was ended"
    )


def _same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether workers that were made with one will do for the other. A user's initializer and its arguments must be the same
    objects."""
    *set_a, args_a = a["initargs"]
    *set_b, args_b = b["initargs"]
    alike = set_a == set_b and len(args_a) == len(args_b) and all(x is y for x, y in zip(args_a, args_b, strict=True))
    return alike and (a["count"], a["options"]) == (b["count"], b["options"])


def _take(made_with: dict[str, Any]) -> Workers:
    """Idle workers that were made so, or new ones."""
    global _idle
    with _idle_lock:
        found, _idle = _idle, None
    if found is not None:
        before, workers, end = found
        end.cancel()
        if _same(before, made_with) and workers.usable():
            return workers
        workers.close()
    return Workers(**made_with)


def _give_back(made_with: dict[str, Any], workers: Workers) -> None:
    global _idle
    end = threading.Timer(_IDLE_S, workers.close)
    end.daemon = True
    end.start()
    with _idle_lock:
        found, _idle = _idle, (made_with, workers, end)
    if found is not None:
        found[2].cancel()
        found[1].close()
