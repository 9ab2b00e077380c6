"""The experiments of the demo, in a process of their own, which the demo may kill: python -m daybreak.demo.tune.search NAME ..."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import daybreak
from daybreak import rl, track, tune
from daybreak.demo.pong.games import PONG
from daybreak.demo.pong.training import LEARNING
from daybreak.tune.schedulers import ASHAScheduler, PopulationBasedTraining

__all__ = ["CARTPOLE", "METRIC", "PONG_POPULATION", "SAMPLES", "goes_on", "run"]

CARTPOLE, PONG_POPULATION = "cartpole", "pong"
METRIC = "episode_reward_mean"
SAMPLES = 12  # of CartPole's space
MAX_ITERATIONS = 81
POPULATION = 4
KEPT = tune.CheckpointConfig(num_to_keep=1, checkpoint_frequency=9, checkpoint_at_end=True)


def trainable_of(name: str, seed: int) -> type[tune.Trainable]:
    """Each trial samples on a rollout actor of its own."""
    if name == CARTPOLE:
        return tune.rl(rl.PPO, "CartPole-v1", num_workers=1, num_envs=8, num_steps=64, seed=seed)
    options: dict[str, Any] = {**LEARNING, "num_envs": 32}
    del options["lr"], options["clip"]
    return tune.rl(rl.PPO, PONG, num_workers=1, seed=seed, **options)


def cartpole(folder: Path, seed: int, budget_s: float) -> tune.Tuner:
    """PPO's options by chance, and ASHA stops what is behind."""
    return tune.Tuner(
        trainable_of(CARTPOLE, seed),
        param_space={
            "lr": tune.loguniform(1e-5, 3e-2),
            "gamma": tune.choice([0.9, 0.98, 0.99]),
            "clip": tune.uniform(0.1, 0.4),
            "num_epochs": tune.randint(2, 11),
        },
        tune_config=tune.TuneConfig(
            metric=METRIC,
            mode="max",
            num_samples=SAMPLES,
            scheduler=ASHAScheduler(max_t=MAX_ITERATIONS, grace_period=9, reduction_factor=3),
            max_concurrent_trials=2,
            time_budget_s=budget_s,
            seed=seed,
        ),
        run_config=tune.RunConfig(
            name=CARTPOLE,
            storage_path=folder,
            verbose=1,
            track=True,
            checkpoint_config=KEPT,
        ),
    )


def pong(folder: Path, seed: int, budget_s: float) -> tune.Tuner:
    """A population learns Pong: learning rate and clip change while it lives."""
    return tune.Tuner(
        trainable_of(PONG_POPULATION, seed),
        param_space={"lr": tune.grid_search([3e-5, 3e-4, 2e-3, 8e-3][:POPULATION]), "clip": tune.uniform(0.1, 0.4)},
        tune_config=tune.TuneConfig(
            scheduler=population(),
            max_concurrent_trials=2,
            reuse_actors=True,
            time_budget_s=budget_s,
            seed=seed,
        ),
        run_config=tune.RunConfig(
            name=PONG_POPULATION,
            storage_path=folder,
            verbose=1,
            track=True,
            stop={"training_iteration": 60},
            checkpoint_config=tune.CheckpointConfig(num_to_keep=1, checkpoint_at_end=True),
        ),
    )


def population() -> PopulationBasedTraining:
    return PopulationBasedTraining(
        "training_iteration",
        METRIC,
        "max",
        perturbation_interval=5,
        hyperparam_mutations={"lr": tune.loguniform(1e-5, 1e-2), "clip": tune.uniform(0.1, 0.4)},
    )


def goes_on(name: str, folder: Path, seed: int, budget_s: float) -> tune.Tuner:
    """The experiment where it is, or a new one."""
    if not tune.Tuner.can_restore(folder / name):
        return {CARTPOLE: cartpole, PONG_POPULATION: pong}[name](folder, seed, budget_s)
    return tune.Tuner.restore(
        folder / name,
        trainable_of(name, seed),
        tune_config=tune.TuneConfig(
            scheduler=population() if name == PONG_POPULATION else None,
            max_concurrent_trials=2,
            time_budget_s=budget_s,
        ),
        run_config=tune.RunConfig(verbose=1, track=True, checkpoint_config=KEPT),
    )


def run(name: str, folder: Path, seed: int, budget_s: float) -> None:
    track.init(folder / "runs")
    daybreak.init(num_cpus=4)
    try:
        goes_on(name, folder, seed, budget_s).fit()
    finally:
        daybreak.shutdown()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=[CARTPOLE, PONG_POPULATION])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget-s", type=float, required=True)
    asked = parser.parse_args()
    run(asked.name, asked.folder, asked.seed, asked.budget_s)
