"""Trainers: PPO, A2C, PG, BC and DQN over the native learners."""

from __future__ import annotations

import difflib
import functools
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from daybreak._core import base as _base
from daybreak._core import rl as _native
from daybreak.rl.policy import Policy
from daybreak.rl.rollout import RolloutWorkers

__all__ = ["A2C", "BC", "DQN", "PG", "PPO", "Trainer", "linear"]

Result = dict[str, Any]
Points = list[list[float]]

# Names that people bring from Stable-Baselines3 and RLlib.
_ALIASES = {
    "learning_rate": "lr",
    "n_steps": "num_steps",
    "rollout_fragment_length": "num_steps",
    "n_epochs": "num_epochs",
    "num_sgd_iter": "num_epochs",
    "sgd_minibatch_size": "minibatch_size",
    "clip_range": "clip",
    "clip_param": "clip",
    "clip_range_vf": "value_clip",
    "vf_clip_param": "value_clip",
    "ent_coef": "entropy_coef",
    "entropy_coeff": "entropy_coef",
    "vf_coef": "value_coef",
    "vf_loss_coeff": "value_coef",
    "kl_coeff": "kl_coef",
    "lambda_": "gae_lambda",
    "grad_clip": "max_grad_norm",
    "fcnet_hiddens": "hidden",
    "net_arch": "hidden",
    "fcnet_activation": "activation",
    "vf_share_layers": "shared",
    "normalize_advantages": "normalize_advantage",
    "env_config": "env_options",
    "target_network_update_freq": "target_update_interval",
    "timesteps_per_iteration": "steps_per_iteration",
    "train_batch_size": "batch_size",
}


def linear(start: float, end: float, timesteps: int) -> Points:
    """A schedule: a straight line from `start` at time step 0 to `end` at `timesteps`, constant from there.

    >>> linear(1e-3, 0.0, 100_000)
    [[0, 0.001], [100000, 0.0]]
    """
    return [[0, start], [timesteps, end]]


