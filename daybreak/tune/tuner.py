"""Tuner: an experiment from its description to its results, and again from where a death has left it."""

from __future__ import annotations

import json
import os
import secrets
import time
from pathlib import Path
from typing import Any

from daybreak._core import tune as _native
from daybreak.base.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError

from . import explore
from .configs import CheckpointConfig, FailureConfig, RunConfig, TuneConfig
from .controller import Controller
from .display import default_reporter
from .results import Result, ResultGrid
from .running import Run
from .schedulers import FIFOScheduler
from .stoppers import stopper_of
from .suggesting import Source
from .trainable import DEFAULT_METRIC, checked, is_class, name_of
from .trial import read_space, written_space

__all__ = ["Tuner"]

_JOURNAL = "experiment.journal"
_VERSION = 1


class Tuner:
    """``Tuner(trainable, param_space=..., tune_config=..., run_config=...).fit()`` gives a ResultGrid.

    Everything lies in the folder ``storage_path/name``; ``Tuner.restore(path, trainable)`` goes on with it.
    """

    def __init__(
        self,
        trainable: Any,
        *,
        param_space: dict[str, Any] | None = None,
        tune_config: TuneConfig | None = None,
        run_config: RunConfig | None = None,
    ) -> None:
        self._trainable = checked(trainable)
        self._space = param_space or {}
        self._tune = tune_config or TuneConfig()
        self._run = run_config or RunConfig()
        self._check()
        self._path: Path | None = None
        self._resume: dict[str, Any] | None = None  # the plan of an experiment that goes on
        self._unfinished: tuple[bool, bool, bool] = (True, False, False)
        self._functions = self._replaces = False  # 2018's spaces and searchers
        self._grid: ResultGrid | None = None

    def _check(self) -> None:
        scheduler = self._scheduler()
        for name, own, given in (
            ("metric", scheduler.metric, self._tune.metric),
            ("mode", getattr(scheduler, "_mode", None), self._tune.mode),
        ):
            if own and given and own != given:
                raise InvalidArgumentError(
                    f"{name}={given!r} in TuneConfig and {own!r} in {type(scheduler).__name__}: leave one out"
                )
        metric = self._metric()[0]
        if getattr(scheduler, "needs_metric", False) and not metric:
            raise InvalidArgumentError(f"{type(scheduler).__name__} needs metric= and mode=, there or in TuneConfig")
        if getattr(scheduler, "kind", "") in ("pbt", "pb2") and getattr(self._tune.search_alg, "suggest", None):
            raise InvalidArgumentError(
                f"search_alg={type(self._tune.search_alg).__name__} with {type(scheduler).__name__}, which searches itself: "
                "leave it out"
            )
        checkpoints = self._run.checkpoint_config
        if not is_class(self._trainable) and (checkpoints.checkpoint_frequency or checkpoints.checkpoint_at_end):
            raise InvalidArgumentError(
                "checkpoint_frequency and checkpoint_at_end are for subclasses of tune.Trainable: a function saves when it "
                "reports: tune.report(metrics, checkpoint=Checkpoint.from_directory(path))"
            )

    def _scheduler(self) -> Any:
        return self._tune.scheduler if self._tune.scheduler is not None else FIFOScheduler()

    def _metric(self) -> tuple[str | None, str | None]:
        searcher, scheduler = self._tune.search_alg, self._scheduler()
        metric = self._tune.metric or scheduler.metric or getattr(searcher, "metric", None)
        mode = self._tune.mode or getattr(scheduler, "_mode", None) or getattr(searcher, "mode", None)
        return metric or (DEFAULT_METRIC if mode else None), mode

    @classmethod
    def can_restore(cls, path: str | os.PathLike[str], **kwargs: Any) -> bool:
        """Whether there is an experiment."""
        return (Path(os.path.expanduser(os.fspath(path))) / _JOURNAL).exists()

    @classmethod
    def restore(
        cls,
        path: str | os.PathLike[str],
        trainable: Any,
        resume_unfinished: bool = True,
        resume_errored: bool = False,
        restart_errored: bool = False,
        param_space: dict[str, Any] | None = None,
        *,
        num_samples: int | None = None,
        tune_config: TuneConfig | None = None,
        run_config: RunConfig | None = None,
    ) -> Tuner:
        """Goes on with the experiment in the folder: what is finished is not run again, what is not goes on from its checkpoint.

        Not Ray's: ``num_samples`` makes it longer (a total); the configs hold what no journal can: a scheduler, searcher, stopper
        or callbacks of one's own.
        """
        folder = Path(os.path.abspath(os.path.expanduser(os.fspath(path))))
        if not cls.can_restore(folder):
            raise NotFoundError(f"{folder}: there is no experiment in it ({_JOURNAL})")
        if resume_errored and restart_errored:
            raise InvalidArgumentError("resume_errored and restart_errored: one of them")
        plan = json.loads(_native.Experiment.plan_of(str(folder / _JOURNAL)))
        if plan["version"] > _VERSION:
            raise FailedPreconditionError(
                f"{folder}: written by a later version ({plan['version']}, this one knows {_VERSION})"
            )
        if num_samples is not None and -1 < num_samples < plan["num_samples"]:
            raise InvalidArgumentError(
                f"num_samples={num_samples}: the experiment has {plan['num_samples']} already: give more"
            )
        tune = tune_config or TuneConfig()
        tune.metric, tune.mode, tune.seed = plan["metric"], plan["mode"], plan["seed"]
        tune.num_samples = num_samples if num_samples is not None else plan["num_samples"]
        if tune_config is None:
            tune.max_concurrent_trials, tune.reuse_actors = plan["max_concurrent_trials"], plan["reuse_actors"]
        run = run_config or RunConfig(
            verbose=plan["verbose"],
            failure_config=FailureConfig(**plan["failure"]),
            checkpoint_config=CheckpointConfig(**plan["checkpoints"]),
        )
        run.name, run.storage_path = folder.name, folder.parent
        cls._own_parts(plan, tune, run, folder)
        if plan["points"]:
            tune.search_alg = tune.search_alg or _basic(plan["points"])
        made = cls(trainable, param_space=param_space, tune_config=tune, run_config=run)
        made._path, made._resume = folder, plan
        made._space = param_space if param_space is not None else read_space(plan["space"])
        made._unfinished = (resume_unfinished, resume_errored, restart_errored)
        return made

    @staticmethod
    def _own_parts(plan: dict[str, Any], tune: TuneConfig, run: RunConfig, folder: Path) -> None:
        described = plan["scheduler"]
        if tune.scheduler is None and described["kind"] == "fifo":
            tune.scheduler = FIFOScheduler()
        elif tune.scheduler is None and described["kind"] in ("asha", "hyperband", "bohb", "median"):
            from . import schedulers

            kinds = {c.kind: c for c in vars(schedulers).values() if isinstance(c, type) and hasattr(c, "kind")}
            tune.scheduler = kinds[described["kind"]](time_attr=described["time_attr"], **described["numbers"])
        elif tune.scheduler is None and described.get("parts"):
            from .schedulers import PopulationBasedTraining

            parts = explore.read_parts(described["parts"])
            tune.scheduler = PopulationBasedTraining(described["time_attr"], **described["numbers"], **parts)
        elif tune.scheduler is None:
            raise InvalidArgumentError(
                f"{folder}: its scheduler ({described['kind']}) has parts that no journal holds: restore with "
                "tune_config=TuneConfig(scheduler=...)"
            )
        if plan["searcher"] and tune.search_alg is None:
            raise InvalidArgumentError(
                f"{folder}: its searcher was a {plan['searcher']}: restore with tune_config=TuneConfig(search_alg=...)"
            )
        if run.stop is None and plan["stop"] is not None:
            run.stop = plan["stop"]
        elif run.stop is None and plan["stopper"]:
            raise InvalidArgumentError(
                f"{folder}: it had a stopper ({plan['stopper']}): restore with run_config=RunConfig(stop=...)"
            )

    def fit(self) -> ResultGrid:
        """Runs the trials that are to run; blocks."""
        return self._fit()[0]

    def _fit(self) -> tuple[ResultGrid, list[Any]]:
        import daybreak

        if not daybreak.is_initialized():
            daybreak.init()  # before the lock of the experiment, which what is forked later would hold, too
        run = self._described()
        controller = Controller(run)
        controller.fit()
        found = [Result(trial, run.experiment.trial(trial.number)) for trial in controller.trials]
        self._grid = ResultGrid(found, run.path, run.metric, run.mode)
        return self._grid, controller.trials

    def get_results(self) -> ResultGrid:
        """What is there, without running anything."""
        if self._grid is not None:
            return self._grid
        if self._path is None:
            raise FailedPreconditionError(
                "get_results() before fit(): there is nothing yet; Tuner.restore(path, ...) has some"
            )
        return self._results(self._path)

    def _described(self) -> Run:
        scheduler = self._scheduler()
        metric, mode = self._metric()
        limits, stopper = stopper_of(self._run.stop)
        name = name_of(self._trainable)
        native = hasattr(scheduler, "described")
        numbers = dict(scheduler.numbers) if native else {}
        if self._resume is None:
            seed = self._tune.seed if self._tune.seed is not None else secrets.randbits(63)
            prefix = f"{secrets.randbits(20):05x}"
        else:
            seed, prefix, name = self._resume["seed"], self._resume["prefix"], self._resume["trainable"]
        if native and scheduler.seeded:
            numbers["seed"] = float(seed % 2**53)
        source = Source(
            self._space, self._tune.search_alg, self._tune.num_samples, seed, prefix, self._functions, self._replaces
        )
        if self._path is None:
            stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
            self._path = self._run.root() / (self._run.name or f"{name}_{stamp}_{secrets.token_hex(2)}")
        self._path.mkdir(parents=True, exist_ok=True)
        journal = str(self._path / _JOURNAL)
        plan = self._plan(scheduler, metric, mode, limits, stopper, seed, prefix, name)
        kind = scheduler.kind if native else ""
        if self._resume is None:
            experiment = _native.Experiment.create(journal, json.dumps(plan), kind, numbers)
        else:
            experiment = _native.Experiment.open(journal, kind, numbers)
            self._reopen(experiment, plan)
        if source.searcher is not None:
            source.is_taken = source.searcher.set_search_properties(metric, mode, self._space) is True
        if not native:
            scheduler.set_search_properties(metric, mode)
        return Run(
            trainable=self._trainable,
            trainable_name=name,
            path=self._path,
            experiment=experiment,
            source=source,
            scheduler=scheduler,
            time_attr=getattr(scheduler, "time_attr", "training_iteration"),
            metric=metric,
            mode=mode,
            limits=limits,
            stopper=stopper,
            max_concurrent=self._tune.max_concurrent_trials or source.max_concurrent or 1_000_000,
            time_budget_s=self._tune.time_budget_s,
            reuse_actors=self._tune.reuse_actors,
            failure=self._run.failure_config,
            checkpoints=self._run.checkpoint_config,
            callbacks=self._callbacks(metric, mode),
            reporter=self._reporter(metric, mode),
            num_samples=self._tune.num_samples,
            trial_name_creator=self._tune.trial_name_creator,
            trial_dirname_creator=self._tune.trial_dirname_creator,
        )

    def _callbacks(self, metric: str | None, mode: str | None) -> list[Any]:
        found = list(self._run.callbacks or [])
        if self._run.track and self._path is not None:
            from .tracking import TrackCallback

            found.append(TrackCallback(self._path.name, metric, mode))
        return found

    def _reporter(self, metric: str | None, mode: str | None) -> Any:
        if self._run.verbose == 0:
            return None
        reporter = self._run.progress_reporter or default_reporter()
        reporter.setup(metric=metric, mode=mode)
        return reporter

    def _reopen(self, experiment: Any, plan: dict[str, Any]) -> None:
        resume_unfinished, resume_errored, restart_errored = self._unfinished
        if plan != self._resume:
            experiment.set_plan(json.dumps(plan))
        for number in range(len(experiment)):
            state = experiment.state(number)
            if state == "ERROR" and (resume_errored or restart_errored):
                experiment.reopen(number, resume_errored)
            elif state in ("PENDING", "PAUSED") and not resume_unfinished:
                experiment.end(number, "TERMINATED")

    def _plan(
        self,
        scheduler: Any,
        metric: str | None,
        mode: str | None,
        limits: dict[str, float] | None,
        stopper: Any,
        seed: int,
        prefix: str,
        name: str,
    ) -> dict[str, Any]:
        """What the journal says of the experiment: JSON alone; what is a person's own object is there by its name."""
        opaque: list[str] = []
        plain = written_space(self._space, opaque)
        search = self._tune.search_alg
        points = getattr(search, "points_to_evaluate", None) if not hasattr(search, "suggest") else None
        described = scheduler.described() if hasattr(scheduler, "described") else {"kind": type(scheduler).__name__}
        if described["kind"] == "pbt":
            described["parts"] = explore.written_parts(scheduler)
        checkpoints, failure = self._run.checkpoint_config, self._run.failure_config
        return {
            "version": _VERSION,
            "name": self._path.name if self._path else "",
            "trainable": name,
            "space": plain if not opaque else None,
            "points": points or None,
            "seed": seed,
            "prefix": prefix,
            "metric": metric,
            "mode": mode,
            "num_samples": self._tune.num_samples,
            "scheduler": described,
            "searcher": type(search).__name__ if hasattr(search, "suggest") else None,
            "stop": limits,
            "stopper": type(stopper).__name__ if stopper is not None else None,
            "max_concurrent_trials": self._tune.max_concurrent_trials,
            "reuse_actors": self._tune.reuse_actors,
            "verbose": self._run.verbose,
            "failure": {"max_failures": failure.max_failures, "fail_fast": failure.fail_fast},
            "checkpoints": {
                "num_to_keep": checkpoints.num_to_keep,
                "checkpoint_score_attribute": checkpoints.checkpoint_score_attribute,
                "checkpoint_score_order": checkpoints.checkpoint_score_order,
                "checkpoint_frequency": checkpoints.checkpoint_frequency,
                "checkpoint_at_end": checkpoints.checkpoint_at_end,
                **({"in_store": True} if checkpoints.in_store else {}),
            },
        }

    def _results(self, path: Path) -> ResultGrid:
        from .reading import read_trials

        metric, mode = self._metric()
        trials = read_trials(path, self._space, self._tune.trial_dirname_creator, self._functions)
        return ResultGrid([Result(trial, row) for trial, row in trials], path, metric, mode)


def _basic(points: Any) -> Any:
    from .search import BasicVariantGenerator

    return BasicVariantGenerator(points_to_evaluate=points)
