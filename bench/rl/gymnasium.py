"""Gymnasium's own batch of CartPoles: one Python environment after the other."""

import gymnasium
import numpy as np

from bench.rows import Measure, rate

QUICK = False
NUM_ENVS = 64


def cartpole_env_python() -> Measure:
    batch = gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make("CartPole-v1")] * NUM_ENVS)
    rows = np.random.default_rng(0).integers(0, 2, (1000, NUM_ENVS))
    batch.reset(seed=7)
    ends = 0
    for actions in rows:
        observations, _, terminated, truncated, _ = batch.step(actions)
        ends += int((terminated | truncated).sum())
    check = [ends, *observations.astype(float).ravel().tolist()]

    def hundred() -> None:
        for actions in rows[:100]:
            batch.step(actions)

    return Measure(rate(hundred, 0.5 if QUICK else 2.0, batch=100 * NUM_ENVS), check)


cartpole_env_native = cartpole_env_python
