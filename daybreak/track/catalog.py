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
import random
import sqlite3
import time
import warnings
import zlib
from collections.abc import Callable
from typing import Any, TypeVar

from daybreak._core import track as _core
from daybreak.base import errors

__all__ = ["RECORD", "Catalog", "checked", "number_key"]

_Answer = TypeVar("_Answer")
# Errors of an operation that a damaged file may cause; 0 is Python's own, of text that is no UTF-8.
_DAMAGED = (
    0,
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_SCHEMA,
)
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_told: set[tuple[str, str, str]] = set()

VERSION = 2
BUSY_SECONDS = 30.0

_TABLES = """
CREATE TABLE facts (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE runs (
  n INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, name TEXT, status TEXT, start_ns INTEGER, end_ns INTEGER, parent TEXT,
  deleted INTEGER, open INTEGER, damaged TEXT, data TEXT, sum INTEGER
);
CREATE INDEX runs_name ON runs (name);
CREATE TABLE unread (id TEXT PRIMARY KEY, why TEXT) WITHOUT ROWID;
CREATE TABLE params (run INTEGER, key TEXT, kind TEXT, number, exact TEXT, text TEXT, PRIMARY KEY (run, key)) WITHOUT ROWID;
CREATE TABLE tags (run INTEGER, key TEXT, value TEXT, PRIMARY KEY (run, key)) WITHOUT ROWID;
CREATE TABLE metrics (
  run INTEGER, key TEXT, last REAL, best REAL, min REAL, max REAL, count INTEGER, PRIMARY KEY (run, key)
) WITHOUT ROWID;
CREATE TABLE artifacts (
  run INTEGER, n INTEGER, name TEXT, object TEXT, PRIMARY KEY (run, n)
) WITHOUT ROWID;
"""


def number_key(value: int | float) -> tuple[int | float | None, str | None]:
    """(number, exact) of a number, which together compare and sort as it does: SQLite's integers have 64 bits, its reals 53.

    ``exact`` is None but where the number alone does not say which it is: beyond 64 bits.

    >>> number_key(12345678901234567), number_key(2**64)
    ((12345678901234567, None), (1.8446744073709552e+19, 'P0002018446744073709551616'))
    >>> number_key(2**64)[0] == number_key(2**64 + 1)[0], number_key(2**64) < number_key(2**64 + 1)
    (True, True)
    """
    if isinstance(value, float):
        if math.isnan(value):
            return None, None
        if math.isinf(value):
            return value, "Q" if value > 0 else "M"  # beyond every other
        if abs(value) < 2.0**63:
            return value, None
        whole = int(value)
    elif -(2**63) <= value < 2**63:
        return value, None
    else:
        whole = value
    try:
        number = float(whole)
    except OverflowError:
        number = math.inf if whole > 0 else -math.inf
    digits = str(abs(whole))
    key = f"{len(digits):05d}{digits}"
    return number, f"P{key}" if whole > 0 else f"N{key.translate(_NINES)}"


_NINES = str.maketrans("0123456789", "9876543210")


def _param_row(text: str) -> tuple[str, int | float | None, str | None, str | None]:
    """(kind, number, exact, text) of a JSON value."""
    try:
        value = json.loads(text)
    except ValueError:
        return "text", None, None, text
    if isinstance(value, bool):
        return "bool", float(value), None, None
    if isinstance(value, (int, float)):
        return "number", *number_key(value), None
    if value is None:
        return "null", None, None, None
    return "text", None, None, value.encode("utf-8", "replace").decode() if isinstance(value, str) else text


RECORD = "r.id, r.name, r.status, r.start_ns, r.end_ns, r.parent, r.deleted, r.data, r.sum"


def _sum(record: tuple[Any, ...]) -> int:
    return zlib.crc32(repr(record).encode("utf-8", "replace"))


