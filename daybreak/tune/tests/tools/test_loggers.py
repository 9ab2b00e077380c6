"""What experiments write for TensorBoard and MLflow is read back by them; xgboost's rounds are reports. `--suite=tune_tools`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorboard", reason="needs TensorBoard and others: ./dev test --suite=tune_tools")
pytest.importorskip("xgboost", reason="needs xgboost and others: ./dev test --suite=tune_tools")
pytest.importorskip("mlflow", reason="needs MLflow and others: ./dev test --suite=tune_tools")

import xgboost
from mlflow.tracking import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import daybreak
from daybreak import tune
from daybreak.base.errors import InvalidArgumentError
from daybreak.tune.event_files import EventFile
from daybreak.tune.integration.mlflow import MLflowLoggerCallback
from daybreak.tune.integration.xgboost import TuneReportCallback, TuneReportCheckpointCallback
from daybreak.tune.logger import CSVLoggerCallback, JsonLoggerCallback, TBXLoggerCallback


@pytest.fixture(scope="module", autouse=True)
def _runtime() -> Iterator[None]:
    daybreak.init(num_cpus=2)
    yield
    daybreak.shutdown()


def fit(trainable: Any, folder: Path, space: dict[str, Any], callbacks: Any = None, **more: Any) -> Any:
    run = tune.RunConfig(name="e", storage_path=folder, verbose=0, callbacks=callbacks, **more)
    return tune.Tuner(trainable, param_space=space, run_config=run).fit()


def steps(config: dict[str, Any]) -> None:
    for step in range(3):
        tune.report({"loss": config["lr"] / (step + 1), "deep": {"n": step}, "text": "no scalar", "bad": math.nan})
    if config["lr"] > 1:
        raise RuntimeError("too high")


def read(folder: str) -> EventAccumulator:
    found = EventAccumulator(folder)
    found.Reload()
    return found


def test_tensorboard_reads_what_a_trial_reported(tmp_path: Path) -> None:
    loggers = [TBXLoggerCallback(), JsonLoggerCallback(), CSVLoggerCallback()]
    grid = fit(steps, tmp_path, {"lr": tune.grid_search([0.5, 2.0])}, loggers)
    for result, lr in zip(grid, (0.5, 2.0), strict=True):
        found = read(result.path)
        tags = found.Tags()["scalars"]
        assert {"ray/tune/loss", "ray/tune/deep/n", "ray/tune/bad", "ray/tune/time_total_s"} <= set(tags)
        assert not any("text" in tag or "config" in tag for tag in tags)
        loss = found.Scalars("ray/tune/loss")
        assert [event.step for event in loss] == [1, 2, 3]
        assert np.allclose([event.value for event in loss], [lr, lr / 2, lr / 3])
        assert math.isnan(found.Scalars("ray/tune/bad")[0].value)
        assert {"result.json", "progress.csv"} <= {path.name for path in Path(result.path).iterdir()}


def test_tensorboard_reads_every_step_and_time_and_a_cut_file_up_to_the_cut(tmp_path: Path) -> None:
    file = EventFile(tmp_path)
    written = [(0, -1e30, 1.5), (127, 0.0, 2.5), (128, 1e-30, 3.5), (2**40, math.inf, 1e9)]
    for step, value, at in written:
        file.scalars([("a", value), ("long/" + "n" * 300, 1.0)], step, at)
    file.close()
    found = read(str(tmp_path)).Scalars("a")
    assert [(e.step, e.wall_time) for e in found] == [(step, at) for step, _, at in written]
    assert np.allclose([e.value for e in found], [np.float32(value) for _, value, _ in written])
    file.path.write_bytes(file.path.read_bytes()[:-3])
    assert len(read(str(tmp_path)).Scalars("a")) == 3


def test_mlflow_has_a_run_for_each_trial(tmp_path: Path) -> None:
    uri = f"file://{tmp_path}/runs"
    logger = MLflowLoggerCallback(uri, experiment_name="tuned", tags={"who": "me"}, save_artifact=True)
    fit(steps, tmp_path / "out", {"lr": tune.grid_search([0.5, 2.0]), "net": {"units": 8}}, [logger])
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("tuned")
    runs = sorted(client.search_runs([experiment.experiment_id]), key=lambda run: float(run.data.params["lr"]))
    assert [run.info.status for run in runs] == ["FINISHED", "FAILED"]
    assert runs[0].data.params == {"lr": "0.5", "net/units": "8"} and runs[0].data.tags["who"] == "me"
    history = client.get_metric_history(runs[0].info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(1, 0.5), (2, 0.25), (3, 0.5 / 3)]
    assert any(file.path.endswith("result.json") for file in client.list_artifacts(runs[0].info.run_id))


def boosts(config: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4))
    data = xgboost.DMatrix(x, label=(x[:, 0] > 0).astype(float))
    xgboost.train(
        {"objective": "binary:logistic", "eval_metric": ["logloss", "error"], "nthread": 1, "eta": config["eta"]},
        data,
        num_boost_round=6,
        evals=[(data, "train")],
        callbacks=[config["callback"](config["metrics"], **config["more"])],
    )


def test_xgboosts_rounds_are_reports_and_its_models_checkpoints(tmp_path: Path) -> None:
    def space(callback: Any, metrics: Any = None, **more: Any) -> dict[str, Any]:
        return {"eta": 0.3, "callback": callback, "metrics": metrics, "more": more}

    [result] = fit(boosts, tmp_path / "a", space(TuneReportCheckpointCallback, frequency=2))
    assert [row["training_iteration"] for row in result.history()] == [1, 2, 3, 4, 5, 6]
    losses = [row["train-logloss"] for row in result.history()]
    assert losses == sorted(losses, reverse=True) and "train-error" in result.metrics
    assert len(result.best_checkpoints) == 3
    booster = TuneReportCheckpointCallback.get_model(result.checkpoint)
    assert booster.num_boosted_rounds() == 6
    [named] = fit(boosts, tmp_path / "b", space(TuneReportCallback, {"loss": "train-logloss"}))
    assert [row["loss"] for row in named.history()] == losses and named.checkpoint is None
    [last] = fit(boosts, tmp_path / "c", space(TuneReportCheckpointCallback, "train-error"))
    assert len(last.history()) == 6 and len(last.best_checkpoints) == 1
    [failed] = fit(boosts, tmp_path / "d", space(TuneReportCallback, ["valid-auc"]))
    assert "not evaluated: there are ['train-error', 'train-logloss']" in str(failed.error)
    with pytest.raises(InvalidArgumentError, match="frequency=-1"):
        TuneReportCheckpointCallback(frequency=-1)


def test_ray_programs_find_them_under_rays_names() -> None:
    import daybreak.compat.ray

    daybreak.compat.ray.install()
    try:
        from ray.air.integrations.mlflow import MLflowLoggerCallback as Mlflow
        from ray.tune.integration.xgboost import TuneReportCheckpointCallback as Boost
        from ray.tune.logger import LoggerCallback
        from ray.tune.logger import TBXLoggerCallback as Tbx
        from ray.tune.search.hyperopt import HyperOptSearch
        from ray.tune.search.optuna import OptunaSearch
    finally:
        daybreak.compat.ray.uninstall()
    assert (Mlflow, Boost, Tbx) == (MLflowLoggerCallback, TuneReportCheckpointCallback, TBXLoggerCallback)
    assert LoggerCallback is tune.LoggerCallback
    assert {HyperOptSearch.__module__, OptunaSearch.__module__} == {"daybreak.tune.study_search"}
