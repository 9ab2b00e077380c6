"""What a suggestion costs: ask and tell of one process in memory, the objective's own time (a sum of squares) in it on all sides.

Ours is asked over the mirror of trials on which the Optuna face stands.
"""

from bench.rows import Row

_TPE = "ms a trial of 1,000 trials with TPE, each side's defaults (ours and Rustuna's: parameters together), "

ROWS = [
    Row("tpe_10d", "ms", "lower", _TPE + "10 dimensions", must=3.0, goal=8.0),
    Row("tpe_40d", "ms", "lower", _TPE + "40 dimensions", must=3.0, goal=8.0),
    Row(
        "cmaes_100k",
        "s",
        "lower",
        "100,000 evaluations of CMA-ES, 40 dimensions (quick: 5,000)",
        must=1.5,
        goal=4.0,
        rounds=3,
    ),
    Row(
        "nsga2_100k",
        "s",
        "lower",
        "100,000 evaluations of NSGA-II, 40 dimensions, two objectives, a population of 50 (quick: 5,000)",
        must=1.5,
        goal=4.0,
        rounds=3,
    ),
]
PEERS = ["rustuna", "optuna"]
