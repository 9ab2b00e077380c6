"""Searchers of an experiment that ask one of our samplers: StudySearch, and HyperOptSearch and OptunaSearch by Ray's names."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist
from typing import Any

from daybreak._core.tune import SamplerFactory
from daybreak.base.errors import InvalidArgumentError, UnimplementedError

from .search import Searcher
from .space import Categorical, Domain, Function, unwrapped
from .study import Study, TrialState, create_study

__all__ = ["HyperOptSearch", "OptunaSearch", "StudySearch"]

_TAIL = 1e-7  # of a normal distribution, on each side, is not searched: beyond 5.2 standard deviations


class StudySearch(Searcher):
    """Suggests what one of our samplers would, by default TPE; the study is in memory, the experiment's journal tells it again.

    ``space``: of `tune`'s domains, nested as they may be; without one it is the experiment's ``param_space``. ``choice`` may hold
    spaces: their parameters are known where they are chosen alone. ``points_to_evaluate``: configs, or parts of some, to try first.
    ``seed``: for the same suggestions again. Grids are variants, and functions of the config are refused.

    >>> from daybreak import tune
    >>> search = StudySearch({"x": tune.uniform(0, 1), "act": tune.choice(["relu", "tanh"])}, "loss", "min", seed=1)
    >>> config = search.suggest("trial_0")
    >>> sorted(config), 0 <= config["x"] < 1
    (['act', 'x'], True)
    >>> search.on_trial_complete("trial_0", {"loss": 1.0})
    """

    def __init__(
        self,
        space: Mapping[str, Any] | None = None,
        metric: str | None = None,
        mode: str | None = None,
        *,
        sampler: SamplerFactory | None = None,
        points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(metric, mode)
        if sampler is not None and not isinstance(sampler, SamplerFactory):
            raise InvalidArgumentError(
                f"sampler={sampler!r}: one of tune.SamplerFactory, such as tune.SamplerFactory.tpe()"
            )
        self._sampler = sampler if sampler is not None else SamplerFactory.tpe()
        self._seed = seed
        self._space: Any = None
        self._study: Study | None = None
        self._points = [dict(point) for point in points_to_evaluate or []]
        self._running: dict[str, Any] = {}
        if space is not None:
            self._space = self._checked(space)

    def _checked(self, space: Any) -> Any:
        check_space(space)
        return space

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        self._metric, self._mode = self._metric or metric, self._mode or mode
        if self._space is not None:
            return False
        self._space = self._checked(config)
        return True

    @property
    def study(self) -> Study:
        """What has been asked and told."""
        if self._study is None:
            if self._space is None:
                raise InvalidArgumentError(
                    f"{type(self).__name__} has no space: give it one, or param_space to the Tuner"
                )
            if self._metric is None or self._mode is None:
                raise InvalidArgumentError(
                    f"{type(self).__name__} needs metric= and mode=, there or in TuneConfig: they are "
                    f"{self._metric!r} and {self._mode!r}"
                )
            self._study = create_study(
                direction="minimize" if self._mode == "min" else "maximize", sampler=self._sampler, seed=self._seed
            )
        return self._study

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if self._points:
            self.study.enqueue_trial(self._raw(self._points.pop(0), True))
        trial = self.study.ask()
        self._running[trial_id] = trial
        return self._config(trial)

    def _config(self, trial: Any) -> dict[str, Any]:
        made: dict[str, Any] = drawn(trial, self._space, "")
        return made

    def on_suggested_again(self, trial_id: str, config: dict[str, Any]) -> None:
        """On a resume: this was suggested."""
        if self._points:
            self._points.pop(0)
        self._running[trial_id] = self._again(config)

    def _again(self, config: Mapping[str, Any]) -> Any:
        self.study.enqueue_trial(self._raw(config))
        trial = self.study.ask()
        self._config(trial)
        return trial

    def _raw(self, config: Mapping[str, Any], is_point: bool = False) -> dict[str, Any]:
        """A point's names are all in the space; a config may have the experiment's constants, too."""
        return raw_of(self._space, {name: value for name, value in config.items() if is_point or name in self._space})

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        trial = self._running.pop(trial_id, None)
        if trial is None:
            return
        value = None if result is None or error else result.get(self._metric or "")
        if value is None or value != value:
            self.study.tell(trial, state=TrialState.FAIL)
        else:
            self.study.tell(trial, float(value))

    def add_evaluated_point(self, parameters: dict[str, Any], value: float, **kwargs: Any) -> None:
        """As if it had been suggested, and this had come of it."""
        self.study.tell(self._again(parameters), float(value))


class HyperOptSearch(StudySearch):
    """HyperOpt's name in Ray, over our TPE. Options of ``hp.choice`` are values in the config, not indices.

    ``max_concurrent`` and ``reward_attr`` (maximised) are 2018's. HyperOpt itself is not needed; its own ``hp`` objects are not
    taken: `daybreak.tune.hp` has the same names.
    """

    def __init__(
        self,
        space: Mapping[str, Any] | None = None,
        metric: str | None = None,
        mode: str | None = None,
        points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
        n_initial_points: int = 20,
        random_state_seed: int | None = None,
        gamma: float | None = None,
        *,
        max_concurrent: int | None = None,
        reward_attr: str | None = None,
    ) -> None:
        if gamma is not None:
            raise UnimplementedError(f"gamma={gamma!r}: how many trials are good ones follows from how many there are")
        if isinstance(metric, int) and not isinstance(metric, bool):  # 2018's second argument
            metric, max_concurrent = None, metric
        if reward_attr is not None and metric is not None:
            raise InvalidArgumentError(f"metric={metric!r} and reward_attr={reward_attr!r}: one of them")
        if reward_attr is not None:
            metric, mode = reward_attr, "max"
        if max_concurrent is not None and (isinstance(max_concurrent, bool) or int(max_concurrent) < 1):
            raise InvalidArgumentError(f"max_concurrent={max_concurrent!r}: at least 1")
        super().__init__(
            space,
            metric,
            mode,
            sampler=SamplerFactory.tpe(startup_trials=n_initial_points),
            points_to_evaluate=points_to_evaluate,
            seed=random_state_seed,
        )
        self._most = max_concurrent

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if self._most is not None and len(self._running) >= self._most:
            return None
        return super().suggest(trial_id)


class OptunaSearch(StudySearch):
    """Ray's name and arguments over our samplers. ``space``: `tune`'s domains, Optuna's distributions by name, or a function of a
    trial (which suggests, and may return constants); ``sampler``: one of `tune.SamplerFactory`; one metric."""

    def __init__(
        self,
        space: Mapping[str, Any] | Callable[[Any], Mapping[str, Any] | None] | None = None,
        metric: str | None = None,
        mode: str | None = None,
        points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
        sampler: SamplerFactory | None = None,
        study_name: str | None = None,
        storage: Any = None,
        seed: int | None = None,
        evaluated_rewards: Sequence[float] | None = None,
    ) -> None:
        if isinstance(metric, (list, tuple)):
            raise UnimplementedError(f"metric={metric!r}: one metric; studies (tune.create_study) have several")
        if storage is not None:
            raise UnimplementedError(
                f"storage={storage!r}: the experiment's journal keeps what is suggested: Tuner.restore goes on with it"
            )
        points, rewards = list(points_to_evaluate or []), list(evaluated_rewards or [])
        if rewards and len(rewards) != len(points):
            raise InvalidArgumentError(f"evaluated_rewards: {len(rewards)} for {len(points)} points_to_evaluate")
        self._by_run: Any = space if callable(space) else None
        given: Any = {} if callable(space) else space
        super().__init__(given, metric, mode, sampler=sampler, points_to_evaluate=[] if rewards else points, seed=seed)
        self._rewards = list(zip(points, rewards, strict=True)) if rewards else []

    def _checked(self, space: Any) -> Any:
        return super()._checked({name: _of_optuna(value) for name, value in space.items()})

    @property
    def study(self) -> Study:
        study, (rewards, self._rewards) = super().study, (self._rewards, [])
        for point, reward in rewards:
            self.add_evaluated_point(dict(point), reward)
        return study

    def _config(self, trial: Any) -> dict[str, Any]:
        if self._by_run is None:
            return super()._config(trial)
        constants = self._by_run(trial)
        if constants is not None and not isinstance(constants, Mapping):
            raise InvalidArgumentError(f"the space's function returned {constants!r}: a dict of constants, or None")
        return {**trial.params, **(constants or {})}

    def _raw(self, config: Mapping[str, Any], is_point: bool = False) -> dict[str, Any]:
        if self._by_run is None:
            return super()._raw(config, is_point)
        return {name: value for name, value in config.items() if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))


def _of_optuna(value: Any) -> Any:
    """A distribution of Optuna's as a domain; anything else as it is."""
    from . import space as domains

    if not type(value).__module__.startswith("optuna."):
        return value
    name = type(value).__name__
    if name == "CategoricalDistribution":
        return domains.choice(list(value.choices))
    if name == "FloatDistribution" and value.step is None:
        return domains.loguniform(value.low, value.high) if value.log else domains.uniform(value.low, value.high)
    if name == "IntDistribution" and value.step == 1:
        make = domains.lograndint if value.log else domains.randint
        return make(value.low, value.high + 1)
    if name == "FloatDistribution" and _is_multiple(value.low, value.step):
        return domains.quniform(value.low, value.high, value.step)
    if name == "IntDistribution" and value.low % value.step == 0:
        return domains.qrandint(value.low, value.high, value.step)
    raise InvalidArgumentError(f"{value!r}: steps begin at a multiple of the step; or give one of tune's domains")


