"""Batches of environments: Gymnasium's VectorEnv methods over arrays that C++ fills."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from daybreak._core import rl as _native

from . import spaces
from .extra import gymnasium_or_raise

if TYPE_CHECKING:
    import gymnasium

__all__ = ["VecEnv", "make_vec"]


class VecEnv(_native.VecEnv):
    """A batch of environments; make one with `make_vec`.

    `reset(seed=, options=)` and `step(actions)` are native and follow Gymnasium's VectorEnv:
    `step` returns (observations float32 [num_envs, n], rewards float32 [num_envs], terminations bool, truncations bool, infos).
    The spaces need Gymnasium (`pip install 'daybreak[rl]'`) and are built when first asked for; stepping does not need it.
    """

    render_mode: str | None = None
    spec: Any = None
    closed = False

    @cached_property
    def single_observation_space(self) -> gymnasium.Space[Any]:
        described = self.describe()["observation_space"]
        if described["kind"] == "discrete":  # it arrives one-hot
            described = {"kind": "box", "low": [0.0] * described["n"], "high": [1.0] * described["n"]}
        return spaces.space_of(described)

    @cached_property
    def single_action_space(self) -> gymnasium.Space[Any]:
        return spaces.space_of(self.describe()["action_space"])

    @cached_property
    def observation_space(self) -> gymnasium.Space[Any]:
        return spaces.batched(self.single_observation_space, self.num_envs)

    @cached_property
    def action_space(self) -> gymnasium.Space[Any]:
        return spaces.batched(self.single_action_space, self.num_envs)

    @cached_property
    def metadata(self) -> dict[str, Any]:
        return {"autoreset_mode": gymnasium_or_raise("vector").vector.AutoresetMode(self.describe()["autoreset_mode"])}

    @property
    def unwrapped(self) -> VecEnv:
        return self

    def close(self, **_: Any) -> None:
        """Gymnasium's; there is nothing to close."""
        self.closed = True


def make_vec(
    env: str | Callable[..., Any] | Any,
    num_envs: int = 1,
    *,
    autoreset_mode: Any = "next_step",
    copy: bool = True,
    **options: Any,
) -> VecEnv:
    """A batch of `num_envs` environments.

    env: one of `env_ids()`, which C++ steps; or an id of Gymnasium's registry, a class or function that makes an environment, or
        (for num_envs=1) an environment, which are stepped in Python one after the other. Those need a Box or Discrete
        observation, which arrives flattened or one-hot, and a Discrete or Box action; ValueError names any other space. Their
        infos are dropped.
    autoreset_mode: 'next_step' (as in Gymnasium the default), 'same_step', 'disabled', or a gymnasium.vector.AutoresetMode.
    copy: True gives fresh arrays at every call. False gives the same arrays, filled anew, at every call: faster, and right
        when a step is used before the next one is asked for.
    options: of the environment, such as max_episode_steps=1000 or reward="win". An unknown one raises
        InvalidArgumentError (a ValueError), an unknown id NotFoundError (a LookupError); both name what there is.

    >>> make_vec("daybreak/Pong-v0", 4, reward="win").num_envs
    4
    """
    return VecEnv(env, num_envs, autoreset_mode, copy, options)