def checked(record: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a question has found as ``RECORD``, without the sum; a row that was altered makes the catalog a damaged one."""
    if _sum(record[:-1]) != record[-1]:
        raise sqlite3.DatabaseError("a row does not have its checksum")
    return record[:-1]


def _code(error: sqlite3.Error) -> int:
    """SQLite's own, without its extension; 0 of an error that Python's module raised."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


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
            if not isinstance(broken, sqlite3.OperationalError):
                return self._anew()  # not a database, or of another version
            if _code(broken) in _BUSY:
                raise
            return self._prepared(":memory:")  # a root or a file that we may only read, or not even that: slower
        except UnicodeDecodeError:  # SQLite's own words about what is damaged, with the damage in them
            return self._anew()
        except OSError:
            return self._prepared(":memory:")

    def _anew(self) -> sqlite3.Connection:
        """It holds nothing of its own, so it can be thrown away."""
        try:
            for suffix in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    os.remove(self.path + suffix)
            return self._prepared(self.path)
        except (OSError, sqlite3.DatabaseError):
            return self._prepared(":memory:")

    def _prepared(self, path: str) -> sqlite3.Connection:
        made = not os.path.exists(path)
        if made and path != ":memory:":
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        database = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            # FULL: when a mark is removed the row that it stood for must survive a loss of power.
            database.executescript(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA case_sensitive_like=ON; PRAGMA cell_size_check=ON;"
            )
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

    def ask(self, question: Callable[[sqlite3.Connection], _Answer]) -> _Answer:
        """What ``question`` finds in the database, in which is everything that was recorded before the call.

        A database that turns out to be damaged is rebuilt, and asked again. A run that cannot be read (another user's, a folder
        that is damaged) is left out with a RuntimeWarning that says which and why, and tried again the next time.
        """
        give_up = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                answer, unread = self._ask(question)
                break
            except sqlite3.OperationalError as busy:
                # SQLite does not wait where that could be for ever (two that both want to make the file a WAL one): let go, again.
                if _code(busy) not in _BUSY:
                    raise
                if time.monotonic() >= give_up:
                    raise errors.UnavailableError(
                        f"{self.path}: {busy}: others have kept it for {BUSY_SECONDS:.0f} s"
                    ) from busy
                time.sleep(random.uniform(0.001, 0.02))
        for run, why in unread:
            if (self.root, run, why) not in _told:
                _told.add((self.root, run, why))
                warnings.warn(f"run {run} is left out, it cannot be read: {why}", RuntimeWarning, stacklevel=3)
        return answer

    def _ask(self, question: Callable[[sqlite3.Connection], _Answer]) -> tuple[_Answer, list[tuple[str, str]]]:
        database = self._connect()
        try:
            try:
                answer = self._asked(database, question)
            except (sqlite3.DatabaseError, UnicodeDecodeError) as broken:
                if isinstance(broken, sqlite3.OperationalError) and _code(broken) not in _DAMAGED:
                    raise
                database.close()
                database = self._anew()
                answer = self._asked(database, question)
            return answer, database.execute("SELECT id, why FROM unread ORDER BY id").fetchall()
        finally:
            database.close()

    def _asked(self, database: sqlite3.Connection, question: Callable[[sqlite3.Connection], _Answer]) -> _Answer:
        self._refresh(database)
        return question(database)

    # -- refresh

    def _marks(self) -> dict[str, list[str]]:
        marks: dict[str, list[str]] = {}
        folder = os.path.join(self.root, "open")
        for run in os.listdir(folder) if os.path.isdir(folder) else ():
            marks[run] = []
            try:
                marks[run] = os.listdir(os.path.join(folder, run))
            except (FileNotFoundError, NotADirectoryError):
                del marks[run]
            except OSError:
                pass  # another user's: the run is read, if it may be
        return marks

    def _stale(self, database: sqlite3.Connection, marks: dict[str, list[str]]) -> tuple[set[str], int]:
        folder = os.path.join(self.root, "runs")
        try:
            changed = os.stat(folder).st_mtime_ns
        except FileNotFoundError:
            return set(), 0
        stale = set(marks) | {row[0] for row in database.execute("SELECT id FROM runs WHERE open")}
        stale |= {row[0] for row in database.execute("SELECT id FROM unread")}
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
            states: dict[str, dict[str, Any] | None] = {}
            for run in sorted(stale):
                why = None
                try:
                    states[run] = self._read(run)
                except (errors.Error, OSError) as error:
                    states[run], why = None, str(error)
                self._put(database, run, states[run])
                database.execute("DELETE FROM unread WHERE id = ?", (run,))
                if why is not None:
                    database.execute("INSERT INTO unread VALUES (?, ?)", (run, why))
            database.execute("INSERT OR REPLACE INTO facts VALUES ('runs_changed', ?)", (changed,))
            database.execute("COMMIT")
        except BaseException:
            database.execute("ROLLBACK")
            raise
        if database.execute("SELECT file <> '' FROM pragma_database_list").fetchone()[0]:  # not in memory
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
        record = (
            run,
            state["name"],
            state["status"],
            state["start_ns"],
            state["end_ns"] or None,
            state["parent"] or None,
            int(state["deleted"]),
            json.dumps(data, separators=(",", ":")),
        )
        n = database.execute(
            "INSERT INTO runs (n, id, name, status, start_ns, end_ns, parent, deleted, data, open, damaged, sum)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (None if row is None else row[0], *record, state["open"], damaged, _sum(record)),
        ).lastrowid
        database.executemany(
            "INSERT INTO params VALUES (?, ?, ?, ?, ?, ?)",
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
            except errors.Error:
                continue  # not a run's, or not ours to see
            folder = os.path.join(self.root, "open", run)
            with contextlib.suppress(OSError):
                for name in names:
                    if name not in living and not name.endswith(".tmp"):
                        os.remove(os.path.join(folder, name))
                os.rmdir(folder)  # only when it is empty
