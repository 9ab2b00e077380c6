import time

import rustuna

from bench.rows import Measure
from bench.tune.suggesting import evaluations, timed

REQUIREMENTS = ["rustuna==0.2.0", "numpy==2.4.6", "cmaes==0.13.1"]
QUICK = False


def asked_and_told(study, trials):
    best = 2.0
    started = time.perf_counter()
    for _ in range(trials):
        trial = study.ask()
        value = trial.suggest_float("x", 0, 1) + trial.suggest_float("y", 0, 1)
        study.tell(trial.number, value)
        best = min(best, value)
    return (time.perf_counter() - started) / trials * 1e6, best


def new():
    return rustuna.create_study(sampler=rustuna.samplers.RandomSampler(seed=0))


def random_ask_tell():
    asked_and_told(new(), 1000)
    study = new()
    took, best = asked_and_told(study, 20_000)
    return Measure(took, study.best_trial.value == best)


def suggesting(sampler, dims, trials, objectives=1):
    study = rustuna.create_study(sampler=sampler, directions=["minimize"] * objectives)
    return timed(study.ask, lambda trial, told: study.tell(trial.number, told), dims, trials, objectives)


def tpe_10d():
    return suggesting(rustuna.samplers.TPESampler(seed=1), 10, 1_000)


def tpe_40d():
    return suggesting(rustuna.samplers.TPESampler(seed=1), 40, 1_000)


def cmaes_100k():
    return suggesting(rustuna.samplers.CmaEsSampler(seed=1), 40, evaluations(QUICK))


def nsga2_100k():
    return suggesting(rustuna.samplers.NSGAIISampler(seed=1), 40, evaluations(QUICK), 2)
