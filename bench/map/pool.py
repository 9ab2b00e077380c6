REQUIREMENTS = ["cloudpickle", "numpy"]

import tempfile  # noqa: E402
import time  # noqa: E402
from concurrent.futures import ProcessPoolExecutor  # noqa: E402
from pathlib import Path  # noqa: E402

from bench.map import program  # noqa: E402
from bench.map.program import noop  # noqa: E402
from bench.rows import Measure  # noqa: E402

QUICK = False
pool: ProcessPoolExecutor


def setup() -> None:
    global pool
    pool = ProcessPoolExecutor(program.CPUS)
    list(pool.map(noop, range(100)))


def teardown() -> None:
    pool.shutdown()


def _noop(calls: int, chunk: int) -> Measure:
    calls = calls // 10 if QUICK else calls
    return Measure(program.us_each(lambda: list(pool.map(noop, range(calls), chunksize=chunk)), calls), "None")


def map_noop_chunk1() -> Measure:
    return _noop(program.CHUNK1_CALLS, 1)


def map_noop_chunked() -> Measure:
    return _noop(program.CHUNKED_CALLS, 64)


def map_arrays_1mb() -> Measure:
    """Eight in flight, as ours: its map would take all arrays at once."""
    calls = program.ARRAYS // 10 if QUICK else program.ARRAYS
    waiting, total = [], 0.0
    started = time.perf_counter()
    for array in program.inputs_of_1mb(calls):
        waiting.append(pool.submit(program.negative, array))
        if len(waiting) == 8:
            total += float(waiting.pop(0).result()[0])
    total += sum(float(future.result()[0]) for future in waiting)
    return Measure((time.perf_counter() - started) / calls * 1e3, total)


def executor_submit() -> Measure:
    calls = program.SUBMITS // 10 if QUICK else program.SUBMITS

    def run() -> None:
        [future.result() for future in [pool.submit(noop, i) for i in range(calls)]]

    return Measure(program.us_each(run, calls), "None")


def map_result_bytes() -> Measure:
    calls = program.PENDING // 10 // (10 if QUICK else 1)
    with tempfile.TemporaryDirectory() as folder:
        gate = str(Path(folder, "open"))
        held = [pool.submit(program.wait_for, gate) for _ in range(program.CPUS)]
        before = program.own_bytes()
        waiting = pool.map(noop, range(calls))
        each = (program.own_bytes() - before) / calls
        Path(gate).touch()
        [future.result() for future in held]
        count = sum(1 for _ in waiting)
    return Measure(each, count == calls)
