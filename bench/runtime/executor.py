"""The rows that an executor of concurrent.futures can run: tasks, nothing else."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from bench.rows import Measure, rate
from bench.runtime import metg
from bench.runtime.program import CPUS, IN_FLIGHT, SAMPLES, busy_process, latencies_us, pss_mb


class ExecutorProgram(metg.Rows):
    """`make(workers)` gives the executor; `functions` are ok, total and load as the executor can pickle them."""

    def __init__(self, make: Callable[[int], Executor], functions: dict[str, Callable[..., Any]]) -> None:
        self.make = make
        self.functions = functions
        self.quick = False
        self.executor: Executor | None = None
        self.idle: list[float] = []

    def start(self) -> Executor:
        if self.executor is None:
            self.executor = self.make(CPUS)
        return self.executor

    def stop(self) -> None:
        if self.executor is not None:
            self.executor.shutdown()

    @property
    def duration(self) -> float:
        return 0.2 if self.quick else 0.8

    def _call(self) -> Callable[[], Any]:
        submit, ok = self.start().submit, self.functions["ok"]
        return lambda: submit(ok).result()

    def tasks_sync(self) -> Measure:
        call = self._call()
        return Measure(rate(call, self.duration, warm_up=20), call().decode())

    def tasks_pipelined(self) -> Measure:
        submit, ok = self.start().submit, self.functions["ok"]

        def batch() -> list[Any]:
            return [future.result() for future in [submit(ok) for _ in range(IN_FLIGHT)]]

        return Measure(rate(batch, self.duration, IN_FLIGHT), len(batch()))

    def tasks_pipelined_args(self) -> Measure:
        submit, total = self.start().submit, self.functions["total"]
        numbers, options, data = [1, 2, 3, 4], {"a": 1, "b": 2.5, "name": "x"}, bytes(1024)

        def batch() -> list[Any]:
            futures = [submit(total, numbers, options, data) for _ in range(IN_FLIGHT)]
            return [future.result() for future in futures]

        return Measure(rate(batch, self.duration, IN_FLIGHT), batch()[0])

    def init_to_first_result(self) -> Measure:
        started = time.perf_counter()
        value = self.start().submit(self.functions["ok"]).result()
        return Measure(time.perf_counter() - started, value.decode())

    def worker_idle_pss(self) -> Measure:
        import numpy  # noqa: F401 - a driver that uses it has loaded it before the workers start

        submit = self.start().submit
        pids = {future.result() for future in [submit(self.functions["load"]) for _ in range(4 * CPUS)]}
        time.sleep(0.5)
        return Measure(statistics.median(pss_mb(pid) for pid in pids), None, {"workers": len(pids)})

    def tasks_sync_contended(self) -> Measure:
        call = self._call()
        with busy_process():
            time.sleep(0.1)
            value = rate(call, self.duration, warm_up=20)
        return Measure(value, call().decode())

    def run_graph(self, pattern: str, size: int, count: int) -> None:
        """An executor knows no dependencies: the program waits for what a task needs, as its users' programs do."""
        submit = self.start().submit

        def call(count: int, *needs: Any) -> Any:
            return submit(metg.spin, count, *[need.result() for need in needs])

        def wait(futures: list[Any]) -> None:
            for future in futures:
                future.result()

        metg.graph(pattern, size, count, call, wait)

    def _after_idle(self) -> list[float]:
        if not self.idle:
            self.idle = latencies_us(self._call(), SAMPLES // 5 if self.quick else SAMPLES)
        return self.idle

    def tasks_after_idle_p50(self) -> Measure:
        return Measure(statistics.median(self._after_idle()))

    def tasks_after_idle_p99(self) -> Measure:
        times = self._after_idle()
        return Measure(times[len(times) * 99 // 100])


def ok() -> bytes:
    return b"ok"


def total(numbers: list[int], options: dict[str, Any], data: bytes) -> int:
    return len(numbers) + len(options) + len(data)


def load() -> int:
    import cloudpickle  # noqa: F401
    import numpy  # noqa: F401

    time.sleep(0.2)
    return os.getpid()


FUNCTIONS: dict[str, Callable[..., Any]] = {"ok": ok, "total": total, "load": load}
