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
    "studies": "StudySummary copy_study create_trial get_all_study_names get_all_study_summaries",
    "study": "FrozenTrial Study StudyDirection TrialPruned TrialState create_study delete_study load_study",
    "trainable": "Trainable register_trainable with_parameters with_resources",
    "tuner": "Tuner",
}
_WHERE = {name: module for module, names in _LAZY.items() for name in names.split()}
_MODULES = ("hp", "pruners", "schedulers", "search", "stoppers")

__all__ = ["Distribution", "PrunerFactory", "SamplerFactory", "Storage", "Trial", *_WHERE]


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name in _WHERE:
        return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
