"""tune.run, and the programs of 2018."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import daybreak
from daybreak import tune
from daybreak.tune import hp, schedulers


@pytest.fixture(scope="module", autouse=True)
def runtime() -> Iterator[None]:
    daybreak.init(num_cpus=4)
    yield
    daybreak.shutdown()


def train(config: dict[str, Any], reporter: Any) -> None:
    """As the exercise of 2018 has it: a helper later joins trial.logdir with the relative file that was reported."""
    for i in range(4):
        Path("weights.txt").write_text(str(i))
        reporter(timesteps_total=i, mean_accuracy=min(config["lr"] * (i + 1), 1.0), checkpoint="weights.txt")


def test_a_program_of_2018_runs(tmp_path: Path) -> None:
    experiment = tune.Experiment(
        "tune_simple",
        run=train,
        num_samples=2,
        local_dir=str(tmp_path),
        stop={"mean_accuracy": 0.95},
        config={"lr": lambda spec: random.uniform(0.1, 0.2) * spec.config.k, "k": tune.grid_search([1, 2])},
    )
    assert experiment.spec["stop"]["mean_accuracy"] == 0.95 and "grid_search" in experiment.spec["config"]["k"]
    trials = tune.run_experiments(experiment, verbose=False)
    assert [trial.config["k"] for trial in trials] == [1, 2, 1, 2]
    assert all(0.1 <= trial.config["lr"] / trial.config["k"] <= 0.2 for trial in trials)
    best = max(trials, key=lambda trial: trial.last_result["mean_accuracy"])
    assert Path(best.logdir, best.last_result["checkpoint"]).read_text() == str(best.last_result["timesteps_total"])
    assert {trial.status for trial in trials} == {"TERMINATED"} and str(best).startswith("train_")
    assert len(tune.run_experiments(experiment, verbose=False)) == 4, "and once more under the same name"


def test_a_dict_of_experiments_and_async_hyperband_with_its_reward_attr(tmp_path: Path) -> None:
    scheduler = schedulers.AsyncHyperBandScheduler(reward_attr="mean_accuracy", max_t=4, grace_period=1, brackets=1)
    spec = {"run": train, "local_dir": str(tmp_path), "config": {"lr": tune.grid_search([0.2, 0.1])}}
    trials = tune.run_experiments({"a": spec}, scheduler=scheduler, verbose=False)
    assert len(trials) == 2
    with pytest.raises(tune.TuneError, match="no 'run' in it"):
        tune.run_experiments({"a": {}})


def test_an_expression_is_evaluated_with_spec(tmp_path: Path) -> None:
    config = {"lr": {"eval": "spec.config.k * 0.1"}, "k": 3}
    (trial,) = tune.run_experiments(tune.Experiment("e", train, config=config, local_dir=str(tmp_path)), verbose=False)
    assert trial.config["lr"] == pytest.approx(0.3)


def test_a_trial_that_fails_is_an_error_of_the_whole_run(tmp_path: Path) -> None:
    def bad(config: dict[str, Any], reporter: Any) -> None:
        raise ValueError("no")

    experiment = tune.Experiment("e", bad, local_dir=str(tmp_path), max_failures=0)
    with pytest.raises(tune.TuneError, match="did not complete"):
        tune.run_experiments(experiment, verbose=False)


def score(config: dict[str, Any]) -> None:
    for i in range(3):
        tune.report({"score": config["x"] * (i + 1)})


def test_run_gives_an_analysis(tmp_path: Path) -> None:
    analysis = tune.run(
        score,
        name="e",
        config={"x": tune.grid_search([1, 3, 2])},
        metric="score",
        mode="max",
        storage_path=tmp_path,
        verbose=0,
    )
    assert analysis.best_config == {"x": 3} and analysis.best_result["score"] == 9
    assert analysis.best_trial.last_result["score"] == 9 and analysis.best_logdir == analysis.best_trial.logdir
    assert len(analysis.trials) == 3 and list(analysis.results_df["score"]) == [3, 9, 6]
    again = tune.run(score, name="e", metric="score", mode="max", storage_path=tmp_path, verbose=0, resume="AUTO",
                     config={"x": tune.grid_search([1, 3, 2])})  # fmt: skip
    assert [trial.trial_id for trial in again.trials] == [trial.trial_id for trial in analysis.trials]


def test_hyperopts_words_give_the_value_and_take_logarithms() -> None:
    assert hp.choice("hidden", range(16, 256)).sample() in range(16, 256)
    assert 1 <= hp.loguniform("lr", 0, 1).sample() <= 2.7182819
    assert hp.quniform("q", 1, 5.5, 2).sample() in (0.0, 2.0, 4.0, 6.0)
    assert hp.randint("n", 3).sample() in (0, 1, 2) and hp.uniformint("n", 3, 3).sample() == 3


def test_an_ordinary_ray_tune_program_runs_under_rays_names(tmp_path: Path) -> None:
    program = f"""
import daybreak.compat.ray
daybreak.compat.ray.install()
import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.stopper import MaximumIterationStopper
from ray.tune.search import BasicVariantGenerator

def train(config):
    for i in range(9):
        tune.report({{"a": config["x"] * i}})

ray.init(num_cpus=2)
grid = tune.Tuner(
    train,
    param_space={{"x": tune.grid_search([1, 2])}},
    tune_config=tune.TuneConfig(metric="a", mode="max", scheduler=ASHAScheduler(), search_alg=BasicVariantGenerator()),
    run_config=tune.RunConfig(storage_path={str(tmp_path)!r}, stop=MaximumIterationStopper(3), verbose=0),
).fit()
print(grid.get_best_result().config, ray.tune.TuneError.__name__)
"""
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert child.stdout == "{'x': 2} TuneError\n", child.stderr
