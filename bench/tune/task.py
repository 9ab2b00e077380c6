"""Tune: what a study costs beside its objective, and an experiment beside its trials. Peers: Rustuna, Optuna, Ray Tune
and scikit-learn, through Python as all are used."""

from bench.rows import Row
from bench.tune import controller_rows, sklearn_program

_TPE = "ask, suggestions and tell: ms a trial over 1,000 trials with TPE as each side has it by default, in memory, "
_EVALUATIONS = "100,000 evaluations (quick: 5,000) in memory with "

ROWS = [
    Row(
        "random_ask_tell",
        "us",
        "lower",
        "ask, two suggest_float, tell; random sampler, in memory, 20,000 trials of one study (info: bytes of memory a trial)",
        must=2,
        goal=5,
    ),
    Row(
        "journal_ops",
        "1/s",
        "higher",
        "one ask with two parameters or one tell, on the disk when it returns: 8 processes of one study with 64 in flight each"
        " (ours: ask_many and tell_many of 64; theirs: 64 threads)",
        must=100,
        rounds=3,
    ),
    Row(
        "dataframe_10k",
        "s",
        "lower",
        "trials_dataframe of 10,000 trials with 5 parameters, loaded before (ours from a journal, theirs in memory)",
        must=20,
    ),
    Row("tpe_10d", "ms", "lower", _TPE + "10 dimensions", must=3, goal=8),
    Row("tpe_40d", "ms", "lower", _TPE + "40 dimensions", must=3, goal=8),
    Row("cmaes_100k", "s", "lower", _EVALUATIONS + "CMA-ES, 40 dimensions", must=1.5, goal=4, rounds=3),
    Row(
        "nsga2_100k",
        "s",
        "lower",
        _EVALUATIONS + "NSGA-II, 40 dimensions, two objectives, a population of 50",
        must=1.5,
        goal=4,
        rounds=3,
    ),
    Row(
        "gp_suggest_200",
        "ms",
        "lower",
        "a suggestion by a Gaussian process in a study of 200 trials, 10 dimensions (info: mean log10 of the regret over them)",
        must=10,
        goal=30,
        rounds=3,
    ),
    *controller_rows.ROWS,
    *sklearn_program.ROWS,
]
PEERS = [
    "rustuna",
    "optuna",
    controller_rows.PEER,
    sklearn_program.PEER,
]  # each has rows of its own: a row's first peer is the first that offers it
