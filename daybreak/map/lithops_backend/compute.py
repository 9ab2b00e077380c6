"""Lithops' compute back end on Daybreak's runtime: a job is one call set, which a thread of its driver looks after."""

from __future__ import annotations

import hashlib
import json
import logging
import pickle
import sys
import threading
from types import SimpleNamespace
from typing import Any

from lithops.constants import REDUCE_JOB_ENV
from lithops.utils import BackendType
from lithops.version import __version__
from lithops.worker.utils import get_function_data, get_runtime_metadata

from daybreak.base import numbers
from daybreak.base.errors import InvalidArgumentError

from . import NAME, calls

__all__ = ["ServerlessBackend"]

logger = logging.getLogger("lithops.daybreak")

_metadata: dict[str, Any] = {}  # of this interpreter and its path, looked at once
_MIB = 1 << 20


class ServerlessBackend:
    """What Lithops' `ServerlessHandler` speaks to. Thread-safe."""

    def __init__(self, config: dict[str, Any], internal_storage: Any) -> None:
        self.name = NAME
        self.type = BackendType.BATCH.value
        self.config = config
        self.internal_storage = internal_storage
        self._jobs: dict[str, _Running] = {}
        self._lock = threading.Lock()

    # ---- runtimes: this interpreter is the only one

    def build_runtime(self, runtime_name: str, file: str, extra_args: Any = ()) -> None:
        raise InvalidArgumentError(
            f"runtime build {runtime_name}: calls run in this interpreter ({sys.executable}): install into it what they need"
        )

    def deploy_runtime(self, runtime_name: str, memory: int, timeout: int) -> dict[str, Any]:
        if not _metadata:
            _metadata.update(get_runtime_metadata())
        return dict(_metadata)

    def delete_runtime(self, runtime_name: str, memory: int, version: str = __version__) -> None:
        pass

    def list_runtimes(self, runtime_name: str = "all") -> list[Any]:
        return []

    def clean(self, all: bool = False) -> None:
        self.clear()

    def get_runtime_key(self, runtime_name: str, memory: int, version: str = __version__) -> str:
        """Where Lithops keeps what it knows of the runtime: another place as soon as other modules can be imported."""
        found = self.deploy_runtime(runtime_name, memory, 0)
        text = json.dumps([found, sys.executable], sort_keys=True)
        return "/".join([NAME, version, hashlib.sha256(text.encode()).hexdigest()[:24]])

    def get_runtime_info(self) -> dict[str, Any]:
        return {
            "runtime_name": self.config["runtime"],
            "runtime_memory": self.config["runtime_memory"],
            "runtime_timeout": self.config["runtime_timeout"],
            "max_workers": self.config["max_workers"],
        }

    # ---- jobs

    def invoke(self, runtime_name: str, memory: int, payload: dict[str, Any]) -> str:
        """Starts all calls of a job.

        Raises:
            InvalidArgumentError: a call asks for more memory than the runtime has.
        """
        from daybreak import runtime

        if not runtime.is_initialized():
            given = {key: self.config[key] for key in ("num_cpus", "address") if self.config.get(key) is not None}
            runtime.init(**given)
        running = _Running(self, payload, _options(memory, payload.get("extra_env") or {}))
        with self._lock:
            self._jobs[payload["job_key"]] = running
        running.start()
        return str(payload["job_key"])

    def ended(self, job_key: str) -> None:
        with self._lock:
            self._jobs.pop(job_key, None)

    def clear(self, job_keys: Any = None, exception: Any = None) -> None:
        """Ends what runs of these jobs, or of all."""
        with self._lock:
            wanted = list(self._jobs) if job_keys is None else [key for key in job_keys if key in self._jobs]
            found = [self._jobs[key] for key in wanted]
        for running in found:
            running.cancel()


def _options(memory: Any, environment: dict[str, Any]) -> dict[str, Any]:
    from daybreak.runtime import cluster_resources

    options: dict[str, Any] = {}
    wanted = numbers.integer(memory or 0, "runtime_memory", minimum=0)
    if wanted:
        there = cluster_resources().get("memory", 0)
        if wanted * _MIB > there:
            raise InvalidArgumentError(
                f"runtime_memory={wanted} (MiB): the runtime has {int(there) // _MIB} MiB: ask for less, or start it with more"
            )
        options["memory"] = wanted * _MIB
    if environment.get(REDUCE_JOB_ENV):
        options["num_cpus"] = 0  # it waits for the maps first, which need the CPUs
    return options


class _Running(threading.Thread):
    """A job: gives its calls to the runtime, and says for those whose worker died how they have ended."""

    def __init__(self, backend: ServerlessBackend, payload: dict[str, Any], options: dict[str, Any]) -> None:
        super().__init__(name=f"daybreak-lithops-{payload['job_key']}", daemon=True)
        from daybreak.runtime import put
        from daybreak.runtime.batch import Batch

        self._backend, self._payload = backend, payload
        self._storage = backend.internal_storage
        self._call_ids = list(payload["call_ids"])
        data = get_function_data(SimpleNamespace(**payload), self._storage)
        function = pickle.loads(self._storage.get_func(payload["func_key"]))
        left_out = ("data_byte_ranges", "data_byte_strs", "call_ids")
        job = {key: value for key, value in payload.items() if key not in left_out}
        job.update(func=function["func"], module_data=function.get("module_data") or {})
        box = [put(job)]
        key = payload["job_key"]
        at_once = int(backend.config["max_workers"]) * int(backend.config["worker_processes"])
        self._batch = Batch(
            calls.run,
            ((box, key, call_id, content) for call_id, content in zip(self._call_ids, data, strict=True)),
            star=True,
            ordered=False,
            retries=0,
            ahead=at_once,
            options=options,
        )

    def cancel(self) -> None:
        self._batch.cancel(force=True)

    def run(self) -> None:
        try:
            while True:
                try:
                    self._batch.next()
                except StopIteration:
                    break
                except Exception as error:
                    self._failed(self._call_ids[self._batch.index], error)
        finally:
            self._batch.close()
            self._backend.ended(self._payload["job_key"])

    def _failed(self, call_id: str, error: Exception) -> None:
        reason = f"the worker of the call has ended before it reported: {error}"
        kind: type[Exception] = MemoryError if "memory" in type(error).__name__.lower() else RuntimeError
        limit = self._payload.get("execution_timeout")
        if limit and "Timeout (" in reason:  # faulthandler's word, which ends what holds the interpreter's lock
            kind, reason = TimeoutError, f"Function exceeded maximum time of {limit} seconds and was killed"
        try:
            calls.report_failure(self._payload, call_id, self._storage, kind("HANDLER", reason))
        except Exception as problem:
            logger.error("call %s has failed (%s), which could not be reported: %s", call_id, error, problem)
