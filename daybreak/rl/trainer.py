"""What all trainers have in common: options, the loop, evaluation, checkpoints. The algorithms are in algorithms.py."""

from __future__ import annotations

import importlib
import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from daybreak._core import rl as _native
from daybreak._core import tensor as _tensor
from daybreak.base import errors, numbers, paths
from daybreak.rl.policy import Policy
from daybreak.rl.words import Words, from_vector, refuse, split_arguments

__all__ = ["Points", "Result", "Trainer", "linear", "summary"]

Points = list[list[float]]


def linear(start: float, end: float, timesteps: int) -> Points:
    """A schedule: a straight line from `start` at time step 0 to `end` at `timesteps`, constant from there.

    >>> linear(1e-3, 0.0, 100_000)
    [[0, 0.001], [100000, 0.0]]
    """
    return [[0, start], [timesteps, end]]


class Result(dict[str, Any]):
    """What an iteration or an evaluation came to: a dict by name."""

    def __getattr__(self, name: str) -> Any:
        if hasattr(Trainer, name):
            raise AttributeError(
                f"a result has no {name!r}, the trainer has: learn() and train() return the last iteration's results; write "
                f"trainer = PPO(...), then trainer.learn(n), then trainer.{name}"
            )
        raise AttributeError(f"a result has no attribute {name!r}; its values are result['...']: {', '.join(self)}")


