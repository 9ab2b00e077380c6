"""Trials as runs of `daybreak.track`: RunConfig(track=True)."""

from __future__ import annotations

from typing import Any

from .callbacks import Callback
from .session import number_of
from .variants import flattened

__all__ = ["TrackCallback"]

_NOT_METRICS = ("training_iteration", "timestamp", "pid", "done", "iterations_since_restore", "time_since_restore")


class TrackCallback(Callback):
    """The experiment is a run, and each trial a child of it: its config as parameters, its numbers as metrics at their iterations,
    the checkpoint that it went on from and those that it made as tags."""

    def __init__(self, name: str, metric: str | None = None, mode: str | None = None) -> None:
        self._name, self._goal = name, (metric, mode)
        self._parent: Any = None
        self._runs: dict[str, Any] = {}

    def setup(
        self, stop: Any = None, num_samples: int | None = None, total_num_samples: int | None = None, **info: Any
    ) -> None:
        from daybreak import track

        self._parent = track.run(self._name, tags={"tune": "experiment"})

    def _run(self, trial: Any) -> Any:
        if trial.trial_id not in self._runs:
            params = {name: value for name, value in flattened(trial.config).items() if _is_plain(value)}
            self._runs[trial.trial_id] = run = self._parent.child(
                str(trial), params=params, tags={"trial_id": trial.trial_id, "folder": trial.logdir}
            )
            if all(self._goal):
                run.goal(*self._goal)
        return self._runs[trial.trial_id]

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._run(trial)

    def on_trial_restore(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        run, changed = self._run(trial), flattened(trial.config)
        run.tag("config", ", ".join(f"{name}={changed[name]}" for name in sorted(changed))[:1000])

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        values = {name: number_of(value) for name, value in flattened(result).items() if name not in _NOT_METRICS}
        values = {name: v for name, v in values.items() if v is not None and not name.startswith("config/")}
        self._run(trial).log(values, step=result["training_iteration"])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        run = self._run(trial)
        if trial.checkpoint is not None:
            run.tag("checkpoint", trial.checkpoint.path)
        run.finish()

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._run(trial).finish("failed", f"see {trial.error_file}")

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        for trial in trials:
            if trial.trial_id in self._runs and not trial.is_finished():
                self._runs[trial.trial_id].finish("killed", "the experiment has ended before it")
        self._parent.finish()


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))
