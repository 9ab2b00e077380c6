"""PB2 and BOHB in experiments with processes; what they decide on a simulated clock is in test_simulate.py."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import daybreak
from daybreak import tune
from daybreak._core import tune as _native
from daybreak.base import errors
from daybreak.tune import schedulers
from daybreak.tune.search import TuneBOHB
from daybreak.tune.study_search import StudySearch


@pytest.fixture(autouse=True, scope="module")
def runtime() -> Iterator[None]:
    os.environ["DAYBREAK_RESULTS_DIR"] = "/nowhere"
    daybreak.init(num_cpus=4)
    yield
    daybreak.shutdown()
    del os.environ["DAYBREAK_RESULTS_DIR"]


class Climbs(tune.Trainable):
    """Gains the more the nearer lr is to 0.7 and layers to 5."""

    def setup(self, config: dict[str, Any]) -> None:
        self.level = 0.0

    def step(self) -> dict[str, Any]:
        self.level += 1 - abs(self.config["lr"] - 0.7) - 0.05 * abs(self.config["net"]["layers"] - 5)
        return {"score": self.level}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        Path(checkpoint_dir, "level").write_text(repr(self.level))

    def load_checkpoint(self, checkpoint: str) -> None:
        self.level = float(Path(checkpoint, "level").read_text())


def pb2() -> schedulers.PB2:
    return schedulers.PB2(
        "training_iteration", perturbation_interval=2, hyperparam_bounds={"lr": [0, 1], "net": {"layers": [1, 9]}}
    )


def test_pb2_explores_within_its_bounds_and_keeps_whole_numbers_whole(tmp_path: Path) -> None:
    grid = tune.Tuner(
        Climbs,
        param_space={"lr": tune.grid_search([0.05, 0.1, 0.15, 0.6]), "net": {"layers": tune.randint(1, 4)}},
        tune_config=tune.TuneConfig(metric="score", mode="max", scheduler=pb2(), seed=1, max_concurrent_trials=4),
        run_config=tune.RunConfig(name="e", storage_path=tmp_path, stop={"training_iteration": 20}, verbose=0),
    ).fit()
    assert {result.status for result in grid} == {"TERMINATED"}
    lines = [json.loads(line) for line in (tmp_path / "e" / "pbt_global.txt").read_text().splitlines()]
    assert lines, "nobody went on from another's checkpoint"
    for *_, config in lines:
        assert 0 <= config["lr"] <= 1 and 1 <= config["net"]["layers"] <= 9
        assert type(config["net"]["layers"]) is int
    # The journal decides the same again.
    numbers = {**pb2().numbers, "seed": 1.0}
    again = _native.Experiment.open(str(tmp_path / "e" / "experiment.journal"), "pb2", numbers)
    assert "PB2: " in again.status() and again.status().split(": ")[1] != "0 checkpoints, 0 perturbs"
    again.close()


def test_pb2_says_which_value_of_a_config_is_no_number(tmp_path: Path) -> None:
    experiment = _native.Experiment.create(str(tmp_path / "j"), "{}", "pb2", {"low lr": 0.0, "high lr": 1.0})
    experiment.add("0", json.dumps({"config": {"lr": 0.5}}))
    with pytest.raises(errors.Error, match="lr"):
        experiment.add("1", json.dumps({"config": {"lr": "fast"}}))
    with pytest.raises(errors.InvalidArgumentError, match="name at least one"):
        _native.Experiment.create(str(tmp_path / "k"), "{}", "pb2", {})


def quick(config: dict[str, Any]) -> None:
    for step in range(9):
        tune.report({"loss": (config["x"] - 0.3) ** 2 + 1 / (step + 1), "step": step})


@pytest.mark.parametrize("search", [TuneBOHB, StudySearch], ids=lambda one: str(one.__name__))
def test_a_search_that_goes_on_after_a_restore_suggests_as_it_would_have(search: Any, tmp_path: Path) -> None:
    """https://github.com/ray-project/ray/issues/39900: TuneBOHB's restored trials stayed paused."""
    bohb = search is TuneBOHB

    def config(samples: int) -> tune.TuneConfig:
        return tune.TuneConfig(
            metric="loss", mode="min", num_samples=samples, max_concurrent_trials=1, seed=4,
            search_alg=search(seed=4), scheduler=schedulers.HyperBandForBOHB(max_t=3) if bohb else None,
        )  # fmt: skip

    space = {"x": tune.uniform(0, 1), "act": tune.choice(["a", "b"])}
    whole = tune.Tuner(
        quick, param_space=space, tune_config=config(14),
        run_config=tune.RunConfig(name="whole", storage_path=tmp_path, verbose=0),
    ).fit()  # fmt: skip
    tune.Tuner(
        quick, param_space=space, tune_config=config(8),
        run_config=tune.RunConfig(name="parts", storage_path=tmp_path, verbose=0),
    ).fit()  # fmt: skip
    parts = tune.Tuner.restore(
        tmp_path / "parts", quick, param_space=space, num_samples=14, tune_config=config(14)
    ).fit()
    assert {result.status for result in parts} == {"TERMINATED"} and len(parts) == 14
    if not bohb:  # a bracket that closes before it is full begins another order
        assert [result.config for result in parts] == [result.config for result in whole]
    assert [result.config for result in parts][:8] == [result.config for result in whole][:8]