class Trainer:
    """What all trainers have in common. Made with keyword options; `options()` lists them.

    `PPO(env, option=value, ...)` or, as in Stable-Baselines3, `PPO("MlpPolicy", env, option=value, ...)`.
    """

    algo: ClassVar[str] = ""
    defaults: ClassVar[Mapping[str, Any]] = {}

    def __init__(
        self,
        *args: Any,
        num_workers: int = 0,
        on_result: Callable[[Result], object] | None = None,
        **options: Any,
    ) -> None:
        kept = options.pop("_kept", {})  # of a checkpoint: what the environment was called there
        env, options = split_arguments(type(self).__name__, args, options)
        env, options = from_vector(env, options)
        words = self._words(options)
        config = {**self.defaults, **words.options}
        self.on_result = on_result
        self.verbose = words.verbose
        self._progress = words.progress
        self._exploration_fraction = words.exploration_fraction
        self._env = env
        self._env_options: dict[str, Any] = dict(config.get("env_options", {}))
        if _is_instance(env) and "num_envs" in self.options():
            config.setdefault("num_envs", 1)  # there is only one of it
        config["env_options"] = {key: str(value) for key, value in self._env_options.items()}
        config["env"] = _name_of(env)
        config.update(kept)
        self._native = self._make(json.dumps(config), numbers.integer(num_workers, "num_workers", minimum=0))
        self._version = 0
        self._snapshot: tuple[int, Policy] | None = None

    def _make(self, config: str, num_workers: int) -> _native.Trainer:
        raise NotImplementedError

    @classmethod
    def options(cls) -> dict[str, tuple[str, Any]]:
        """Every option: its name, what it means, its default for this algorithm.

        >>> from daybreak.rl import PPO
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
    def _words(cls, options: Mapping[str, Any]) -> Words:
        return Words(cls.__name__, {name: default for name, (_, default) in cls.options().items()}, options)

    @property
    def config(self) -> dict[str, Any]:
        """Every option with its value."""
        return dict(json.loads(self._native.config))

    @property
    def timesteps(self) -> int:
        """Environment steps made so far."""
        return self._native.timesteps

    num_timesteps = timesteps

    @property
    def policy(self) -> Policy:
        """A snapshot of the policy: training on does not change it."""
        if self._snapshot is None or self._snapshot[0] != self._version:
            self._snapshot = self._version, Policy(self._native.policy)
        return self._snapshot[1]

    def train(self) -> Result:
        """One iteration (num_envs * num_steps environment steps and the learning from them).

        The result has `episode_reward_mean`, `_min`, `_max` and `episode_len_mean` over the last 100 episodes (NaN while none has
        ended), `episodes_this_iter`, `timesteps_total`, the losses, `entropy`, `kl`, `clip_fraction`, `explained_variance`,
        `learning_rate`, `time` (seconds of `sample` and of `learn`) and `steps_per_s`.

        Raises ValueError when an environment gives a reward or an observation that is not finite, or a loss is not: the message
        says the step and the term. What was learned before stays.
        """
        try:
            result = Result(self._train())
        finally:
            self._version += 1
        if self.on_result is not None:
            self.on_result(result)
        return result

    def _train(self) -> dict[str, Any]:
        return self._native.train()

    def learn(
        self,
        total_timesteps: int,
        callback: Callable[[Result], object] | None = None,
        log_interval: int = 1,
        tb_log_name: str | None = None,
        reset_num_timesteps: bool = False,
        progress_bar: bool = False,
    ) -> Result:
        """Iterations until `total_timesteps` more environment steps have been made. Returns the last iteration's result.

        A second call goes on from where the first ended, as in Stable-Baselines3; `learn(n - trainer.timesteps)` goes on to n in
        all. The loop is native and without the GIL; Ctrl-C ends it between two iterations.

        callback(result): called after every iteration, beside `on_result`; learning ends early where it returns False.
        log_interval: with verbose=1 a line is printed every so many iterations.
        Schedules that are functions get the share of this call's steps that remain: 1 at its start, towards 0 at its end.
        The other arguments are Stable-Baselines3's; a value that is not the default is refused, with what to do instead.

        >>> from daybreak.rl import PPO
        >>> trainer = PPO("CartPole-v1", num_envs=4, num_steps=64)
        >>> trainer.learn(256)["timesteps_total"], trainer.learn(256)["timesteps_total"]
        (256, 512)
        """
        steps = numbers.integer(total_timesteps, "total_timesteps", minimum=1, maximum=2**53)
        every = numbers.integer(log_interval, "log_interval", minimum=1)
        if numbers.flag(reset_num_timesteps, "reset_num_timesteps"):
            refuse("reset_num_timesteps", True, "make a new trainer to begin anew")
        if numbers.flag(progress_bar, "progress_bar"):
            refuse("progress_bar", True, "give verbose=1, or a callback that shows what you like")
        if tb_log_name is not None:
            refuse("tb_log_name", tb_log_name, "give on_result=run.log of a daybreak.track run")
        hook = self._hook(_checked_callback(callback), every)
        if self._exploration_fraction is not None:
            self._adjust(exploration_timesteps=max(1, round(self._exploration_fraction * (self.timesteps + steps))))
        try:
            if self._progress or not self._learns_natively:
                return self._learn_in_python(steps, hook)
            return Result(self._native.learn(steps, hook))
        finally:
            self._version += 1

    # Whether iterations are made by the native trainer alone.
    _learns_natively = True

    def _learn_in_python(self, steps: int, hook: Callable[[dict[str, Any]], object] | None) -> Result:
        begin = self.timesteps
        while True:
            remaining = max(0.0, 1 - (self.timesteps - begin) / steps)
            if self._progress:
                values = {name: function(remaining) for name, function in self._progress.items()}
                self._adjust(
                    **{name: numbers.real(x, f"{name}({remaining:g})", finite=True) for name, x in values.items()}
                )
            result = Result(self._train())
            stop = hook is not None and hook(result) is False
            if stop or self.timesteps >= begin + steps:
                return result

    def _adjust(self, **options: Any) -> None:
        self._native.adjust(json.dumps({**self.config, **options}))

    def _hook(
        self, callback: Callable[[Result], object] | None, every: int
    ) -> Callable[[dict[str, Any]], object] | None:
        """What learn calls after each iteration, None where there is nothing to call."""
        if self.on_result is None and callback is None and not self.verbose:
            return None
        iterations = 0

        def hook(values: dict[str, Any]) -> bool:
            nonlocal iterations
            iterations += 1
            self._version += 1
            result = Result(values)
            if self.verbose and iterations % every == 0:
                print(_line(result), flush=True)
            if self.on_result is not None:
                self.on_result(result)
            return callback is None or callback(result) is not False

        return hook

    def evaluate(
        self,
        episodes: int = 100,
        *,
        seed: int = 1_000_000,
        deterministic: bool = True,
        max_steps: int | None = None,
        **env_options: Any,
    ) -> Result:
        """Plays whole episodes in fresh environments seeded with `seed`; training is not touched.

        max_steps: an episode that has not ended after so many steps is ended and counted as it stands. Without it that happens
        after 100,000 steps, and a RuntimeWarning says so: an environment that never ends needs a limit.

        Returns `mean`, `std`, `min`, `max` of the returns, `returns` and `lengths` (one number an episode), `len_mean`,
        `unfinished` (episodes that max_steps ended) and for Pong played with reward="win" `win_rate`. env_options override those of
        training.

        Where the trainer was given an environment that exists, that one is played, and training starts a new episode in it.
        """
        limit = 100_000 if max_steps is None else numbers.integer(max_steps, "max_steps", minimum=1, maximum=2**62)
        returns, lengths, unfinished = self._native.evaluate(
            numbers.integer(episodes, "episodes", minimum=1, maximum=2**31),
            numbers.integer(seed, "seed", minimum=0, maximum=2**64 - 1),
            numbers.flag(deterministic, "deterministic"),
            limit,
            env_options,
        )
        if unfinished and max_steps is None:
            warnings.warn(
                f"{unfinished} of {episodes} episodes had not ended after {limit:,} steps and are counted as they stand: give "
                "max_steps=, or the environment a time limit (gymnasium.wrappers.TimeLimit)",
                RuntimeWarning,
                stacklevel=2,
            )
        reward = env_options.get("reward", self._env_options.get("reward"))
        return summary(returns, lengths, unfinished=unfinished, wins=reward == "win")

    def to_bytes(self) -> bytes:
        """A checkpoint: weights, optimiser, random numbers, filter, environments, running episodes. No pickle, checksummed.

        A trainer made with the same options that takes it with `from_bytes` goes on to the same bits (environments written in
        Python or living on rollout actors cannot be saved: they begin new episodes). `Policy.load` reads the policy out of it.
        """
        return self._native.save()

    def from_bytes(self, data: bytes) -> None:
        """Goes on from `to_bytes`. ValueError when the bytes are truncated, altered or of another trainer: nothing changes then."""
        self._native.restore(data)
        self._version += 1

    def save(self, path: str | os.PathLike[str]) -> str:
        """Writes `to_bytes()` to a file, whole or not at all; returns the path."""
        paths.write(path, self.to_bytes())
        return paths.given(path)

    def restore(self, path: str | os.PathLike[str]) -> None:
        """Goes on from a file that `save` wrote."""
        self.from_bytes(paths.read(path))

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str] | bytes,
        env: Any = None,
        **options: Any,
    ) -> Self:
        """A trainer from what `save` or `to_bytes` gave, ready to act and to train on.

        env: the environment, where it was not made by its id. options: those that are to be others than in the checkpoint, such as
        lr. ValueError for a checkpoint of another algorithm, or a file of another library.

        >>> from daybreak.rl import PPO
        >>> data = PPO("CartPole-v1", hidden=[8]).to_bytes()
        >>> PPO.load(data).config["hidden"]
        [8]
        """
        data = path if isinstance(path, bytes) else paths.read(path)
        if data[:4] == b"PK\x03\x04":
            raise ValueError(
                "this is a zip file, such as Stable-Baselines3 saves: its models cannot be read; train anew with the same options"
            )
        found = json.loads(_tensor.Container.parse(data).metadata.get("checkpoint", "{}")).get("config")
        if found is None:
            raise ValueError("this file holds no checkpoint of a trainer; a policy alone is read by rl.Policy.load")
        algo = found.pop("algo", "dqn")
        if algo != cls.algo:
            raise ValueError(f"the checkpoint is of {algo!r}, {cls.__name__} is {cls.algo!r}: use {algo.upper()}.load")
        name = found.pop("env")
        kept = {} if env is None else {"env": name, "env_options": found.pop("env_options")}
        asked = {key: value for key, value in options.items() if key not in ("num_workers", "on_result")}
        found = {key: value for key, value in found.items() if key not in cls._words(asked).options}
        try:
            trainer = cls(name if env is None else env, _kept=kept, **found, **options)
        except errors.NotFoundError as error:
            raise ValueError(
                f"the checkpoint was trained in {name!r}, which is no id of an environment: give it, {cls.__name__}.load(path, env)"
            ) from error
        trainer.from_bytes(data)
        return trainer

    def compute_action(self, observation: npt.ArrayLike, deterministic: bool = True) -> Any:
        """The present policy's action for one observation."""
        return self.policy.compute_action(observation, deterministic)

    def predict(
        self, observation: npt.ArrayLike, state: None = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[Any, None]:
        """Stable-Baselines3's: (action, None) for one observation, (actions, None) for a batch; see `Policy.predict`."""
        return self.policy.predict(observation, state, episode_start, deterministic)


def _name_of(env: Any) -> str:
    """The id where that makes the same environment, else the name of what was given."""
    if isinstance(env, str):
        return env
    spec = getattr(env, "spec", None)
    if spec is not None and _is_instance(env):
        gymnasium = importlib.import_module("gymnasium")
        if spec.id in gymnasium.registry and gymnasium.spec(spec.id) == spec:
            return str(spec.id)
    return str(getattr(env, "__name__", type(env).__name__))


def _is_instance(env: Any) -> bool:
    return hasattr(env, "reset") and hasattr(env, "step") and not isinstance(env, type)


def _checked_callback(callback: Any) -> Callable[[Result], object] | None:
    if callback is None or (callable(callback) and not hasattr(callback, "init_callback")):
        return callback  # type: ignore[no-any-return]
    refuse("callback", callback, "give a function of an iteration's result; learning ends where it returns False")
    return None


def _line(result: Mapping[str, Any]) -> str:
    return (
        f"step {result['timesteps_total']:,}: "
        + (f"mean reward {result['episode_reward_mean']:.4g}, " if "episode_reward_mean" in result else "")
        + (f"loss {result['loss']:.4g}, " if "loss" in result else "")
        + f"{result['steps_per_s']:,.0f} steps/s"
    )


def summary(
    returns: npt.NDArray[np.float64], lengths: npt.NDArray[np.int64], *, unfinished: int = 0, wins: bool = False
) -> Result:
    """Statistics of finished episodes."""
    result = Result(
        episodes=len(returns),
        mean=float(np.mean(returns)),
        std=float(np.std(returns)),
        min=float(np.min(returns)),
        max=float(np.max(returns)),
        len_mean=float(np.mean(lengths)),
        returns=returns.tolist(),
        lengths=lengths.tolist(),
        unfinished=unfinished,
    )
    if wins:
        result["win_rate"] = float(np.mean(returns > 0))
    return result
