"""What is told of an experiment as it goes on: callbacks, and the table in the terminal."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from typing import Any

from .variants import flattened, shown

__all__ = ["CLIReporter", "Callback", "JupyterNotebookReporter", "LoggerCallback", "ProgressReporter"]


class Callback:
    """Ray's hooks; each is called by the controller's thread, and what one raises ends the experiment."""

    def setup(
        self, stop: Any = None, num_samples: int | None = None, total_num_samples: int | None = None, **info: Any
    ) -> None:
        """Before the first trial."""

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None: ...

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None: ...

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None: ...

    def on_trial_restore(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None: ...

    def on_trial_save(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None: ...

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None: ...

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None: ...

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None: ...

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None: ...

    def on_checkpoint(self, iteration: int, trials: list[Any], trial: Any, checkpoint: Any, **info: Any) -> None: ...

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None: ...

    def get_state(self) -> dict[str, Any] | None:
        return None

    def set_state(self, state: dict[str, Any]) -> None: ...


class LoggerCallback(Callback):
    """Ray's simpler hooks for loggers."""

    def log_trial_start(self, trial: Any) -> None: ...

    def log_trial_restore(self, trial: Any) -> None: ...

    def log_trial_save(self, trial: Any) -> None: ...

    def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None: ...

    def log_trial_end(self, trial: Any, failed: bool = False) -> None: ...

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.log_trial_start(trial)

    def on_trial_restore(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.log_trial_restore(trial)

    def on_trial_save(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.log_trial_save(trial)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self.log_trial_result(iteration, trial, result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.log_trial_end(trial, failed=False)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.log_trial_end(trial, failed=True)


class ProgressReporter:
    """Override `should_report` and `report`."""

    def setup(self, **info: Any) -> None: ...

    def should_report(self, trials: list[Any], done: bool = False) -> bool:
        return True

    def report(self, trials: list[Any], done: bool, *sys_info: str) -> None:
        raise NotImplementedError(f"{type(self).__name__}.report(trials, done) is not there")


class CLIReporter(ProgressReporter):
    """A plain table, at most every ``max_report_frequency`` seconds and at the end."""

    def __init__(
        self,
        *,
        metric_columns: Sequence[str] | dict[str, str] | None = None,
        parameter_columns: Sequence[str] | dict[str, str] | None = None,
        max_progress_rows: int = 20,
        max_report_frequency: float = 5,
        metric: str | None = None,
        mode: str | None = None,
        sort_by_metric: bool = False,
        out: Any = None,
    ) -> None:
        self._metric_columns = metric_columns
        self._parameter_columns = parameter_columns
        self._rows, self._every = max_progress_rows, max_report_frequency
        self._metric, self._mode, self._sort = metric, mode, sort_by_metric
        self._out = out
        self._last = -math.inf

    def setup(self, metric: str | None = None, mode: str | None = None, **info: Any) -> None:
        self._metric, self._mode = self._metric or metric, self._mode or mode

    def should_report(self, trials: list[Any], done: bool = False) -> bool:
        if done or time.monotonic() - self._last >= self._every:
            self._last = time.monotonic()
            return True
        return False

    def add_metric_column(self, metric: str, representation: str | None = None) -> None:
        columns = _named(self._metric_columns or [])
        columns[metric] = representation or metric
        self._metric_columns = columns

    def report(self, trials: list[Any], done: bool, *sys_info: str) -> None:
        print(self.text(trials, *sys_info), file=self._out or sys.stdout, flush=True)

    def text(self, trials: list[Any], *sys_info: str) -> str:
        counts: dict[str, int] = {}
        for trial in trials:
            counts[trial.status] = counts.get(trial.status, 0) + 1
        lines = ["== Status ==", *sys_info]
        lines.append(f"Number of trials: {len(trials)} ({', '.join(f'{n} {s}' for s, n in sorted(counts.items()))})")
        shown_trials = self._ordered(trials)[: self._rows]
        metrics = _named(self._metric_columns or self._usual(shown_trials))
        parameters = _named(self._parameter_columns or sorted({p for t in shown_trials for p in t.evaluated_params}))
        table = [["Trial name", "status", *parameters.values(), *metrics.values()]]
        for trial in shown_trials:
            config, result = flattened(trial.config), flattened(trial.last_result)
            row = [trial.trial_id, trial.status]
            row += [shown(config.get(name, "")) for name in parameters]
            row += [shown(result.get(name, "")) for name in metrics]
            table.append(row)
        widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
        lines += [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
        ]
        if len(trials) > self._rows:
            lines.append(f"... {len(trials) - self._rows} more trials not shown")
        return "\n".join(lines)

    def _usual(self, trials: list[Any]) -> list[str]:
        found = ["training_iteration", "time_total_s"]
        return [*found, self._metric] if self._metric else found

    def _ordered(self, trials: list[Any]) -> list[Any]:
        order = {"RUNNING": 0, "PAUSED": 1, "PENDING": 2, "TERMINATED": 3, "ERROR": 4}
        if not (self._sort and self._metric):
            return sorted(trials, key=lambda trial: order[trial.status])
        sign = -1 if self._mode == "max" else 1

        def rank(trial: Any) -> float:
            value = trial.last_result.get(self._metric)
            return float("inf") if value is None or value != value else sign * value

        return sorted(trials, key=rank)


class JupyterNotebookReporter(CLIReporter):
    """The same table; a notebook's cell shows what is printed."""

    def __init__(self, overwrite: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)


def _named(columns: Sequence[str] | dict[str, str]) -> dict[str, str]:
    return dict(columns) if isinstance(columns, dict) else {name: name for name in columns}
