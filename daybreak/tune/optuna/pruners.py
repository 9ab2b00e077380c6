"""Our pruners behind Optuna's BasePruner, over any of its storages: its names, its defaults, its decisions.

The rungs that a trial has been through are kept with it as Optuna keeps them, so that processes with its pruners and with ours may
share a study.
"""

from __future__ import annotations

import math
import struct
import threading
import warnings
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.pruners import HyperbandPruner as _TheirHyperband
from optuna.trial import FrozenTrial

from daybreak._core import tune as _native
from daybreak.tune.optuna.mirror import Mirror, Mirrors

RUNG = "completed_rung_"  # and its number: Optuna's system attribute with the value there


def _rungs(trial: FrozenTrial) -> list[float]:
    attributes = trial.system_attrs
    rungs: list[float] = []
    while f"{RUNG}{len(rungs)}" in attributes:
        rungs.append(attributes[f"{RUNG}{len(rungs)}"])
    return rungs


class _Asker:
    """A native pruner for each study. Threads may share it."""

    def __init__(self, make: Any, rungs: bool = False) -> None:
        self._make = make
        self._with_rungs = rungs
        self._forget()

    def _forget(self) -> None:
        self._mirrors = Mirrors()
        self._reported: dict[int, tuple[int, int]] = {}  # running trials: reports known, the last step
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"_make": self._make, "_with_rungs": self._with_rungs}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        with self._lock:
            mirror, native = self._mirrors.of(
                study, lambda: self._make(study), self._recall if self._with_rungs else None
            )
            self._report(mirror, trial)
            decision: bool = native.prune(mirror.trials, trial.number)
            kept = native.kept(trial.number) if self._with_rungs else b""
        values = struct.unpack(f"{len(kept) // 8}d", kept)
        for rung in range(len(_rungs(trial)) if values else 0, len(values)):
            study._storage.set_trial_system_attr(trial._trial_id, f"{RUNG}{rung}", values[rung])
        return decision

    @staticmethod
    def _recall(native: _native.Pruner, trial: FrozenTrial) -> None:
        rungs = _rungs(trial)
        if rungs:
            native.recall(trial.number, struct.pack(f"{len(rungs)}d", *rungs))

    def _report(self, mirror: Mirror, trial: FrozenTrial) -> None:
        reports = trial.intermediate_values
        last = trial.last_step
        if last is None:
            return
        known, last_known = self._reported.get(trial._trial_id, (0, last))
        if len(reports) == known + 1 and last != last_known:
            mirror.trials.report(trial.number, last, reports[last])
        elif len(reports) != known:
            for step, value in reports.items():
                mirror.trials.report(trial.number, step, value)
        self._reported[trial._trial_id] = (len(reports), last)


class _Pruner(BasePruner):  # type: ignore[misc]
    _asker: _Asker

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        return self._asker.prune(study, trial)


class _Make:
    """``function(*arguments)``, made at once to refuse what cannot be; pickled as what it is called with."""

    def __init__(self, function: str, *arguments: Any) -> None:
        self._function = function
        self._arguments = arguments
        self(None)

    def __call__(self, study: optuna.Study | None) -> _native.Pruner:
        pruner: _native.Pruner = getattr(_native, self._function)(*self._arguments)
        return pruner


class NopPruner(_Pruner):
    """Never prunes."""

    def __init__(self) -> None:
        self._asker = _Asker(_Make("nop_pruner"))


class PercentilePruner(_Pruner):
    """Prunes a trial whose best report is not within the percentile of the complete trials at its step."""

    def __init__(
        self,
        percentile: float,
        n_startup_trials: int = 5,
        n_warmup_steps: int = 0,
        interval_steps: int = 1,
        *,
        n_min_trials: int = 1,
    ) -> None:
        self._asker = _Asker(
            _Make("percentile_pruner", percentile, n_startup_trials, n_warmup_steps, interval_steps, n_min_trials)
        )


