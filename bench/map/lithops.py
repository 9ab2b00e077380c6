REQUIREMENTS = ["lithops==3.8.0"]
ENV = {"LITHOPS_TELEMETRY": "false"}
QUICK = False

import logging  # noqa: E402
import statistics  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402

import lithops  # noqa: E402

from bench.map import program  # noqa: E402
from bench.map.program import noop  # noqa: E402
from bench.rows import Measure  # noqa: E402

executor: lithops.FunctionExecutor
CONFIG = {
    "lithops": {"backend": "localhost", "storage": "localhost", "log_level": "ERROR", "telemetry": False},
    "localhost": {"worker_processes": program.CPUS, "runtime": sys.executable},  # else python3 of the PATH
}


def setup() -> None:
    global executor
    logging.disable(logging.WARNING)
    executor = lithops.FunctionExecutor(config=CONFIG)
    executor.get_result(executor.map(noop, [1, 2]))


def teardown() -> None:
    executor.__exit__(None, None, None)


def map_one_call_ms() -> Measure:
    times = []
    for _ in range(3 if QUICK else 10):
        started = time.perf_counter()
        result = executor.get_result(executor.call_async(program.magnitude, -7))
        times.append(time.perf_counter() - started)
    return Measure(statistics.median(times) * 1e3, result)


def map_noop_chunk1() -> Measure:
    calls = 5 if QUICK else 20
    return Measure(program.us_each(lambda: executor.wait(executor.map(noop, range(calls), chunksize=1)), calls), "None")
