"""Stoppers, by Ray Tune's names: asked for each result whether its trial stops, and whether all do."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

from daybreak.base.errors import InvalidArgumentError

from .session import number_of
from .variants import flattened

__all__ = [
    "CombinedStopper",
    "ExperimentPlateauStopper",
    "FunctionStopper",
    "MaximumIterationStopper",
    "NoopStopper",
    "Stopper",
    "TimeoutStopper",
    "TrialPlateauStopper",
]


class Stopper:
    """Override `__call__` (whether this trial stops) and `stop_all` (whether all do)."""

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        raise NotImplementedError(f"{type(self).__name__}.__call__(trial_id, result) is not there")

    def stop_all(self) -> bool:
        raise NotImplementedError(f"{type(self).__name__}.stop_all() is not there")


class NoopStopper(Stopper):
    """Nothing stops."""

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return False


class CombinedStopper(Stopper):
    """Stops when one of them does."""

    def __init__(self, *stoppers: Stopper) -> None:
        self._stoppers = stoppers

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return any([stopper(trial_id, result) for stopper in self._stoppers])  # each is to see each result

    def stop_all(self) -> bool:
        return any([stopper.stop_all() for stopper in self._stoppers])


class FunctionStopper(NoopStopper):
    """A function of a trial's id and its result."""

    def __init__(self, function: Callable[[str, dict[str, Any]], bool]) -> None:
        if not callable(function):
            raise InvalidArgumentError(f"FunctionStopper({function!r}): a function of (trial_id, result)")
        self._function = function

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return bool(self._function(trial_id, result))


class MaximumIterationStopper(NoopStopper):
    """After so many results of a trial."""

    def __init__(self, max_iter: int) -> None:
        self._max_iter = max_iter
        self._count: dict[str, int] = defaultdict(int)

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        self._count[trial_id] += 1
        return self._count[trial_id] >= self._max_iter


class TimeoutStopper(NoopStopper):
    """All, so many seconds after the first result or question."""

    def __init__(self, timeout: float) -> None:
        seconds = timeout.total_seconds() if hasattr(timeout, "total_seconds") else timeout
        if not seconds > 0:
            raise InvalidArgumentError(f"TimeoutStopper(timeout={timeout!r}): above 0")
        self._timeout = seconds
        self._began: float | None = None

    def stop_all(self) -> bool:
        if self._began is None:
            self._began = time.monotonic()
        return time.monotonic() - self._began >= self._timeout


def _metric_of(result: dict[str, Any], metric: str) -> float | None:
    return number_of(result.get(metric, flattened(result).get(metric)))


def _deviation(values: Any) -> float:
    mean = sum(values) / len(values)
    return float((sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5)


class TrialPlateauStopper(NoopStopper):
    """When the last ``num_results`` values of the metric hardly differ (standard deviation at most ``std``)."""

    def __init__(
        self,
        metric: str,
        std: float = 0.01,
        num_results: int = 4,
        grace_period: int = 4,
        metric_threshold: float | None = None,
        mode: str | None = None,
    ) -> None:
        if metric_threshold is not None and mode not in ("min", "max"):
            raise InvalidArgumentError(f"mode={mode!r} with metric_threshold={metric_threshold}: 'min' or 'max'")
        self._metric, self._std, self._grace_period = metric, std, grace_period
        self._threshold, self._mode = metric_threshold, mode
        self._count: dict[str, int] = defaultdict(int)
        self._last: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=num_results))
        self._num_results = num_results

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        value = _metric_of(result, self._metric)
        if value is None:
            return False
        last = self._last[trial_id]
        last.append(value)
        self._count[trial_id] += 1
        if self._count[trial_id] < self._grace_period or len(last) < self._num_results:
            return False
        if self._threshold is not None:
            short = value > self._threshold if self._mode == "min" else value < self._threshold
            if short:
                return False
        return _deviation(last) < self._std


class ExperimentPlateauStopper(NoopStopper):
    """All, when the ``top`` best values so far hardly differ for ``patience`` results."""

    def __init__(self, metric: str, std: float = 0.001, top: int = 10, mode: str = "min", patience: int = 0) -> None:
        if mode not in ("min", "max"):
            raise InvalidArgumentError(f"mode={mode!r}: 'min' or 'max'")
        if top <= 1:
            raise InvalidArgumentError(f"top={top!r}: above 1")
        if patience < 0:
            raise InvalidArgumentError(f"patience={patience!r}: not negative")
        if not std > 0:
            raise InvalidArgumentError(f"std={std!r}: above 0")
        self._metric, self._std, self._top, self._mode, self._patience = metric, std, top, mode, patience
        self._best: list[float] = []
        self._waited = 0

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        value = _metric_of(result, self._metric)
        if value is not None and value == value:
            self._best.append(value)
            self._best = sorted(self._best, reverse=self._mode == "max")[: self._top]
        self._waited = self._waited + 1 if self._flat() else 0
        return self.stop_all()

    def _flat(self) -> bool:
        return len(self._best) == self._top and _deviation(self._best) <= self._std

    def stop_all(self) -> bool:
        return self._flat() and self._waited >= self._patience


def stopper_of(stop: Any) -> tuple[dict[str, float] | None, Stopper | None]:
    """RunConfig(stop=) as limits of metrics, which a trial's process heeds itself, or as a stopper."""
    if stop is None:
        return None, None
    if isinstance(stop, dict):
        for name, limit in stop.items():
            if number_of(limit) is None:
                raise InvalidArgumentError(
                    f"stop={{{name!r}: {limit!r}}}: a number: the trial stops when the metric reaches it"
                )
        return {name: float(number_of(limit) or 0.0) for name, limit in stop.items()}, None
    if isinstance(stop, (list, tuple)):
        return None, CombinedStopper(*(stopper_of(one)[1] or FunctionStopper(one) for one in stop))
    if hasattr(stop, "stop_all"):
        return None, stop
    if callable(stop):
        return None, FunctionStopper(stop)
    raise InvalidArgumentError(
        f"stop={stop!r}: a dict of metrics and limits, a Stopper, or a function of (trial_id, result)"
    )
