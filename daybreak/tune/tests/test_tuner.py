"""Trials run, report, fail, stop and are written down."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import daybreak
from daybreak import tune
from daybreak.base import errors
from daybreak.tune import files, schedulers, stoppers
from daybreak.tune.results import ResultGrid


@pytest.fixture(scope="module", autouse=True)
def runtime() -> Iterator[None]:
    daybreak.init(num_cpus=4)
    yield
    daybreak.shutdown()


def fit(trainable: Any, tmp_path: Path, space: dict[str, Any] | None = None, **options: Any) -> ResultGrid:
    run = {"storage_path": tmp_path, "name": "e", "verbose": 0}
    run_names = ("stop", "callbacks", "failure_config", "checkpoint_config", "progress_reporter", "verbose", "name")
    run.update({name: options.pop(name) for name in run_names if name in options})
    return tune.Tuner(
        trainable, param_space=space, tune_config=tune.TuneConfig(**options), run_config=tune.RunConfig(**run)
    ).fit()


def quadratic(config: dict[str, Any]) -> None:
    for i in range(4):
        tune.report({"loss": (config["x"] - 0.3) ** 2 + 1 / (i + 1)})


def test_the_best_trial_is_the_one_with_the_best_last_value(tmp_path: Path) -> None:
    grid = fit(quadratic, tmp_path, {"x": tune.grid_search([0.0, 0.25, 1.0])}, metric="loss", mode="min")
    best = grid.get_best_result()
    assert best.config == {"x": 0.25} and best.metrics["training_iteration"] == 4
    assert [row["training_iteration"] for row in best.history()] == [1, 2, 3, 4]
    assert grid.num_terminated == 3 and grid.num_errors == 0
    assert grid.get_best_result(mode="max", scope="all").config == {"x": 1.0}
    frame = grid.get_dataframe()
    assert list(frame["config/x"]) == [0.0, 0.25, 1.0] and len(grid[0].metrics_dataframe) == 4


def test_a_trials_folder_has_rays_files(tmp_path: Path) -> None:
    folder = Path(fit(quadratic, tmp_path, {"x": tune.grid_search([0.5])})[0].path)
    assert json.loads((folder / "params.json").read_text()) == {"x": 0.5}
    results = [json.loads(line) for line in (folder / "result.json").read_text().splitlines()]
    with open(folder / "progress.csv") as table:
        rows = list(csv.DictReader(table))
    assert [row["loss"] for row in rows] == [str(result["loss"]) for result in results]
    keys = "training_iteration time_total_s time_this_iter_s iterations_since_restore done pid hostname node_ip date"
    assert set(f"{keys} timestamp trial_id config loss".split()) <= set(results[0])
    assert folder.name.endswith("_0_x=0.5") and folder.name.startswith("quadratic_")


@pytest.mark.parametrize("value", [0, 0.0, {}, 3, {"a": 1}], ids=str)
def test_what_a_function_returns_is_its_result_also_when_it_is_falsy(tmp_path: Path, value: Any) -> None:
    (result,) = fit(lambda config: value, tmp_path)
    assert result.metrics["training_iteration"] == 1
    if not isinstance(value, dict):
        assert result.metrics["_metric"] == value


def test_what_a_function_yields_is_reported(tmp_path: Path) -> None:
    def count(config: dict[str, Any]) -> Iterator[Any]:
        yield 1
        yield {"_metric": 2}

    assert [row["_metric"] for row in fit(count, tmp_path)[0].history()] == [1, 2]


def test_no_report_is_dropped_however_fast_they_come(tmp_path: Path) -> None:
    def fast(config: dict[str, Any]) -> None:
        for i in range(5000):
            tune.report({"i": i})

    grid = fit(fast, tmp_path, num_samples=2)
    assert [row["i"] for row in grid[1].history()] == list(range(5000))


def test_reports_of_several_threads_are_all_kept(tmp_path: Path) -> None:
    def threaded(config: dict[str, Any]) -> None:
        def work(k: int) -> None:
            for i in range(50):
                tune.report({"k": k, "i": i})

        threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]

    rows = fit(threaded, tmp_path)[0].history()
    assert sorted((row["k"], row["i"]) for row in rows) == [(k, i) for k in range(4) for i in range(50)]
    assert [row["training_iteration"] for row in rows] == list(range(1, 201))


def forever(config: dict[str, Any]) -> None:
    i = 0
    while True:
        i += 1
        tune.report({"score": config.get("x", 1) * i})


def test_a_stop_rule_ends_a_trial_at_the_very_result_that_reaches_it(tmp_path: Path) -> None:
    grid = fit(forever, tmp_path, {"x": tune.grid_search([1, 2])}, stop={"score": 10})
    assert [result.metrics["training_iteration"] for result in grid] == [10, 5]


def test_a_function_and_a_stopper_end_trials_too(tmp_path: Path) -> None:
    grid = fit(forever, tmp_path, stop=lambda trial_id, result: result["score"] >= 3)
    assert grid[0].metrics["score"] == 3
    grid = fit(forever, tmp_path, stop=stoppers.MaximumIterationStopper(7), name="f")
    assert grid[0].metrics["training_iteration"] == 7


def test_a_time_budget_ends_trials_that_never_report(tmp_path: Path) -> None:
    def silent(config: dict[str, Any]) -> None:
        threading.Event().wait()

    grid = fit(silent, tmp_path, time_budget_s=0.5)
    assert grid[0].status == "TERMINATED" and not grid[0].metrics


def test_asha_stops_the_worse_trials_at_their_rungs(tmp_path: Path) -> None:
    scheduler = schedulers.ASHAScheduler(max_t=16, grace_period=1, reduction_factor=2)
    space = {"x": tune.grid_search(list(range(8, 0, -1)))}
    grid = fit(forever, tmp_path, space, metric="score", mode="max", scheduler=scheduler, max_concurrent_trials=1)
    iterations = [result.metrics["training_iteration"] for result in grid]
    assert iterations[0] == 16 and iterations[1:] == [1] * 7


class Counter(tune.Trainable):
    def setup(self, config: dict[str, Any]) -> None:
        self.n = 0
        self.folders: list[str] = []

    def step(self) -> dict[str, Any]:
        self.n += 1
        if self.n == self.config.get("dies_at") and not os.path.exists("died"):
            Path("died").touch()
            os._exit(1) if self.config.get("hard") else self.fail()
        return {"n": self.n, "score": self.n * self.config.get("x", 1), "pid_": os.getpid()}

    def fail(self) -> None:
        raise RuntimeError("boom")

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        Path(checkpoint_dir, "n").write_text(str(self.n))

    def load_checkpoint(self, checkpoint: str) -> None:
        self.n = int(Path(checkpoint, "n").read_text())


@pytest.mark.parametrize("hard", [False, True])
def test_a_failed_trial_goes_on_from_its_checkpoint(tmp_path: Path, hard: bool) -> None:
    grid = fit(
        Counter,
        tmp_path,
        {"dies_at": 5, "hard": hard},
        stop={"training_iteration": 8},
        failure_config=tune.FailureConfig(max_failures=1),
        checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=3),
    )
    rows = grid[0].history()
    assert [row["training_iteration"] for row in rows] == list(range(1, 9)), "monotonic, none twice"
    assert [row["n"] for row in rows] == list(range(1, 9))
    assert "boom" in Path(grid[0].path, "error.txt").read_text() or hard
    assert grid.num_errors == 0


def test_a_trial_that_fails_for_good_keeps_its_traceback_where_one_looks(tmp_path: Path) -> None:
    def bad(config: dict[str, Any]) -> None:
        tune.report({"a": 1})
        raise ValueError(f"x is {config['x']}")

    grid = fit(bad, tmp_path, {"x": tune.grid_search([1, 2])})
    assert grid.num_errors == 2 and "ValueError: x is 1" in str(grid.errors[0])
    assert "Traceback" in Path(grid[0].path, "error.txt").read_text()
    assert grid[0].metrics["a"] == 1


@pytest.mark.parametrize(("how", "says"), [("exit", "sys.exit"), ("segfault", "died"), ("setup", "no such data")])
def test_a_trial_that_ends_its_process_is_an_error_of_that_trial_alone(tmp_path: Path, how: str, says: str) -> None:
    def ends(config: dict[str, Any]) -> None:
        if config["x"]:
            if how == "exit":
                sys.exit(3)
            elif how == "segfault":
                import ctypes

                ctypes.string_at(0)
            raise FileNotFoundError("no such data")
        tune.report({"a": 1})

    grid = fit(ends, tmp_path, {"x": tune.grid_search([1, 0])})
    assert [result.status for result in grid] == ["ERROR", "TERMINATED"] and says in str(grid.errors[0])


def test_checkpoints_above_num_to_keep_are_deleted_the_best_stay(tmp_path: Path) -> None:
    def saves(config: dict[str, Any]) -> None:
        for i, score in enumerate([3, 9, 1, 7, 2]):
            Path("made").mkdir(exist_ok=True)
            Path("made", "i").write_text(str(i))
            tune.report({"score": score}, checkpoint=tune.Checkpoint.from_directory("made"))

    keep = tune.CheckpointConfig(num_to_keep=2, checkpoint_score_attribute="score")
    (result,) = fit(saves, tmp_path, checkpoint_config=keep)
    folders = sorted(name for name in os.listdir(result.path) if name.startswith("checkpoint_"))
    assert folders == ["checkpoint_000001", "checkpoint_000003"]
    best = result.get_best_checkpoint("score", "max")
    assert best is not None and Path(best.path, "i").read_text() == "1"
    assert [metrics["score"] for _, metrics in result.best_checkpoints] == [9, 7]
    with best.as_directory() as folder:
        assert os.listdir(best.to_directory(tmp_path / "copy")) and Path(folder, "i").exists()


def test_population_based_training_moves_the_worst_to_the_bests_checkpoint(tmp_path: Path) -> None:
    scheduler = schedulers.PopulationBasedTraining(
        "training_iteration", perturbation_interval=4, hyperparam_mutations={"x": tune.uniform(0, 10)}
    )
    grid = fit(
        Counter,
        tmp_path,
        {"x": tune.grid_search([1.0, 2.0, 3.0, 9.0])},
        metric="score",
        mode="max",
        scheduler=scheduler,
        stop={"training_iteration": 12},
        max_concurrent_trials=1,
    )
    lines = [json.loads(line) for line in (tmp_path / "e" / "pbt_global.txt").read_text().splitlines()]
    assert lines and all(0 <= line[5]["x"] <= 10 for line in lines), "it does not leave the domain"
    assert {result.status for result in grid} == {"TERMINATED"}
    assert all(result.metrics["n"] == 12 for result in grid), "state and iteration go together"


def test_hyperband_ends_all_trials_and_pauses_keep_their_state(tmp_path: Path) -> None:
    scheduler = schedulers.HyperBandScheduler(max_t=9, reduction_factor=3)
    grid = fit(
        Counter, tmp_path, {"x": tune.uniform(0, 1)}, num_samples=17, metric="score", mode="max", scheduler=scheduler
    )
    assert {result.status for result in grid} == {"TERMINATED"}
    assert all(result.metrics["n"] == result.metrics["training_iteration"] for result in grid)
    assert sum(result.metrics["n"] == 9 for result in grid) >= 5


class Resettable(Counter):
    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.n = 0
        return True


def test_processes_are_reused_when_asked(tmp_path: Path) -> None:
    options = {"stop": {"training_iteration": 2}, "max_concurrent_trials": 1}
    grid = fit(Resettable, tmp_path, {"x": tune.grid_search([1, 2, 3])}, reuse_actors=True, **options)
    assert len({result.metrics["pid_"] for result in grid}) == 1
    assert [result.metrics["score"] for result in grid] == [2, 4, 6]


def test_the_working_directory_is_the_trials_and_the_original_one_is_known(tmp_path: Path) -> None:
    def where(config: dict[str, Any]) -> dict[str, Any]:
        return {"cwd": os.getcwd(), "before": os.environ["TUNE_ORIG_WORKING_DIR"]}

    (result,) = fit(where, tmp_path)
    assert result.metrics["cwd"] == result.path and result.metrics["before"] == os.getcwd()


def test_large_parameters_are_shared_and_resources_are_heeded(tmp_path: Path) -> None:
    def uses(config: dict[str, Any], data: Any) -> dict[str, Any]:
        return {"sum": sum(data), "cpus": tune.get_context().get_trial_resources()["CPU"]}

    trainable = tune.with_resources(tune.with_parameters(uses, data=[1, 2, 3]), {"cpu": 2})
    (result,) = fit(trainable, tmp_path)
    assert (result.metrics["sum"], result.metrics["cpus"]) == (6, 2)
    grid = fit(tune.with_resources(quadratic, {"cpu": 64}), tmp_path, {"x": 1}, name="f")
    assert "CPU=64, and there is 4" in str(grid.errors[0])


def test_callbacks_are_told_in_order(tmp_path: Path) -> None:
    told: list[str] = []

    class Told(tune.Callback):
        def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            told.append("start")

        def on_trial_result(
            self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
        ) -> None:
            told.append(f"result {result['training_iteration']}")

        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            told.append("complete")

        def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
            told.append("end")

    fit(quadratic, tmp_path, {"x": 1}, callbacks=[Told()])
    assert told == ["start", "result 1", "result 2", "result 3", "result 4", "complete", "end"]


def test_a_searcher_and_a_scheduler_of_ones_own_are_asked_and_told(tmp_path: Path) -> None:
    class Mine(tune.search.Searcher):
        def __init__(self) -> None:
            super().__init__()
            self.given: list[float] = []
            self.told: list[float] = []

        def suggest(self, trial_id: str) -> Any:
            if len(self.given) == 4:
                return self.FINISHED
            self.given.append(1.0 + len(self.given))
            return {"x": self.given[-1]}

        def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
            self.told.append(result["score"])

    class Early(schedulers.TrialScheduler):
        def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
            return self.STOP if result["training_iteration"] >= 3 else self.CONTINUE

    searcher = tune.search.ConcurrencyLimiter(Mine(), max_concurrent=2)
    grid = fit(
        forever, tmp_path, {"c": 5}, metric="score", mode="max", num_samples=10, search_alg=searcher, scheduler=Early()
    )
    assert sorted(searcher.searcher.told) == [3.0, 6.0, 9.0, 12.0]
    assert all(result.config["c"] == 5 and result.metrics["training_iteration"] == 3 for result in grid)


def test_nan_is_never_best_and_a_missing_metric_decides_nothing(tmp_path: Path, capfd: Any) -> None:
    def odd(config: dict[str, Any]) -> None:
        for _ in range(3):
            tune.report({"other": 1} if config["x"] == 2 else {"score": float("nan") if config["x"] else 1.0})

    scheduler = schedulers.ASHAScheduler(max_t=3, grace_period=1)
    grid = fit(odd, tmp_path, {"x": tune.grid_search([0, 1, 2])}, metric="score", mode="max", scheduler=scheduler)
    assert grid.get_best_result().config["x"] == 0 and grid.num_errors == 0
    assert capfd.readouterr().err.count("the metric 'score' is not among") == 1


def test_a_result_that_json_does_not_know_is_refused_by_its_name(tmp_path: Path) -> None:
    def odd(config: dict[str, Any]) -> None:
        tune.report({"model": object()})

    assert "'model'" in str(fit(odd, tmp_path).errors[0])


def test_a_second_driver_of_one_experiment_is_refused(tmp_path: Path) -> None:
    from daybreak._core.tune import Experiment

    experiment = Experiment.create(str(tmp_path / "j"), "{}")
    with pytest.raises(errors.UnavailableError, match=f"process {os.getpid()} drives this experiment"):
        Experiment.open(str(tmp_path / "j"))
    experiment.close()
    del experiment
    Experiment.open(str(tmp_path / "j"))


def test_fail_fast_stops_the_rest_and_they_can_be_restored(tmp_path: Path) -> None:
    def first_fails(config: dict[str, Any]) -> dict[str, Any]:
        if config["x"] == 0 and not os.path.exists("once"):
            Path("once").touch()
            raise ValueError("early")
        return {"x": config["x"]}

    options = {"failure_config": tune.FailureConfig(fail_fast=True), "max_concurrent_trials": 1}
    grid = fit(first_fails, tmp_path, {"x": tune.grid_search([0, 1, 2])}, **options)
    assert [result.status for result in grid] == ["ERROR", "PENDING", "PENDING"], "stopped is not finished"
    grid = tune.Tuner.restore(tmp_path / "e", first_fails, resume_errored=True).fit()
    assert [result.metrics["x"] for result in grid] == [0, 1, 2]


def test_a_trial_that_does_not_stop_when_it_is_told_is_ended(tmp_path: Path, monkeypatch: Any, capfd: Any) -> None:
    from daybreak.tune import processes

    def stubborn(config: dict[str, Any]) -> None:
        while True:
            try:
                tune.report({"a": 1})
            except BaseException:
                pass

    monkeypatch.setattr(processes, "CLEANUP_S", 0.3)
    (result,) = fit(stubborn, tmp_path, stop=lambda trial_id, result: result["training_iteration"] >= 2)
    assert result.status == "TERMINATED" and result.metrics["training_iteration"] == 2
    assert "was told to stop and did not within 0.3 s" in capfd.readouterr().err


class SlowToClean(tune.Trainable):
    def step(self) -> dict[str, Any]:
        return {"done": True}

    def cleanup(self) -> None:
        Path(self.logdir, "cleaning").touch()
        threading.Event().wait(30 if self.config["x"] == 0 else 0)
        Path(self.logdir, "cleaned").touch()


def test_cleanup_is_called_and_no_other_trial_waits_for_it(tmp_path: Path, monkeypatch: Any, capfd: Any) -> None:
    from daybreak.tune import processes

    monkeypatch.setattr(processes, "CLEANUP_S", 1.0)
    grid = fit(SlowToClean, tmp_path, {"x": tune.grid_search([0, 1, 2])})
    assert [Path(result.path, "cleaned").exists() for result in grid] == [False, True, True]
    assert Path(grid[0].path, "cleaning").exists() and grid.num_terminated == 3
    assert "cleanup did not end within 1 s" in capfd.readouterr().err


def test_median_stopping_ends_what_is_worse_than_the_others(tmp_path: Path) -> None:
    rule = schedulers.MedianStoppingRule("training_iteration", grace_period=2, min_samples_required=2)
    grid = fit(
        forever,
        tmp_path,
        {"x": tune.grid_search([5, 4, 1])},
        metric="score",
        mode="max",
        scheduler=rule,
        max_concurrent_trials=1,
        stop={"training_iteration": 6},
    )
    assert [result.metrics["training_iteration"] for result in grid] == [6, 6, 2]


def test_the_table_is_the_same_whether_it_is_made_natively_or_by_pythons_csv(tmp_path: Path, monkeypatch: Any) -> None:
    from daybreak._core import tune as native

    native_table = native.table_file
    rows = [
        {"a": 1.5, "t": "x,y", "n": {"b": True, "c": {"d": None}}, "i": 7},
        {"i": 8, "a": 1e-07, "t": "z", "n": {"b": False}, "new": 1},
        {"a": float("nan"), "t": "", "n": {"b": True, "c": {"d": 2}}, "i": -9},
    ]
    made = files.TrialFiles(tmp_path)
    made.append("".join(json.dumps(row) + "\n" for row in rows).encode() + b'{"cut')
    made.table()
    natively = (tmp_path / "progress.csv").read_bytes()
    monkeypatch.setattr(files._native, "table_file", lambda results, made: False)
    made.table()
    assert (tmp_path / "progress.csv").read_bytes() == natively
    for odd in ({"a": [1]}, {"a": 'q"'}, {"a": {}}):
        (tmp_path / "result.json").write_text(json.dumps(odd) + "\n")
        assert not native_table(str(tmp_path / "result.json"), str(tmp_path / "odd.csv"))


def test_plain_results_are_written_as_pythons_json_writes_them(tmp_path: Path) -> None:
    values = {
        "f": 0.1,
        "g": 3.0,
        "h": 1e300,
        "i": -(2**63),
        "s": "text",
        "t": True,
        "u": False,
        "big": 2**64,
        "q": 'a"é',
    }

    def odd(config: dict[str, Any]) -> None:
        tune.report({"first": 1})
        tune.report({name: value for name, value in values.items() if name not in ("big", "q")})
        tune.report(values)

    rows = fit(odd, tmp_path)[0].history()
    for row, given in ((rows[1], [n for n in values if n not in ("big", "q")]), (rows[2], list(values))):
        assert {name: row[name] for name in given} == {name: values[name] for name in given}
        assert all(type(row[name]) is type(values[name]) for name in given)
    assert list(rows[1])[7:] == list(rows[2])[9:], "the same names in the same order beside"


def test_trials_are_runs_of_track_when_asked(tmp_path: Path) -> None:
    program = f"""