def _is_multiple(low: float, step: float) -> bool:
    return abs(low / step - round(low / step)) < 1e-9


# -- spaces: what is suggested, and what stands for it in the study


def check_space(space: Any, path: str = "") -> None:
    """Refuses what no sampler suggests."""
    if isinstance(space, Function):
        raise InvalidArgumentError(
            f"'{path}' is {space!r}: a searcher suggests values, no functions: compute it in the trainable"
        )
    if isinstance(space, Categorical):
        for i, option in enumerate(space.categories):
            check_space(option, f"{path}:{i}")
    elif isinstance(space, Mapping):
        if set(space) == {"grid_search"}:
            raise InvalidArgumentError(f"'{path}' is a grid_search: a searcher has none: tune.choice, or no searcher")
        for key, inner in space.items():
            check_space(inner, _join(path, key))
    elif isinstance(space, (list, tuple)):
        for i, inner in enumerate(space):
            check_space(inner, _join(path, i))
    elif type(space).__module__.startswith("hyperopt."):
        raise InvalidArgumentError(
            f"'{path}' is HyperOpt's {type(space).__name__}: daybreak.tune.hp has the same names"
        )


def _join(path: str, key: Any) -> str:
    return f"{path}/{key}" if path else str(key)


def drawn(trial: Any, space: Any, path: str) -> Any:
    """The space with suggestions in the place of its domains."""
    if isinstance(space, Categorical):
        place = trial.suggest_categorical(path, tuple(range(len(space.categories))))
        return drawn(trial, space.categories[place], f"{path}:{place}")
    if isinstance(space, Domain):
        return _suggested(trial, space, path)
    if isinstance(space, Mapping):
        return {key: drawn(trial, inner, _join(path, key)) for key, inner in space.items()}
    if isinstance(space, (list, tuple)):
        return type(space)(drawn(trial, inner, _join(path, i)) for i, inner in enumerate(space))
    return space


