"""The words that people bring: options by the names of Stable-Baselines3, its Zoo and RLlib, and values of any kind, as ours.

What is understood becomes an option of the trainer; what is not is a ValueError that says what to write instead. None is dropped.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from typing import Any, NoReturn

import numpy as np

from daybreak.base import numbers
from daybreak.base.options import close

__all__ = ["SCHEDULES", "Words", "from_vector", "refuse", "split_arguments"]

Progress = Callable[[float], float]

# Options that may change while training.
SCHEDULES = ("lr", "clip", "entropy_coef", "prioritized_beta")

# Another name of the same thing.
ALIASES = {
    "learning_rate": "lr",
    "n_steps": "num_steps",
    "n_envs": "num_envs",
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
    "activation_fn": "activation",
    "vf_share_layers": "shared",
    "normalize_advantages": "normalize_advantage",
    "env_config": "env_options",
    "env_kwargs": "env_options",
    "target_network_update_freq": "target_update_interval",
    "timesteps_per_iteration": "steps_per_iteration",
}
# Where None means "none of it", which is 0 here.
NONE_IS_ZERO = ("value_clip", "target_kl", "max_grad_norm", "kl_target")

# Words of the peers that change nothing here while they have one of these values, and what to write for another.
FIXED: dict[str, tuple[tuple[Any, ...], str]] = {
    "device": (("cpu", "auto"), "training runs on the CPU: leave it out"),
    "_init_setup_model": ((True,), "a trainer is ready when it is made: leave it out"),
    "rollout_buffer_class": ((None,), "there is one kind of buffer: leave it out"),
    "rollout_buffer_kwargs": ((None,), "the buffer has no options: leave it out"),
    "replay_buffer_class": ((None,), "prioritized_replay=True is the other kind"),
    "replay_buffer_kwargs": ((None,), "give prioritized_replay, prioritized_alpha, prioritized_beta themselves"),
    "optimize_memory_usage": ((False,), "lower buffer_size instead"),
    "stats_window_size": ((100,), "results are means over 100 episodes; average them in on_result for other windows"),
    "tensorboard_log": (
        (None,),
        "give on_result=run.log of a daybreak.track run, or a function that writes what you like",
    ),
    "custom_objects": ((None,), "give the options themselves"),
    "print_system_info": ((False,), "leave it out"),
    "full_std": ((True,), "leave it out"),
    "squash_output": ((False,), "actions are clipped to their bounds: leave it out"),
    "use_expln": ((False,), "leave it out"),
    "features_extractor_class": ((None,), "nets are MLPs over flattened observations: give hidden=[...]"),
    "features_extractor_kwargs": ((None,), "nets are MLPs over flattened observations: give hidden=[...]"),
    "share_features_extractor": ((True,), "give shared=True or shared=False"),
    "normalize_images": ((True,), "give normalize_observations=True"),
    "env_wrapper": ((None,), "give a function that makes the wrapped environment as env"),
    "frame_stack": ((None, 1), "wrap the environment in gymnasium.wrappers.FrameStackObservation"),
    "callback": ((None,), "give it to learn(), or as on_result=function(result)"),
    "framework": (("torch", None), "there is one: leave it out"),
    "num_gpus": ((0,), "training runs on the CPU: leave it out"),
}
# Words that are never taken, and what to write instead.
INSTEAD = {
    "n_timesteps": "give it to learn(n_timesteps)",
    "total_timesteps": "give it to learn(total_timesteps)",
    "train_batch_size": "an iteration is num_envs * num_steps steps: give those",
    "lr_schedule": "give lr=[[0, 1e-3], [100_000, 0.0]], or lr=a function of the share of steps that remain",
    "action_noise": "exploration is exploration_initial_eps, exploration_final_eps, exploration_timesteps",
    "vec_env_cls": "give num_envs, or num_workers for processes",
    "optimizer_class": "give optimizer='adam' or optimizer='rmsprop'",
    "model": "give hidden=[...], activation= and shared= themselves",
}


def refuse(name: str, value: Any, way: str) -> NoReturn:
    """Raises ValueError about an option's value, with the way out."""
    text = repr(value)
    raise ValueError(f"{name}={text if len(text) < 80 else text[:77] + '...'} is not understood: {way}")


