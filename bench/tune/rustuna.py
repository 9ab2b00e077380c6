import time

import rustuna

from bench.rows import Measure

REQUIREMENTS = ["rustuna==0.2.0"]
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
