"""Gymnasium's spaces of our environments, made when someone asks for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .extra import gymnasium_or_raise

if TYPE_CHECKING:
    import gymnasium


def space_of(description: dict[str, Any]) -> gymnasium.Space[Any]:
    """The float32 Box or the Discrete that a native description tells of."""
    spaces = gymnasium_or_raise("spaces").spaces
    import numpy as np

    space: gymnasium.Space[Any]
    if description["kind"] == "discrete":
        space = spaces.Discrete(description["n"], start=description["start"])
    else:
        low, high = (np.array(description[side], np.float32) for side in ("low", "high"))
        space = spaces.Box(low, high, dtype=np.float32)
    return space


def batched(space: gymnasium.Space[Any], num_envs: int) -> gymnasium.Space[Any]:
    """`num_envs` copies of a space as one."""
    result: gymnasium.Space[Any] = gymnasium_or_raise("spaces").vector.utils.batch_space(space, num_envs)
    return result


def pong_observation_space() -> gymnasium.Space[Any]:
    """Unbounded: the original's Box(0, 1) is not true, as dx is negative half of the time and x leaves the court."""
    infinity = float("inf")
    space: gymnasium.Space[Any] = gymnasium_or_raise("spaces").spaces.Box(-infinity, infinity, (8,), "float64")
    return space


def pong_action_space() -> gymnasium.Space[Any]:
    """0 stop, 1 down, 2 up."""
    space: gymnasium.Space[Any] = gymnasium_or_raise("spaces").spaces.Discrete(3)
    return space
