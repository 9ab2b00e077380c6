"""Training on rollout actors of the real runtime, and kill -9 of their processes in the middle of it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import daybreak
from daybreak import rl

SMALL: dict[str, Any] = dict(num_envs=8, num_steps=64, minibatch_size=128, num_epochs=2, hidden=[16], seed=3)


@pytest.fixture(autouse=True)
def runtime() -> Iterator[None]:
    daybreak.init(num_cpus=3)
    yield
    daybreak.shutdown()


def pids_of(trainer: rl.PPO) -> list[int]:
    assert trainer._workers is not None
    return trainer._workers.pids()


def test_actors_are_processes_of_their_own_and_feed_the_learner() -> None:
    trainer = rl.PPO("daybreak/Pong-v0", num_workers=2, **SMALL)
    assert len({*pids_of(trainer), os.getpid()}) == 3
    before = trainer.policy.logits(np.zeros(8, np.float32))
    results = [trainer.train() for _ in range(3)]
    assert [result["timesteps_total"] for result in results] == [512, 1024, 1536]
    assert results[-1]["worker_deaths"] == 0
    assert not np.array_equal(before, trainer.policy.logits(np.zeros(8, np.float32)))
    trainer.stop()


def test_one_actor_gives_the_very_policy_of_the_driver() -> None:
    away = rl.PPO("CartPole-v1", num_workers=1, normalize_observations=True, **SMALL)
    here = rl.PPO("CartPole-v1", normalize_observations=True, **SMALL)
    for _ in range(3):
        away.train()
        here.train()
    assert away.policy.to_bytes() == here.policy.to_bytes()
    away.stop()


def test_a_worker_killed_between_iterations_is_replaced() -> None:
    trainer = rl.PPO("CartPole-v1", num_workers=2, **SMALL)
    trainer.train()
    first = pids_of(trainer)
    os.kill(first[1], signal.SIGKILL)
    result = trainer.train()
    assert result["timesteps_total"] == 1024 and result["worker_deaths"] == 1
    second = pids_of(trainer)
    assert second[0] == first[0] and second[1] != first[1]
    trainer.stop()


def test_workers_killed_in_the_middle_of_training_are_survived() -> None:
    """kill -9 strikes at other moments of an iteration each round: most while fragments of 20,000 steps are being made."""
    trainer = rl.PPO("daybreak/Pong-v0", num_workers=2, **{**SMALL, "num_steps": 5000, "minibatch_size": 4000})
    for i in range(6):
        victim = pids_of(trainer)[i % 2]
        killer = threading.Timer(0.004 * i, os.kill, (victim, signal.SIGKILL))
        killer.start()
        trainer.train()
        killer.join()
        result = trainer.train()  # it may have struck when the fragments were there already: then this one meets it
        assert result["worker_deaths"] == i + 1
        assert result["timesteps_total"] == 2 * (i + 1) * 8 * 5000
    assert victim not in pids_of(trainer)
    trainer.stop()


class Broken:
    """A Gymnasium-like environment that fails at its tenth step."""

    def __init__(self) -> None:
        gymnasium = pytest.importorskip("gymnasium")
        self.observation_space = gymnasium.spaces.Box(-1, 1, (2,))
        self.action_space = gymnasium.spaces.Discrete(2)
        self.steps = 0

    def reset(self, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        return np.zeros(2, np.float32), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        if self.steps == 10:
            raise OSError("the tenth step")
        return np.zeros(2, np.float32), 1.0, False, False, {}


def test_an_environment_that_raises_in_an_actor_is_heard_of_and_not_taken_for_a_death() -> None:
    trainer = rl.PPO(Broken, num_workers=2, **SMALL)
    with pytest.raises(Exception, match="the tenth step"):
        trainer.train()
    assert trainer._workers is not None and trainer._workers.deaths == 0
    trainer.stop()
