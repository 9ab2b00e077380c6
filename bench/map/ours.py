import statistics
import tempfile
import time
from pathlib import Path

import daybreak
from bench.map import program
from bench.map.program import noop
from bench.rows import Measure
from daybreak import map as room

QUICK = False
executor: room.Executor


def setup() -> None:
    global executor
    daybreak.init(num_cpus=program.CPUS, object_store_memory=3 << 30)
    executor = room.executor()
    list(executor.map(noop, range(100)))


def teardown() -> None:
    executor.close()
    daybreak.shutdown()


def _noop(calls: int) -> Measure:
    calls = calls // 10 if QUICK else calls
    list(executor.map(noop, range(1000)))
    return Measure(program.us_each(lambda: list(executor.map(noop, range(calls))), calls), "None")


def map_noop_chunk1() -> Measure:
    return _noop(program.CHUNK1_CALLS)


def map_noop_chunked() -> Measure:
    return _noop(program.CHUNKED_CALLS)


def map_one_call_ms() -> Measure:
    times = []
    for _ in range(100 if QUICK else 1000):
        started = time.perf_counter()
        result = executor.call_async(program.magnitude, -7).result()
        times.append(time.perf_counter() - started)
    return Measure(statistics.median(times) * 1e3, result)


def map_arrays_1mb() -> Measure:
    calls = program.ARRAYS // 10 if QUICK else program.ARRAYS
    total = 0.0
    for result in executor.map(program.negative, program.inputs_of_1mb(20), ahead=8):
        total += float(result[0])
    started, total = time.perf_counter(), 0.0
    for result in executor.map(program.negative, program.inputs_of_1mb(calls), ahead=8):
        total += float(result[0])
    return Measure((time.perf_counter() - started) / calls * 1e3, total)


def joblib_batch1() -> Measure:
    import joblib
    from daybreak.util.joblib import register

    register()
    calls = program.JOBLIB_CALLS // 10 if QUICK else program.JOBLIB_CALLS
    with joblib.parallel_config(backend="daybreak", n_jobs=program.CPUS):
        run = joblib.Parallel(batch_size=1)
        run(joblib.delayed(noop)(i) for i in range(100))
        return Measure(program.us_each(lambda: run(joblib.delayed(noop)(i) for i in range(calls)), calls), "None")


def executor_submit() -> Measure:
    from daybreak.util import Executor

    calls = program.SUBMITS // 10 if QUICK else program.SUBMITS
    with Executor(max_workers=program.CPUS) as pool:
        [future.result() for future in [pool.submit(noop, i) for i in range(100)]]

        def run() -> None:
            [future.result() for future in [pool.submit(noop, i) for i in range(calls)]]

        return Measure(program.us_each(run, calls), "None")


def map_result_bytes() -> Measure:
    calls = program.PENDING // 10 if QUICK else program.PENDING
    with tempfile.TemporaryDirectory() as folder:
        gate = str(Path(folder, "open"))

        def first_waits(x: int) -> None:
            if x < 10_000:
                program.wait_for(gate)

        before = program.own_bytes()
        waiting = executor.map(first_waits, range(calls), ahead=None)
        each = (program.own_bytes() - before) / calls
        Path(gate).touch()
        count = sum(1 for _ in waiting)
        after = (program.own_bytes() - before) / calls
    return Measure(each, count == calls, {"left_bytes": after})