class MedianPruner(PercentilePruner):
    """PercentilePruner(50)."""

    def __init__(
        self, n_startup_trials: int = 5, n_warmup_steps: int = 0, interval_steps: int = 1, *, n_min_trials: int = 1
    ) -> None:
        super().__init__(50.0, n_startup_trials, n_warmup_steps, interval_steps, n_min_trials=n_min_trials)


class ThresholdPruner(_Pruner):
    """Prunes at a report outside of [lower, upper]."""

    def __init__(
        self,
        lower: float | None = None,
        upper: float | None = None,
        n_warmup_steps: int = 0,
        interval_steps: int = 1,
    ) -> None:
        if lower is None and upper is None:
            raise TypeError("neither lower nor upper: give one of them or both")
        low = -math.inf if lower is None else float(lower)
        high = math.inf if upper is None else float(upper)
        self._asker = _Asker(_Make("threshold_pruner", low, high, n_warmup_steps, interval_steps))


def _resource(name: str, value: int | str) -> int | None:
    if value == "auto":
        return None
    if not isinstance(value, int):
        raise ValueError(f"{name}={value!r}: a whole number of at least 1, or 'auto'")
    return value


class SuccessiveHalvingPruner(_Pruner):
    """Asynchronous successive halving (Li et al. 2020), the stopping variant."""

    def __init__(
        self,
        min_resource: int | str = "auto",
        reduction_factor: int = 4,
        min_early_stopping_rate: int = 0,
        bootstrap_count: int = 0,
    ) -> None:
        least = _resource("min_resource", min_resource)
        make = _Make("successive_halving_pruner", least, reduction_factor, min_early_stopping_rate, bootstrap_count)
        self._asker = _Asker(make, rungs=True)


class _MakeHyperband(_Make):
    def __call__(self, study: optuna.Study | None) -> _native.Pruner:
        return _native.hyperband_pruner("" if study is None else study.study_name, *self._arguments)


class HyperbandPruner(_TheirHyperband):  # type: ignore[misc]
    """Hyperband (Li et al. 2018). Optuna asks for this very class when it gives a sampler its bracket's trials only; the
    decisions are ours."""

    def __init__(
        self,
        min_resource: int = 1,
        max_resource: int | str = "auto",
        reduction_factor: int = 3,
        bootstrap_count: int = 0,
    ) -> None:
        most = _resource("max_resource", max_resource)
        make = _MakeHyperband("hyperband_pruner", min_resource, most, reduction_factor, bootstrap_count)
        self._asker = _Asker(make, rungs=True)
        super().__init__(min_resource, max_resource, reduction_factor, bootstrap_count)

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        if not self._pruners:
            self._try_initialization(study)  # for the brackets of the sampler's trials
        return self._asker.prune(study, trial)


class PatientPruner(_Pruner):
    """Asks ``wrapped_pruner`` (None: prunes) once the last ``patience`` + 1 reports are not better than those before."""

    def __init__(self, wrapped_pruner: BasePruner | None, patience: int, min_delta: float = 0.0) -> None:
        self._wrapped = wrapped_pruner
        self._asker = _Asker(_Make("patient_pruner", patience, min_delta))

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        if not self._asker.prune(study, trial):
            return False
        return True if self._wrapped is None else bool(self._wrapped.prune(study, trial))


class WilcoxonPruner(_Pruner):
    """Wilcoxon's signed-rank test against the best trial on the steps that both have. Where a report of either is not finite, or
    the best trial has none, nothing is pruned."""

    def __init__(self, *, p_threshold: float = 0.1, n_startup_steps: int = 2) -> None:
        self._asker = _Asker(_Make("wilcoxon_pruner", p_threshold, n_startup_steps))

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        if not all(map(math.isfinite, trial.intermediate_values.values())):
            warnings.warn(
                f"trial {trial.number} has reports that are not finite: WilcoxonPruner does not prune it", stacklevel=2
            )
        return super().prune(study, trial)
