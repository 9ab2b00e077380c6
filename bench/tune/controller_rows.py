"""What an experiment costs beside its trials. Peer: Ray Tune. task.py takes these rows in."""

from bench.rows import Row

PEER = "ray"
ROWS = [
    Row(
        "controller_results",
        "results/s",
        "higher",
        "results reported, decided by ASHA and logged: 100 trials alive (Ray Tune: 8, where it does more), each as fast as it can",
        must=100,
        goal=200,
        rounds=3,
    ),
    Row(
        "trial_overhead",
        "ms",
        "lower",
        "a trial that reports once, processes reused, two at a time",
        must=100,
        rounds=3,
    ),
    Row(
        "resume_10k",
        "ms",
        "lower",
        "restore and fit of an experiment whose trials are all finished, a trial: 10,000 of them (Ray Tune: 500)",
        must=20,
        rounds=3,
    ),
]