class Trainer:
    """What all trainers have in common. Made with keyword options; `options()` lists them."""

    algo: ClassVar[str] = ""
    defaults: ClassVar[Mapping[str, Any]] = {}

    def __init__(
        self,
        env: str | Callable[..., Any] = "CartPole-v1",
        *,
        num_workers: int = 0,
        on_result: Callable[[Result], object] | None = None,
        **options: Any,
    ) -> None:
        config = {**self.defaults, **self._canonical(options)}
        self.on_result = on_result
        self._env = env
        self._env_options: dict[str, Any] = dict(config.get("env_options", {}))
        config["env_options"] = {key: str(value) for key, value in self._env_options.items()}
        config["env"] = env if isinstance(env, str) else getattr(env, "__name__", type(env).__name__)
        self._native = self._make(json.dumps(config), num_workers)

    def _make(self, config: str, num_workers: int) -> _native.Trainer:
        raise NotImplementedError

    @classmethod
    def options(cls) -> dict[str, tuple[str, Any]]:
        """Every option: its name, what it means, its default for this algorithm.

        >>> PPO.options()["gamma"]
        ('discount', 0.99)
        """
        hidden = {"algo", "env"}
        rows = {name: (text, json.loads(value)) for name, text, value in cls._option_rows() if name not in hidden}
        for name, value in cls.defaults.items():
            if name not in hidden:
                rows[name] = (rows[name][0], value)
        return rows

    @classmethod
    def _option_rows(cls) -> Sequence[tuple[str, str, str]]:
        return _native.on_policy_options()

    @classmethod
    def _canonical(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        valid = cls.options()
        canonical: dict[str, Any] = {}
        for given, value in options.items():
            name = given if given in valid else _ALIASES.get(given, given)
            if name not in valid:
                close = difflib.get_close_matches(given, [*valid, *_ALIASES], n=1)
                hint = f", did you mean {close[0]!r}?" if close else "."
                raise ValueError(f"unknown option {given!r}{hint} Valid: {', '.join(valid)}, num_workers, on_result")
            if name in canonical:
                raise ValueError(f"option {given!r} is given twice (another name of {name!r})")
            canonical[name] = value
        return canonical

    @property
    def config(self) -> dict[str, Any]:
        """Every option with its value."""
        return dict(json.loads(self._native.config))

    @property
    def timesteps(self) -> int:
        """Environment steps made so far."""
        return self._native.timesteps

    @property
    def policy(self) -> Policy:
        """A snapshot of the policy: training on does not change it."""
        return Policy(self._native.policy)

    def train(self) -> Result:
        """One iteration (num_envs * num_steps environment steps and the learning from them).

        The result has `episode_reward_mean`, `_min`, `_max` and `episode_len_mean` over the last 100 episodes (NaN while none has
        ended), `episodes_this_iter`, `timesteps_total`, the losses, `entropy`, `kl`, `clip_fraction`, `explained_variance`,
        `learning_rate`, `time` (seconds of `sample` and of `learn`) and `steps_per_s`.

        Raises ValueError when an environment gives a reward or an observation that is not finite; what was learned stays.
        """
        result = self._train()
        if self.on_result is not None:
            self.on_result(result)
        return result

    def _train(self) -> Result:
        return self._native.train()

    def learn(self, total_timesteps: int) -> Result | None:
        """Iterations until `total_timesteps` environment steps have been made in all. Returns the last iteration's result.

        The loop is native and without the GIL; Ctrl-C ends it between two iterations.
        """
        last: Result | None = self._native.learn(total_timesteps, self.on_result)
        return last

    def evaluate(
        self, episodes: int = 100, *, seed: int = 1_000_000, deterministic: bool = True, **env_options: Any
    ) -> Result:
        """Plays whole episodes in fresh environments seeded with `seed`; training is not touched.

        Returns `mean`, `std`, `min`, `max` of the returns, `returns` and `lengths` (one number an episode), `len_mean`, and for
        Pong played with reward="win" `win_rate`. env_options override those of training.
        """
        returns, lengths = self._native.evaluate(episodes, seed, deterministic, env_options)
        reward = env_options.get("reward", self._env_options.get("reward"))
        return summary(returns, lengths, wins=reward == "win")

    def to_bytes(self) -> bytes:
        """A checkpoint: weights, optimiser, random numbers, filter, environments, running episodes. No pickle, checksummed.

        A trainer made with the same options that takes it with `from_bytes` goes on to the same bits (environments written in
        Python or living on rollout actors cannot be saved: they begin new episodes). `Policy.load` reads the policy out of it.
        """
        return self._native.save()

    def from_bytes(self, data: bytes) -> None:
        """Goes on from `to_bytes`. ValueError when the bytes are truncated, altered or of another trainer: nothing changes then."""
        self._native.restore(data)

    def save(self, path: str | os.PathLike[str]) -> str:
        """Writes `to_bytes()` to a file, whole or not at all; returns the path."""
        _base.write_file_atomically(os.fspath(path), self.to_bytes())
        return os.fspath(path)

    def restore(self, path: str | os.PathLike[str]) -> None:
        """Goes on from a file that `save` wrote."""
        with open(path, "rb") as file:
            self.from_bytes(file.read())

    def compute_action(self, observation: npt.ArrayLike, deterministic: bool = True) -> Any:
        """The present policy's action for one observation; `policy.compute_action` is faster for many."""
        return self.policy.compute_action(observation, deterministic)


def summary(returns: npt.NDArray[np.float64], lengths: npt.NDArray[np.int64], *, wins: bool = False) -> Result:
    """Statistics of finished episodes."""
    result: Result = {
        "episodes": len(returns),
        "mean": float(np.mean(returns)),
        "std": float(np.std(returns)),
        "min": float(np.min(returns)),
        "max": float(np.max(returns)),
        "len_mean": float(np.mean(lengths)),
        "returns": returns.tolist(),
        "lengths": lengths.tolist(),
    }
    if wins:
        result["win_rate"] = float(np.mean(returns > 0))
    return result


class _OnPolicy(Trainer):
    _workers: RolloutWorkers | None = None

    def _make(self, config: str, num_workers: int) -> _native.Trainer:
        native = _native.make_on_policy(config, self._env, self._env_options, num_workers == 0)
        if num_workers != 0:
            full = native.config
            self._workers = RolloutWorkers(
                full, num_workers, json.loads(full)["num_envs"], self._env, self._env_options
            )
        return native

    def _train(self) -> Result:
        if self._workers is None:
            return self._native.train()
        start = time.perf_counter()
        fragments = self._workers.collect(self._native.weights(), self._num_steps)
        result = self._native.update(fragments, time.perf_counter() - start)
        result["worker_deaths"] = self._workers.deaths
        return result

    @functools.cached_property
    def _num_steps(self) -> int:
        return int(self.config["num_steps"])

    def learn(self, total_timesteps: int) -> Result | None:
        if self._workers is None:
            return super().learn(total_timesteps)
        result = None
        while self.timesteps < total_timesteps:
            result = self.train()
        return result

    def stop(self) -> None:
        """Ends the rollout actors, if there are any; the trainer cannot train any more then."""
        if self._workers is not None:
            self._workers.stop()


class PPO(_OnPolicy):
    """Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347) with generalised advantage estimation.

    env: "CartPole-v1", "Pendulum-v1", "daybreak/Pong-v0", or any Gymnasium id, class or function with a Box or Discrete
        observation and a Discrete or Box action.
    num_workers: 0 samples in this process; n > 0 on n rollout actors of the runtime.
    on_result: called with every iteration's result.
    options: `PPO.options()`; the names of Stable-Baselines3 and RLlib are understood too. An unknown one is a ValueError that
        names the nearest. lr, clip and entropy_coef take a number or a schedule: `linear(start, end, timesteps)` or a list of
        [time step, value].

    >>> trainer = PPO("CartPole-v1", num_envs=8, num_steps=32, minibatch_size=256, num_epochs=4, seed=0)
    >>> result = trainer.train()
    >>> result["timesteps_total"]
    256
    >>> trainer.policy.compute_action([0.0, 0.0, 0.1, 0.0]) in (0, 1)
    True
    """

    algo = "ppo"
    defaults: ClassVar[Mapping[str, Any]] = {"algo": "ppo"}


class A2C(_OnPolicy):
    """Advantage actor-critic (Mnih et al. 2016, arXiv 1602.01783), synchronous: one gradient step an iteration."""

    algo = "a2c"
    defaults: ClassVar[Mapping[str, Any]] = {
        "algo": "a2c",
        "num_steps": 5,
        "num_epochs": 1,
        "minibatch_size": 0,
        "gae_lambda": 1.0,
        "lr": 7e-4,
        "normalize_advantage": False,
    }


class PG(_OnPolicy):
    """REINFORCE (Williams 1992) with returns to go, no critic.

    Steps of episodes that have not ended when an iteration's num_steps are over are not learned from, since their return is not
    known: choose num_steps well above the length of an episode.
    """

    algo = "pg"
    defaults: ClassVar[Mapping[str, Any]] = {
        "algo": "pg",
        "num_steps": 500,
        "num_epochs": 1,
        "minibatch_size": 0,
        "gae_lambda": 1.0,
        "lr": 4e-3,
    }


class BC(Trainer):
    """Behavioural cloning (Pomerleau 1989): learns to do what recorded players did, by cross-entropy.

    env: as for PPO; its spaces are the policy's, and `evaluate` plays it. Nothing is sampled from it.
    observations: float [rows, n], what the players saw.
    actions: what they did: whole numbers [rows] (Discrete) or float [rows, m] (Box: learned by Gaussian likelihood).
    options: `BC.options()`. `hidden=[]` is logistic regression. Rows of `validation_fraction` are held out.

    An iteration is `num_epochs` passes over the rows. Its result has `loss` and `accuracy` (Box: `mse`, of actions scaled to
    [-1, 1]) and the same over the held-out rows as `validation_loss`, `validation_accuracy`; `timesteps_total` counts rows
    learned from. ValueError when arrays do not fit the spaces or hold a number that is not finite.

    >>> import numpy as np
    >>> seen = np.random.default_rng(0).uniform(-1, 1, (500, 4)).astype(np.float32)
    >>> trainer = BC("CartPole-v1", seen, (seen[:, 2] > 0).astype(int), lr=1e-2, seed=0)
    >>> trainer.learn(20_000)["validation_accuracy"] > 0.9
    True
    """

    algo = "bc"

    def __init__(
        self,
        env: str | Callable[..., Any],
        observations: npt.ArrayLike,
        actions: npt.ArrayLike,
        *,
        on_result: Callable[[Result], object] | None = None,
        **options: Any,
    ) -> None:
        self._observations = np.ascontiguousarray(observations, np.float32)
        given = np.asarray(actions)
        self._actions = np.ascontiguousarray(given, np.int32 if given.dtype.kind in "iub" else np.float32)
        if given.dtype.kind in "iu" and not np.array_equal(self._actions, given):
            raise ValueError(f"actions up to {given.max()}: they must fit into 32 bits")
        super().__init__(env, on_result=on_result, **options)

    @classmethod
    def _option_rows(cls) -> Sequence[tuple[str, str, str]]:
        return _native.bc_options()

    def _make(self, config: str, num_workers: int) -> _native.Trainer:
        if num_workers:
            raise ValueError("BC samples nothing: num_workers must be 0")
        return _native.make_bc(config, self._env, self._env_options, self._observations, self._actions)


class DQN(Trainer):
    """Deep Q learning (Mnih et al. 2015) for Discrete actions, with Huber loss and a target net.

    double_q (van Hasselt et al. 2016, on by default), dueling (Wang et al. 2016), n_step, prioritized_replay (Schaul et al. 2016).
    An iteration is `steps_per_iteration` environment steps: after every `train_freq` of them come `gradient_steps` gradient
    steps. Exploration falls in a straight line from exploration_initial_eps to exploration_final_eps over exploration_timesteps.
    Checkpoints hold the replay buffer.

    >>> trainer = DQN("CartPole-v1", learning_starts=100, steps_per_iteration=200, hidden=[32])
    >>> trainer.train()["timesteps_total"]
    200
    """

    algo = "dqn"

    @classmethod
    def _option_rows(cls) -> Sequence[tuple[str, str, str]]:
        return _native.dqn_options()

    def _make(self, config: str, num_workers: int) -> _native.Trainer:
        if num_workers:
            raise ValueError("DQN samples in this process: num_workers must be 0")
        return _native.make_dqn(config, self._env, self._env_options)
