"""Rustuna: a study in memory."""

REQUIREMENTS = ["rustuna==0.2.0", "numpy", "cmaes==0.13.1"]
QUICK = False

import time  # noqa: E402
from typing import Any  # noqa: E402

import rustuna  # noqa: E402

from bench.rows import Measure  # noqa: E402
from bench.tune_samplers.workload import HIGH, LOW, evaluations, losses, names  # noqa: E402


def _run(sampler: Any, dims: int, trials: int, objectives: int = 1) -> Measure:
    study = rustuna.create_study(sampler=sampler, directions=["minimize"] * objectives)
    space = names(dims)
    best = float("inf")
    started = time.perf_counter()
    for _ in range(trials):
        trial = study.ask()
        told = losses([trial.suggest_float(name, LOW, HIGH) for name in space], objectives)
        study.tell(trial.number, told[0] if objectives == 1 else told)
        best = min(best, told[0])
    return Measure(time.perf_counter() - started, info={"best": best})


def tpe_10d() -> Measure:
    return _run(rustuna.samplers.TPESampler(seed=1), 10, 1_000)


def tpe_40d() -> Measure:
    return _run(rustuna.samplers.TPESampler(seed=1), 40, 1_000)


def cmaes_100k() -> Measure:
    return _run(rustuna.samplers.CmaEsSampler(seed=1), 40, evaluations(QUICK))


def nsga2_100k() -> Measure:
    return _run(rustuna.samplers.NSGAIISampler(seed=1), 40, evaluations(QUICK), 2)
