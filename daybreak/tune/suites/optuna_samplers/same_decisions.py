"""Our pruners beside Optuna's on the same reports: every decision is the same."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import optuna
import pytest

from daybreak.tune import optuna as ours

PRUNERS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("NopPruner", (), {}),
    ("MedianPruner", (), {}),
    ("MedianPruner", (), {"n_startup_trials": 2, "n_warmup_steps": 4, "interval_steps": 3}),
    ("PercentilePruner", (30.0,), {"n_startup_trials": 0, "n_min_trials": 4}),
    ("PercentilePruner", (0.0,), {"n_startup_trials": 1}),
    ("ThresholdPruner", (), {"lower": 0.2, "upper": 0.9, "n_warmup_steps": 2, "interval_steps": 2}),
    ("SuccessiveHalvingPruner", (), {}),
    ("SuccessiveHalvingPruner", (), {"min_resource": 1, "reduction_factor": 2}),
    ("SuccessiveHalvingPruner", (2, 3, 1, 2), {}),
    ("HyperbandPruner", (), {}),
    ("HyperbandPruner", (1, 27, 3), {}),
    ("HyperbandPruner", (2, 30, 2, 3), {}),
    ("PatientPruner", (None, 3), {"min_delta": 0.02}),
    ("WilcoxonPruner", (), {}),
    ("WilcoxonPruner", (), {"p_threshold": 0.3, "n_startup_steps": 6}),
]


def decisions(
    pruner: optuna.pruners.BasePruner, direction: str, seed: int, steps: int, reports: int
) -> list[tuple[int, int, bool]]:
    """Four trials at a time, whose reports interleave, some steps left out, some NaN and some tied."""
    random = np.random.default_rng(seed)
    study = optuna.create_study(direction=direction, pruner=pruner, study_name=f"seed {seed}")
    found = []
    running: list[tuple[optuna.Trial, float, int]] = []
    for _ in range(reports):
        if len(running) < 4:
            running.append((study.ask(), random.random(), 0))
        k = int(random.integers(len(running)))
        trial, level, step = running[k]
        step += int(random.integers(1, 3))
        value = round(level + random.normal() * 0.2 / (1 + step), 2 if seed % 2 else 10)
        trial.report(float("nan") if random.random() < 0.02 and seed % 2 else value, step)
        pruned = trial.should_prune()
        found.append((trial.number, step, pruned))
        running[k] = (trial, level, step)
        if pruned and random.random() < 0.9:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            del running[k]
        elif step >= steps:
            study.tell(trial, value)
            del running[k]
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("name", "arguments", "options"), PRUNERS, ids=str)
def test_decisions(name: str, arguments: Any, options: Any, direction: str, seed: int) -> None:
    theirs = getattr(optuna.pruners, name)(*arguments, **options)
    own = pickle.loads(pickle.dumps(getattr(ours, name)(*arguments, **options)))
    steps = 100 if name == "WilcoxonPruner" and seed == 0 else 30
    reports = 120 if name == "WilcoxonPruner" and seed == 1 else 500  # ties are slow there
    expected = decisions(theirs, direction, seed, steps, reports)
    assert decisions(own, direction, seed, steps, reports) == expected
    few = name == "NopPruner" or (name == "WilcoxonPruner" and seed == 1)
    assert few or any(pruned for _, _, pruned in expected)
