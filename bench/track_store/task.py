from bench.rows import Row

_TABLE = "all bytes on the disk after a CSV of 1 M rows and this second version of it"

ROWS = [
    Row(
        "store_20_checkpoints",
        "MB",
        "lower",
        "all bytes on the disk after 20 epochs' checkpoints (2 M parameters with Adam state, 474 MB)",
        must=1.2,
        rounds=3,
    ),
    Row(
        "store_20_checkpoints_seconds",
        "s",
        "lower",
        "to store them one after the other, until it is small",
        must=1.0,
        rounds=3,
    ),
    Row("restore_newest_seconds", "s", "lower", "to write the newest of them to a file", must=1.0, rounds=3),
    Row("store_table_append", "MB", "lower", _TABLE + ": 1% more rows at the end", must=1.0, rounds=1),
    Row(
        "store_table_block_delete", "MB", "lower", _TABLE + ": 1% of the rows gone from the middle", must=1.0, rounds=1
    ),
    Row("store_table_scattered", "MB", "lower", _TABLE + ": 1% more rows, scattered", must=1.0, rounds=1),
    Row("store_table_column_added", "MB", "lower", _TABLE + ": one more column", must=1.0, rounds=1),
]
PEERS = ["git", "borg", "restic"]  # git is the smallest of them on every row, so `must` holds against each in bytes
