"""Tune: what a study costs beside its objective. Peers: Rustuna and Optuna, through Python as all are used."""

from bench.rows import Row

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
        "trials_dataframe of 10,000 trials with 5 parameters, the study in a journal that was just opened",
        must=20,
    ),
]
PEERS = ["rustuna", "optuna"]  # each has rows of its own: a row's first peer is the first that offers it
