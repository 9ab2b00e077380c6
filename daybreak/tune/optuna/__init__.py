"""Daybreak behind Optuna's interfaces: an `optuna.create_study` program gains by two arguments.

    from daybreak.tune.optuna import Storage, TPESampler

    study = optuna.create_study(storage=Storage("studies.journal"), sampler=TPESampler(seed=1))

Needs Optuna 5, which Daybreak does not install: `pip install "optuna>=5,<6"`.
"""

from daybreak.tune.optuna.exhaustive import BruteForceSampler, GridSampler
from daybreak.tune.optuna.importance import (
    FanovaImportanceEvaluator,
    MeanDecreaseImpurityImportanceEvaluator,
    PedAnovaImportanceEvaluator,
)
from daybreak.tune.optuna.journals import export_journal, import_journal
from daybreak.tune.optuna.pruners import (
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PatientPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
    ThresholdPruner,
    WilcoxonPruner,
)
from daybreak.tune.optuna.samplers import (
    CmaEsSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from daybreak.tune.optuna.storage import Storage

__all__ = [
    "BruteForceSampler",
    "CmaEsSampler",
    "FanovaImportanceEvaluator",
    "GPSampler",
    "GridSampler",
    "HyperbandPruner",
    "MeanDecreaseImpurityImportanceEvaluator",
    "MedianPruner",
    "NSGAIIISampler",
    "NSGAIISampler",
    "NopPruner",
    "PatientPruner",
    "PedAnovaImportanceEvaluator",
    "PercentilePruner",
    "QMCSampler",
    "RandomSampler",
    "Storage",
    "SuccessiveHalvingPruner",
    "TPESampler",
    "ThresholdPruner",
    "WilcoxonPruner",
    "export_journal",
    "import_journal",
]
