"""Runs as they are read: records, series, what artifacts they hold."""

from __future__ import annotations

import atexit
import contextlib
import datetime
import fcntl
import json
import os
import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, overload

from daybreak._core import track as _core
from daybreak.base import errors, numbers
from daybreak.base.options import close
from daybreak.track.catalog import RECORD, Catalog, checked
from daybreak.track.query import compile_order, compile_where
from daybreak.track.roots import root as _root

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from daybreak.store import Store

__all__ = [
    "Artifact",
    "History",
    "Metrics",
    "RunRecord",
    "Table",
    "captured",
    "find",
    "get",
    "id_of",
    "known",
    "live_objects",
    "load",
    "locked",
    "runs",
    "store",
    "summaries",
]

MAX_LIMIT = 1_000_000
MAX_PREVIEW = 256
DEFAULT_PREVIEW = 200


@dataclass(frozen=True)
class Artifact:
    """What a run kept: ``id`` names the content in the store (SHA-256, hexadecimal), ``size_bytes`` is that of the content, ``run``
    the run's id."""

    name: str
    id: str
    size_bytes: int
    kind: str
    meta: Mapping[str, Any]
    time: datetime.datetime = field(compare=False)
    run: str = field(default="", compare=False)


class LoadedBytes(bytes):
    """Bytes of an artifact, which know where they came from: a server shows it of a policy that is deployed from them."""

    artifact: Artifact


MAX_LOADED_BYTES = 64 << 20  # larger ones are plain bytes: they are not copied once more


@dataclass(frozen=True)
class History:
    """One series, sorted by step: ``steps`` int64, ``times`` int64 (ns since 1970), ``values`` float64, all of one length."""

    steps: np.ndarray[Any, np.dtype[np.int64]]
    times: np.ndarray[Any, np.dtype[np.int64]]
    values: np.ndarray[Any, np.dtype[np.float64]]

    def __len__(self) -> int:
        return len(self.steps)


class Table:
    """Series as an Arrow stream, which pyarrow, polars, DuckDB and pandas take without a copy: ``pyarrow.table(t)``.

    Columns: name (dictionary of text), step (int64), time (timestamp, ns, UTC), value (double). Read from disk in batches
    of 65,536 rows as they are asked for, so that a series of any length needs little memory. May be read any number of
    times.
    """

    def __init__(self, files: _core.RunFiles, names: Sequence[str]) -> None:
        self._files, self._names = files, list(names)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._files.stream(self._names)


def _frame(series: Mapping[str, History]) -> pd.DataFrame:
    try:
        import pandas as pd
    except ModuleNotFoundError:
        raise errors.FailedPreconditionError(
            "as_='pandas' needs pandas: pip install pandas, or ask for as_='dict' or as_='arrow'"
        ) from None
    import numpy as np

    names = list(series)
    lengths = [len(history) for history in series.values()]
    codes = np.repeat(np.arange(len(names), dtype=np.int32), lengths)

    def joined(part: str, dtype: str) -> Any:
        parts = [getattr(history, part) for history in series.values()]
        return np.concatenate(parts) if parts else np.empty(0, dtype)

    return pd.DataFrame(
        {
            "name": pd.Categorical.from_codes(codes, categories=pd.Index(names, dtype=object)),
            "step": joined("steps", "int64"),
            "time": pd.to_datetime(joined("times", "int64"), utc=True, unit="ns"),
            "value": joined("values", "float64"),
        }
    )


