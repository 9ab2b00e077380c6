from collections.abc import Callable, Sequence
from typing import Any, SupportsIndex

import numpy
import numpy.typing


def env_ids() -> list[str]:
    """The ids of the environments that are built in."""

class VecEnv:
    """A batch of environments with Gymnasium's VectorEnv methods, in C++."""

    def __init__(self, env: Any, num_envs: int, autoreset_mode: Any, copy: bool, options: dict[str, Any]) -> None: ...

    def reset(self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None) -> tuple[numpy.typing.NDArray[numpy.float32], dict[str, Any]]:
        """
        Starts new episodes: (observations, {}). seed: an integer (row i takes seed + i), one for each row, or None to go on. options={'reset_mask': array of bool} resets only those rows.
        """

    def step(self, actions: numpy.typing.ArrayLike) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.bool_], numpy.typing.NDArray[numpy.bool_], dict[str, Any]]:
        """
        One step of every row: (observations, rewards, terminations, truncations, infos).
        """

    def play(self, actions: numpy.typing.ArrayLike) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.float64], int]:
        """
        Steps through recorded actions [steps, num_envs, ...] in C++: (last observations, sum of rewards of each row, number of episodes that ended).
        """

    def state(self, row: int) -> tuple[float, ...]:
        """The float64 state of one row (CartPole, Pendulum)."""

    def set_state(self, row: int, state: Sequence[float]) -> None:
        """Begins an episode in one row from this state, without a draw."""

    def frame(self, row: int = 0) -> dict[str, float]:
        """What there is to draw of one game of Pong, in pixels."""

    def save_state(self) -> bytes:
        """All state of environments and generators, as bytes."""

    def load_state(self, bytes: bytes) -> None:
        """
        Goes on from save_state() of a like batch; DataLossError for other or damaged bytes.
        """

    @property
    def num_envs(self) -> int: ...

    @property
    def copy(self) -> bool: ...

    def describe(self) -> dict[str, Any]:
        """
        Spaces and autoreset mode as plain values, for which Gymnasium need not be there.
        """

class Pong:
    """
    PongJS of the 2018 course, exact in float64. uniform: a callable that gives a float in [0, 1) for each random draw, in the original's order; without it the draws are those of numpy.random.default_rng(seed). reward: 'step' (+1 each step) or 'win' (+1 or -1 at the end).
    """

    def __init__(self, uniform: Callable[[], float] | None = None, reward: str = 'step') -> None: ...

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[numpy.typing.NDArray[numpy.float64], dict[str, Any]]:
        """
        Serves: (observation, {}). Paddles and the opponent's prediction stay as they are, as in the original, unless a seed is given: that begins a new game.
        """

    def step(self, action: SupportsIndex) -> tuple[numpy.typing.NDArray[numpy.float64], float, bool, bool, dict[str, Any]]:
        """
        0 stop, 1 down, 2 up, else go on as before: (observation, reward, terminated, truncated, info). The last observation of a rally shows the next serve; info then says whether the agent 'won'.
        """

    @property
    def observation_space(self) -> Any:
        """Gymnasium's Box without bounds, in float64."""

    @property
    def action_space(self) -> Any:
        """Gymnasium's Discrete(3)."""

    def frame(self) -> dict[str, float]:
        """What there is to draw, in pixels."""