def _suggested(trial: Any, domain: Domain, name: str) -> Any:
    assert domain.described is not None
    kind, (low, high, *rest) = domain.described
    q = rest[0] if rest else None
    if kind in ("uniform", "loguniform"):
        found = float(trial.suggest_float(name, low, high, log=kind == "loguniform"))
        return found if found < high else math.nextafter(high, low)  # which is excluded
    if kind == "quniform":
        return float(round(trial.suggest_float(name, low, high, step=q) / q) * q)
    if kind == "qloguniform":
        return min(max(round(trial.suggest_float(name, low, high, log=True) / q) * q, low), high)
    if kind in ("randn", "qrandn"):
        found = NormalDist(low, high).inv_cdf(trial.suggest_float(name, _TAIL, 1 - _TAIL))
        return found if q is None else round(found / q) * q
    last = int(high) if q is not None and q > 1 else int(high) - 1
    if kind in ("randint", "qrandint"):
        return int(trial.suggest_int(name, int(low), last, step=int(q or 1)))
    found = trial.suggest_int(name, int(low), last, log=True)
    return int(found) if q is None or q == 1 else int(min(max(round(found / q) * q, low), last))


def raw_of(space: Any, config: Any, path: str = "") -> dict[str, Any]:
    """What a study is to suggest so that `drawn` gives this config, or this part of one.

    >>> from daybreak import tune
    >>> raw_of({"x": tune.uniform(0, 1), "act": tune.choice(["relu", "tanh"])}, {"act": "tanh"})
    {'act': 1}
    """
    config = unwrapped(config)
    if isinstance(space, Categorical):
        for i, option in enumerate(space.categories):
            if _matches(option, config):
                return {path: i, **raw_of(option, config, f"{path}:{i}")}
        raise InvalidArgumentError(f"'{path}'={config!r}: none of {space.categories!r}")
    if isinstance(space, Domain):
        if not _matches(space, config):
            raise InvalidArgumentError(f"'{path}'={config!r}: not in {space!r}")
        return {path: _raw(space, config)}
    found: dict[str, Any] = {}
    if isinstance(space, Mapping) and isinstance(config, Mapping):
        for key in space:
            if key in config:
                found.update(raw_of(space[key], config[key], _join(path, key)))
        unknown = [key for key in config if key not in space]
        if unknown and not path:
            raise InvalidArgumentError(f"{', '.join(map(repr, unknown))}: not in the space: it has {list(space)}")
    elif isinstance(space, (list, tuple)) and isinstance(config, (list, tuple)):
        for i, (inner, value) in enumerate(zip(space, config, strict=False)):
            found.update(raw_of(inner, value, _join(path, i)))
    return found


def _raw(domain: Domain, value: Any) -> Any:
    assert domain.described is not None
    kind, (mean, sd, *_) = domain.described
    if kind in ("randn", "qrandn"):
        return min(max(NormalDist(mean, sd).cdf(value), _TAIL), 1 - _TAIL)
    return value


def _matches(space: Any, value: Any) -> bool:
    value = unwrapped(value)
    if isinstance(space, Categorical):
        return any(_matches(option, value) for option in space.categories)
    if isinstance(space, Domain):
        normal = space.described is not None and space.described[0] in ("randn", "qrandn")
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and (normal or space.is_valid(value))
    if isinstance(space, Mapping):
        return (
            isinstance(value, Mapping) and set(space) == set(value) and all(_matches(space[k], value[k]) for k in space)
        )
    if isinstance(space, (list, tuple)):
        return (
            isinstance(value, (list, tuple))
            and len(space) == len(value)
            and all(_matches(one, other) for one, other in zip(space, value, strict=True))
        )
    return type(space) is type(value) and bool(space == value)
