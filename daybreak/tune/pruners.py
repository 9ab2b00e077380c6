"""Pruners of our studies, by Optuna's names and defaults, native; `daybreak.tune.optuna` has the same for Optuna's studies.

>>> from daybreak import tune
>>> study = tune.create_study(pruner=tune.pruners.MedianPruner(n_startup_trials=1), seed=0)
>>> def objective(trial):
...     for step in range(3):
...         trial.report(trial.number + step, step)
...         if trial.should_prune():
...             raise tune.TrialPruned
...     return trial.number
>>> study.optimize(objective, n_trials=3)
>>> [trial.state.name for trial in study.trials]
['COMPLETE', 'PRUNED', 'PRUNED']
"""

from __future__ import annotations

import math

from daybreak._core.tune import PrunerFactory
from daybreak.base.errors import InvalidArgumentError

__all__ = [
    "HyperbandPruner",
    "MedianPruner",
    "NopPruner",
    "PatientPruner",
    "PercentilePruner",
    "SuccessiveHalvingPruner",
    "ThresholdPruner",
    "WilcoxonPruner",
]


def NopPruner() -> PrunerFactory:
    """Never prunes."""
    return PrunerFactory.nop()


def PercentilePruner(
    percentile: float,
    n_startup_trials: int = 5,
    n_warmup_steps: int = 0,
    interval_steps: int = 1,
    *,
    n_min_trials: int = 1,
) -> PrunerFactory:
    """Prunes a trial whose best report is not within the percentile of the complete trials at its step."""
    return PrunerFactory.percentile(percentile, n_startup_trials, n_warmup_steps, interval_steps, n_min_trials)


def MedianPruner(
    n_startup_trials: int = 5, n_warmup_steps: int = 0, interval_steps: int = 1, *, n_min_trials: int = 1
) -> PrunerFactory:
    """PercentilePruner(50)."""
    return PercentilePruner(50.0, n_startup_trials, n_warmup_steps, interval_steps, n_min_trials=n_min_trials)


def ThresholdPruner(
    lower: float | None = None, upper: float | None = None, n_warmup_steps: int = 0, interval_steps: int = 1
) -> PrunerFactory:
    """Prunes at a report outside of [lower, upper]."""
    if lower is None and upper is None:
        raise InvalidArgumentError("neither lower nor upper: give one of them or both")
    low = -math.inf if lower is None else float(lower)
    high = math.inf if upper is None else float(upper)
    return PrunerFactory.threshold(low, high, n_warmup_steps, interval_steps)


def _resource(name: str, value: int | str) -> int | None:
    if value == "auto":
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidArgumentError(f"{name}={value!r}: a whole number of at least 1, or 'auto'")
    return value


def SuccessiveHalvingPruner(
    min_resource: int | str = "auto",
    reduction_factor: int = 4,
    min_early_stopping_rate: int = 0,
    bootstrap_count: int = 0,
) -> PrunerFactory:
    """Asynchronous successive halving (Li et al. 2020), the stopping variant.

    ``"auto"`` is a hundredth of the complete trials' last step when it is first needed, in each process anew: with a number a
    study that is opened again decides as if it never was closed.
    """
    least = _resource("min_resource", min_resource)
    return PrunerFactory.successive_halving(least, reduction_factor, min_early_stopping_rate, bootstrap_count)


def HyperbandPruner(
    min_resource: int = 1, max_resource: int | str = "auto", reduction_factor: int = 3, bootstrap_count: int = 0
) -> PrunerFactory:
    """Hyperband (Li et al. 2018). The sampler sees the trials of all brackets, where Optuna's sees those of one.

    ``"auto"`` is one more than the complete trials' last step when it is first needed, in each process anew: give a number where
    trials differ.
    """
    most = _resource("max_resource", max_resource)
    return PrunerFactory.hyperband(min_resource, most, reduction_factor, bootstrap_count)


def PatientPruner(wrapped_pruner: PrunerFactory | None, patience: int, min_delta: float = 0.0) -> PrunerFactory:
    """Asks ``wrapped_pruner`` (None: prunes) once the last ``patience`` + 1 reports are not better than those before."""
    return PrunerFactory.patient(wrapped_pruner, patience, min_delta)


def WilcoxonPruner(*, p_threshold: float = 0.1, n_startup_steps: int = 2) -> PrunerFactory:
    """Wilcoxon's signed-rank test against the best trial on the steps that both have."""
    return PrunerFactory.wilcoxon(p_threshold, n_startup_steps)
