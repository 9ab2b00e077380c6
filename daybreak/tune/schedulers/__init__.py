"""Schedulers by Ray Tune's names. Those here are native; a subclass of `TrialScheduler` of one's own works, too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from daybreak.base.errors import InvalidArgumentError

from ..configs import check_mode
from ..session import number_of
from ..space import Domain, uniform, unwrapped

__all__ = [
    "ASHAScheduler",
    "AsyncHyperBandScheduler",
    "FIFOScheduler",
    "HyperBandForBOHB",
    "HyperBandScheduler",
    "MedianStoppingRule",
    "PB2",
    "PopulationBasedTraining",
    "TrialScheduler",
    "create_scheduler",
]


class TrialScheduler:
    """What decides which trial runs next and which stops: override what is needed.

    On a resumed experiment it is told the journal again, results in their order, and what it answers then is not heeded.
    """

    CONTINUE = "CONTINUE"
    PAUSE = "PAUSE"
    STOP = "STOP"
    NOOP = "NOOP"

    def __init__(self, metric: str | None = None, mode: str | None = None) -> None:
        check_mode(mode)
        self._metric, self._mode = metric, mode
        self._metric_op = {"max": 1.0, "min": -1.0, None: None}[mode]

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        for name, own, given in (("metric", self.metric, metric), ("mode", getattr(self, "_mode", None), mode)):
            if own and given and own != given:
                raise InvalidArgumentError(
                    f"{name}={given!r} in TuneConfig, {own!r} in {type(self).__name__}: leave one out"
                )
        self._metric, self._mode = self.metric or metric, getattr(self, "_mode", None) or mode
        self._metric_op = {"max": 1.0, "min": -1.0, None: None}[self._mode]
        return True

    @property
    def metric(self) -> str | None:
        return getattr(self, "_metric", None)

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """It waits to run."""

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """CONTINUE, PAUSE, STOP, or NOOP: it has been dealt with."""
        return self.CONTINUE

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """It has ended by itself."""

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """It has failed for good."""

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """It was stopped while it waited."""

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """One of those that wait, or None."""
        for status in ("PENDING", "PAUSED"):
            for trial in tune_controller.get_trials():
                if trial.status == status:
                    return trial
        return None

    def debug_string(self) -> str:
        return f"Using {type(self).__name__}"


class _Native(TrialScheduler):
    """``kind`` and ``numbers`` are what the native half and the journal know it by."""

    kind = "fifo"
    needs_metric = True
    seeded = False

    def __init__(
        self, time_attr: str = "training_iteration", metric: str | None = None, mode: str | None = None, **numbers: Any
    ) -> None:
        super().__init__(metric, mode)
        self.time_attr = time_attr
        self.numbers: dict[str, float] = {}
        for name, value in numbers.items():
            found = number_of(unwrapped(value))
            if found is None:
                raise InvalidArgumentError(f"{type(self).__name__}({name}={value!r}): a number")
            self.numbers[name] = found

    def described(self) -> dict[str, Any]:
        """For the journal."""
        return {"kind": self.kind, "numbers": self.numbers, "time_attr": self.time_attr}


class FIFOScheduler(_Native):
    """Trials run in their order, each to its end."""

    needs_metric = False

    def __init__(self) -> None:
        super().__init__()


class AsyncHyperBandScheduler(_Native):
    """Asynchronous successive halving, the variant that stops (Li et al., 2020), as Ray has it.

    A trial that at a rung (grace_period * reduction_factor^k) is worse than the best 1/reduction_factor of those that came there
    before it stops. ``reward_attr`` is 2018's word for a metric that is maximised.

    ``promotes`` (not Ray's): the paper's own variant. A trial pauses at each rung, and a place that is free goes to the best that
    waits and is among the best 1/reduction_factor at its rung, from the top rung down, or to a new trial. It needs checkpoints.
    """

    kind = "asha"
    seeded = True

    def __init__(
        self,
        time_attr: str = "training_iteration",
        metric: str | None = None,
        mode: str | None = None,
        max_t: float = 100,
        grace_period: float = 1,
        reduction_factor: float = 4,
        brackets: int = 1,
        stop_last_trials: bool = True,
        *,
        reward_attr: str | None = None,
        promotes: bool = False,
    ) -> None:
        if reward_attr is not None:
            if metric is not None:
                raise InvalidArgumentError(f"metric={metric!r} and reward_attr={reward_attr!r}: one of them")
            metric, mode = reward_attr, "max"
        super().__init__(
            time_attr,
            metric,
            mode,
            max_t=max_t,
            grace_period=grace_period,
            reduction_factor=reduction_factor,
            brackets=brackets,
            stop_last_trials=stop_last_trials,
            **({"promotes": True} if promotes else {}),
        )


ASHAScheduler = AsyncHyperBandScheduler


class HyperBandScheduler(_Native):
    """HyperBand (Li et al., 2018): a bracket's trials pause at its milestone until all are there, and the best go on."""

    kind = "hyperband"

    def __init__(
        self,
        time_attr: str = "training_iteration",
        metric: str | None = None,
        mode: str | None = None,
        max_t: float = 81,
        reduction_factor: float = 3,
        stop_last_trials: bool = True,
    ) -> None:
        super().__init__(
            time_attr,
            metric,
            mode,
            max_t=max_t,
            reduction_factor=reduction_factor,
            stop_last_trials=stop_last_trials,
        )


class HyperBandForBOHB(HyperBandScheduler):
    """HyperBand as BOHB has it (Falkner et al., 2018): a band begins with the bracket of the most trials, which the model learns
    of, and none is halved before it is full (unless no trial is to come). Arguments as `HyperBandScheduler`; with `TuneBOHB`.
    """

    kind = "bohb"


class MedianStoppingRule(_Native):
    """Stops a trial whose best result so far is worse than the median of the others' running means (Google Vizier's rule)."""

    kind = "median"

    def __init__(
        self,
        time_attr: str = "time_total_s",
        metric: str | None = None,
        mode: str | None = None,
        grace_period: float = 60.0,
        min_samples_required: int = 3,
        min_time_slice: float = 0,
        hard_stop: bool = True,
    ) -> None:
        super().__init__(
            time_attr,
            metric,
            mode,
            grace_period=grace_period,
            min_samples_required=min_samples_required,
            min_time_slice=min_time_slice,
            hard_stop=hard_stop,
        )


class PopulationBasedTraining(_Native):
    """Population based training (Jaderberg et al., 2017): every interval the worst go on from the best ones' checkpoints.

    ``hyperparam_mutations``: a list (a neighbour is taken), a domain of `tune` or a function (times a factor of
    ``perturbation_factors``; what leaves a domain is put back to its nearest value), or a dict of these. With
    ``resample_probability`` a value is drawn anew. What is missing from a trial's config is drawn from it at the start.
    """

    kind = "pbt"
    seeded = True

    def __init__(
        self,
        time_attr: str = "time_total_s",
        metric: str | None = None,
        mode: str | None = None,
        perturbation_interval: float = 60.0,
        burn_in_period: float = 0.0,
        hyperparam_mutations: Mapping[str, Any] | None = None,
        quantile_fraction: float = 0.25,
        resample_probability: float = 0.25,
        perturbation_factors: Sequence[float] = (1.2, 0.8),
        custom_explore_fn: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        log_config: bool = True,
        require_attrs: bool = True,
        synch: bool = False,
    ) -> None:
        super().__init__(
            time_attr,
            metric,
            mode,
            perturbation_interval=perturbation_interval,
            burn_in_period=burn_in_period,
            quantile_fraction=quantile_fraction,
            synch=synch,
        )
        if not hyperparam_mutations and custom_explore_fn is None:
            raise InvalidArgumentError(
                "PopulationBasedTraining: hyperparam_mutations or custom_explore_fn: one is needed"
            )
        if not 0 <= resample_probability <= 1:
            raise InvalidArgumentError(f"resample_probability={resample_probability!r}: 0 to 1")
        self.mutations = _checked_mutations(dict(hyperparam_mutations or {}), "hyperparam_mutations")
        self.resample_probability = resample_probability
        self.perturbation_factors = tuple(perturbation_factors)
        if not self.perturbation_factors:
            raise InvalidArgumentError("perturbation_factors=(): at least one")
        self.custom_explore_fn = custom_explore_fn
        self.log_config = log_config


class PB2(_Native):
    """Population based bandits (Parker-Holder et al., 2020): a population whose worst go on from the best ones' checkpoints, as in
    `PopulationBasedTraining`, with values that a Gaussian process of time, score and config expects the most of.

    ``hyperparam_bounds``: {name: [low, high]} of numbers, of which whole ones stay whole; dicts may nest. What is missing from a
    trial's config is drawn within them at the start.
    """

    kind = "pb2"
    seeded = True

    def __init__(
        self,
        time_attr: str = "time_total_s",
        metric: str | None = None,
        mode: str | None = None,
        perturbation_interval: float = 60.0,
        hyperparam_bounds: Mapping[str, Any] | None = None,
        quantile_fraction: float = 0.25,
        log_config: bool = True,
        require_attrs: bool = True,
        synch: bool = False,
        custom_explore_fn: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    ) -> None:
        bounds = _bounds(dict(hyperparam_bounds or {}), "")
        if not bounds:
            raise InvalidArgumentError("hyperparam_bounds={}: name at least one: {'lr': [1e-4, 1e-2]}")
        super().__init__(
            time_attr,
            metric,
            mode,
            perturbation_interval=perturbation_interval,
            quantile_fraction=quantile_fraction,
            synch=synch,
            **{f"low {name}": low for name, (low, _) in bounds.items()},
            **{f"high {name}": high for name, (_, high) in bounds.items()},
        )
        self.bounds = dict(sorted(bounds.items()))
        self.mutations = _drawn_within(dict(hyperparam_bounds or {}))
        self.custom_explore_fn = custom_explore_fn
        self.log_config = log_config


def _bounds(given: Mapping[str, Any], prefix: str) -> dict[str, tuple[float, float]]:
    """By path."""
    found: dict[str, tuple[float, float]] = {}
    for key, value in given.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found |= _bounds(value, f"{path}/")
            continue
        ends = value.tolist() if hasattr(value, "tolist") else value
        numbers = [number_of(unwrapped(end)) for end in ends] if isinstance(ends, (list, tuple)) else []
        if len(numbers) != 2 or numbers[0] is None or numbers[1] is None or not numbers[0] < numbers[1]:
            raise InvalidArgumentError(
                f"hyperparam_bounds[{path!r}]={value!r}: [low, high], two numbers, the lower first"
            )
        found[path] = (numbers[0], numbers[1])
    return found


def _drawn_within(given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _drawn_within(value) if isinstance(value, Mapping) else uniform(value[0], value[1])
        for key, value in given.items()
    }


def _checked_mutations(mutations: dict[str, Any], path: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in mutations.items():
        where = f"{path}[{key!r}]"
        if isinstance(value, dict):
            found[key] = _checked_mutations(value, where)
        elif isinstance(value, Domain) or callable(value):
            found[key] = value
        elif isinstance(value, (list, tuple)) or hasattr(value, "tolist"):
            found[key] = [unwrapped(option) for option in value]
            if not found[key]:
                raise InvalidArgumentError(f"{where}=[]: at least one value")
        else:
            raise InvalidArgumentError(
                f"{where}={value!r}: a list, a domain such as tune.uniform(0, 1), a function, or a dict"
            )
    return found


_BY_NAME: dict[str, Callable[..., TrialScheduler]] = {
    "fifo": FIFOScheduler,
    "async_hyperband": AsyncHyperBandScheduler,
    "asynchyperband": AsyncHyperBandScheduler,
    "asha": AsyncHyperBandScheduler,
    "hyperband": HyperBandScheduler,
    "hb_bohb": HyperBandForBOHB,
    "median_stopping_rule": MedianStoppingRule,
    "medianstopping": MedianStoppingRule,
    "pb2": PB2,
    "pbt": PopulationBasedTraining,
}


def create_scheduler(scheduler: str, **kwargs: Any) -> TrialScheduler:
    """One by its name, as Ray has them."""
    if scheduler not in _BY_NAME:
        raise InvalidArgumentError(f"scheduler={scheduler!r}: {', '.join(_BY_NAME)}")
    return _BY_NAME[scheduler](**kwargs)
