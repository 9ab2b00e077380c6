"""Tracking: what a log call, a row and a search cost beside MLflow on SQLite and beside SQLite itself; how small and how fast
versions are kept beside git, borg and restic."""

from bench.rows import Row

_TABLE = "all bytes on the disk after a CSV of 1 M rows (44 MB) and this second version of it"

ROWS = [
    Row(
        "log_metric_python",
        "calls/s",
        "higher",
        "one metric a call. Ours survives kill -9 at once, a loss of power after at most a second; MLflow's, synchronous, on "
        "SQLite, is committed (its journal's fsync) before the call returns",
        must=2000,
        rounds=3,
    ),
    Row(
        "log_metric_async",
        "calls/s",
        "higher",
        "the same against MLflow's asynchronous logging, its queue flushed at the end; until then it survives nothing",
        must=200,
        rounds=3,
    ),
    Row(
        "log_metric_synced",
        "calls/s",
        "higher",
        "the same promise on both sides: a metric survives a loss of power when the call returns. Ours: log() and sync(); MLflow: "
        "its commit on SQLite, whose journal is synced",
        rounds=3,
    ),
    Row(
        "log_metric_files",
        "calls/s",
        "higher",
        "one metric a call beside what writes files and promises less: TensorBoard's SummaryWriter (a queue; kill -9 loses what it "
        "holds), wandb offline (a service's log). Ours survives kill -9 at once. Closing is not in the time",
        rounds=3,
        against="best",
    ),
    Row(
        "log_metric_files_closed",
        "calls/s",
        "higher",
        "10,000 metrics and the end of the run, so that all of them lie in files",
        rounds=3,
        against="best",
    ),
    Row(
        "log_batch",
        "metrics/s",
        "higher",
        "1,000 metrics a call (MLflow: its limit for log_batch). Ours as in log_metric_python; MLflow's batch is one transaction, "
        "committed before the call returns",
        must=50,
        rounds=3,
    ),
    Row(
        "log_rows_native",
        "rows/s",
        "higher",
        "an array of 1,000,000 values, a row each. Ours as above; SQLite: WAL, synchronous=NORMAL, 10,000 rows a transaction, "
        "survives kill -9 at each commit and a loss of power at each checkpoint",
        must=10,
        rounds=3,
    ),
    Row(
        "search_2000_runs",
        "searches/s",
        "higher",
        "2,000 finished runs of 20 metrics: filter by a metric and a parameter, order by another metric, all metrics of each "
        "found. MLflow's data base is made once (minutes) and kept",
        must=20,
        rounds=3,
    ),
    Row(
        "store_20_checkpoints",
        "MB",
        "lower",
        "all bytes on the disk after 20 epochs' checkpoints (2 M parameters with Adam state, 474 MB)",
        must=1.2,
        against="best",
        rounds=1,
    ),
    Row(
        "store_20_checkpoints_seconds",
        "s",
        "lower",
        "to store them one after the other, until it is small. Ours: each survives a loss of power when put() returns; borg and "
        "restic sync each archive too; git: as it comes",
        must=1.0,
        against="best",
        rounds=1,
    ),
    Row(
        "restore_newest_seconds",
        "s",
        "lower",
        "to write the newest of them to a file; ours is synced and renamed, theirs are not",
        must=1.0,
        against="best",
        rounds=1,
    ),
    Row("store_table_append", "MB", "lower", _TABLE + ": 1% more rows at the end", must=1.0, against="best", rounds=1),
    Row(
        "store_table_block_delete",
        "MB",
        "lower",
        _TABLE + ": 1% of the rows gone from the middle",
        must=1.0,
        against="best",
        rounds=1,
    ),
    Row(
        "store_table_scattered", "MB", "lower", _TABLE + ": 1% more rows, scattered", must=1.0, against="best", rounds=1
    ),
    Row("store_table_column_added", "MB", "lower", _TABLE + ": one more column", must=1.0, against="best", rounds=1),
]
PEERS = ["mlflow", "tensorboard", "wandb", "sqlite", "git", "borg", "restic"]
