"""Tracking: what a log call, a row and a search cost beside MLflow on SQLite and beside SQLite itself."""

from bench.rows import Row

ROWS = [
    Row(
        "log_metric_python",
        "calls/s",
        "higher",
        "one metric a call. Ours survives kill -9 at once, a loss of power after at most a second; MLflow's, synchronous, on "
        "SQLite, is committed (its journal's fsync) before the call returns",
        must=2000,
    ),
    Row(
        "log_metric_async",
        "calls/s",
        "higher",
        "the same against MLflow's asynchronous logging, its queue flushed at the end; until then it survives nothing",
        must=200,
    ),
    Row("log_batch", "metrics/s", "higher", "1,000 metrics a call (MLflow: its limit for log_batch)", must=50),
    Row(
        "log_rows_native",
        "rows/s",
        "higher",
        "an array of 1,000,000 values, a row each. Ours as above; SQLite: WAL, synchronous=NORMAL, 10,000 rows a transaction, "
        "survives kill -9 at each commit and a loss of power at each checkpoint",
        must=10,
    ),
    Row(
        "search_2000_runs",
        "searches/s",
        "higher",
        "2,000 finished runs of 20 metrics: filter by a metric and a parameter, order by another metric, all metrics of each found",
        must=20,
        rounds=3,
    ),
]
PEERS = ["mlflow", "sqlite"]
