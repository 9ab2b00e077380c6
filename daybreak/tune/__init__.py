"""Tuning of parameters: search, early stopping, populations, resume.

>>> from daybreak import tune
>>> lr = tune.Distribution.real(1e-5, 1e-1, log=True)
>>> lr.drawn(seed=0, trial=3, name="lr") == lr.drawn(seed=0, trial=3, name="lr")
True
>>> study = tune.create_study(seed=0)
>>> study.optimize(lambda trial: (trial.suggest_float("x", -10, 10) - 2) ** 2, n_trials=100)
>>> study.best_value < 0.5
True
"""

from daybreak._core.tune import Distribution, SamplerFactory, Storage, Trial
from daybreak.tune.study import (
    FrozenTrial,
    Study,
    StudyDirection,
    TrialPruned,
    TrialState,
    create_study,
    delete_study,
    load_study,
)

__all__ = [
    "Distribution",
    "FrozenTrial",
    "SamplerFactory",
    "Storage",
    "Study",
    "StudyDirection",
    "Trial",
    "TrialPruned",
    "TrialState",
    "create_study",
    "delete_study",
    "load_study",
]
