"""SQLite itself, as one would log rows to it: WAL, 10,000 rows a transaction, bound parameters."""

import shutil
import sqlite3
import tempfile
import time

from bench.rows import Measure, rate
from bench.track import workload

QUICK = False
_folder = ""
BATCH = 10_000


def setup() -> None:
    global _folder
    _folder = tempfile.mkdtemp(prefix="sqlite-bench-track-")


def teardown() -> None:
    shutil.rmtree(_folder)


def _database(name: str) -> sqlite3.Connection:
    database = sqlite3.connect(f"{_folder}/{name}.db", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=NORMAL")
    database.execute("CREATE TABLE metrics (series INTEGER, step INTEGER, time INTEGER, value REAL)")
    return database


def _log(database: sqlite3.Connection, rows: list[tuple[int, int, int, float]]) -> None:
    for at in range(0, len(rows), BATCH):
        database.execute("BEGIN")
        database.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?)", rows[at : at + BATCH])
        database.execute("COMMIT")


def log_rows_native() -> Measure:
    now = time.time_ns()
    rows = [(1, step, now, float(step)) for step in range(workload.ROWS)]
    database = _database("bench")
    value = rate(lambda: _log(database, rows), 0.3 if QUICK else 1.5, batch=workload.ROWS)
    checked = _database("check")
    _log(checked, rows)
    return Measure(value, list(checked.execute("SELECT count(*), sum(value) FROM metrics").fetchone()))
