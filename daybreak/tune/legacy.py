"""`tune.run` and 2018's `run_experiments`: the same controller under older names."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daybreak.base.errors import InvalidArgumentError

from .callbacks import CLIReporter
from .checkpoint import Checkpoint
from .configs import CheckpointConfig, FailureConfig, RunConfig, TuneConfig
from .results import Result, ResultGrid
from .running import TuneError
from .trainable import checked, with_resources
from .tuner import Tuner

__all__ = ["Experiment", "ExperimentAnalysis", "run", "run_experiments"]


class ExperimentAnalysis:
    """What `tune.run` gives: the trials, and the best of them."""

    def __init__(self, grid: ResultGrid, trials: list[Any], metric: str | None = None, mode: str | None = None) -> None:
        self._grid, self.trials = grid, trials
        self.default_metric, self.default_mode = metric, mode
        self.experiment_path = grid.experiment_path

    def get_best_trial(self, metric: str | None = None, mode: str | None = None, scope: str = "last") -> Any:
        best = self._best(metric, mode, scope)
        return next(trial for trial in self.trials if trial.trial_id == best.trial_id)

    def _best(self, metric: str | None = None, mode: str | None = None, scope: str = "last") -> Result:
        return self._grid.get_best_result(metric or self.default_metric, mode or self.default_mode, scope)

    def get_best_config(
        self, metric: str | None = None, mode: str | None = None, scope: str = "last"
    ) -> dict[str, Any]:
        return self._best(metric, mode, scope).config

    def get_best_logdir(self, metric: str | None = None, mode: str | None = None, scope: str = "last") -> str:
        return self._best(metric, mode, scope).path

    def get_best_checkpoint(self, trial: Any, metric: str | None = None, mode: str | None = None) -> Checkpoint | None:
        metric, mode = metric or self.default_metric, mode or self.default_mode
        result = next(result for result in self._grid if result.trial_id == trial.trial_id)
        return result.get_best_checkpoint(metric, mode) if metric and mode else result.checkpoint

    @property
    def best_trial(self) -> Any:
        return self.get_best_trial()

    @property
    def best_config(self) -> dict[str, Any]:
        return self.get_best_config()

    @property
    def best_logdir(self) -> str:
        return str(self.get_best_logdir())

    @property
    def best_result(self) -> dict[str, Any]:
        return self._best().metrics

    @property
    def best_checkpoint(self) -> Checkpoint | None:
        return self.get_best_checkpoint(self.best_trial)

    @property
    def results(self) -> dict[str, dict[str, Any]]:
        return {result.trial_id: result.metrics for result in self._grid}

    @property
    def results_df(self) -> Any:
        return self.dataframe()

    def dataframe(self, metric: str | None = None, mode: str | None = None) -> Any:
        return self._grid.get_dataframe(metric, mode)

    @property
    def trial_dataframes(self) -> dict[str, Any]:
        return {result.path: result.metrics_dataframe for result in self._grid}


def run(
    run_or_experiment: Any,
    *,
    name: str | None = None,
    metric: str | None = None,
    mode: str | None = None,
    stop: Any = None,
    time_budget_s: float | datetime.timedelta | None = None,
    config: dict[str, Any] | None = None,
    resources_per_trial: dict[str, float] | None = None,
    num_samples: int = 1,
    storage_path: str | os.PathLike[str] | None = None,
    local_dir: str | os.PathLike[str] | None = None,
    search_alg: Any = None,
    scheduler: Any = None,
    checkpoint_config: CheckpointConfig | None = None,
    verbose: int | None = None,
    progress_reporter: Any = None,
    log_to_file: bool = False,
    trial_name_creator: Any = None,
    trial_dirname_creator: Any = None,
    max_failures: int = 0,
    fail_fast: bool | str = False,
    resume: bool | str | None = None,
    reuse_actors: bool = False,
    raise_on_failed_trial: bool = True,
    callbacks: list[Any] | None = None,
    max_concurrent_trials: int | None = None,
) -> ExperimentAnalysis:
    """Ray's older entry: runs the trials and gives an ExperimentAnalysis.

    ``resume=True`` goes on with the experiment of that name, ``"AUTO"`` does if there is one. TuneError when a trial has failed,
    unless ``raise_on_failed_trial=False``.
    """
    if isinstance(run_or_experiment, Experiment):
        raise InvalidArgumentError("tune.run(Experiment): run_experiments() takes those")
    tune = TuneConfig(
        metric, mode, search_alg, scheduler, num_samples, max_concurrent_trials, time_budget_s, reuse_actors,
        trial_name_creator, trial_dirname_creator,
    )  # fmt: skip
    options = RunConfig(
        name, storage_path or local_dir, FailureConfig(max_failures, fail_fast), checkpoint_config or CheckpointConfig(),
        verbose, stop, callbacks, progress_reporter, log_to_file,
    )  # fmt: skip
    trainable = checked(run_or_experiment)
    if resources_per_trial is not None:
        trainable = with_resources(trainable, resources_per_trial)
    if resume not in (None, False, True, "AUTO"):
        raise InvalidArgumentError(f"resume={resume!r}: True, False or 'AUTO'")
    if resume and name is None:
        raise InvalidArgumentError("resume= without a name: which experiment")
    there = name is not None and Tuner.can_restore(options.root() / name)
    if resume is True or (resume == "AUTO" and there):
        tuner = Tuner.restore(
            options.root() / str(name), trainable, param_space=config, tune_config=tune, run_config=options
        )
    else:
        tuner = Tuner(trainable, param_space=config, tune_config=tune, run_config=options)
    grid, trials = tuner._fit()
    failed = [trial for trial in trials if trial.status == "ERROR"]
    if failed and raise_on_failed_trial:
        raise TuneError(f"trials did not complete: {failed}: {grid.errors[0]}")
    return ExperimentAnalysis(grid, trials, *tuner._metric())


_RUN = "run stop config trial_resources num_samples local_dir checkpoint_freq checkpoint_at_end max_failures restore".split()


class Experiment:
    """2018's description of one experiment. `spec` is a dict of what it says, and may be changed before it runs."""

    def __init__(
        self,
        name: str,
        run: Any,
        stop: dict[str, float] | None = None,
        config: dict[str, Any] | None = None,
        trial_resources: dict[str, float] | None = None,
        repeat: int = 1,
        num_samples: int = 1,
        local_dir: str | None = None,
        checkpoint_freq: int = 0,
        checkpoint_at_end: bool = False,
        max_failures: int = 3,
        restore: str | None = None,
    ) -> None:
        if restore is not None:
            raise InvalidArgumentError(
                f"restore={restore!r}: Tuner.restore(path, trainable) goes on with a whole experiment"
            )
        self.name = name
        self.spec: dict[str, Any] = {
            "run": run,
            "stop": stop or {},
            "config": config or {},
            "trial_resources": trial_resources or {"cpu": 1, "gpu": 0},
            "num_samples": max(num_samples, repeat),
            "local_dir": os.path.expanduser(local_dir or os.environ.get("DAYBREAK_RESULTS_DIR") or "~/ray_results"),
            "checkpoint_freq": checkpoint_freq,
            "checkpoint_at_end": checkpoint_at_end,
            "max_failures": max_failures,
        }

    @classmethod
    def from_json(cls, name: str, spec: Mapping[str, Any]) -> Experiment:
        if "run" not in spec:
            raise TuneError(f"experiment {name!r}: no 'run' in it: the function or its registered name")
        unknown = set(spec) - {*_RUN, "repeat"}
        if unknown:
            raise InvalidArgumentError(
                f"experiment {name!r}: {', '.join(sorted(unknown))}: not among {', '.join(_RUN)}"
            )
        return cls(name, **spec)


