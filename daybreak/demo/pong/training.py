"""How the agent of the demo learns: by playing, on rollout actors, and by imitating recorded players."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

import daybreak
from daybreak import rl

from . import games, recordings, render

__all__ = [
    "HELD_OUT_SEED",
    "IMITATION",
    "LEARNING",
    "RECORDED_SEED",
    "Run",
    "Trained",
    "imitate",
    "numbers_of",
    "train",
]

# Seeds of the kinds of games. Those of training follow from the seed of the demo and lie elsewhere.
HELD_OUT_SEED = 1_000_000
VALIDATION_SEED = 2_000_000
RECORDED_SEED = 3_000_000

# What is asked of the held-out games, and the stricter aim on validation games at which training stops.
MIN_RETURN_RATIO = 10.0
MIN_WIN_RATE = 0.6
AIM_RETURN_RATIO = 15.0
AIM_WIN_RATE = 0.85

VALIDATION_GAMES = 100
VALIDATE_EVERY = 12  # iterations
MAX_VALIDATIONS_IN_FLIGHT = 4

# The reward is Pong's own, 1 a step. A discount of 0.98 looks 50 steps ahead, about one crossing of the court: the next return
# of the ball is what counts, and who never misses wins, for the opponent does miss.
LEARNING: dict[str, Any] = {
    "num_envs": 64,
    "num_steps": 256,
    "minibatch_size": 256,
    "num_epochs": 2,
    "hidden": [64, 64],
    "shared": True,
    "normalize_observations": True,
    "gamma": 0.98,
    "gae_lambda": 0.95,
    "lr": rl.linear(4e-3, 3e-4, 3_000_000),
    "clip": 0.25,
    "reward_scale": 0.1,
}

CHECKPOINTS = 10  # kept on the way to max_steps

# One hidden layer of 32, as many passes over the rows as learn all that they say.
IMITATION: dict[str, Any] = {"hidden": [32], "lr": 5e-3}
IMITATION_ROWS = 150_000  # learned from in all, the recording over and over


class Run(Protocol):
    """What learning needs of a tracked run."""

    def log(self, metrics: Mapping[str, float], *, step: int | None = None) -> object: ...

    def artifact(self, name: str, value: object) -> object: ...


def numbers_of(result: Mapping[str, Any]) -> dict[str, float]:
    """What of an iteration's result is a number.

    >>> numbers_of({"entropy": 0.5, "time": {"sample": 1.0}, "episodes_total": 3})
    {'entropy': 0.5, 'episodes_total': 3.0}
    """
    return {name: float(value) for name, value in result.items() if isinstance(value, (int, float))}


@dataclass
class Trained:
    """A policy and how it came about."""

    policy: rl.Policy
    steps: int  # of the snapshot that was kept
    validated: float  # share of the validation games that it won
    total_steps: int = 0
    worker_deaths: int = 0
    returns: list[render.Point] = field(default_factory=list)
    win_rates: list[render.Point] = field(default_factory=list)


def train(
    workers: int, seed: int, max_steps: int, random_mean: float, progress: Callable[[float, str], None], run: Run
) -> Trained:
    """PPO on `workers` rollout actors, until a snapshot passes the aim on the validation games.

    Snapshots are judged by tasks of the runtime while training goes on. The first one that passes is kept; if none does within
    `max_steps`, the one that won most. `run` is told every iteration's results and keeps a checkpoint each tenth of `max_steps`.
    """
    play = daybreak.remote(games.play_policy)
    trainer = rl.PPO(games.PONG, num_workers=workers, seed=seed, **LEARNING)
    judged: deque[tuple[Any, rl.Policy, int]] = deque()
    kept: Trained | None = None
    returns: list[render.Point] = []
    win_rates: list[render.Point] = []
    result: dict[str, Any] = {}

    def judge(block: bool) -> bool:
        """Takes in what validation games have ended, in order; True when a snapshot has passed."""
        nonlocal kept
        while judged:
            reference, policy, steps = judged[0]
            if not block and not daybreak.wait([reference], timeout=0)[0]:
                return False
            outcome: games.Games = daybreak.get(reference)
            judged.popleft()
            win_rates.append(render.Point(steps, outcome.win_rate))
            passes = outcome.win_rate >= AIM_WIN_RATE and outcome.mean >= AIM_RETURN_RATIO * random_mean
            if passes or kept is None or outcome.win_rate > kept.validated:
                kept = Trained(policy, steps, outcome.win_rate)
            if passes:
                return True
        return False

    try:
        start = time.perf_counter()
        passed = False
        checkpoints = 0
        while not passed and trainer.timesteps < max_steps:
            result = trainer.train()
            run.log(numbers_of(result), step=trainer.timesteps)
            if trainer.timesteps * CHECKPOINTS // max_steps > checkpoints:
                checkpoints = trainer.timesteps * CHECKPOINTS // max_steps
                run.artifact("checkpoint", trainer.to_bytes())
            if np.isfinite(result["episode_reward_mean"]):
                returns.append(render.Point(result["timesteps_total"], result["episode_reward_mean"]))
            if result["training_iteration"] % VALIDATE_EVERY == 0:
                policy = trainer.policy
                judged.append((play.remote(policy, VALIDATION_GAMES, VALIDATION_SEED), policy, trainer.timesteps))
            passed = judge(block=len(judged) > MAX_VALIDATIONS_IN_FLIGHT)
            mean = f"{returns[-1].value:,.0f}" if returns else "-"
            wins = f"{win_rates[-1].value:.0%}" if win_rates else "-"
            rate = trainer.timesteps / (time.perf_counter() - start)
            progress(
                trainer.timesteps / max_steps,
                f"{trainer.timesteps / 1e6:.2f} M steps · return {mean} · won {wins} · {rate / 1e3:,.0f} k steps/s",
            )
        if not passed:
            judge(block=True)
        if kept is None:  # too few steps for a single validation
            kept = Trained(trainer.policy, trainer.timesteps, 0.0)
        kept.total_steps, kept.worker_deaths = trainer.timesteps, int(result.get("worker_deaths", 0))
        kept.returns, kept.win_rates = returns, win_rates
        return kept
    finally:
        for reference, _, _ in judged:
            daybreak.cancel(reference)
        trainer.stop()


def imitate(recording: bytes, seed: int, run: Run) -> tuple[rl.Policy, dict[str, Any]]:
    """A policy that does what the recorded player did, and the last results of learning it."""
    observations, actions = recordings.parse(recording)
    trainer = rl.BC(games.PONG, observations, actions, seed=seed, **IMITATION)
    result: dict[str, Any] = {}
    while trainer.timesteps < IMITATION_ROWS:
        result = trainer.train()
        run.log(numbers_of(result), step=trainer.timesteps)
    return trainer.policy, result
