"""What the rows of samplers ask for, the same on all sides. Standard library only."""

import math
import random
import time

from bench.rows import Measure

LOW, HIGH = -5.0, 5.0


def timed(ask, tell, dims, trials, objectives=1):
    """Seconds, of which the objective's sum of squares is a part on all sides; for 1,000 trials that is ms a trial."""
    names = [f"x{k:02d}" for k in range(dims)]
    best = float("inf")
    started = time.perf_counter()
    for _ in range(trials):
        trial = ask()
        values = [trial.suggest_float(name, LOW, HIGH) for name in names]
        first = sum((value - 1.5) * (value - 1.5) for value in values)
        tell(trial, first if objectives == 1 else [first, sum((value + 1.5) * (value + 1.5) for value in values)])
        best = min(best, first)
    return Measure(time.perf_counter() - started, info={"best": best})


def after_200(filled, reopened, suggestions):
    """ms a suggestion of 10 parameters in a study that has 200 trials, the same on all sides; the mean of log10 of the regret after
    each says that they are worth the same. `filled` is a study by chance, `reopened(study)` the same one with the sampler."""
    dims = 10
    draw = random.Random(7)
    names = [f"x{k:02d}" for k in range(dims)]
    best = math.inf

    def loss(values):
        return sum((1 + k) * (value - 1.5 - 0.2 * k) ** 2 for k, value in enumerate(values)) + 1e-12

    for _ in range(200):
        filled.enqueue_trial({name: draw.uniform(LOW, HIGH) for name in names})
        trial = filled.ask()
        value = loss([trial.suggest_float(name, LOW, HIGH) for name in names])
        filled.tell(trial, value)
        best = min(best, value)
    study = reopened(filled)
    took, logs = 0.0, 0.0
    for k in range(suggestions + 1):
        started = time.perf_counter()
        trial = study.ask()
        values = [trial.suggest_float(name, LOW, HIGH) for name in names]
        if k > 0:  # the first warms up
            took += time.perf_counter() - started
        study.tell(trial, loss(values))
        best = min(best, loss(values))
        logs += math.log10(best)
    return Measure(took / suggestions * 1e3, info={"log10_regret": logs / (suggestions + 1), "best": best})


def evaluations(quick):
    return 5_000 if quick else 100_000
