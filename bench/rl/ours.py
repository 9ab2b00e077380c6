"""Daybreak."""

import numpy as np

from bench.rows import Measure, rate
from daybreak.rl import envs

QUICK = False
NUM_ENVS = 64


def drawn_actions() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2, (1000, NUM_ENVS))


def checked(batch: envs.VecEnv) -> list[float]:
    """How many episodes ended in 1,000 steps, and the last observations: the states are Gymnasium's to the bit."""
    batch.reset(seed=7)
    ends = 0
    for actions in drawn_actions():
        observations, _, terminated, truncated, _ = batch.step(actions)
        ends += int((terminated | truncated).sum())
    return [ends, *observations.astype(float).ravel().tolist()]


def cartpole_env_python() -> Measure:
    batch = envs.make_vec("CartPole-v1", NUM_ENVS, copy=False)
    check = checked(batch)
    rows = list(drawn_actions())

    def thousand(batch: envs.VecEnv) -> None:
        step = batch.step
        for actions in rows:
            step(actions)

    copying = envs.make_vec("CartPole-v1", NUM_ENVS)
    copying.reset(seed=7)
    seconds = 0.2 if QUICK else 1.0
    value = rate(lambda: thousand(batch), seconds, batch=1000 * NUM_ENVS)
    return Measure(value, check, {"with_copies": rate(lambda: thousand(copying), seconds, batch=1000 * NUM_ENVS)})


def cartpole_env_native() -> Measure:
    batch = envs.make_vec("CartPole-v1", NUM_ENVS, copy=False)
    check = checked(batch)
    actions = drawn_actions().astype(np.int32)
    return Measure(rate(lambda: batch.play(actions), 0.2 if QUICK else 1.0, batch=actions.size, warm_up=20), check)
