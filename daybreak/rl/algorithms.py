"""The algorithms: PPO, A2C, PG, BC and DQN over the native learners."""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from daybreak._core import rl as _native
from daybreak.base import numbers
from daybreak.rl.rollout import RolloutWorkers
from daybreak.rl.trainer import Result, Trainer
from daybreak.rl.words import Words, refuse

__all__ = ["A2C", "BC", "DQN", "PG", "PPO"]


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

    def _train(self) -> dict[str, Any]:
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

    @property
    def _learns_natively(self) -> bool:  # type: ignore[override]
        return self._workers is None

    def stop(self) -> None:
        """Ends the rollout actors, if there are any; the trainer cannot train any more then."""
        if self._workers is not None:
            self._workers.stop()


class PPO(_OnPolicy):
    """Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347) with generalised advantage estimation.

    env: "CartPole-v1", "Pendulum-v1", "daybreak/Pong-v0", or any Gymnasium id, class or function with a Box or Discrete
        observation and a Discrete or Box action; or an environment that exists, which is one row (num_envs=1); or a vector
        environment of Gymnasium, whose environments are made anew. "MlpPolicy" may stand before it.
    num_workers: 0 samples in this process; n > 0 on n rollout actors of the runtime.
    on_result: called with every iteration's result. verbose: 1 prints a line for each.
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
        self._observations = np.ascontiguousarray(numbers.reals(observations, "observations"), np.float32)
        given = np.asarray(actions)
        if given.dtype.kind in "iub":
            whole = given.astype(np.int64) if given.dtype.kind == "b" else given
            self._actions: Any = np.ascontiguousarray(
                numbers.integers(whole, "actions", minimum=-(2**31), maximum=2**31 - 1), np.int32
            )
        else:
            self._actions = np.ascontiguousarray(numbers.reals(actions, "actions"), np.float32)
        super().__init__(env, on_result=on_result, **options)

    @classmethod
    def _option_rows(cls) -> Sequence[tuple[str, str, str]]:
        return _native.bc_options()

    @classmethod
    def load(cls, path: str | os.PathLike[str] | bytes, env: Any = None, **options: Any) -> Self:
        """Refused: a checkpoint does not hold the recorded rows. Make the trainer with them and `restore` it, or `Policy.load`."""
        raise ValueError(
            "BC.load: a checkpoint has no recorded rows; use BC(env, observations, actions).restore(path), or Policy.load"
        )

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
    def _words(cls, options: Mapping[str, Any]) -> Words:
        options = dict(options)
        if isinstance(freq := options.get("train_freq"), (tuple, list)) and len(freq) == 2:
            if freq[1] != "step":
                refuse("train_freq", freq, "give a number of time steps: rounds of learning do not wait for episodes")
            options["train_freq"] = freq[0]
        if "n_steps" in options:  # Stable-Baselines3's name of n-step returns
            options["n_step"] = options.pop("n_steps")
        words = super()._words(options)
        if words.options.get("gradient_steps") == -1:  # as many as time steps were made
            words.options["gradient_steps"] = words.options.get("train_freq", cls.options()["train_freq"][1])
        return words

    @classmethod
    def _option_rows(cls) -> Sequence[tuple[str, str, str]]:
        return _native.dqn_options()

    def _make(self, config: str, num_workers: int) -> _native.Trainer:
        if num_workers:
            raise ValueError("DQN samples in this process: num_workers must be 0")
        return _native.make_dqn(config, self._env, self._env_options)
