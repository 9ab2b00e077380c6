"""The worker's half: runs one call of a Lithops job in this process, which is the runtime's and stays.

Lithops' own worker forks twice for each call. This one does not: the function runs here, the environment and the folder are put
back behind it, and a call over its time limit ends the process.
"""

from __future__ import annotations

import base64
import faulthandler
import hashlib
import importlib
import io
import json
import logging
import os
import pickle
import resource
import shutil
import sys
import threading
import time
import uuid
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from lithops.config import extract_storage_config
from lithops.constants import MODULES_DIR, MONITORING_QUEUES_ENV, SESSION_ID_ENV, WORKER_ENV
from lithops.job.serialize import write_module_data
from lithops.monitoring import create_call_status
from lithops.storage import InternalStorage
from lithops.storage.utils import create_output_key
from lithops.worker.jobrunner import JobRunner
from tblib import pickling_support

from . import install

__all__ = ["report_failure", "run"]

_KEPT_JOBS = 8
_GRACE_S = 5.0  # for a call that holds the interpreter's lock beyond its limit
_ACTIVATION = uuid.uuid4().hex[:12]
_jobs: OrderedDict[str, dict[str, Any]] = OrderedDict()
_storages: OrderedDict[str, Any] = OrderedDict()
_warm = False
_modules = ""  # the folder of modules that is on the path

pickling_support.install()


def run(box: list[Any], job_key: str, call_id: str, data: bytes) -> None:
    """Runs the call and tells its driver. box: the reference of the job, which this process takes once."""
    install()
    job = _jobs.get(job_key)
    if job is None:
        from daybreak.runtime import get

        job = get(box[0])
        _jobs[job_key] = job
        while len(_jobs) > _KEPT_JOBS:
            _jobs.popitem(last=False)
    task = SimpleNamespace(**job)
    task.call_id, task.call_ids, task.data, task.start_tstamp = call_id, [call_id], data, time.time()
    with _as_it_was(), _captured() as log:
        _enter_modules(task.module_data)
        _Call(task, log).run()


class _Call:
    def __init__(self, task: SimpleNamespace, log: _Log) -> None:
        global _warm
        self._task, self._log = task, log
        self._told = threading.Lock()  # who has it says how the call has ended
        os.environ.update(
            {
                "__LITHOPS_ACTIVATION_ID": _ACTIVATION,
                "__LITHOPS_BACKEND": "Daybreak",
                WORKER_ENV: "True",
                "LITHOPS_CONFIG": json.dumps(task.config),
                SESSION_ID_ENV: f"{task.job_key}-{task.call_id}",
                MONITORING_QUEUES_ENV: json.dumps(task.monitoring_queues),
                **{str(name): str(value) for name, value in (task.extra_env or {}).items()},
            }
        )
        if _warm:
            os.environ["WARM_CONTAINER"] = "True"
        _warm = True
        self._storage = _storage(task.config)
        self._status = create_call_status(task, self._storage)

    def run(self) -> None:
        limit = self._task.execution_timeout
        timer = None
        if limit:
            timer = threading.Timer(limit, self._over, (limit,))
            timer.daemon = True
            timer.start()
            faulthandler.dump_traceback_later(limit + _GRACE_S, exit=True, file=sys.__stderr__ or 2)
        before = resource.getrusage(resource.RUSAGE_SELF)
        try:
            self._status.send_init_event()
            _Runner(self._task, self._status, self._storage).run()
        except Exception:
            _add_exception(self._status, sys.exc_info())
        finally:
            if timer is not None:
                timer.cancel()
                faulthandler.cancel_dump_traceback_later()
        if self._told.acquire(blocking=False):
            self._end(before)
        else:  # the timer was first, and ends this process
            time.sleep(60)

    def _end(self, before: resource.struct_rusage | None) -> None:
        now = resource.getrusage(resource.RUSAGE_SELF)
        user, system = (now.ru_utime, now.ru_stime) if before is None else _used(before, now)
        rss, vms = _memory()
        for key, value in (
            ("worker_func_cpu_usage", []),
            ("worker_func_cpu_user_time", user),
            ("worker_func_cpu_system_time", system),
            ("worker_func_rss", rss),
            ("worker_func_vms", vms),
            ("worker_end_tstamp", time.time()),
            ("logs", base64.b64encode(zlib.compress(self._log.text().encode("utf-8", "replace"), 1)).decode()),
        ):
            self._status.add(key, value)
        self._status.send_finish_event()

    def _over(self, limit: float) -> None:
        """In the timer's thread: tells that the time is up, and ends the process, as nothing else ends the function."""
        if not self._told.acquire(blocking=False):
            return
        try:
            report = f"Function exceeded maximum time of {limit} seconds and was killed"
            error = TimeoutError("HANDLER", report)
            _add_exception(self._status, (TimeoutError, error, None))
            self._end(None)
        finally:
            os._exit(124)


def _used(before: resource.struct_rusage, now: resource.struct_rusage) -> tuple[float, float]:
    return round(now.ru_utime - before.ru_utime, 8), round(now.ru_stime - before.ru_stime, 8)


