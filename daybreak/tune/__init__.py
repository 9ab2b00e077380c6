"""Tuning of parameters: search, early stopping, populations, resume, in Ray Tune's words.

>>> from daybreak import tune
>>> lr = tune.Distribution.real(1e-5, 1e-1, log=True)
>>> lr.drawn(seed=0, trial=3, name="lr") == lr.drawn(seed=0, trial=3, name="lr")
True
>>> study = tune.create_study(seed=0)
>>> study.optimize(lambda trial: (trial.suggest_float("x", -10, 10) - 2) ** 2, n_trials=100)
>>> study.best_value < 0.5
True
"""

from daybreak._core.tune import Distribution, PrunerFactory, SamplerFactory, Storage, Trial

TYPE_CHECKING = False  # typing.TYPE_CHECKING without the import
if TYPE_CHECKING:
    from . import hp, plots, pruners, schedulers, search, simulate, stoppers
    from .callbacks import Callback, CLIReporter, JupyterNotebookReporter, LoggerCallback, ProgressReporter
    from .checkpoint import Checkpoint
    from .configs import CheckpointConfig, FailureConfig, RunConfig, TuneConfig
    from .legacy import Experiment, ExperimentAnalysis, run, run_experiments
    from .pruners import (
        HyperbandPruner,
        MedianPruner,
        NopPruner,
        PatientPruner,
        PercentilePruner,
        SuccessiveHalvingPruner,
        ThresholdPruner,
        WilcoxonPruner,
    )
    from .reinforcement import rl
    from .results import Result, ResultGrid
    from .running import TuneError
    from .schedulers import create_scheduler
    from .session import get_checkpoint, get_context, report
    from .space import (
        choice,
        grid_search,
        lograndint,
        loguniform,
        qlograndint,
        qloguniform,
        qrandint,
        qrandn,
        quniform,
        randint,
        randn,
        sample_from,
        uniform,
    )
    from .stoppers import Stopper
    from .stopping import is_running, request_stop
    from .studies import StudySummary, copy_study, create_trial, get_all_study_names, get_all_study_summaries
    from .study import (
        FrozenTrial,
        Study,
        StudyDirection,
        TrialPruned,
        TrialState,
        create_study,
        delete_study,
        load_study,
    )
    from .trainable import Trainable, register_trainable, with_parameters, with_resources
    from .tuner import Tuner

_LAZY = {
    "callbacks": "CLIReporter Callback JupyterNotebookReporter LoggerCallback ProgressReporter",
    "checkpoint": "Checkpoint",
    "configs": "CheckpointConfig FailureConfig RunConfig TuneConfig",
    "legacy": "Experiment ExperimentAnalysis run run_experiments",
    "reinforcement": "rl",
    "pruners": (
        "HyperbandPruner MedianPruner NopPruner PatientPruner PercentilePruner SuccessiveHalvingPruner ThresholdPruner "
        "WilcoxonPruner"
    ),
    "results": "Result ResultGrid",
    "running": "TuneError",
    "schedulers": "create_scheduler",
    "session": "get_checkpoint get_context report",
    "space": (
        "choice grid_search lograndint loguniform qlograndint qloguniform qrandint qrandn quniform randint randn "
        "sample_from uniform"
    ),
    "stoppers": "Stopper",
    "stopping": "is_running request_stop",
    "studies": "StudySummary copy_study create_trial get_all_study_names get_all_study_summaries",
    "study": "FrozenTrial Study StudyDirection TrialPruned TrialState create_study delete_study load_study",
    "trainable": "Trainable register_trainable with_parameters with_resources",
    "tuner": "Tuner",
}
_WHERE = {name: module for module, names in _LAZY.items() for name in names.split()}
_MODULES = ("hp", "plots", "pruners", "schedulers", "search", "simulate", "stoppers")

__all__ = [
    "CLIReporter",
    "Callback",
    "Checkpoint",
    "CheckpointConfig",
    "Distribution",
    "Experiment",
    "ExperimentAnalysis",
    "FailureConfig",
    "FrozenTrial",
    "HyperbandPruner",
    "JupyterNotebookReporter",
    "LoggerCallback",
    "MedianPruner",
    "NopPruner",
    "PatientPruner",
    "PercentilePruner",
    "ProgressReporter",
    "PrunerFactory",
    "Result",
    "ResultGrid",
    "RunConfig",
    "SamplerFactory",
    "Stopper",
    "Storage",
    "Study",
    "StudyDirection",
    "StudySummary",
    "SuccessiveHalvingPruner",
    "ThresholdPruner",
    "Trainable",
    "Trial",
    "TrialPruned",
    "TrialState",
    "TuneConfig",
    "TuneError",
    "Tuner",
    "WilcoxonPruner",
    "choice",
    "copy_study",
    "create_scheduler",
    "create_study",
    "create_trial",
    "delete_study",
    "get_all_study_names",
    "get_all_study_summaries",
    "get_checkpoint",
    "get_context",
    "grid_search",
    "hp",
    "is_running",
    "load_study",
    "lograndint",
    "loguniform",
    "plots",
    "pruners",
    "qlograndint",
    "qloguniform",
    "qrandint",
    "qrandn",
    "quniform",
    "randint",
    "randn",
    "register_trainable",
    "report",
    "request_stop",
    "rl",
    "run",
    "run_experiments",
    "sample_from",
    "schedulers",
    "search",
    "simulate",
    "stoppers",
    "uniform",
    "with_parameters",
    "with_resources",
]


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name in _WHERE:
        return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
