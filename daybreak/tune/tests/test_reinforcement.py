"""Trainers of daybreak.rl are tuned: their state goes on, and the config wins."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import daybreak
from daybreak import rl, tune
from daybreak.base import errors
from daybreak.tune import schedulers


@pytest.fixture(scope="module", autouse=True)
def runtime() -> Iterator[None]:
    daybreak.init(num_cpus=2)
    yield
    daybreak.shutdown()


def test_population_based_training_changes_the_learning_rate_of_what_has_been_learned(tmp_path: Path) -> None:
    scheduler = schedulers.PopulationBasedTraining(
        "training_iteration",
        "episode_reward_mean",
        "max",
        perturbation_interval=2,
        hyperparam_mutations={"lr": tune.loguniform(1e-5, 1e-2)},
    )
    grid = tune.Tuner(
        tune.rl(rl.PPO, "CartPole-v1", num_envs=4, num_steps=64, seed=1, hidden=[16]),
        param_space={"lr": tune.grid_search([1e-5, 3e-3])},
        tune_config=tune.TuneConfig(scheduler=scheduler, max_concurrent_trials=1, reuse_actors=True, seed=1),
        run_config=tune.RunConfig(
            storage_path=tmp_path, name="e", verbose=0, stop={"training_iteration": 8},
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=True),
        ),
    ).fit()  # fmt: skip
    assert grid.num_errors == 0, grid.errors
    changes = [json.loads(line) for line in (tmp_path / "e" / "pbt_global.txt").read_text().splitlines()]
    assert changes
    for result in grid:
        assert result.metrics["timesteps_total"] == 8 * 4 * 64, "the state goes on"
        assert result.metrics["learning_rate"] == pytest.approx(result.config["lr"], rel=1e-6), "the config wins"
        assert result.checkpoint is not None
        assert rl.Policy.load(Path(result.checkpoint.path) / "policy").compute_action([0.0, 0.0, 0.0, 0.0]) in (0, 1)


def test_what_is_no_trainer_is_refused() -> None:
    with pytest.raises(errors.InvalidArgumentError, match="a class of daybreak.rl"):
        tune.rl("PPO", "CartPole-v1")