class Metrics(dict[str, float]):
    """The last value of each metric by name; called, it gives their series: ``record.metrics(["return"], as_="pandas")``."""

    def __init__(self, last: Mapping[str, float], root: str, run: str) -> None:
        super().__init__(last)
        self._root, self._run = root, run

    @overload
    def __call__(
        self, names: Iterable[str] | str | None = None, *, as_: Literal["pandas"] = "pandas"
    ) -> pd.DataFrame: ...
    @overload
    def __call__(self, names: Iterable[str] | str | None = None, *, as_: Literal["arrow"]) -> Table: ...
    @overload
    def __call__(self, names: Iterable[str] | str | None = None, *, as_: Literal["dict"]) -> dict[str, History]: ...
    def __call__(self, names: Iterable[str] | str | None = None, *, as_: str = "pandas") -> Any:
        """All points of the metrics (of those named): a DataFrame with name, step, time, value; a Table; or a History for
        each name.

        NotFoundError for a name that was never logged, DataLossError (it names file and place) where the stored bytes are
        damaged.
        """
        if as_ not in ("pandas", "arrow", "dict"):
            raise errors.InvalidArgumentError(f"as_={as_!r}: 'pandas', 'arrow' or 'dict' expected")
        files, state = _opened(self._root, self._run)
        every = list(state["metrics"])
        chosen = every if names is None else [names] if isinstance(names, str) else list(names)
        for name in chosen:
            known(name, every)
        if as_ == "arrow":
            return Table(files, chosen)
        series = {name: History(*files.history(name, -(2**63), 2**63 - 1)) for name in chosen}
        return series if as_ == "dict" else _frame(series)

    def __reduce__(self) -> Any:
        return Metrics, (dict(self), self._root, self._run)