def run_experiments(
    experiments: Any,
    search_alg: Any = None,
    scheduler: Any = None,
    verbose: bool = True,
    queue_trials: bool = False,
) -> list[Any]:
    """2018's: runs one, a list, or a dict {name: spec} of experiments and gives their trials.

    In the spaces bare functions are called with `spec`. A searcher's suggestion is the whole config, and it maximises. TuneError
    when a trial has not ended well.
    """
    if isinstance(experiments, Mapping):
        listed = [Experiment.from_json(name, spec) for name, spec in experiments.items()]
    else:
        listed = list(experiments) if isinstance(experiments, (list, tuple)) else [experiments]
    trials: list[Any] = []
    for experiment in listed:
        if not isinstance(experiment, Experiment):
            raise InvalidArgumentError(f"run_experiments({experiment!r}): an Experiment, a list or a dict of them")
        trials += _run_one(experiment, search_alg, scheduler, verbose)
    failed = [trial for trial in trials if trial.status != "TERMINATED"]
    if failed:
        raise TuneError(f"trials did not complete: {failed}")
    return trials


def _run_one(experiment: Experiment, search_alg: Any, scheduler: Any, verbose: bool) -> list[Any]:
    spec = experiment.spec
    root, name = Path(spec["local_dir"]), experiment.name
    count = 1
    while Tuner.can_restore(root / name):  # in 2018 each run of a name had folders of its own
        count += 1
        name = f"{experiment.name}_{count}"
    steps = isinstance(checked(spec["run"]), type)
    tuner = Tuner(
        with_resources(checked(spec["run"]), spec["trial_resources"]),
        param_space=spec["config"],
        tune_config=TuneConfig(search_alg=search_alg, scheduler=scheduler, num_samples=spec["num_samples"]),
        run_config=RunConfig(
            name=name,
            storage_path=root,
            stop=spec["stop"] or None,
            progress_reporter=CLIReporter(),
            verbose=1 if verbose else 0,
            failure_config=FailureConfig(max_failures=spec["max_failures"]),
            checkpoint_config=CheckpointConfig(
                checkpoint_frequency=spec["checkpoint_freq"] if steps else 0,
                checkpoint_at_end=spec["checkpoint_at_end"] if steps else None,
            ),
        ),
    )
    tuner._functions = True
    tuner._replaces = search_alg is not None
    return tuner._fit()[1]
