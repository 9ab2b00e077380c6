"""The rows as a program against Ray's API: the same lines for us and for Ray, only the module differs."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.rows import Measure, rate
from bench.runtime import environments, metg
from bench.runtime.metg import CPUS

IN_FLIGHT = 1000
STORE_BYTES = 3 << 30
LARGE_BYTES = 800 << 20
SAMPLES = 1000


@contextlib.contextmanager
def busy_process() -> Iterator[None]:
    """One other process that wants a core for itself."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def pss_mb(pid: int) -> float:
    """Memory of a process, its share of what several map."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise OSError(f"process {pid} has no Pss")


def latencies_us(call: Callable[[], Any], samples: int) -> list[float]:
    """Of calls that each come after 1 ms of silence, sorted."""
    times = []
    for _ in range(samples):
        time.sleep(0.001)
        started = time.perf_counter()
        call()
        times.append((time.perf_counter() - started) * 1e6)
    return sorted(times)


class Program(metg.Rows, environments.Rows):
    """One row a method."""

    def __init__(self, api: ModuleType) -> None:
        self.api = api
        self.quick = False
        self.started = False
        self.idle: list[float] = []
        self.spin: Callable[..., Any] | None = None
        self.contention: Callable[[], dict[str, int]] | None = None  # ours: what sharing has cost so far

    def start(self) -> None:
        if not self.started:
            self.api.init(num_cpus=CPUS, object_store_memory=STORE_BYTES, log_to_driver=False)
            self.started = True

    def stop(self) -> None:
        if self.started:
            self.api.shutdown()

    @property
    def duration(self) -> float:
        return 0.2 if self.quick else 0.8

    def _task(self) -> Any:
        self.start()

        @self.api.remote
        def ok() -> bytes:
            return b"ok"

        self.api.get([ok.remote() for _ in range(100)])
        return ok

    def _actor(self) -> Any:
        self.start()

        class Actor:
            def ok(self) -> bytes:
                return b"ok"

            def middle(self, array: Any) -> float:
                return float(array[512])

        actor = self.api.remote(Actor).remote()
        self.api.get(actor.ok.remote())
        return actor

    def _flight(self, call: Callable[[], Any]) -> tuple[float, dict[str, float]]:
        """Calls per second of IN_FLIGHT at a time, and what sharing cost each."""
        call()
        before = self.contention() if self.contention else {}
        value = rate(call, self.duration, IN_FLIGHT, warm_up=0)
        after = self.contention() if self.contention else {}
        cost = {name: float(after[name] - before[name]) for name in after}
        taken = max(1.0, cost.pop("taken", 1.0))
        return value, {f"{name}_per_task": round(n / taken, 4) for name, n in cost.items()}

    def tasks_sync(self) -> Measure:
        f, get = self._task(), self.api.get
        return Measure(rate(lambda: get(f.remote()), self.duration, warm_up=20), get(f.remote()).decode())

    def tasks_pipelined(self) -> Measure:
        f, get = self._task(), self.api.get
        value, info = self._flight(lambda: get([f.remote() for _ in range(IN_FLIGHT)]))
        return Measure(value, len(get([f.remote() for _ in range(IN_FLIGHT)])), info)

    def tasks_pipelined_args(self) -> Measure:
        self.start()
        get = self.api.get

        @self.api.remote
        def total(numbers: list[int], options: dict[str, Any], data: bytes) -> int:
            return len(numbers) + len(options) + len(data)

        numbers, options, data = [1, 2, 3, 4], {"a": 1, "b": 2.5, "name": "x"}, bytes(1024)
        value = rate(
            lambda: get([total.remote(numbers, options, data) for _ in range(IN_FLIGHT)]), self.duration, IN_FLIGHT
        )
        return Measure(value, get(total.remote(numbers, options, data)))

    def actor_sync(self) -> Measure:
        actor, get = self._actor(), self.api.get
        return Measure(rate(lambda: get(actor.ok.remote()), self.duration, warm_up=20), get(actor.ok.remote()).decode())

    def actor_pipelined(self) -> Measure:
        actor, get = self._actor(), self.api.get
        value = rate(lambda: get([actor.ok.remote() for _ in range(IN_FLIGHT)]), self.duration, IN_FLIGHT)
        return Measure(value, len(get([actor.ok.remote() for _ in range(IN_FLIGHT)])))

    def actor_sync_8kb(self) -> Measure:
        import numpy as np

        actor, get, array = self._actor(), self.api.get, np.arange(1024.0)
        value = rate(lambda: get(actor.middle.remote(array)), self.duration, warm_up=20)
        return Measure(value, get(actor.middle.remote(array)))

    def _async_actor(self) -> Any:
        self.start()

        class Actor:
            async def ok(self) -> bytes:
                import asyncio

                return b"ok" if asyncio.current_task() is not None else b"no task"

        actor = self.api.remote(Actor).remote()
        self.api.get(actor.ok.remote())
        return actor

    def async_actor_sync(self) -> Measure:
        actor, get = self._async_actor(), self.api.get
        return Measure(rate(lambda: get(actor.ok.remote()), self.duration, warm_up=20), get(actor.ok.remote()).decode())

    def async_actor_pipelined(self) -> Measure:
        actor, get = self._async_actor(), self.api.get
        value = rate(lambda: get([actor.ok.remote() for _ in range(IN_FLIGHT)]), self.duration, IN_FLIGHT)
        return Measure(value, get(actor.ok.remote()).decode())

    def generator_items(self) -> Measure:
        self.start()
        api = self.api

        @api.remote(num_returns="streaming")
        def items(count: int) -> Any:
            for i in range(count):  # noqa: UP028 - Ray sends into the generator, and a range takes nothing
                yield i

        def sweep() -> int:
            return sum(api.get(ref) for ref in items.remote(IN_FLIGHT))

        total = sweep()
        return Measure(rate(sweep, self.duration, IN_FLIGHT), total)

    def nested_tasks(self) -> Measure:
        inner, api = self._task(), self.api

        @api.remote
        def outer() -> int:
            return len(api.get([inner.remote() for _ in range(IN_FLIGHT)]))

        value, info = self._flight(lambda: api.get(outer.remote()))
        return Measure(value, api.get(outer.remote()), info)

    def put_small(self) -> Measure:
        self.start()
        put = self.api.put
        return Measure(rate(lambda: put(0), self.duration, warm_up=20), self.api.get(put(0)))

    def get_small(self) -> Measure:
        self.start()
        get, ref = self.api.get, self.api.put(0)
        return Measure(rate(lambda: get(ref), self.duration, warm_up=20), get(ref))

    def _put_large(self, array: Any) -> float:
        started = time.perf_counter()
        ref = self.api.put(array)
        took = time.perf_counter() - started
        assert self.api.get(ref)[-1] == array[-1]
        return float(array.nbytes / took / 1e9)

    def _large(self) -> Any:
        import numpy as np

        return np.arange(LARGE_BYTES // 8, dtype=np.int64)

    def put_800mib_first(self) -> Measure:
        array = self._large()
        self._task()
        return Measure(self._put_large(array), int(array[-1]))

    def put_800mib(self) -> Measure:
        import numpy as np

        self.start()
        array = self._large()
        self._put_large(array)
        values = [self._put_large(array) for _ in range(2 if self.quick else 5)]
        target = np.empty_like(array)
        copies = []
        for _ in range(3):
            started = time.perf_counter()
            np.copyto(target, array)
            copies.append(array.nbytes / (time.perf_counter() - started) / 1e9)
        return Measure(statistics.median(values), int(array[-1]), {"numpy_copy_gb_per_s": max(copies)})

    def wait_1k(self) -> Measure:
        f, wait = self._task(), self.api.wait
        times = []
        while not times or sum(times) < self.duration:
            left = [f.remote() for _ in range(IN_FLIGHT)]
            rounds = 0
            started = time.perf_counter()
            while left:
                _, left = wait(left)
                rounds += 1
            times.append(time.perf_counter() - started)
        return Measure(1 / statistics.median(times), rounds)

    def get_10k_refs(self) -> Measure:
        self.start()
        get = self.api.get
        ref = self.api.put([self.api.put(i) for i in range(10_000)])
        return Measure(rate(lambda: get(ref), self.duration), get(get(ref)[9_999]))

    def init_to_first_result(self) -> Measure:
        api = self.api

        def ok() -> bytes:
            return b"ok"

        started = time.perf_counter()
        self.start()
        value = api.get(api.remote(ok).remote())
        return Measure(time.perf_counter() - started, value.decode())

    def worker_idle_pss(self) -> Measure:
        import numpy  # noqa: F401 - a driver that uses it has loaded it before init

        self.start()

        @self.api.remote
        def load() -> int:
            import time

            import cloudpickle  # noqa: F401

            time.sleep(0.2)
            return os.getpid()

        pids = set(self.api.get([load.remote() for _ in range(4 * CPUS)]))
        time.sleep(0.5)
        return Measure(statistics.median(pss_mb(pid) for pid in pids), None, {"workers": len(pids)})

    def tasks_sync_contended(self) -> Measure:
        f, get = self._task(), self.api.get
        with busy_process():
            time.sleep(0.1)
            value = rate(lambda: get(f.remote()), self.duration, warm_up=20)
        return Measure(value, get(f.remote()).decode())

    def run_graph(self, pattern: str, size: int, count: int) -> None:
        if self.spin is None:
            self.start()

            def spin(count: int, *needs: Any) -> int:  # metg.spin, by value: workers cannot import this file
                for _ in range(count):
                    pass
                return len(needs)

            self.spin = self.api.remote(spin).remote
        metg.graph(pattern, size, count, self.spin, self.api.get)

    def _after_idle(self) -> list[float]:
        if not self.idle:
            f, get = self._task(), self.api.get
            self.idle = latencies_us(lambda: get(f.remote()), SAMPLES // 5 if self.quick else SAMPLES)
        return self.idle

    def tasks_after_idle_p50(self) -> Measure:
        return Measure(statistics.median(self._after_idle()))

    def tasks_after_idle_p99(self) -> Measure:
        times = self._after_idle()
        return Measure(times[len(times) * 99 // 100])
