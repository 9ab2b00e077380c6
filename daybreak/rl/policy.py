"""A trained policy without its trainer."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from daybreak._core import rl as _native
from daybreak.base import paths

__all__ = ["Policy"]


class Policy:
    """Observation filter, network, and how its outputs become an action. Safe to use from many threads.

    >>> from daybreak import rl
    >>> data = rl.PPO("CartPole-v1").policy.to_bytes()
    >>> policy = rl.Policy.load(data)
    >>> policy.compute_actions([[0.0, 0.0, 0.0, 0.0], [0.1, 0.0, 0.0, 0.0]]).shape
    (2,)

    compute_action(observation, deterministic=True): one observation [n] to an int (Discrete) or a float32 array (Box, within
        the bounds). ValueError naming both shapes for another one. deterministic=False draws from the distribution.
    compute_actions(observations, deterministic=True): [rows, n] to int32 [rows] or float32 [rows, m].
    logits(observation): the raw outputs: logits, means or action values.
    """

    __slots__ = ("compute_action", "compute_actions", "logits", "native")

    def __init__(self, native: _native.Policy) -> None:
        self.native = native
        # The native methods themselves: no Python frame in the way of an answer.
        self.compute_action: Callable[..., Any] = native.compute_action
        self.compute_actions: Callable[..., Any] = native.compute_actions
        self.logits: Callable[..., Any] = native.logits

    @classmethod
    def load(cls, source: str | os.PathLike[str] | bytes) -> Policy:
        """Reads a policy file or a trainer's checkpoint, from a path or from its bytes.

        DataLossError (a ValueError) when it is truncated or altered, ValueError when it is something else.
        """
        if isinstance(source, bytes):
            return cls(_native.Policy.from_bytes(source))
        return cls(_native.Policy.from_bytes(paths.read(source)))

    def to_bytes(self) -> bytes:
        """The policy file: safetensors with metadata, checksummed, no pickle."""
        return self.native.to_bytes()

    def save(self, path: str | os.PathLike[str]) -> str:
        """Writes the policy file, whole or not at all; returns the path."""
        paths.write(path, self.to_bytes())
        return paths.given(path)

    def to_onnx(self, path: str | os.PathLike[str]) -> str:
        """Writes an ONNX model (opset 13) that any runtime answers with the same greedy actions; returns the path.

        Input `observation` float32 [batch, n], raw: the filter is inside. Outputs `action`, int64 [batch] or float32 [batch, m]
        within the bounds, and `outputs`, the logits, means or action values [batch, m].
        """
        paths.write(path, self.native.to_onnx())
        return paths.given(path)

    def predict(
        self, observation: Any, state: None = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[Any, None]:
        """Stable-Baselines3's: (action, None) for one observation, (actions, None) for a batch of them.

        The action of a Discrete space is a numpy int64, that of a Box has its shape. There is no recurrent state: another `state`
        than None is refused.
        """
        import numpy as np

        if state is not None:
            raise ValueError("state: there is no recurrent policy here, leave it out")
        try:
            shape = np.shape(observation)
        except ValueError:  # ragged: compute_action says what is wrong with it
            shape = ()
        if self.native.discrete_observations:
            many = len(shape) > 0
        else:  # rows of observations, however an observation is shaped
            size = self.observation_size
            many = len(shape) > 1 and (
                shape[0] * size == np.size(observation) if shape[0] != 1 else shape[1:] == (size,)
            )
            many = many or shape[:1] == (0,)
        if many:
            actions = self.compute_actions(observation, deterministic)
            return actions.astype(np.int64) if self.discrete else self._shaped(actions, len(actions)), None
        action = self.compute_action(observation, deterministic)
        return np.int64(action) if self.discrete else self._shaped(action), None

    def _shaped(self, actions: Any, *rows: int) -> Any:
        shape = self.native.action_shape
        return actions if shape is None else actions.reshape((*rows, *shape))

    def seed(self, seed: int) -> None:
        """Seeds the draws of deterministic=False."""
        self.native.seed(seed)

    @property
    def algo(self) -> str:
        """The algorithm that trained it."""
        return self.native.algo

    @property
    def env(self) -> str:
        """The environment that it was trained on."""
        return self.native.env

    @property
    def observation_size(self) -> int:
        """Numbers of one observation."""
        return self.native.observation_size

    @property
    def discrete(self) -> bool:
        """Whether actions are whole numbers."""
        return self.native.discrete

    @property
    def num_actions(self) -> int:
        """Values of a Discrete action, components of a Box action."""
        return self.native.num_actions

    @property
    def hidden(self) -> list[int]:
        """Sizes of the hidden layers."""
        return list(self.native.hidden)

    def __daybreak_model_v1__(self) -> object:
        """A capsule `daybreak.model.v1`: what a server needs to run the policy in process, without Python."""
        return self.native.__daybreak_model_v1__()

    def __reduce__(self) -> tuple[Any, ...]:
        return Policy.load, (self.to_bytes(),)

    def __repr__(self) -> str:
        kind = "actions" if self.discrete else "action components"
        return f"<Policy of {self.algo} on {self.env}: {self.observation_size} observations, {self.num_actions} {kind}>"
