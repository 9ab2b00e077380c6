"""What an experiment gave: a Result for each trial, and the grid of them."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from daybreak.base.errors import InvalidArgumentError, NotFoundError

from .checkpoint import Checkpoint
from .configs import check_mode
from .files import TrialFiles
from .session import number_of
from .variants import flattened

__all__ = ["Result", "ResultGrid"]

_SCOPES = ("last", "all", "avg", "last-5-avg", "last-10-avg")


class TrialFailed(RuntimeError):
    """What a trial ended with; the whole text is in its error.txt."""


class Result:
    """One trial: its last metrics, its checkpoints, its error."""

    def __init__(self, trial: Any, row: dict[str, Any]) -> None:
        self._trial = trial
        self.path: str = trial.logdir
        self._files: TrialFiles = trial.files
        self._kept = row["checkpoints"]
        self._text: str = row["result"]
        self.trial_id: str = trial.trial_id
        self.status: str = row["state"]
        self.error: Exception | None = TrialFailed(row["error"]) if row["state"] == "ERROR" else None

    @functools.cached_property
    def config(self) -> dict[str, Any]:
        found: dict[str, Any] = self._trial.config
        return found

    @functools.cached_property
    def metrics(self) -> dict[str, Any]:
        return {**json.loads(self._text), "config": self.config} if self._text else {}

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The newest that is kept."""
        newest = max(self._kept, key=lambda kept: kept[1], default=None)
        return Checkpoint(Path(self.path, newest[0])) if newest else None

    def history(self) -> list[dict[str, Any]]:
        """All results that count, as dicts."""
        return self._files.results()

    @property
    def metrics_dataframe(self) -> Any:
        """A pandas frame, a row a result; nested metrics are joined with "/"."""
        import pandas

        return pandas.DataFrame([flattened(result) for result in self.history()])

    @property
    def best_checkpoints(self) -> list[tuple[Checkpoint, dict[str, Any]]]:
        """Those that are kept, with the results that came with them."""
        by_iteration = {result["training_iteration"]: result for result in self.history()}
        return [(Checkpoint(Path(self.path, name)), by_iteration.get(at, {})) for name, at, _, _ in self._kept]

    def get_best_checkpoint(self, metric: str, mode: str) -> Checkpoint | None:
        check_mode(mode)
        sign = -1.0 if mode == "min" else 1.0
        best: tuple[float, Checkpoint] | None = None
        for checkpoint, metrics in self.best_checkpoints:
            value = number_of(flattened(metrics).get(metric))
            if value is not None and value == value and (best is None or sign * value > best[0]):
                best = (sign * value, checkpoint)
        return best[1] if best else None

    def __repr__(self) -> str:
        shown = {k: v for k, v in self.metrics.items() if k in ("training_iteration",) or isinstance(v, float)}
        return f"Result(trial_id={self.trial_id!r}, status={self.status!r}, metrics={shown!r}, path={self.path!r})"


class ResultGrid:
    """The trials in their order. NaN is never best."""

    def __init__(self, results: list[Result], path: Path, metric: str | None, mode: str | None) -> None:
        self._results = results
        self.experiment_path = str(path)
        self._metric, self._mode = metric, mode

    def __len__(self) -> int:
        return len(self._results)

    def __getitem__(self, place: int) -> Result:
        return self._results[place]

    def __iter__(self) -> Iterator[Result]:
        return iter(self._results)

    @property
    def errors(self) -> list[Exception]:
        return [result.error for result in self._results if result.error is not None]

    @property
    def num_errors(self) -> int:
        return len(self.errors)

    @property
    def num_terminated(self) -> int:
        return sum(result.status == "TERMINATED" for result in self._results)

    def get_best_result(
        self,
        metric: str | None = None,
        mode: str | None = None,
        scope: str = "last",
        filter_nan_and_inf: bool = True,
    ) -> Result:
        """By the last value, the best of all, the mean of all, or of the last 5 or 10."""
        metric, sign = self._asked(metric, mode)
        if scope not in _SCOPES:
            raise InvalidArgumentError(f"scope={scope!r}: {', '.join(_SCOPES)}")
        best: tuple[float, Result] | None = None
        for result in self._results:
            value = self._score(result, metric, sign, scope)
            if value is None or math.isnan(value) or (filter_nan_and_inf and math.isinf(value)):
                continue
            if best is None or sign * value > best[0]:
                best = (sign * value, result)
        if best is None:
            raise NotFoundError(
                f"no best trial: of {len(self)} trials none has a number for {metric!r}; it is among "
                f"{sorted({name for result in self._results for name in flattened(result.metrics)}) or 'no results'}"
            )
        return best[1]

    def _asked(self, metric: str | None, mode: str | None) -> tuple[str, float]:
        check_mode(mode)
        metric, mode = metric or self._metric, mode or self._mode
        if metric is None or mode is None:
            raise InvalidArgumentError(
                "get_best_result(): neither here nor in TuneConfig are metric and mode: give both"
            )
        return metric, -1.0 if mode == "min" else 1.0

    @staticmethod
    def _score(result: Result, metric: str, sign: float, scope: str) -> float | None:
        if scope == "last":
            reported = json.loads(result._text) if result._text else {}
            return number_of(reported[metric] if metric in reported else flattened(result.metrics).get(metric))
        values = [value for one in result.history() if (value := number_of(flattened(one).get(metric))) is not None]
        if scope != "all":
            count = {"avg": len(values), "last-5-avg": 5, "last-10-avg": 10}[scope]
            values = values[-count:] if values else []
            return sum(values) / len(values) if values else None
        values = [value for value in values if not math.isnan(value)]
        return max(values, key=lambda value: sign * value, default=None)

    def get_dataframe(self, filter_metric: str | None = None, filter_mode: str | None = None) -> Any:
        """A pandas frame, a row a trial: its last result, or the one that is best in ``filter_metric``."""
        import pandas

        if (filter_metric is None) != (filter_mode is None):
            raise InvalidArgumentError("filter_metric and filter_mode: both or none")
        rows: list[dict[str, Any]] = []
        for result in self._results:
            row = result.metrics
            if filter_metric is not None:
                sign = -1.0 if filter_mode == "min" else 1.0
                scored = [
                    (sign * value, one)
                    for one in result.history()
                    if (value := number_of(flattened(one).get(filter_metric))) is not None and value == value
                ]
                row = max(scored, key=lambda pair: pair[0])[1] if scored else {}
            rows.append({**flattened({**row, "config": result.config}), "logdir": result.path})
        return pandas.DataFrame(rows)

    def map(self, function: Callable[[Result], Any]) -> list[Any]:
        return [function(result) for result in self._results]

    def __repr__(self) -> str:
        return f"ResultGrid({self._results!r})"
