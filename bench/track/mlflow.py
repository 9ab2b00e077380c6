"""MLflow on a SQLite file, as `mlflow` keeps runs when it is told `sqlite:///...` (its default since 3.7)."""

REQUIREMENTS = ["mlflow==3.17.2"]
ENV = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"}
QUICK = False

import shutil  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

import mlflow  # noqa: E402
from mlflow.entities import Metric, Param  # noqa: E402

from bench.rows import Measure, rate  # noqa: E402
from bench.track import workload  # noqa: E402
from bench.track.workload import kept_folder  # noqa: E402

_folder = ""


def setup() -> None:
    global _folder
    _folder = tempfile.mkdtemp(prefix="mlflow-bench-track-")
    mlflow.set_tracking_uri(f"sqlite:///{_folder}/mlflow.db")
    mlflow.set_experiment("bench")


def teardown() -> None:
    shutil.rmtree(_folder)


def _history(run_id: str) -> list[list[float]]:
    points = mlflow.MlflowClient().get_metric_history(run_id, "return")
    return [[point.step, point.value] for point in sorted(points, key=lambda point: point.step)]


def _measured(synchronous: bool) -> Measure:
    with mlflow.start_run() as run:
        for step, value in workload.check_points():
            mlflow.log_metric("return", value, step=step)
    check = _history(run.info.run_id)
    with mlflow.start_run():
        if synchronous:
            value = rate(lambda: mlflow.log_metric("return", 3.2, step=7), 1.0 if QUICK else 3.0, warm_up=20)
        else:
            count = 500 if QUICK else 4000
            started = time.perf_counter()
            for step in range(count):
                mlflow.log_metric("return", 3.2, step=step, synchronous=False)
            mlflow.flush_async_logging()
            value = count / (time.perf_counter() - started)
    return Measure(value, check)


def log_metric_python() -> Measure:
    return _measured(True)


log_metric_synced = log_metric_python


def log_metric_async() -> Measure:
    return _measured(False)


def log_batch() -> Measure:
    client = mlflow.MlflowClient()
    with mlflow.start_run() as run:
        step = 0

        def batch() -> None:
            nonlocal step
            step += 1
            now = int(time.time() * 1000)
            client.log_batch(run.info.run_id, [Metric(f"m{i}", 1.0 + i, now, step) for i in range(1000)])

        value = rate(batch, 1.0 if QUICK else 3.0, batch=1000, warm_up=2)
    return Measure(value, sum(client.get_run(run.info.run_id).data.metrics.values()))


def _make_runs(folder: Path) -> None:
    """The runs to be searched; it takes minutes, so they are made once and kept."""
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.create_experiment("bench", artifact_location=f"{folder}/artifacts")
    started = time.perf_counter()
    for index in range(workload.RUNS):
        params, metrics = workload.run_of(index)
        run = client.create_run(experiment, run_name=f"run-{index}")
        client.log_batch(
            run.info.run_id,
            [Metric(name, value, index, 0) for name, value in metrics.items()],
            [Param(name, value) for name, value in params.items()],
        )
        client.set_terminated(run.info.run_id)
    (folder / "write_2000_s").write_text(str(time.perf_counter() - started))


def search_2000_runs() -> Measure:
    made = kept_folder("mlflow-runs", _make_runs)
    client = mlflow.MlflowClient(f"sqlite:///{made}/mlflow.db")
    experiment = client.get_experiment_by_name("bench").experiment_id
    info = {"write_2000_s": float((made / "write_2000_s").read_text())}

    def search() -> list[str]:
        found = client.search_runs(
            [experiment],
            "metrics.m3 > 0.5 and params.optimizer = 'adam'",
            max_results=workload.RUNS,
            order_by=["metrics.m7 DESC"],
        )
        assert all(len(run.data.metrics) == workload.METRICS for run in found)
        return [run.info.run_name for run in found]

    assert search() == workload.expected_search()
    return Measure(rate(search, 1.0 if QUICK else 5.0), search(), info)
