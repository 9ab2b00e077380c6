REQUIREMENTS = ["joblib>=1.5", "cloudpickle", "numpy"]

import os  # noqa: E402

from bench.peers import ROOT  # noqa: E402

os.environ["PYTHONPATH"] = str(ROOT)  # its workers are new interpreters, which import what is pickled by name

import joblib  # noqa: E402
from joblib.externals.loky import ProcessPoolExecutor, get_reusable_executor  # noqa: E402

from bench.map import program  # noqa: E402
from bench.map.program import noop  # noqa: E402
from bench.rows import Measure  # noqa: E402

QUICK = False


def joblib_batch1() -> Measure:
    calls = program.JOBLIB_CALLS // 10 if QUICK else program.JOBLIB_CALLS
    with joblib.parallel_config(backend="loky", n_jobs=program.CPUS):
        run = joblib.Parallel(batch_size=1)
        run(joblib.delayed(noop)(i) for i in range(100))
        return Measure(program.us_each(lambda: run(joblib.delayed(noop)(i) for i in range(calls)), calls), "None")


def _noop(calls: int, chunk: int) -> Measure:
    calls = calls // 10 if QUICK else calls
    with ProcessPoolExecutor(program.CPUS) as pool:  # not joblib's, which has more of its own in it
        list(pool.map(noop, range(100)))
        return Measure(program.us_each(lambda: list(pool.map(noop, range(calls), chunksize=chunk)), calls), "None")


def map_noop_chunk1() -> Measure:
    return _noop(program.CHUNK1_CALLS, 1)


def map_noop_chunked() -> Measure:
    return _noop(program.CHUNKED_CALLS, 64)


def teardown() -> None:
    get_reusable_executor().shutdown(wait=True)
