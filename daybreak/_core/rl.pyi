from collections.abc import Callable, Sequence
from typing import Annotated, Any, SupportsIndex

import numpy
import numpy.typing
from numpy.typing import NDArray
from typing_extensions import CapsuleType


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

class Policy:
    """
    A trained policy: observation filter, network, and how its outputs become an action.
    """

    @staticmethod
    def from_bytes(bytes: bytes) -> Policy:
        """
        The policy of to_bytes(), or of a trainer's checkpoint. DataLossError when truncated or altered, ValueError for something else.
        """

    def to_bytes(self) -> bytes:
        """The policy file: safetensors with metadata, checksummed, no pickle."""

    def to_onnx(self) -> bytes:
        """
        An ONNX model: input 'observation', outputs 'action' (greedy) and 'outputs'.
        """

    def compute_action(self, observation: object | None, deterministic: bool = True) -> object:
        """
        One observation, [n] or of a Discrete space a whole number, to an int (Discrete) or a float32 array (Box, within the bounds). ValueError for another shape or a number that is not finite. deterministic=False draws from the policy's distribution.
        """

    def compute_actions(self, observations: object | None, deterministic: bool = True) -> object:
        """
        Observations [rows, n], of a Discrete space also whole numbers [rows], to int32 [rows] or float32 [rows, m].
        """

    def logits(self, observation: object | None) -> object:
        """
        The network's raw outputs for one observation: logits, means or action values, float32.
        """

    def __daybreak_model_v1__(self) -> CapsuleType:
        """
        A capsule 'daybreak.model.v1': the policy as a server runs it in process (base/capsule.h).
        """

    def seed(self, seed: SupportsIndex) -> None:
        """Seeds the draws of deterministic=False."""

    @property
    def algo(self) -> str: ...

    @property
    def env(self) -> str: ...

    @property
    def observation_size(self) -> int: ...

    @property
    def discrete_observations(self) -> bool:
        """Whether observations are whole numbers."""

    @property
    def discrete(self) -> bool: ...

    @property
    def num_actions(self) -> int:
        """Values of a Discrete action, components of a Box action."""

    @property
    def action_shape(self) -> list[int] | None:
        """Of a Box whose actions have other than one dimension: their shape."""

    @property
    def hidden(self) -> list[int]: ...

class Trainer:
    """A native trainer; daybreak.rl's trainers hold one."""

    def train(self) -> dict:
        """One iteration; its results by name."""

    def learn(self, timesteps: int, callback: object | None = None) -> Any:
        """
        Iterations until that many more steps have been made, or the callback answers False; the last one's results.
        """

    def update(self, fragments: list, sample_s: float) -> dict:
        """
        Learns from what samplers with weights() have made: one iteration's results.
        """

    def evaluate(self, episodes: int, seed: int, deterministic: bool, max_steps: int, options: dict) -> tuple:
        """
        (returns, lengths, how many of them max_steps ended) of whole episodes in fresh environments.
        """

    def save(self) -> bytes:
        """A checkpoint, resumable to the bit; it is a policy file too."""

    def restore(self, bytes: bytes) -> None:
        """
        Goes on from save(). DataLossError when damaged, ValueError when of another trainer; then nothing has changed.
        """

    def adjust(self, config: str) -> None:
        """
        Takes the schedules of a configuration as JSON; the rest of it is not looked at.
        """

    def weights(self) -> object:
        """What Sampler.set_weights takes: float32, flat."""

    @property
    def policy(self) -> Policy:
        """A snapshot of the policy."""

    @property
    def timesteps(self) -> int: ...

    @property
    def config(self) -> str:
        """The configuration as JSON."""

class Sampler:
    """
    Environments and a copy of the policy that make fragments of samples: what a rollout actor holds.
    """

    def __init__(self, config: str, stream: int, num_envs: int, env: object, options: dict) -> None: ...

    def set_weights(self, weights: Annotated[NDArray[numpy.float32], dict(order='C', device='cpu', writable=False)]) -> None:
        """Trainer.weights()."""

    def sample(self, num_steps: int) -> dict:
        """
        num_steps steps of every environment as a dict of arrays, for Trainer.update.
        """

    @property
    def num_envs(self) -> int: ...

def make_on_policy(config: str, env: object, options: dict, local_sampling: bool = True) -> Trainer:
    """A PPO, A2C or PG trainer from its configuration as JSON."""

def on_policy_options() -> list:
    """(name, help, default as JSON) of each option."""

def make_bc(config: str, env: object, options: dict, observations: Annotated[NDArray[numpy.float32], dict(order='C', device='cpu', writable=False)], actions: object) -> Trainer:
    """
    A BC trainer from its configuration as JSON; observations float32 [rows, n], actions int32 [rows] or float32 [rows, m].
    """

def bc_options() -> list:
    """(name, help, default as JSON) of each option."""

def make_dqn(config: str, env: object, options: dict) -> Trainer:
    """A DQN trainer from its configuration as JSON."""

def dqn_options() -> list:
    """(name, help, default as JSON) of each option."""
