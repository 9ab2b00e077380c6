"""CPython's tests of concurrent.futures (Debian's package libpython3.11-testsuite) with ours as the executor of processes.

They are unittest classes, one for each way to start a process. Ours knows one way, and runs those of "spawn", which starts
processes as they are needed, too.
"""

from __future__ import annotations

import concurrent.futures
import concurrent.futures.process
import os
import signal
from typing import Any

import pytest
from daybreak.util import Executor

PACKAGE = "test"
TESTS = ["test_concurrent_futures.py"]
SAMPLE = 4


class Process:
    """As much of multiprocessing.Process as the tests touch."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def join(self) -> None:
        while os.path.exists(f"/proc/{self.pid}"):
            pass


class Tested(Executor):
    """Takes an mp_context, which the tests give all executors, and has the attributes that they look into."""

    def __init__(self, max_workers: Any = None, mp_context: Any = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(max_workers, None, *args, **kwargs)

    @property
    def _processes(self) -> dict[int, Process]:
        found = self._workers.pids()
        while not found and (self._workers._pending or self._workers._seats):
            found = self._workers.pids()  # of a worker that is about to start
        return {pid: Process(pid) for pid in found}

    @property
    def _executor_manager_thread(self) -> Any:
        return self._workers._thread


Tested.__name__ = "ProcessPoolExecutor"
concurrent.futures.ProcessPoolExecutor = Tested  # type: ignore[misc]
concurrent.futures.process.ProcessPoolExecutor = Tested  # type: ignore[misc]


# What these do depends on where Python's tests lie: one runs the standard library's executor in a Python of its own, one sends an
# object of a class that workers cannot import.
ELSEWHERE = ("test_interpreter_shutdown", "test_ressources_gced_in_workers")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: Any, items: Any) -> None:
    """Only what has to do with executors of processes."""
    ours = [
        item
        for item in items
        if item.nodeid.split("::")[-2].startswith("ProcessPoolSpawn") and item.name not in ELSEWHERE
    ]
    config.hook.pytest_deselected(items=[item for item in items if item not in ours])
    items[:] = ours
    for module in {item.module for item in ours}:  # the runtime's own threads are there before a test and after it
        module.threading_helper.threading_setup = lambda: (0, 0)
        module.threading_helper.threading_cleanup = lambda *_: None
