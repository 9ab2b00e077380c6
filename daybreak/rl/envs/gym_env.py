"""daybreak/Pong-v0 for Gymnasium: imported by its registry when someone makes one."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from daybreak._core.rl import Pong

from .spaces import pong_action_space, pong_observation_space
from .vector import make_vec

__all__ = ["PongEnv", "PongVectorEnv"]

Observation = npt.NDArray[np.float64]


class PongEnv(gymnasium.Env[Observation, np.int64]):
    """PongJS against the scripted opponent; see `daybreak.rl.envs.Pong`.

    Observation: agent's top y, 0, ball x, y, dx, dy, previous x, y; each / 500, in float64. The space is unbounded: the original's
    Box(0, 1) was not true, as dx is negative half of the time and x leaves the court.
    Action: 0 stop, 1 down, 2 up. Reward: 1 each step, or with reward="win" +1 or -1 at the end. An episode is one rally.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 20}

    def __init__(self, reward: str = "step", render_mode: str | None = None) -> None:
        self._game = Pong(reward=reward)
        self.render_mode = render_mode
        self.observation_space = pong_observation_space()
        self.action_space = pong_action_space()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        return self._game.reset(seed, options)

    def step(self, action: np.int64) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        return self._game.step(action)

    def render(self) -> npt.NDArray[np.uint8] | None:
        """With render_mode="rgb_array": the court as [480, 640, 3] bytes."""
        return draw(self._game.frame()) if self.render_mode == "rgb_array" else None


def draw(frame: dict[str, float]) -> npt.NDArray[np.uint8]:
    """The picture of `frame()`: [height, width, 3] bytes, white on black."""
    width, height = int(frame["width"]), int(frame["height"])
    picture = np.zeros((height, width, 3), np.uint8)

    def fill(left: float, top: float, right: float, bottom: float, value: int = 255) -> None:
        clip = [max(0, round(edge)) for edge in (top, bottom, left, right)]
        picture[clip[0] : clip[1], clip[2] : clip[3]] = value

    fill(0, 0, width, frame["wall"], 128)
    fill(0, height - frame["wall"], width, height, 128)
    for left, top in ((0, frame["agent_y"]), (width - frame["paddle_width"], frame["opponent_y"])):
        fill(left, top, left + frame["paddle_width"], top + frame["paddle_height"])
    x, y, radius = frame["ball_x"], frame["ball_y"], frame["ball_radius"]
    fill(x - radius, y - radius, x + radius, y + radius)
    return picture


class PongVectorEnv(gymnasium.vector.VectorEnv[Any, Any, Any]):
    """What gymnasium.make_vec("daybreak/Pong-v0", num_envs=...) gives: a batch stepped in C++, float32 observations."""

    def __init__(self, num_envs: int = 1, render_mode: str | None = None, **options: Any) -> None:
        if render_mode is not None:
            raise ValueError(
                f"a batch of Pong draws nothing, got render_mode={render_mode!r}: use frame(row) and draw()"
            )
        self._batch = make_vec("daybreak/Pong-v0", num_envs, **options)
        self.num_envs = num_envs
        self.metadata = self._batch.metadata
        self.single_observation_space = self._batch.single_observation_space
        self.single_action_space = self._batch.single_action_space
        self.observation_space = self._batch.observation_space
        self.action_space = self._batch.action_space
        self.reset = self._batch.reset  # type: ignore[method-assign]
        self.step = self._batch.step  # type: ignore[method-assign]
        self.frame = self._batch.frame