def _memory() -> tuple[int, int]:
    """Resident and virtual bytes of this process."""
    with open("/proc/self/statm") as file:
        pages = file.read().split()
    size = resource.getpagesize()
    return int(pages[1]) * size, int(pages[0]) * size


def _add_exception(status: Any, info: Any) -> None:
    status.add("exception", True)
    try:
        pickled = pickle.dumps(info)
        pickle.loads(pickled)
    except Exception as error:
        status.add("exc_pickle_fail", True)
        pickled = pickle.dumps(
            {
                "exc_type": str(info[0]),
                "exc_value": str(info[1]),
                "exc_traceback": None,
                "pickle_exception": str(error),
            }
        )
    status.add("exc_info", str(pickled))


def report_failure(payload: dict[str, Any], call_id: str, storage: Any, error: BaseException) -> None:
    """In the driver: says in the place of a worker that died how its call has ended, unless that was said."""
    if storage.get_call_status(payload["executor_id"], payload["job_id"], call_id):
        return
    task = SimpleNamespace(**{**payload, "call_id": call_id, "start_tstamp": time.time()})
    status = create_call_status(task, storage)
    _add_exception(status, (type(error), error, None))
    status.add("worker_end_tstamp", time.time())
    status.send_finish_event()


class _Runner(JobRunner):  # type: ignore[misc]
    """What runs the function is Lithops'; what it finds out goes straight into the call's status, through no file."""

    def __init__(self, job: SimpleNamespace, status: Any, storage: Any) -> None:
        self.job, self.internal_storage, self.lithops_config = job, storage, job.config
        self.jobrunner_conn = SimpleNamespace(send=lambda text: None)
        self.output_key = create_output_key(job.executor_id, job.job_id, job.call_id)
        self.stats = SimpleNamespace(write=lambda key, value: status.add(key, _plain(value)), close=lambda: None)


def _plain(value: Any) -> Any:
    """As Lithops' driver expects it: flags and numbers are such, all else is text (bytes by their literal)."""
    return value if isinstance(value, bool) else float(value) if isinstance(value, int | float) else str(value)


def _storage(config: dict[str, Any]) -> Any:
    """Clients of storages are kept, as one costs some milliseconds."""
    wanted = extract_storage_config(config)
    key = json.dumps(wanted, sort_keys=True, default=repr)
    if key not in _storages:
        _storages[key] = InternalStorage(wanted)
        while len(_storages) > _KEPT_JOBS:
            _storages.popitem(last=False)
    return _storages[key]


def _enter_modules(data: dict[str, str]) -> None:
    """Modules that came with the function: known by their contents, so that those of an edited one are never those of before."""
    global _modules
    digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:32] if data else ""
    folder = os.path.join(MODULES_DIR, f"daybreak-{digest}") if data else ""
    if folder == _modules:
        return
    if _modules:
        for name, module in list(sys.modules.items()):
            if (getattr(module, "__file__", None) or "").startswith(_modules + os.sep):
                del sys.modules[name]
        if _modules in sys.path:
            sys.path.remove(_modules)
    if folder:
        if not os.path.isdir(folder):
            part = f"{folder}.{os.getpid()}"
            write_module_data(part, data)
            try:
                os.rename(part, folder)
            except OSError:  # another worker was first
                shutil.rmtree(part)
        sys.path.insert(0, folder)  # before what the driver's path has: that may be an older text of the same module
        tops = {name.replace("\\", "/").lstrip("/").split("/")[0].removesuffix(".py") for name in data}
        for known in [known for known in sys.modules if known.partition(".")[0] in tops]:
            del sys.modules[known]
        importlib.invalidate_caches()
    _modules = folder


# ----------------------------------------------------------------------------------------------------------------------
# The process is as it was when a call has ended.


@contextmanager
def _as_it_was() -> Iterator[None]:
    environment, folder = dict(os.environ), os.getcwd()
    try:
        yield
    finally:
        if os.environ != environment:
            os.environ.clear()
            os.environ.update(environment)
        if os.getcwd() != folder:
            os.chdir(folder)


class _Log(io.TextIOBase):
    """What the call prints, and what Lithops logs meanwhile, of any thread."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def write(self, text: str) -> int:
        self._parts.append(text)
        return len(text)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return sys.__stdout__.fileno() if sys.__stdout__ else 1

    def text(self) -> str:
        return "".join(self._parts)


@contextmanager
def _captured() -> Iterator[_Log]:
    log, out, error = _Log(), sys.stdout, sys.stderr
    logger = logging.getLogger("lithops")
    handlers, propagate, handler = logger.handlers, logger.propagate, logging.StreamHandler(log)
    handler.setFormatter(_FORMAT)
    logger.handlers, logger.propagate = [handler], False
    sys.stdout = sys.stderr = log
    try:
        yield log
    finally:
        sys.stdout, sys.stderr = out, error
        logger.handlers, logger.propagate = handlers, propagate


_FORMAT = logging.Formatter("%(asctime)s [%(levelname)s] %(filename)s:%(lineno)s -- %(message)s")
