"""xgboost's callbacks that report each round, and save (`ray.tune.integration.xgboost`). They need xgboost."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from xgboost.callback import TrainingCallback

from daybreak.base.errors import InvalidArgumentError
from daybreak.tune.checkpoint import Checkpoint
from daybreak.tune.session import report

__all__ = ["TuneReportCallback", "TuneReportCheckpointCallback"]

Metrics = str | Sequence[str] | Mapping[str, str] | None


class TuneReportCheckpointCallback(TrainingCallback):  # type: ignore[misc]
    """Reports after each boosting round what was evaluated, as ``DATA-METRIC``; saves the model.

    ``metrics``: all, some, or {the name that is reported: the metric}. ``frequency``: a checkpoint each so many rounds, 0: none on
    the way; ``checkpoint_at_end``: one after the last, with its own report as the last round's.
    """

    def __init__(
        self,
        metrics: Metrics = None,
        filename: str = "model.ubj",
        checkpoint_at_end: bool = True,
        frequency: int = 0,
        results_postprocessing_fn: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    ) -> None:
        if isinstance(frequency, bool) or frequency < 0:
            raise InvalidArgumentError(f"frequency={frequency!r}: a checkpoint each so many rounds; 0: none on the way")
        self._metrics = [metrics] if isinstance(metrics, str) else metrics
        self._filename, self._at_end, self._every = filename, checkpoint_at_end, frequency
        self._changed = results_postprocessing_fn
        self._waiting: dict[str, Any] | None = None

    @classmethod
    def get_model(cls, checkpoint: Checkpoint, filename: str = "model.ubj") -> Any:
        """The model of a checkpoint."""
        from xgboost import Booster

        booster = Booster()
        with checkpoint.as_directory() as folder:
            booster.load_model(str(Path(folder, filename)))
        return booster

    def _found(self, evals_log: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        flat: dict[str, Any] = {}
        for data, metrics in evals_log.items():
            for name, values in metrics.items():
                last = values[-1]
                flat[f"{data}-{name}"] = last[0] if isinstance(last, tuple) else last  # of cv: mean, deviation
        if self._metrics is None:
            found = flat
        else:
            wanted = self._metrics if isinstance(self._metrics, Mapping) else {name: name for name in self._metrics}
            missing = [name for name in wanted.values() if name not in flat]
            if missing:
                raise InvalidArgumentError(f"metrics={missing}: not evaluated: there are {sorted(flat)}; give evals=")
            found = {reported: flat[name] for reported, name in wanted.items()}
        return self._changed(found) if self._changed is not None else found

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """By xgboost; the last round waits for its checkpoint until the training has ended."""
        self._say()
        found = self._found(evals_log)
        if self._every and (epoch + 1) % self._every == 0:
            self._report(model, found)
        elif self._at_end:
            self._waiting = found
        else:
            report(found)
        return False

    def after_training(self, model: Any) -> Any:
        if self._at_end and self._waiting is not None:
            found, self._waiting = self._waiting, None
            self._report(model, found)
        return model

    def _say(self) -> None:
        if self._waiting is not None:
            found, self._waiting = self._waiting, None
            report(found)

    def _report(self, model: Any, found: dict[str, Any]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            model.save_model(str(Path(folder, self._filename)))
            report(found, checkpoint=Checkpoint.from_directory(folder))


class TuneReportCallback(TuneReportCheckpointCallback):
    """Reports alone."""

    def __init__(
        self,
        metrics: Metrics = None,
        results_postprocessing_fn: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(metrics, checkpoint_at_end=False, results_postprocessing_fn=results_postprocessing_fn)
