"""Optuna: a study in memory. Its CMA-ES and NSGA-II take hours for 100,000 evaluations and are left out."""

REQUIREMENTS = ["optuna==5.0.0"]
QUICK = False

import time  # noqa: E402

import optuna  # noqa: E402

from bench.rows import Measure  # noqa: E402
from bench.tune_samplers.workload import HIGH, LOW, losses, names  # noqa: E402

optuna.logging.set_verbosity(optuna.logging.ERROR)


def _tpe(dims: int) -> Measure:
    trials = 200 if QUICK else 1_000
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=1))
    space = names(dims)
    started = time.perf_counter()
    for _ in range(trials):
        trial = study.ask()
        study.tell(trial, losses([trial.suggest_float(name, LOW, HIGH) for name in space], 1)[0])
    return Measure((time.perf_counter() - started) / trials * 1e3, info={"best": study.best_value, "trials": trials})


def tpe_10d() -> Measure:
    return _tpe(10)


def tpe_40d() -> Measure:
    return _tpe(40)