from daybreak import track, tune
track.init({str(tmp_path / "track")!r})

def train(config):
    for i in range(3):
        tune.report({{"loss": config["x"] / (i + 1)}})
    if config["x"] == 2:
        raise ValueError("no")

tune.Tuner(
    train,
    param_space={{"x": tune.grid_search([1, 2])}},
    tune_config=tune.TuneConfig(metric="loss", mode="min"),
    run_config=tune.RunConfig(name="e", storage_path={str(tmp_path)!r}, verbose=0, track=True),
).fit()
(parent,) = track.runs("name = 'e'")
for run in track.runs("params.x > 0", order_by="params.x"):
    print(run.status, run.params["x"], len(run.history("loss", 1).values), run.parent == parent.id)
"""
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert child.stdout.splitlines() == ["finished 1 3 True", "failed 2 3 True"], child.stdout + child.stderr


def test_a_folders_name_is_short_and_a_small_number_in_it_is_not_zero(tmp_path: Path) -> None:
    space = {f"a_rather_long_name_of_a_parameter_{i}": tune.grid_search([1e-5]) for i in range(20)}
    (result,) = fit(lambda config: 1, tmp_path, space)
    name = Path(result.path).name
    assert len(name) <= 130 and "=1e-05" in name and result.metrics["_metric"] == 1


def test_a_trial_that_never_reports_ends_and_that_is_said(tmp_path: Path, capfd: Any) -> None:
    (result,) = fit(lambda config: None, tmp_path)
    assert result.status == "TERMINATED" and not result.metrics
    assert "has ended without a report" in capfd.readouterr().err
    with pytest.raises(errors.NotFoundError, match="of 1 trials none has a number for 'loss'"):
        ResultGrid([result], tmp_path, "loss", "min").get_best_result()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: tune.TuneConfig(num_samples=0), "num_samples=0: a whole number, at least 1, or -1"),
        (lambda: tune.TuneConfig(mode="best"), "mode='best': 'min' or 'max'"),
        (lambda: tune.TuneConfig(metric="a"), "metric='a' without a mode"),
        (lambda: tune.TuneConfig(time_budget_s=0), "time_budget_s=0: above 0"),
        (lambda: tune.FailureConfig(max_failures=-2), "max_failures=-2"),
        (lambda: tune.FailureConfig(1, fail_fast=True), "fail_fast=True with max_failures=1"),
        (lambda: tune.CheckpointConfig(num_to_keep=0), "num_to_keep=0: a whole number, at least 1"),
        (lambda: tune.RunConfig(name="a/b"), "name='a/b'"),
        (lambda: tune.RunConfig(log_to_file=True), "log_to_file=True"),
        (lambda: tune.RunConfig(storage_path="s3://b"), "storage_path='s3://b'"),
        (lambda: tune.Tuner(3), "trainable=3: a function"),
        (lambda: tune.Tuner("nobody"), "'nobody': not registered"),
        (lambda: tune.Tuner(dict), "a subclass of tune.Trainable"),
        (
            lambda: tune.Tuner(quadratic, tune_config=tune.TuneConfig(scheduler=schedulers.ASHAScheduler())),
            "needs metric=",
        ),
        (
            lambda: tune.Tuner(
                quadratic, run_config=tune.RunConfig(checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=1))
            ),
            "a function saves when it reports",
        ),
        (lambda: tune.with_resources(quadratic, {"cpu": -1}), "cpu=-1"),
        (lambda: schedulers.PopulationBasedTraining(), "hyperparam_mutations or custom_explore_fn"),
        (lambda: schedulers.PopulationBasedTraining(hyperparam_mutations={"x": []}), "\\['x'\\]=\\[\\]: at least one"),
        (lambda: schedulers.create_scheduler("none"), "scheduler='none'"),
        (lambda: stoppers.stopper_of({"a": "b"}), "stop={'a': 'b'}: a number"),
        (lambda: tune.search.ConcurrencyLimiter(tune.search.Searcher(), 0), "max_concurrent=0"),
        (lambda: tune.Tuner.restore("/nowhere", quadratic), "there is no experiment in it"),
        (lambda: tune.report({}), "this process runs none"),
    ],
)
def test_a_bad_value_is_refused_with_its_name_and_the_way_out(make: Any, says: str) -> None:
    with pytest.raises(errors.Error, match=says):
        make()


def test_a_second_fit_into_the_same_folder_is_refused(tmp_path: Path) -> None:
    fit(quadratic, tmp_path, {"x": 1})
    with pytest.raises(errors.AlreadyExistsError, match="restore it, or take another name"):
        fit(quadratic, tmp_path, {"x": 1})


def test_the_table_shows_the_best_and_says_how_many_it_leaves_out(tmp_path: Path) -> None:
    import io

    out = io.StringIO()
    reporter = tune.CLIReporter(max_progress_rows=2, sort_by_metric=True, out=out)
    fit(
        quadratic, tmp_path, {"x": tune.grid_search([0.9, 0.3, 0.6])}, metric="loss", mode="min",
        progress_reporter=reporter, verbose=1,
    )  # fmt: skip
    last = out.getvalue().split("== Status ==")[-1]
    assert "Number of trials: 3 (3 TERMINATED)" in last and "1 more trials not shown" in last
    assert last.index("0.3  ") < last.index("0.6  ") and "0.9  " not in last


def test_asha_that_promotes_pauses_at_rungs_and_takes_the_best_further_from_their_checkpoints(tmp_path: Path) -> None:
    scheduler = schedulers.ASHAScheduler(max_t=9, grace_period=1, reduction_factor=3, promotes=True)
    space = {"x": tune.grid_search([5, 1, 2, 9, 3, 4, 8, 7, 6])}
    grid = fit(Counter, tmp_path, space, metric="score", mode="max", scheduler=scheduler, max_concurrent_trials=2)
    assert {result.status for result in grid} == {"TERMINATED"}
    rows = {result.config["x"]: [row["n"] for row in result.history()] for result in grid}
    assert all(row == list(range(1, len(row) + 1)) for row in rows.values())
    assert len(rows[9]) == 9 and len(rows[1]) == 1 and sum(len(row) == 9 for row in rows.values()) == 1
