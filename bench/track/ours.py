"""Daybreak."""

import os
import shutil
import tempfile
import time
from pathlib import Path

from bench.rows import Measure, rate
from bench.track import archives, workload
from daybreak import track
from daybreak.store import Store

QUICK = False
_folder = ""


def setup() -> None:
    global _folder
    _folder = tempfile.mkdtemp(prefix="daybreak-bench-track-")
    os.environ["DAYBREAK_TRACK_CAPTURE"] = "0"  # 2,000 runs need not write the repository's code down
    track.init(_folder)


def teardown() -> None:
    shutil.rmtree(_folder)


def _checked() -> list[list[float]]:
    with track.run("check") as run:
        for step, value in workload.check_points():
            run.log({"return": value}, step=step)
    history = track.get(run.id).history("return")
    return [list(pair) for pair in zip(history.steps.tolist(), history.values.tolist(), strict=True)]


def log_metric_python() -> Measure:
    check = _checked()
    with track.run("bench") as run:
        log = run.log

        def thousand() -> None:
            for step in range(1000):
                log({"return": 3.2}, step=step)

        value = rate(thousand, 0.3 if QUICK else 1.5, batch=1000, warm_up=10)
        started = time.perf_counter()
    return Measure(value, check, {"finish_s": time.perf_counter() - started})


log_metric_async = log_metric_files = log_metric_python


def log_metric_synced() -> Measure:
    check = _checked()
    with track.run("bench") as run:

        def one() -> None:
            run.log({"return": 3.2}, step=7)
            run.sync()

        value = rate(one, 0.3 if QUICK else 1.5, warm_up=20)
    return Measure(value, check)


def log_metric_files_closed() -> Measure:
    started = time.perf_counter()
    with track.run("bench") as run:
        for step in range(workload.FILE_POINTS):
            run.log({"return": float(step)}, step=step)
    took = time.perf_counter() - started
    kept = track.get(run.id).history("return").values
    return Measure(workload.FILE_POINTS / took, [len(kept), float(kept.sum())])


def log_batch() -> Measure:
    metrics = {f"m{i}": 1.0 + i for i in range(1000)}
    with track.run("bench") as run:
        value = rate(lambda: run.log(metrics, step=1), 0.3 if QUICK else 1.5, batch=1000, warm_up=5)
    return Measure(value, sum(track.get(run.id).metrics.values()))


def log_rows_native() -> Measure:
    import numpy as np

    values = np.arange(workload.ROWS, dtype=np.float64)
    with track.run("bench") as run:
        value = rate(lambda: run.log_array("return", values), 0.3 if QUICK else 1.5, batch=workload.ROWS)
        started = time.perf_counter()
    finish = time.perf_counter() - started
    with track.run("check") as run:
        run.log_array("return", values)
    stored = track.get(run.id).history("return").values
    return Measure(value, [len(stored), float(stored.sum())], {"finish_s": finish})


def search_2000_runs() -> Measure:
    started = time.perf_counter()
    for index in range(workload.RUNS):
        params, metrics = workload.run_of(index)
        with track.run(f"run-{index}", params=params) as run:
            run.log(metrics, step=0)
    written = time.perf_counter()
    track.runs(limit=1)
    info = {"write_2000_s": written - started, "first_search_s": time.perf_counter() - written}

    def search() -> list[str]:
        found = track.runs("metrics.m3 > 0.5 and params.optimizer = 'adam'", order_by="metrics.m7 desc")
        assert all(len(run.metrics) == workload.METRICS for run in found)
        return [run.name for run in found]

    assert search() == workload.expected_search()
    return Measure(rate(search, 0.5 if QUICK else 2.0), search(), info)


class Ours(archives.Archive):
    def __init__(self, work: Path) -> None:
        super().__init__(work)
        self.store = Store(work / "store")
        self.newest: str | None = None

    def put(self, file: Path) -> None:
        self.newest = self.store.put(file, name="file", parent=self.newest).id

    def restore(self, out: Path) -> None:
        assert self.newest is not None
        Store(self.work / "store").write_to(self.newest, out)  # as another process would: nothing is in memory

    def size_bytes(self) -> int:
        return archives.bytes_under(self.work / "store")


globals().update(archives.rows_of(Ours, lambda: QUICK))