def split_arguments(algo: str, args: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """(env, other options) of `PPO(env)`, `PPO("MlpPolicy", env)` and their keywords."""
    options = dict(options)
    arguments = list(args)
    missing = object()
    policy = options.pop("policy", missing)
    if arguments and policy is missing and _is_policy(arguments[0]):
        policy = arguments.pop(0)
    if policy is not missing and policy != "MlpPolicy":
        name = policy if isinstance(policy, str) else getattr(policy, "__name__", policy)
        refuse(
            "policy", name, "nets are MLPs ('MlpPolicy'); give hidden=[64, 64], activation= and shared= for their shape"
        )
    env = arguments.pop(0) if arguments else options.pop("env", missing)
    if arguments or ("env" in options):
        extra = arguments[0] if arguments else options["env"]
        refuse("argument", extra, f"{algo}(env, option=value, ...) takes one environment and options by name")
    if env is None or (env is missing and policy is not missing):
        raise ValueError(f"{algo}('MlpPolicy') without an environment: give one, {algo}('MlpPolicy', env)")
    return "CartPole-v1" if env is missing else env, options


def from_vector(env: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A Gymnasium vector environment is a recipe here: what makes one of its environments, and num_envs of them.

    The environments are made anew: those inside it are not touched.
    """
    if isinstance(env, (str, type)) or not (hasattr(env, "num_envs") and hasattr(env, "step")):
        return env, options
    name = type(env).__name__
    if not hasattr(env, "single_observation_space"):
        refuse(
            "env",
            env,
            f"{name} is not Gymnasium's; give an id, a class or a function that makes one environment, and num_envs",
        )
    if getattr(env, "env", None) is not None:
        refuse(
            "env",
            env,
            f"{name} wraps a batch; wrap one environment in a function: PPO(lambda: Wrapper(gymnasium.make(id)), num_envs=8)",
        )
    options = {"num_envs": int(env.num_envs), **options}
    makers = getattr(env, "env_fns", None)
    if makers:
        return _Each(list(makers)), options
    spec = getattr(env, "spec", None)
    if spec is None:
        refuse("env", env, "give an id, a class or a function that makes one environment, and num_envs")
    made = {key: value for key, value in spec.kwargs.items() if key not in ("num_envs", "vectorization_mode")}
    return spec.id, {**options, "env_options": {**made, **options.get("env_options", {})}}


class _Each:
    """Makes the environments of a list of makers in turn."""

    def __init__(self, makers: list[Callable[[], Any]]) -> None:
        self._makers = makers
        self._next = 0
        self.__name__ = "vector"

    def __call__(self, **options: Any) -> Any:
        if options:
            refuse("env_options", options, "a vector environment has its own")
        self._next += 1
        return self._makers[(self._next - 1) % len(self._makers)]()


def _is_policy(value: Any) -> bool:
    name = value if isinstance(value, str) else value.__name__ if isinstance(value, type) else ""
    return name.endswith("Policy") and name.isidentifier() and not hasattr(value, "step")


class Words:
    """Options of one algorithm as a person gave them, read.

    options: ours by name, of plain types. progress: for schedules that are functions of the share of steps that remain (1 at the
    start of learn, 0 at its end) those functions. verbose, exploration_fraction: as given.
    """

    def __init__(self, algo: str, defaults: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        self.algo = algo
        self.defaults = defaults
        self.options: dict[str, Any] = {}
        self.progress: dict[str, Progress] = {}
        self.verbose = 0
        self.exploration_fraction: float | None = None
        self.reward_gamma: float | None = None
        for name, value in given.items():
            self._take(name, value)
        gamma = self.options.get("gamma", defaults.get("gamma"))
        if self.reward_gamma not in (None, gamma):
            refuse(
                "normalize['gamma']", self.reward_gamma, f"rewards are normalised by the trainer's own gamma, {gamma}"
            )

    def _take(self, name: str, value: Any) -> None:
        special = getattr(self, f"_take_{name}", None)
        if special is not None and name not in self.defaults:
            special(value)
        elif name in self.defaults or ALIASES.get(name) in self.defaults:
            self._set(name, name if name in self.defaults else ALIASES[name], value)
        elif name in FIXED:
            taken, way = FIXED[name]
            if not any(
                str(value) == x if isinstance(x, str) else value is x or type(value) is type(x) and value == x
                for x in taken
            ):
                refuse(name, value, way)
        elif name in INSTEAD:
            refuse(name, value, INSTEAD[name])
        else:
            near = close(name, [*self.defaults, *ALIASES, *FIXED])
            hint = f", did you mean {near[0]!r}?" if near else "."
            raise ValueError(
                f"unknown option {name!r}{hint} Valid: {', '.join(self.defaults)}, num_workers, on_result, verbose"
            )

    def _set(self, given: str, name: str, value: Any) -> None:
        if name in self.options:
            raise ValueError(f"option {given!r} is given twice (another name of {name!r})")
        self.options[name] = self._read(given, name, value)

    def _read(self, given: str, name: str, value: Any) -> Any:
        default = self.defaults[name]
        if name == "seed":
            return (
                int.from_bytes(os.urandom(4)) >> 2
                if value is None
                else numbers.integer(value, given, minimum=0, maximum=2**64 - 1)
            )
        if name in NONE_IS_ZERO and value is None:
            return 0.0
        if name in SCHEDULES:
            return self._schedule(given, name, value)
        if name == "hidden":
            return _layers(given, value)
        if name == "activation":
            return _activation(given, value)
        if name == "env_options":
            if not isinstance(value, Mapping):
                refuse(given, value, "give a dict of the environment's options")
            return dict(value)
        if isinstance(default, bool):
            return numbers.flag(value, given)
        if isinstance(default, int):
            return numbers.integer(value, given, minimum=-(2**63), maximum=2**63 - 1)
        if isinstance(default, float):
            return numbers.real(value, given, finite=True)
        return numbers.plain(value, given)

    def _schedule(self, given: str, name: str, value: Any) -> Any:
        if isinstance(value, str) and value.startswith("lin_"):  # the Zoo's way of writing it
            start = numbers.real(_number(given, value[4:]), given, finite=True)
            value = lambda remaining: start * remaining  # noqa: E731
        if callable(value) and not hasattr(value, "dtype"):
            self.progress[name] = value
            return numbers.real(value(1.0), f"{given}(1.0)", finite=True)
        if isinstance(value, (list, tuple)) or np.ndim(value):
            points = numbers.plain(value, given)
            return [
                [numbers.real(x, given, finite=True) for x in point] if isinstance(point, list) else point
                for point in points
            ]
        return numbers.real(value, given, finite=True)

    # ---- words that are more than another name

    def _take_verbose(self, value: Any) -> None:
        self.verbose = numbers.integer(value if not isinstance(value, bool) else int(value), "verbose", minimum=0)

    def _take_batch_size(self, value: Any) -> None:
        """Stable-Baselines3's, for the on-policy algorithms."""
        if "minibatch_size" not in self.defaults:
            refuse("batch_size", value, f"{self.algo} has no such option")
        self._set("batch_size", "minibatch_size", value)

    def _take_train_batch_size(self, value: Any) -> None:
        if "batch_size" not in self.defaults:
            refuse("train_batch_size", value, INSTEAD["train_batch_size"])
        self._set("train_batch_size", "batch_size", value)

    def _take_exploration_fraction(self, value: Any) -> None:
        if "exploration_timesteps" not in self.defaults:
            refuse("exploration_fraction", value, f"{self.algo} explores by its own distribution: leave it out")
        self.exploration_fraction = numbers.real(value, "exploration_fraction", minimum=0, maximum=1)

    def _take_policy_kwargs(self, value: Any) -> None:
        if value is None:
            return
        if not isinstance(value, Mapping):
            refuse("policy_kwargs", value, "give a dict, such as dict(net_arch=[64, 64])")
        for name, item in value.items():
            self._take(name, item)

    def _take_ortho_init(self, value: Any) -> None:
        if "init" not in self.defaults:
            refuse("ortho_init", value, f"{self.algo} starts from PyTorch's uniform weights: leave it out")
        self._set("ortho_init", "init", "orthogonal" if numbers.flag(value, "ortho_init") else "uniform")

    def _take_optimizer_kwargs(self, value: Any) -> None:
        names = {"eps": "adam_eps", "alpha": "rmsprop_alpha"}
        if str(self.options.get("optimizer")).startswith("rmsprop"):
            names["eps"] = "rmsprop_eps"
        for name, item in dict(value or {}).items():
            if name == "betas":
                self._set("betas", "adam_beta1", item[0])
                self._set("betas", "adam_beta2", item[1])
            elif names.get(name) in self.defaults:
                self._set(name, names[name], item)
            elif not (name == "weight_decay" and numbers.real(item, name) == 0):
                refuse(f"optimizer_kwargs[{name!r}]", item, "give eps, betas or alpha")

    def _take_optimizer_class(self, value: Any) -> None:
        kind = {"Adam": "adam", "RMSprop": "rmsprop", "RMSpropTFLike": "rmsprop_tf"}.get(getattr(value, "__name__", ""))
        if kind is None or "optimizer" not in self.defaults:
            refuse(
                "optimizer_class",
                getattr(value, "__name__", value),
                "give optimizer='adam' or, for A2C and PPO, 'rmsprop'",
            )
        self.options["optimizer"] = kind

    def _take_use_rms_prop(self, value: Any) -> None:
        if "optimizer" not in self.defaults:
            refuse("use_rms_prop", value, f"{self.algo} steps by Adam: leave it out")
        if "optimizer" not in self.options:  # policy_kwargs may have named it
            self._set("use_rms_prop", "optimizer", "rmsprop" if numbers.flag(value, "use_rms_prop") else "adam")

    def _take_rms_prop_eps(self, value: Any) -> None:
        if "rmsprop_eps" not in self.defaults:
            refuse("rms_prop_eps", value, f"{self.algo} steps by Adam: give adam_eps")
        self._set("rms_prop_eps", "rmsprop_eps", value)

    def _take_normalize(self, value: Any) -> None:
        """The Zoo's: True, or a dict of VecNormalize's options."""
        wanted = dict(value) if isinstance(value, Mapping) else {"norm_obs": value, "norm_reward": value}
        names = {"norm_obs": "normalize_observations", "norm_reward": "normalize_rewards", "clip_obs": "observation_clip",
                 "clip_reward": "reward_clip"}  # fmt: skip
        wanted = {**({"norm_obs": True, "norm_reward": True} if isinstance(value, Mapping) else {}), **wanted}
        for name, item in wanted.items():
            if names.get(name) in self.defaults:
                self._set(f"normalize[{name!r}]", names[name], item)
            elif name == "gamma":
                self.reward_gamma = numbers.real(item, "normalize['gamma']")
            elif not (name == "training" and item is True) and not (name == "norm_reward" and not item):
                refuse(
                    f"normalize[{name!r}]",
                    item,
                    f"{self.algo} has {', '.join(x for x in names.values() if x in self.defaults)}",
                )

    def _take_train_freq(self, value: Any) -> None:
        refuse("train_freq", value, f"{self.algo} learns after every num_steps steps: give that")


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        refuse(name, f"lin_{text}", "lin_0.001 falls in a straight line from 0.001 to 0")


def _layers(name: str, value: Any) -> list[int]:
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], Mapping):  # an old way of Stable-Baselines3
        value = value[0]
    if isinstance(value, Mapping):
        parts = [_layers(name, part) for part in value.values()]
        if not set(value) <= {"pi", "vf", "qf"} or not parts or any(part != parts[0] for part in parts):
            refuse(name, dict(value), "actor and critic have the same hidden layers: give one list, such as [64, 64]")
        return parts[0]
    if not isinstance(value, Collection) or isinstance(value, (str, bytes)):
        refuse(name, value, "give a list of layer sizes, such as [64, 64]")
    return [int(x) for x in numbers.integers(value, name, minimum=1).tolist()] if len(value) else []


def _activation(name: str, value: Any) -> str:
    text = value if isinstance(value, str) else getattr(value, "__name__", type(value).__name__)
    text = getattr(text, "value", text).rpartition(".")[2].lower()
    if text not in ("tanh", "relu"):
        refuse(name, value, "activations are 'tanh' and 'relu'")
    return str(text)
