"""Reinforcement learning."""

from . import envs

__all__ = ["envs"]
