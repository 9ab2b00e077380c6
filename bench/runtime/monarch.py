REQUIREMENTS = ["torchmonarch==0.7.*", "torch==2.13.0", "numpy"]
QUICK = False

import time  # noqa: E402
from typing import Any  # noqa: E402

from monarch.actor import Actor, endpoint, shutdown_context, this_host  # noqa: E402

from bench.rows import Measure, rate  # noqa: E402
from bench.runtime.program import IN_FLIGHT  # noqa: E402

actors: list[Any] = []


def sample() -> Any:
    class Sample(Actor):  # in here, so that it travels by value: its process cannot import this file
        @endpoint
        async def ok(self) -> bytes:
            return b"ok"

        @endpoint
        async def middle(self, array: Any) -> float:
            return float(array[512])

    if not actors:
        actors.append(this_host().spawn_procs(per_host={"procs": 1}).spawn("sample", Sample))
        actors[0].ok.call_one().get()
    return actors[0]


def duration() -> float:
    return 0.2 if QUICK else 0.8


def actor_sync() -> Measure:
    ok = sample().ok
    return Measure(rate(lambda: ok.call_one().get(), duration(), warm_up=20), ok.call_one().get().decode())


def actor_pipelined() -> Measure:
    ok = sample().ok

    def batch() -> list[bytes]:
        return [future.get() for future in [ok.call_one() for _ in range(IN_FLIGHT)]]

    return Measure(rate(batch, duration(), IN_FLIGHT), len(batch()))


def actor_sync_8kb() -> Measure:
    import numpy as np

    middle, array = sample().middle, np.arange(1024.0)
    value = rate(lambda: middle.call_one(array).get(), duration(), warm_up=20)
    return Measure(value, middle.call_one(array).get())


def init_to_first_result() -> Measure:
    started = time.perf_counter()
    value = sample().ok.call_one().get()
    return Measure(time.perf_counter() - started, value.decode())


def teardown() -> None:
    if actors:
        shutdown_context().get()
