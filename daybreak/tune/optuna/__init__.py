"""Daybreak behind Optuna's interfaces: an `optuna.create_study` program gains by an argument.

    from daybreak.tune.optuna import TPESampler

    study = optuna.create_study(sampler=TPESampler(seed=1))

Needs Optuna 5, which Daybreak does not install: `pip install "optuna>=5,<6"`.
"""

from .exhaustive import BruteForceSampler, GridSampler
from .importance import (
    FanovaImportanceEvaluator,
    MeanDecreaseImpurityImportanceEvaluator,
    PedAnovaImportanceEvaluator,
)
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
from .samplers import CmaEsSampler, GPSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler

__all__ = [
    "BruteForceSampler",
    "CmaEsSampler",
    "FanovaImportanceEvaluator",
    "GPSampler",
    "GridSampler",
    "HyperbandPruner",
    "MeanDecreaseImpurityImportanceEvaluator",
    "MedianPruner",
    "NSGAIISampler",
    "NopPruner",
    "PatientPruner",
    "PedAnovaImportanceEvaluator",
    "PercentilePruner",
    "QMCSampler",
    "RandomSampler",
    "SuccessiveHalvingPruner",
    "TPESampler",
    "ThresholdPruner",
    "WilcoxonPruner",
]
