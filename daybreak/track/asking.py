"""SQL over everything that was recorded: DuckDB, with the runs as tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from daybreak._core import track as _core
from daybreak.base import errors
from daybreak.track import reading
from daybreak.track.catalog import Catalog
from daybreak.track.roots import root as _root

__all__ = ["sql"]

MAX_BYTES = 100_000  # of a query
MAX_DIGITS = 38  # of a whole number that DuckDB compares exactly


class _Rows:
    """A table that DuckDB may read any number of times, each time from its beginning."""

    def __init__(self, schema: Any, batches: Callable[[], Iterator[Any]]) -> None:
        self._schema, self._batches = schema, batches

    def __arrow_c_schema__(self) -> Any:
        return self._schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        import pyarrow

        return pyarrow.RecordBatchReader.from_batches(self._schema, self._batches()).__arrow_c_stream__()


def sql(
    query: str,
    parameters: Sequence[object] | Mapping[str, object] | None = None,
    *,
    where: str | None = None,
    as_: str = "pandas",
) -> Any:
    """Asks DuckDB one SELECT over the runs, deleted ones left out; gives a pandas DataFrame, or an Arrow table (``as_="arrow"``).

    Tables: ``runs`` (id, name, status, reason, start, end, parent), ``params`` (run, name, value as JSON, number as a double, and
    integer: exact, of whole numbers up to 38 digits), ``tags`` (run, name, value), ``metrics`` (run, name, context, step, time,
    value: every point, streamed from the column files), ``latest`` (run, name, last, min, max, best, count), ``artifacts`` (run,
    name, id, size_bytes, kind, time). ``end`` is a word of SQL: write ``"end"``. ``where`` takes only the runs that
    ``track.runs(where)`` would: ``metrics`` reads the files of these alone.

    Times are UTC, to the microsecond. Read-only, and shut off from files and the network. ``parameters`` stand for ``?`` or
    ``$name``. ImportError without DuckDB; InvalidArgumentError with DuckDB's words when the query is wrong, DataLossError where the
    stored bytes are damaged.

    >>> import tempfile
    >>> from daybreak import track
    >>> _ = track.init(tempfile.mkdtemp())
    >>> with track.run("pong") as run:
    ...     run.log_array("return", [1.0, 2.0, 6.0])
    >>> track.sql("select name, avg(value) as mean from metrics group by name").to_dict("list")
    {'name': ['return'], 'mean': [3.0]}
    """
    if as_ not in ("pandas", "arrow"):
        raise errors.InvalidArgumentError(f"as_={as_!r}: 'pandas' or 'arrow' expected")
    if not isinstance(query, str):
        raise errors.InvalidArgumentError(f"the query is a str, not {type(query).__name__}")
    try:
        size = len(query.encode())
    except UnicodeEncodeError:
        raise errors.InvalidArgumentError("the query holds text that is no Unicode (a lone surrogate)") from None
    if size > MAX_BYTES:
        raise errors.InvalidArgumentError(f"the query has more than {MAX_BYTES:,} bytes")
    try:
        import duckdb
        import pyarrow
    except ImportError as missing:
        raise ImportError(
            f"track.sql needs {missing.name or 'duckdb'}: pip install 'daybreak[sql]'", name=missing.name
        ) from None
    root = _root()
    records = reading.runs(where)
    with duckdb.connect(":memory:") as database:
        failed: list[Exception] = []
        for name, rows in _tables(pyarrow, root, records, failed).items():
            database.register(name, rows)
        database.execute("SET enable_external_access = false")
        database.execute("SET python_enable_replacements = false")  # no variable of the caller is a table
        database.execute("SET lock_configuration = true")
        try:
            statements = database.extract_statements(query)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise errors.InvalidArgumentError("track.sql: one SELECT expected; nothing can be changed here")
            found = database.sql(query, params=parameters)
            return found.df() if as_ == "pandas" else found.to_arrow_table()
        except duckdb.Error as wrong:
            if failed:  # while the points were read; DuckDB would show it as a traceback
                raise errors.DataLossError(f"track.sql: {str(failed[0]).splitlines()[0]}") from None
            raise errors.InvalidArgumentError(f"track.sql: {wrong}") from None


def _tables(pa: Any, root: str, records: Sequence[reading.RunRecord], failed: list[Exception]) -> dict[str, Any]:
    ids = [record.id for record in records]
    wanted = set(ids)
    moment = pa.timestamp("us")
    run_of: dict[int, str]
    known, latest = Catalog(root).ask(
        lambda db: (
            db.execute("SELECT n, id FROM runs WHERE deleted = 0").fetchall(),
            db.execute("SELECT * FROM metrics ORDER BY run, key").fetchall(),
        )
    )
    run_of = {n: run for n, run in known if run in wanted}
    metrics = [row for row in latest if row[0] in run_of]
    last = {record.id: dict(record.metrics) for record in records}
    artifacts = [(record.id, artifact) for record in records for artifact in record.artifacts]
    params = [(record.id, name, value) for record in records for name, value in record.params.items()]
    tags = [(record.id, name, value) for record in records for name, value in record.tags.items()]

    def table(**columns: tuple[list[Any], Any]) -> Any:
        return pa.table({name: pa.array(values, kind) for name, (values, kind) in columns.items()})

    text, number, count = pa.string(), pa.float64(), pa.int64()
    return {
        "runs": table(
            id=(ids, text),
            name=([record.name for record in records], text),
            status=([record.status for record in records], text),
            reason=([record.reason for record in records], text),
            start=([record.start_ns // 1000 for record in records], moment),
            end=([record.end_ns and record.end_ns // 1000 for record in records], moment),
            parent=([record.parent for record in records], text),
        ),
        "params": table(
            run=([run for run, _, _ in params], text),
            name=([name for _, name, _ in params], text),
            value=([_text(value) for _, _, value in params], text),
            number=([_number(value) for _, _, value in params], number),
            integer=([_integer(value) for _, _, value in params], pa.decimal128(MAX_DIGITS, 0)),
        ),
        "tags": table(
            run=([run for run, _, _ in tags], text),
            name=([name for _, name, _ in tags], text),
            value=([value for _, _, value in tags], text),
        ),
        "latest": table(
            run=([run_of[row[0]] for row in metrics], text),
            name=([row[1] for row in metrics], text),
            last=([last[run_of[row[0]]].get(row[1]) for row in metrics], number),
            min=([row[4] for row in metrics], number),
            max=([row[5] for row in metrics], number),
            best=([row[3] for row in metrics], number),
            count=([row[6] for row in metrics], count),
        ),
        "artifacts": table(
            run=([run for run, _ in artifacts], text),
            name=([artifact.name for _, artifact in artifacts], text),
            id=([artifact.id for _, artifact in artifacts], text),
            size_bytes=([artifact.size_bytes for _, artifact in artifacts], count),
            kind=([artifact.kind for _, artifact in artifacts], text),
            time=([artifact.time.replace(tzinfo=None) for _, artifact in artifacts], moment),
        ),
        "metrics": _metrics(pa, root, ids, failed),
    }


def _text(value: object) -> str:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else json.dumps(value)


def _integer(value: object) -> int | None:
    return value if type(value) is int and abs(value) < 10**MAX_DIGITS else None


def _number(value: object) -> float | None:
    try:
        return float(value) if isinstance(value, (int, float)) else None
    except OverflowError:
        return None


def _metrics(pa: Any, root: str, ids: Sequence[str], failed: list[Exception]) -> _Rows:
    moment = pa.timestamp("us")
    fields = [("run", pa.string()), ("name", pa.string()), ("context", pa.string()), ("step", pa.int64())]
    schema = pa.schema([*fields, ("time", moment), ("value", pa.float64())])

    def batches() -> Iterator[Any]:
        try:
            yield from all_points()
        except Exception as error:
            failed.append(error)
            raise

    def all_points() -> Iterator[Any]:
        for run in ids:
            try:
                files = _core.RunFiles.open(root, run)
            except errors.NotFoundError:
                continue  # purged meanwhile
            stream = reading.Table(files, list(files.state()["metrics"]))
            for batch in pa.RecordBatchReader.from_stream(stream):
                rows = batch.num_rows
                repeated = [pa.repeat(pa.scalar(value, pa.string()), rows) for value in (run, "")]
                name, step, time, value = (batch.column(part) for part in ("name", "step", "time", "value"))
                columns = [repeated[0], name.cast(pa.string()), repeated[1], step, time.cast(moment, safe=False), value]
                yield pa.record_batch(columns, schema=schema)

    return _Rows(schema, batches)
