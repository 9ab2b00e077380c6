"""The catalog: what ``track.runs`` searches. SQLite, rebuilt from the logs whenever it is missing; it knows nothing of its own.

A run that is over and whose writers are gone never changes without a mark in ``open/``: every writer makes one before its
first record, and only the catalog removes it, after it has read the run. So a refresh reads the runs that were open when
they were last read, those with marks and those that it has never seen, and thousands of finished runs cost nothing.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sqlite3
from collections.abc import Iterator
from typing import Any

from daybreak._core import track as _core
from daybreak.base import errors

__all__ = ["Catalog"]

VERSION = 1
BUSY_SECONDS = 30.0

_TABLES = """
CREATE TABLE facts (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE runs (
  n INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, name TEXT, status TEXT, start_ns INTEGER, end_ns INTEGER, parent TEXT,
  deleted INTEGER, open INTEGER, damaged TEXT, data TEXT
);
CREATE INDEX runs_name ON runs (name);
CREATE TABLE params (run INTEGER, key TEXT, kind TEXT, number REAL, text TEXT, PRIMARY KEY (run, key)) WITHOUT ROWID;
CREATE TABLE tags (run INTEGER, key TEXT, value TEXT, PRIMARY KEY (run, key)) WITHOUT ROWID;
CREATE TABLE metrics (
  run INTEGER, key TEXT, last REAL, best REAL, min REAL, max REAL, count INTEGER, PRIMARY KEY (run, key)
) WITHOUT ROWID;
CREATE TABLE artifacts (
  run INTEGER, n INTEGER, name TEXT, object TEXT, PRIMARY KEY (run, n)
) WITHOUT ROWID;
"""


def _param_row(text: str) -> tuple[str, float | None, str | None]:
    """(kind, number, text) of a JSON value."""
    try:
        value = json.loads(text)
    except ValueError:
        return "text", None, text
    if isinstance(value, bool):
        return "bool", float(value), None
    if isinstance(value, (int, float)):
        try:
            number = float(value)
        except OverflowError:
            return "number", None, text
        return "number", None if math.isnan(number) else number, None
    if value is None:
        return "null", None, None
    return "text", None, value.encode("utf-8", "replace").decode() if isinstance(value, str) else text


class Catalog:
    """Of one tracking root. Each call opens the database anew, so that one that was deleted comes back."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.path = os.path.join(root, "catalog.db")

    # -- the database

    def _connect(self) -> sqlite3.Connection:
        try:
            return self._prepared(self.path)
        except sqlite3.DatabaseError as broken:
            if isinstance(broken, sqlite3.OperationalError):
                if os.access(self.root, os.W_OK):
                    raise errors.UnavailableError(f"{self.path}: {broken}") from broken
                return self._prepared(":memory:")  # a root that we may only read
            for suffix in ("", "-wal", "-shm"):  # not a database, or of another version: it holds nothing of its own
                with contextlib.suppress(FileNotFoundError):
                    os.remove(self.path + suffix)
            return self._prepared(self.path)

    def _prepared(self, path: str) -> sqlite3.Connection:
        made = not os.path.exists(path)
        if made and path != ":memory:":
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        database = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            # FULL: when a mark is removed the row that it stood for must survive a loss of power.
            database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA case_sensitive_like=ON;")
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version != VERSION:
                database.execute("BEGIN IMMEDIATE")
                version = database.execute("PRAGMA user_version").fetchone()[0]
                if version not in (0, VERSION):
                    raise sqlite3.DatabaseError(f"version {version}")
                if version == 0:
                    for statement in _TABLES.split(";\n"):
                        database.execute(statement)
                    database.execute(f"PRAGMA user_version={VERSION}")
                database.execute("COMMIT")
        except BaseException:
            database.close()
            raise
        return database

    @contextlib.contextmanager
    def fresh(self) -> Iterator[sqlite3.Connection]:
        """The database, in which everything that was recorded before the call is found."""
        database = self._connect()
        try:
            self._refresh(database)
            yield database
        finally:
            database.close()

    # -- refresh

    def _marks(self) -> dict[str, list[str]]:
        marks: dict[str, list[str]] = {}
        folder = os.path.join(self.root, "open")
        for run in os.listdir(folder) if os.path.isdir(folder) else ():
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                marks[run] = os.listdir(os.path.join(folder, run))
        return marks

    def _stale(self, database: sqlite3.Connection, marks: dict[str, list[str]]) -> tuple[set[str], int]:
        folder = os.path.join(self.root, "runs")
        try:
            changed = os.stat(folder).st_mtime_ns
        except FileNotFoundError:
            return set(), 0
        stale = set(marks) | {row[0] for row in database.execute("SELECT id FROM runs WHERE open")}
        seen = database.execute("SELECT value FROM facts WHERE key = 'runs_changed'").fetchone()
        if seen is None or seen[0] != changed:
            known = {row[0] for row in database.execute("SELECT id FROM runs")}
            there = set(os.listdir(folder))
            stale |= there ^ known
        return stale, changed

    def _refresh(self, database: sqlite3.Connection) -> None:
        if not self._stale(database, self._marks())[0]:
            return
        # Read under the lock, so that nobody puts what was read earlier over what was read later.
        database.execute("BEGIN IMMEDIATE")
        try:
            marks = self._marks()
            stale, changed = self._stale(database, marks)
            states = {run: self._read(run) for run in sorted(stale)}
            for run, state in states.items():
                self._put(database, run, state)
            database.execute("INSERT OR REPLACE INTO facts VALUES ('runs_changed', ?)", (changed,))
            database.execute("COMMIT")
        except BaseException:
            database.execute("ROLLBACK")
            raise
        if database.execute("PRAGMA database_list").fetchone()[2]:  # not in memory
            self._remove_marks(marks, states)

    def _read(self, run: str) -> dict[str, Any] | None:
        """What the logs say; None when there is no such run (yet)."""
        try:
            # What dead writers left becomes columns here, where it is met; a root that we may only read stays as it is.
            with contextlib.suppress(errors.PermissionDeniedError, errors.ResourceExhaustedError):
                _core.recover(self.root, run)
            return _core.RunFiles.open(self.root, run).state()
        except (errors.NotFoundError, errors.InvalidArgumentError):
            return None

    def _put(self, database: sqlite3.Connection, run: str, state: dict[str, Any] | None) -> None:
        row = database.execute("SELECT n FROM runs WHERE id = ?", (run,)).fetchone()
        if row is not None:
            for table in ("params", "tags", "metrics", "artifacts"):
                database.execute(f"DELETE FROM {table} WHERE run = ?", row)
            database.execute("DELETE FROM runs WHERE n = ?", row)
        if state is None:
            return
        metrics = state["metrics"]
        damaged = "; ".join(text for text, torn in state["problems"] if not torn)
        data = {
            "params": state["params"],
            "tags": state["tags"],
            "metrics": {name: values[0] for name, values in metrics.items()},
            "reason": state["reason"],
        }
        n = database.execute(
            "INSERT INTO runs (n, id, name, status, start_ns, end_ns, parent, deleted, open, damaged, data)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                None if row is None else row[0],
                run,
                state["name"],
                state["status"],
                state["start_ns"],
                state["end_ns"] or None,
                state["parent"] or None,
                state["deleted"],
                state["open"],
                damaged,
                json.dumps(data, separators=(",", ":")),
            ),
        ).lastrowid
        database.executemany(
            "INSERT INTO params VALUES (?, ?, ?, ?, ?)",
            [(n, key, *_param_row(text)) for key, text in state["params"].items()],
        )
        database.executemany("INSERT INTO tags VALUES (?, ?, ?)", [(n, *item) for item in state["tags"].items()])
        database.executemany(
            "INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (n, name, last, best, least, most, count)  # SQLite has NULL for NaN
                for name, (last, _step, _time, least, most, best, count) in metrics.items()
            ],
        )
        database.executemany(
            "INSERT INTO artifacts VALUES (?, ?, ?, ?)",
            [(n, i, artifact[0], artifact[1]) for i, artifact in enumerate(state["artifacts"])],
        )

    def _remove_marks(self, marks: dict[str, list[str]], states: dict[str, dict[str, Any] | None]) -> None:
        for run, names in marks.items():
            state = states.get(run)
            if state is not None and state["open"]:
                continue
            try:
                living = {f"{writer:016x}" for writer in _core.living_writers(self.root, run)}
            except errors.InvalidArgumentError:
                continue  # not a run's
            folder = os.path.join(self.root, "open", run)
            with contextlib.suppress(OSError):
                for name in names:
                    if name not in living and not name.endswith(".tmp"):
                        os.remove(os.path.join(folder, name))
                os.rmdir(folder)  # only when it is empty