def _close(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = close(name, names, 3)
    if near:
        return f": did you mean {', '.join(map(repr, near))}?"
    return f": there {'is' if len(names) == 1 else 'are'} {', '.join(map(repr, names[:10]))}" if names else ""


def known(name: str, names: Iterable[str]) -> None:
    """NotFoundError when the metric is not among them."""
    if name not in names:
        raise errors.NotFoundError(f"no metric {name!r}{_close(name, names)}")


def _opened(root: str, run: str) -> tuple[_core.RunFiles, dict[str, Any]]:
    """The run's files and state; DataLossError when some of it is damaged."""
    files = _core.RunFiles.open(root, run)
    state = files.state()
    damaged = [text for text, torn in state["problems"] if not torn]
    if damaged:
        raise errors.DataLossError(
            f"run {run}: {damaged[0]}"
            + (f" (and {len(damaged) - 1} more)" if len(damaged) > 1 else "")
            + ": what other blocks hold is given by track.get(id, damaged=True)"
        )
    return files, state


_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def _time(nanoseconds: int | None) -> datetime.datetime | None:
    if not nanoseconds:
        return None
    return _EPOCH + datetime.timedelta(microseconds=nanoseconds // 1000)  # not by a float, which rounds


def id_of(run: object) -> str:
    """Of a run, a record or an id. InvalidArgumentError for anything else."""
    found = run if isinstance(run, str) else getattr(run, "id", None)
    if not isinstance(found, str):
        raise errors.InvalidArgumentError(f"a run, a record or a run's id expected, not {type(run).__name__}")
    return found


@contextlib.contextmanager
def locked(root: str, run: str) -> Iterator[None]:
    """Nobody else changes the run's parameters, resumes, deletes, restores or purges it meanwhile. NotFoundError when it is not
    there."""
    path = os.path.join(root, "runs", run, "lock")
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        raise errors.NotFoundError(f"no run {run!r} in {root}") from None
    pid = os.getpid()
    _locks.add(file)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not os.path.exists(path):
            raise errors.NotFoundError(f"run {run!r} was purged")
        yield
    finally:
        if os.getpid() == pid:  # else this is a child that was forked meanwhile, which has closed it
            _locks.discard(file)
            fcntl.flock(
                file, fcntl.LOCK_UN
            )  # for every process that has the descriptor, also a child's that was just forked
            os.close(file)


class RunRecord:
    """A run as it was when it was asked for.

    ``id``, ``name``, ``status`` ("running", "finished", "failed", "killed"), ``reason`` (of a failure), ``params``,
    ``tags``, ``metrics`` (the last value of each; call it for the series), ``start``, ``end`` (datetimes in UTC; ``end`` is
    None while it runs), ``parent`` (the id of the run it is a child of, or None), ``deleted``.
    """

    __slots__ = ("_data", "_root", "deleted", "end_ns", "id", "name", "parent", "start_ns", "status")

    def __init__(self, root: str, row: tuple[Any, ...]) -> None:
        self._root = root
        self.id: str
        self.name: str
        self.status: str
        self.start_ns: int
        self.end_ns: int | None
        self.parent: str | None
        self._data: Any
        self.id, self.name, self.status, self.start_ns, self.end_ns, self.parent, deleted, self._data = row
        self.deleted = bool(deleted)

    @property
    def _decoded(self) -> dict[str, Any]:
        if isinstance(self._data, str):
            self._data = json.loads(self._data)
        data: dict[str, Any] = self._data
        return data

    @property
    def params(self) -> dict[str, Any]:
        return {name: _param(text) for name, text in self._decoded["params"].items()}

    @property
    def tags(self) -> dict[str, str]:
        return dict(self._decoded["tags"])

    @property
    def metrics(self) -> Metrics:
        return Metrics(self._decoded["metrics"], self._root, self.id)

    @property
    def reason(self) -> str:
        return str(self._decoded["reason"])

    @property
    def start(self) -> datetime.datetime | None:
        return _time(self.start_ns)

    @property
    def end(self) -> datetime.datetime | None:
        return _time(self.end_ns)

    def __repr__(self) -> str:
        return f"<Run {self.name!r} {self.status} {self.id}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RunRecord) and (self.id, self._root) == (other.id, other._root)

    def __hash__(self) -> int:
        return hash(self.id)

    def _describe(self) -> dict[str, Any]:
        """Everything, as plain values: two catalogs that agree on it agree."""
        return {"id": self.id, "name": self.name, "status": self.status, "start_ns": self.start_ns, "end_ns": self.end_ns,
                "parent": self.parent, "deleted": self.deleted, **self._decoded}  # fmt: skip

    # -- what is read from the run's own files

    def history(self, name: str, first_step: int | None = None, last_step: int | None = None) -> History:
        """All points of a metric (from ``first_step`` to ``last_step``, both included)."""
        return history(self._root, self.id, name, first_step, last_step)

    def preview(self, name: str, points: int = DEFAULT_PREVIEW) -> History:
        """At most ``points`` (3 to 256) of a metric, chosen to look like all of them (LTTB); without reading a long series."""
        return preview(self._root, self.id, name, points)

    @property
    def artifacts(self) -> list[Artifact]:
        """In the order in which they were kept; of several with one name the last is the newest."""
        return artifacts(self._root, self.id)

    def artifact(self, name: str) -> Artifact:
        """The newest artifact of this name. NotFoundError when there is none."""
        found = self.artifacts
        for artifact in reversed(found):
            if artifact.name == name:
                return artifact
        raise errors.NotFoundError(
            f"run {self.id} has no artifact {name!r}{_close(name, {artifact.name for artifact in found})}"
        )

    @property
    def children(self) -> list[RunRecord]:
        """The runs within this one that are not purged, in the order in which they began."""
        state = _opened(self._root, self.id)[1]
        found = []
        for child, _ in state["children"]:
            with contextlib.suppress(errors.NotFoundError):
                found.append(_get(self._root, child))
        return found

    # -- what was written down by itself

    @property
    def captured(self) -> dict[str, Any]:
        """What the run came from, by topic: "git", "python", "command", "host". Empty when nothing was captured.

        Of a run that was resumed it is what was captured when it began; "resumed" then has the same for each later session.
        """
        return captured(self._root, self.id)

    def output(self, stream: str | None = None) -> str:
        """What Python printed while the run was on: to "stdout", to "stderr", or (None) to both in the order of writing. As a
        terminal shows it in the end: progress bars in their last state, without colours."""
        if stream not in (None, "stdout", "stderr"):
            raise errors.InvalidArgumentError(f"stream={stream!r}: 'stdout', 'stderr' or None expected")
        from daybreak.track.screen import shown

        told = _opened(self._root, self.id)[0].captured()["output"]
        return shown("".join(text for name, text in told if stream in (None, name)))

    @property
    def notices(self) -> list[str]:
        """What happened to the run's record itself: what could not be captured, an end that a loss of power cut."""
        return list(_opened(self._root, self.id)[0].captured()["notices"])


def captured(root: str, run: str) -> dict[str, Any]:
    parts: dict[int, dict[str, list[dict[str, Any]]]] = {}
    for session, topic, text in _opened(root, run)[0].captured()["captures"]:
        value = _param(text)
        if isinstance(value, dict):
            parts.setdefault(session, {}).setdefault(topic, []).append(value)
    if not parts:
        return {}
    from daybreak.track.capture import merged

    first, *later = [{topic: merged(dicts) for topic, dicts in topics.items()} for _, topics in sorted(parts.items())]
    return first | ({"resumed": later} if later else {})


def _param(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def history(root: str, run: str, name: str, first_step: int | None, last_step: int | None) -> History:
    files, state = _opened(root, run)
    known(name, state["metrics"])
    first, last = (
        default if step is None else numbers.integer(step, what, minimum=-(2**63), maximum=2**63 - 1)
        for what, step, default in (("first_step", first_step, -(2**63)), ("last_step", last_step, 2**63 - 1))
    )
    return History(*files.history(name, first, last))


def summaries(record: RunRecord) -> dict[str, tuple[float, int, int, float, float, float, int]]:
    """Of each metric: last value, its step, its time (ns), least, greatest, best, how many."""
    return dict(_opened(record._root, record.id)[1]["metrics"])


def preview(root: str, run: str, name: str, points: int) -> History:
    points = numbers.integer(points, "points")
    if not 3 <= points <= MAX_PREVIEW:
        raise errors.InvalidArgumentError(
            f"points={points}: a preview has 3 to {MAX_PREVIEW} points; history() has all"
        )
    files, state = _opened(root, run)
    known(name, state["metrics"])
    return History(*files.preview(name, points))


def artifacts(root: str, run: str) -> list[Artifact]:
    found = _opened(root, run)[1]["artifacts"]
    return [
        Artifact(
            name,
            object_id,
            size,
            kind,
            json.loads(meta or "{}"),
            _time(time) or datetime.datetime.now(datetime.UTC),
            run,
        )
        for name, object_id, size, kind, meta, time in found
    ]


def runs(
    where: str | None = None,
    *,
    order_by: str | Sequence[str] | None = None,
    limit: int | None = None,
    deleted: bool | None = False,
) -> list[RunRecord]:
    """The runs for which ``where`` is true, in the order of ``order_by`` (ties and without it: the newest first).

    The language is that of ``daybreak.track.query``. ``deleted``: False leaves deleted runs out, True gives only those,
    None both. InvalidArgumentError points at the position in the text.

    >>> import tempfile
    >>> from daybreak import track
    >>> _ = track.init(tempfile.mkdtemp())
    >>> for lr in (0.001, 0.1):
    ...     with track.run("pong", params={"lr": lr}) as run:
    ...         run.log({"return": 10 * lr}, step=7)
    >>> good = track.runs("params.lr > 0.01 and status = 'finished'", order_by="metrics.return desc")
    >>> [run.metrics["return"] for run in good]
    [1.0]
    """
    for what, text in (("where", where), ("order_by", order_by)):
        if text is not None and not isinstance(text, (str, list, tuple) if what == "order_by" else str):
            raise errors.InvalidArgumentError(f"{what}={text!r}: a str expected, not a {type(text).__name__}")
    condition, values = ("1", []) if where is None or not where.strip() else compile_where(where)
    order = "r.id DESC"
    if order_by is not None:
        by, names = compile_order(order_by if isinstance(order_by, str) else ", ".join(order_by))
        order, values = f"{by}, {order}", values + names
    if limit is not None:
        limit = numbers.integer(limit, "limit")
        if not 0 <= limit <= MAX_LIMIT:
            raise errors.InvalidArgumentError(f"limit={limit}: 0 to {MAX_LIMIT:,} expected")
        values = [*values, limit]
    state = "1" if deleted is None else f"r.deleted = {int(deleted)}"
    sql = f"SELECT {RECORD} FROM runs r WHERE {state} AND {condition} ORDER BY {order}" + (
        " LIMIT ?" if limit is not None else ""
    )
    root = _root()
    rows = Catalog(root).ask(lambda db: [checked(row) for row in db.execute(sql, values)])
    return [RunRecord(root, row) for row in rows]


def get(run: str | RunRecord, *, damaged: bool = False) -> RunRecord:
    """The run with this id, also a deleted one. NotFoundError when there is none.

    Raises DataLossError, which names file and block, when some of its bytes are damaged; with ``damaged=True`` gives what
    is left.
    """
    return _get(_root(), id_of(run), damaged)


def find(text: str) -> RunRecord:
    """The run whose id begins or ends with ``text``, deleted ones too. NotFoundError when there is none, InvalidArgumentError
    when there are several."""
    root, plain = _root(), text.strip().lower()
    if not re.fullmatch(r"[0-9a-f-]{1,36}", plain):
        raise errors.InvalidArgumentError(f"{text[:80]!r} is neither a run's id nor a part of one")
    query = "SELECT id FROM runs WHERE id = ?1 OR id LIKE ?1 || '%' OR id LIKE '%' || ?1 ORDER BY id = ?1 DESC LIMIT 4"
    ids = [row[0] for row in Catalog(root).ask(lambda db: db.execute(query, (plain,)).fetchall())]
    if not ids:
        raise errors.NotFoundError(f"no run {text!r} in {root}")
    if len(ids) > 1 and ids[0] != plain:
        raise errors.InvalidArgumentError(
            f"{text!r} is a part of several ids, among them {', '.join(ids[:3])}: say more of it"
        )
    return _get(root, ids[0])


def _get(root: str, run: str, damaged: bool = False) -> RunRecord:
    rows, unread = Catalog(root).ask(
        lambda db: (
            [
                (checked(row[:-1]), row[-1])
                for row in db.execute(f"SELECT {RECORD}, r.damaged FROM runs r WHERE id = ?", (run,))
            ],
            db.execute("SELECT why FROM unread WHERE id = ?", (run,)).fetchone(),
        )
    )
    if not rows:
        if unread is not None:
            _core.RunFiles.open(root, run)  # its own error, if it still cannot be read
            raise errors.UnavailableError(f"run {run}: {unread[0]}")
        raise errors.NotFoundError(f"no run {run!r} in {root}")
    ((row, what),) = rows
    if what and not damaged:
        raise errors.DataLossError(f"run {run}: {what}: what other blocks hold is given by track.get(id, damaged=True)")
    return RunRecord(root, row)


_stores: dict[tuple[int, str], Store] = {}
_stores_lock = threading.Lock()
_locks: set[int] = set()  # descriptors of runs that are locked at this moment
_MAX_STORES = 4
atexit.register(_stores.clear)  # before the extension module goes


def _forked() -> None:
    global _stores_lock
    _stores_lock = threading.Lock()  # that of the parent may be held by a thread that is not here
    for file in _locks:
        os.close(file)  # or the parent's lock would be held until this process ends
    _locks.clear()


os.register_at_fork(after_in_child=_forked)


def store(root: str) -> Store:
    """The content store of a tracking root, imported and opened when this process first needs it."""
    from daybreak.store import Store

    key = os.getpid(), root
    with _stores_lock:
        opened = _stores.get(key)
        if opened is None or not os.path.exists(opened.path):
            _stores.pop(key, None)
            while len(_stores) >= _MAX_STORES:
                _stores.pop(next(iter(_stores)))
            opened = _stores[key] = Store(os.path.join(root, "store"))
        return opened


def load(artifact: Artifact | str) -> Any:
    """The value of an artifact (or of the object with this id): of the type that was kept.

    Bytes for bytes and for a file, an array, a dict of arrays, a data frame. A large file is better written to the disk
    (``track.export``, or ``Store.write_to``) than loaded. NotFoundError when there is none, DataLossError when it is damaged.
    """
    if not isinstance(artifact, (Artifact, str)):
        raise errors.InvalidArgumentError(
            f"track.load: an artifact (track.get(id).artifact(name)) or its id expected, not {type(artifact).__name__}"
        )
    value = store(_root()).load(artifact if isinstance(artifact, str) else artifact.id)
    if isinstance(artifact, Artifact) and isinstance(value, bytes) and len(value) <= MAX_LOADED_BYTES:
        value = LoadedBytes(value)
        value.artifact = artifact
    return value


def live_objects(root: str | None = None) -> set[str]:
    """The ids of all objects that some run holds, deleted runs included (they can be restored).

    For the store's collector, which reads it after the store's pins: what is kept meanwhile is pinned until its record is
    in a log. DataLossError when a run is damaged: its artifacts might be among what is lost, so nothing may be collected.
    """

    def held(database: sqlite3.Connection) -> set[str]:
        bad = database.execute(
            "SELECT id, damaged FROM runs WHERE damaged <> '' UNION SELECT id, why FROM unread LIMIT 1"
        ).fetchone()
        if bad is not None:
            raise errors.DataLossError(f"run {bad[0]} is damaged, so what it holds is not known: {bad[1]}")
        return {row[0] for row in database.execute("SELECT DISTINCT object FROM artifacts")}

    return Catalog(root or _root()).ask(held)
