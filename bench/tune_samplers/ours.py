"""Daybreak."""

import time

from bench.rows import Measure
from bench.tune_samplers.workload import HIGH, LOW, evaluations, losses, names
from daybreak._core import tune

QUICK = False
COMPLETE = 1


def _run(sampler: tune.Sampler, dims: int, trials: int, objectives: int = 1) -> tuple[float, float]:
    """Seconds, and the best first loss."""
    mirror = tune.TrialMirror([1] * objectives)
    space = [(name, tune.Distribution.real(LOW, HIGH)) for name in names(dims)]
    best = float("inf")
    started = time.perf_counter()
    for trial in range(trials):
        mirror.add(0)
        told = losses(sampler.suggest(mirror, trial, space), objectives)
        mirror.move(trial, COMPLETE, told)
        best = min(best, told[0])
    return time.perf_counter() - started, best


def _tpe(dims: int) -> Measure:
    seconds, best = _run(tune.tpe_sampler(1), dims, 1_000)
    return Measure(seconds, info={"best": best})  # of 1,000 trials: the seconds are ms a trial


def tpe_10d() -> Measure:
    return _tpe(10)


def tpe_40d() -> Measure:
    return _tpe(40)


def cmaes_100k() -> Measure:
    seconds, best = _run(tune.cmaes_sampler(1), 40, evaluations(QUICK))
    return Measure(seconds, info={"best": best})


def nsga2_100k() -> Measure:
    seconds, best = _run(tune.nsga2_sampler(1), 40, evaluations(QUICK), 2)
    return Measure(seconds, info={"best": best})
