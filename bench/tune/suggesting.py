"""What the rows of samplers ask for, the same on all sides. Standard library only."""

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


def evaluations(quick):
    return 5_000 if quick else 100_000
