"""Runs as they are read: records, series, what artifacts they hold."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, overload

from daybreak._core import track as _core
from daybreak.base import errors
from daybreak.track.catalog import Catalog
from daybreak.track.query import compile_order, compile_where
from daybreak.track.roots import root as _root

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = ["Artifact", "History", "Metrics", "RunRecord", "Table", "get", "live_objects", "load", "runs"]

MAX_LIMIT = 1_000_000
MAX_PREVIEW = 256
DEFAULT_PREVIEW = 200


@dataclass(frozen=True)
class Artifact:
    """What a run kept: ``id`` names the content in the store (SHA-256, hexadecimal), ``size_bytes`` is that of the content."""

    name: str
    id: str
    size_bytes: int
    kind: str
    meta: Mapping[str, Any]
    time: datetime.datetime


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
        known = list(state["metrics"])
        chosen = known if names is None else [names] if isinstance(names, str) else list(names)
        for name in chosen:
            _known(name, known)
        if as_ == "arrow":
            return Table(files, chosen)
        series = {name: History(*files.history(name, -(2**63), 2**63 - 1)) for name in chosen}
        return series if as_ == "dict" else _frame(series)

    def __reduce__(self) -> Any:
        return Metrics, (dict(self), self._root, self._run)


def _known(name: str, known: Iterable[str]) -> None:
    if name not in known:
        import difflib

        close = difflib.get_close_matches(name, list(known), 3)
        raise errors.NotFoundError(
            f"no metric {name!r}" + (f": did you mean {', '.join(map(repr, close))}?" if close else "")
        )


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


def _time(nanoseconds: int | None) -> datetime.datetime | None:
    if not nanoseconds:
        return None
    return datetime.datetime.fromtimestamp(nanoseconds / 1e9, datetime.UTC)


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

    @property
    def children(self) -> list[RunRecord]:
        state = _opened(self._root, self.id)[1]
        return [get(child) for child, _ in state["children"]]


def _param(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def history(root: str, run: str, name: str, first_step: int | None, last_step: int | None) -> History:
    files, state = _opened(root, run)
    _known(name, state["metrics"])
    first = -(2**63) if first_step is None else first_step
    return History(*files.history(name, first, 2**63 - 1 if last_step is None else last_step))


def preview(root: str, run: str, name: str, points: int) -> History:
    if not 3 <= points <= MAX_PREVIEW:
        raise errors.InvalidArgumentError(
            f"points={points}: a preview has 3 to {MAX_PREVIEW} points; history() has all"
        )
    files, state = _opened(root, run)
    _known(name, state["metrics"])
    return History(*files.preview(name, points))


def artifacts(root: str, run: str) -> list[Artifact]:
    found = _opened(root, run)[1]["artifacts"]
    return [
        Artifact(
            name, object_id, size, kind, json.loads(meta or "{}"), _time(time) or datetime.datetime.now(datetime.UTC)
        )
        for name, object_id, size, kind, meta, time in found
    ]


_COLUMNS = "r.id, r.name, r.status, r.start_ns, r.end_ns, r.parent, r.deleted, r.data"


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
    condition, values = ("1", []) if where is None or not where.strip() else compile_where(where)
    order = "r.id DESC"
    if order_by is not None:
        by, names = compile_order(order_by if isinstance(order_by, str) else ", ".join(order_by))
        order, values = f"{by}, {order}", values + names
    if limit is not None:
        if not 0 <= limit <= MAX_LIMIT:
            raise errors.InvalidArgumentError(f"limit={limit}: 0 to {MAX_LIMIT:,} expected")
        values = [*values, limit]
    state = "1" if deleted is None else f"r.deleted = {int(deleted)}"
    sql = f"SELECT {_COLUMNS} FROM runs r WHERE {state} AND {condition} ORDER BY {order}" + (
        " LIMIT ?" if limit is not None else ""
    )
    root = _root()
    with Catalog(root).fresh() as database:
        return [RunRecord(root, row) for row in database.execute(sql, values)]


def get(run: str, *, damaged: bool = False) -> RunRecord:
    """The run with this id, also a deleted one. NotFoundError when there is none.

    Raises DataLossError, which names file and block, when some of its bytes are damaged; with ``damaged=True`` gives what
    is left.
    """
    root = _root()
    with Catalog(root).fresh() as database:
        row = database.execute(f"SELECT {_COLUMNS}, r.damaged FROM runs r WHERE id = ?", (run,)).fetchone()
    if row is None:
        raise errors.NotFoundError(f"no run {run!r} in {root}")
    if row[-1] and not damaged:
        raise errors.DataLossError(
            f"run {run}: {row[-1]}: what other blocks hold is given by track.get(id, damaged=True)"
        )
    return RunRecord(root, row[:-1])


def store(root: str) -> Any:
    """The content store of a tracking root (``daybreak.track.store.Store``), imported when it is first needed."""
    return import_module("daybreak.track.store").Store(os.path.join(root, "store"))


def load(artifact: Artifact | str) -> Any:
    """The value of an artifact (or of the object with this id): of the type that was kept."""
    return store(_root()).load(artifact if isinstance(artifact, str) else artifact.id)


def live_objects() -> set[str]:
    """The ids of all objects that some run holds, deleted runs included (they can be restored).

    For the store's collector, which reads it after the store's pins: what is kept meanwhile is pinned until its record is
    in a log. DataLossError when a run is damaged: its artifacts might be among what is lost, so nothing may be collected.
    """
    with Catalog(_root()).fresh() as database:
        bad = database.execute("SELECT id, damaged FROM runs WHERE damaged <> '' LIMIT 1").fetchone()
        if bad is not None:
            raise errors.DataLossError(f"run {bad[0]} is damaged, so what it holds is not known: {bad[1]}")
        return {row[0] for row in database.execute("SELECT DISTINCT object FROM artifacts")}
