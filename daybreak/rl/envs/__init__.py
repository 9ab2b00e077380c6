"""Environments in C++, one at a time or in batches, with Gymnasium's methods.

>>> from daybreak.rl import envs
>>> batch = envs.make_vec("CartPole-v1", 2)
>>> observations, info = batch.reset(seed=42)  # Gymnasium's episodes of that seed
>>> observations.shape
(2, 4)
>>> observations, rewards, terminations, truncations, info = batch.step([0, 1])
>>> rewards.tolist()
[1.0, 1.0]
"""

from daybreak._core.rl import Pong, env_ids

from .registration import install as _install
from .vector import VecEnv, make_vec

__all__ = ["Pong", "VecEnv", "env_ids", "make_vec"]

_install()
