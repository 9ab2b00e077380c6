"""Ray's loggers by their names (`ray.tune.logger`): callbacks that write what trials report.

``params.json``, ``result.json``, ``progress.csv`` are in each trial's folder without any.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .callbacks import LoggerCallback
from .event_files import EventFile
from .files import as_json
from .session import number_of
from .variants import flattened

__all__ = ["CSVLoggerCallback", "JsonLoggerCallback", "LoggerCallback", "TBXLoggerCallback", "pretty_print"]

_NOT_SCALARS = ("config", "timestamp", "pid", "done", "date", "hostname", "node_ip", "trial_id", "should_checkpoint")


class JsonLoggerCallback(LoggerCallback):
    """params.json and result.json. The controller writes them for every trial, so that naming this one adds nothing."""


class CSVLoggerCallback(LoggerCallback):
    """progress.csv. The controller writes it for every trial, so that naming this one adds nothing."""


class TBXLoggerCallback(LoggerCallback):
    """TensorBoard's event files in each trial's folder: `tensorboard --logdir RESULTS`.

    Each number that a trial reports is a scalar ``ray/tune/NAME`` (nested names joined by "/"), at step ``timesteps_total``, or
    ``training_iteration`` without one. NaN and infinity are written as they are. Hyperparameters are in params.json, not in the
    hparams page. A trial that goes on after a failure has a further file.
    """

    def __init__(self) -> None:
        self._files: dict[str, EventFile] = {}

    def log_trial_start(self, trial: Any) -> None:
        self._close(trial)
        self._files[trial.trial_id] = EventFile(trial.logdir)

    def log_trial_result(self, iteration: int, trial: Any, result: Mapping[str, Any]) -> None:
        if trial.trial_id not in self._files:
            self.log_trial_start(trial)
        step = result.get("timesteps_total")
        if step is None:
            step = result.get("training_iteration", 0)
        found = []
        for name, value in flattened({k: v for k, v in result.items() if k not in _NOT_SCALARS}).items():
            number = None if isinstance(value, bool) else number_of(value)
            if number is not None:
                found.append((f"ray/tune/{name}", _as_float32(number)))
        self._files[trial.trial_id].scalars(found, int(step), result.get("timestamp"))

    def log_trial_end(self, trial: Any, failed: bool = False) -> None:
        self._close(trial)

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _close(self, trial: Any) -> None:
        file = self._files.pop(trial.trial_id, None)
        if file is not None:
            file.close()


def _as_float32(value: float) -> float:
    """What is too large for a scalar of TensorBoard is infinite there."""
    return math.copysign(math.inf, value) if abs(value) > 3.4028234663852886e38 else value


def pretty_print(result: Mapping[str, Any], exclude: Any = ()) -> str:
    """A result for people to read, without its config."""
    hidden = {"config", "hist_stats", *(exclude or ())}
    return as_json(
        {name: value for name, value in result.items() if name not in hidden and value is not None}, indent=2
    )
