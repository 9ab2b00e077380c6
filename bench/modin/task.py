"""Modin 0.37's pandas API with its Ray engine: that engine on Daybreak, beside the same on Ray."""

from __future__ import annotations

from bench.rows import Row

PEERS = ["ray"]


def _row(name: str, what: str, must: float) -> Row:
    return Row(name, "s", "lower", what, must=must, rounds=3, tolerance=1e-9)


ROWS = [
    _row("modin_groupby", "groupby('key').sum() over 1,000 partitions", 2),
    _row("modin_apply", "apply of a Python function along axis 1, 1,000 partitions", 2),
    _row("modin_read_csv", "read_csv of 16 MB into 1,000 partitions", 2),
    _row("modin_groupby_2", "the groupby with as many partitions as cores, two", 1),
    _row("modin_apply_2", "the apply with two partitions", 1),
    _row("modin_read_csv_2", "the read_csv with two partitions", 1),
]
