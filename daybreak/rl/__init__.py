"""Reinforcement learning: environments, trainers and policies in C++.

>>> from daybreak import rl
>>> trainer = rl.PPO("CartPole-v1", num_envs=16, num_steps=64, minibatch_size=256, lr=2e-3, gamma=0.98, gae_lambda=0.9)
>>> result = trainer.learn(20_000)
>>> trainer.evaluate(episodes=20)["mean"] > 300
True
>>> policy = trainer.policy
>>> policy.compute_action([0.0, 0.0, 0.05, 0.0]) in (0, 1)
True
"""

from . import envs, presets
from .algorithms import A2C, BC, DQN, PG, PPO
from .policy import Policy
from .trainer import Trainer, linear

__all__ = ["A2C", "BC", "DQN", "PG", "PPO", "Policy", "Trainer", "envs", "linear", "presets"]
