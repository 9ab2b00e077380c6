"""PyWren's future of a call."""

from __future__ import annotations

import enum
import logging
import os
import platform
import shutil
import tempfile
import time
import warnings
from typing import TYPE_CHECKING, Any

from daybreak.map.errors import CallCancelled, CallTimeout
from daybreak.runtime.exceptions import TaskError

if TYPE_CHECKING:
    from collections.abc import Callable

    from daybreak.map.callset import Future

__all__ = ["NOT_HERE", "JobState", "RemoteTraceback", "ResponseFuture"]

NOT_HERE = "not here: the call ran on this machine"  # what a status has only of calls in Amazon's cloud
logger = logging.getLogger("pywren.future")


class JobState(enum.Enum):
    new = 1
    invoked = 2
    running = 3
    success = 4
    error = 5


class RemoteTraceback(Exception):
    """The traceback of the worker, as text: the cause of what `result()` raises."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"\n{self.text}"


class ResponseFuture:
    """One call. `succeeded()` and `errored()` are true only once `result()` or `wait()` has seen that it is done."""

    GET_RESULT_SLEEP_SECS = 4  # of PyWren's; ours does not ask again and again

    def __init__(
        self, future: Future, call_id: str, callset_id: str, invoke_metadata: dict[str, Any], storage_path: Any
    ) -> None:
        self._future = future
        self.call_id, self.callset_id = call_id, callset_id
        self._state = JobState.invoked
        self._exception: BaseException = Exception()
        self._return_val: Any = None
        self._invoke_metadata = dict(invoke_metadata)
        self.run_status: dict[str, Any] | None = None
        self.invoke_status: dict[str, Any] | None = None
        self.status_query_count = 0
        self.storage_path = storage_path

    def _set_state(self, new_state: JobState) -> None:
        self._state = new_state

    def cancel(self, storage_handler: Any = None) -> None:
        """It never begins; if it runs, its process is ended."""
        self._future.cancel(force=True)

    def cancelled(self) -> bool:
        return self._future.cancelled()

    def running(self) -> bool:
        return self._future.running()

    def done(self) -> bool:
        """Whether it has ended. Asking changes nothing: see `succeeded`."""
        return self._state in (JobState.success, JobState.error) or bool(self.result(check_only=True))

    def succeeded(self) -> bool:
        """Whether it was seen to be done, and well."""
        return self._state == JobState.success

    def errored(self) -> bool:
        """Whether it was seen to have failed."""
        return self._state == JobState.error

    def result(
        self,
        timeout: float | None = None,
        check_only: bool = False,
        throw_except: bool = True,
        storage_handler: Any = None,
    ) -> Any:
        """What the call returned.

        check_only: only whether it is done. throw_except: raise what it raised, in its own type and with the worker's traceback as
        its cause; else give None.

        Raises:
            TimeoutError: it was not done in `timeout` seconds.
        """
        if check_only:
            self.status_query_count += 1
            return self._future.done()
        if self._state not in (JobState.success, JobState.error):
            self._observe(timeout)
        if self._state == JobState.success:
            return self._return_val
        if throw_except:
            raise self._exception
        return None

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the call raised, or None."""
        self.result(timeout, throw_except=False)
        return self._exception if self.errored() else None

    def add_done_callback(self, fn: Callable[[ResponseFuture], object]) -> None:
        """Calls `fn(self)` when the call is done, or now if it is."""
        self._future.add_done_callback(lambda _: fn(self))

    def _observe(self, timeout: float | None) -> None:
        self.status_query_count += 1
        error = self._future.exception(timeout)
        asked = time.time()
        meta = self._invoke_metadata
        meta["status_done_timestamp"] = asked
        meta["status_query_count"] = self.status_query_count
        if error is None:
            self._return_val = self._future.result()
        now = time.time()
        meta["download_output_time"], meta["download_output_timestamp"] = now - asked, now
        self.invoke_status = meta
        self.run_status = _run_status(self._future.status, meta, error)
        self._exception = _as_raised(error) if error is not None else Exception()
        self._set_state(JobState.success if error is None else JobState.error)
        logger.info("ResponseFuture.result() %s %s call_success %s", self.callset_id, self.call_id, error is None)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__.copy()

    def __repr__(self) -> str:
        return f"<ResponseFuture {self.callset_id}/{self.call_id} {self._state.name}>"


def _as_raised(error: BaseException) -> BaseException:
    """In the type in which the function raised it."""
    if isinstance(error, CallCancelled):
        return Exception(f"job was cancelled: {error}")
    if isinstance(error, CallTimeout):
        return Exception(f"process ran out of time: {error}")
    if not isinstance(error, TaskError):
        return error
    cause = error.cause
    text = error.traceback_str or str(error)
    if cause is None:
        warnings.warn(f"the exception of the call could not be pickled, its text stands for it: {text}", stacklevel=4)
        return Exception(text)
    if cause.__cause__ is None:
        cause.__cause__ = RemoteTraceback(text)
    return cause


def _run_status(status: dict[str, Any], meta: dict[str, Any], error: BaseException | None) -> dict[str, Any]:
    """PyWren's keys. NOT_HERE stands where only Amazon's cloud has something to say."""
    submitted = meta.get("host_submit_time", 0.0)
    started = status.get("start_time", submitted)
    return {
        "start_time": started,
        "setup_time": status.get("setup_time", 0.0),
        "end_time": status.get("end_time", started),
        "exec_time": status.get("exec_time", 0.0),
        "host_submit_time": submitted,
        "runtime_cached": meta.get("use_cached_runtime", True),
        "runtime_s3_key_used": NOT_HERE,
        "runtime_s3_bucket_used": NOT_HERE,
        "free_disk_bytes": shutil.disk_usage(tempfile.gettempdir()).free,
        "func_key": meta.get("func_key"),
        "data_key": meta.get("data_key"),
        "output_key": meta.get("output_key"),
        "status_key": meta.get("status_key"),
        "call_id": meta.get("call_id"),
        "callset_id": meta.get("callset_id"),
        "retcode": 0 if error is None or isinstance(error, TaskError) else 1,
        "stdout": status.get("stdout", ""),
        "server_info": {"uname": " ".join(platform.uname()), "pid": status.get("pid"), "cpus": os.cpu_count()},
        "exception": None if error is None else str(error),
        "exception_args": None if error is None else [type(error).__name__],
        "exception_traceback": getattr(error, "traceback_str", None),
        "func_download_time": 0.0,  # both lie in memory that the worker shares
        "data_download_time": 0.0,
        "output_upload_time": 0.0,
        "aws_request_id": NOT_HERE,
        "log_group_name": NOT_HERE,
        "log_stream_name": NOT_HERE,
        "attempts": status.get("attempts", 1),
        "peak_bytes": status.get("peak_bytes"),
        "pid": status.get("pid"),
    }
