"""``daybreak runs``: what was recorded, in the terminal."""

from __future__ import annotations

import datetime
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from daybreak import track
from daybreak.base import errors, paths
from daybreak.base.terminal import Json, clean, clean_lines, console, json_out, only_ascii, table
from daybreak.track import exporting, plotting, reading, roots

__all__ = ["Root", "app", "use_root"]

DEFAULT_LIMIT = 20
MAX_LOOKED_AT = 1000  # runs, for one that has the metric to be plotted
MAX_COLUMNS = 4  # of parameters and of metrics that `list` shows by itself
_SHORT = 8  # characters of an id's end, which is random

app = typer.Typer(help="Look at runs. RUN is an id, or the beginning or end of one when that is unique.")

Root = Annotated[
    Path | None, typer.Option("--root", help="The tracking root.  [default: $DAYBREAK_TRACK_DIR or .daybreak/track]")
]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="An id, or its beginning or end.")]
Where = Annotated[str | None, typer.Option(help="Only these, such as \"params.lr > 0.01 and status = 'finished'\".")]


def use_root(root: Path | None) -> str:
    """Takes the tracking root, which must be there: to look must not make one."""
    path = roots.chosen() if root is None else paths.given(root, "--root")
    if not os.path.exists(os.path.join(path, "format")):
        raise errors.NotFoundError(
            f"no tracking root in {path}: name one by --root or DAYBREAK_TRACK_DIR, or record a run first"
        )
    return track.init(path)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _short(value: object, limit: int = 40) -> str:
    text = clean(value if isinstance(value, str) else json.dumps(value))
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _started(record: track.RunRecord) -> str:
    return record.start.astimezone().strftime("%Y-%m-%d %H:%M:%S") if record.start else "-"


def _took(record: track.RunRecord) -> str:
    if record.start is None:
        return "-"
    seconds = ((record.end or datetime.datetime.now(datetime.UTC)) - record.start).total_seconds()
    if seconds < 120:
        return f"{max(seconds, 0):.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


@app.callback(invoke_without_command=True)
def runs(context: typer.Context) -> None:
    """Without a command: the newest runs."""
    if context.invoked_subcommand is None:
        list_runs()


@app.command("list")
def list_runs(
    where: Where = None,
    order_by: Annotated[
        str | None, typer.Option(help='Such as "metrics.return desc".  [default: newest first]')
    ] = None,
    limit: Annotated[int, typer.Option(min=0, max=reading.MAX_LIMIT)] = DEFAULT_LIMIT,
    column: Annotated[
        list[str] | None, typer.Option("--column", "-c", help="params.NAME, tags.NAME or metrics.NAME; repeat it.")
    ] = None,
    deleted: Annotated[bool, typer.Option(help="Deleted runs instead.")] = False,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Runs that match, as a table."""
    where_from = use_root(root)
    found = track.runs(where, order_by=order_by, limit=limit, deleted=deleted)
    if as_json:
        json_out([exporting.described(record, only_brief=True) for record in found])
        return
    if not found:
        print(f"no runs{' that match' if where else ''} in {where_from}")
        return
    from rich.text import Text

    columns = column or _columns(found)
    colours = {"running": "cyan", "finished": "green", "failed": "red", "killed": "yellow"}
    rows: list[list[str | Text]] = [
        [
            record.id[-_SHORT:],
            record.name,
            Text(record.status, style=colours.get(record.status, "")),
            _started(record),
            _took(record),
            *(_cell(record, name) for name in columns),
        ]
        for record in found
    ]
    shown = console()
    table(rows, ("run", "name", "status", "started", "took", *columns), wrap=False, to=shown)
    if len(found) == limit:
        shown.print(Text(f"(the first {limit:,}; --limit shows more)", style="dim"))


def _columns(records: Iterable[track.RunRecord]) -> list[str]:
    """The parameters that vary first, then metrics, those that most runs have."""
    params: dict[str, list[str]] = {}
    metrics: dict[str, int] = {}
    for record in records:
        for name, value in record.params.items():
            params.setdefault(name, []).append(json.dumps(value))
        for name in record.metrics:
            metrics[name] = metrics.get(name, 0) + 1
    varied = sorted(params, key=lambda name: (len(set(params[name])) < 2, -len(params[name]), name))
    often = sorted(metrics, key=lambda name: (-metrics[name], name))
    return [f"params.{name}" for name in varied[:MAX_COLUMNS]] + [f"metrics.{name}" for name in often[:MAX_COLUMNS]]


def _cell(record: track.RunRecord, column: str) -> str:
    kind, _, name = column.partition(".")
    values: dict[str, Any] = {"params": record.params, "tags": record.tags, "metrics": record.metrics}.get(kind, {})
    if kind not in ("params", "tags", "metrics") or not name:
        raise typer.BadParameter(f"column {clean(column)!r}: params.NAME, tags.NAME or metrics.NAME expected")
    if name not in values or values[name] is None:
        return "-"
    return _number(values[name]) if kind == "metrics" else _short(values[name], 24)


@app.command()
def show(
    run: RunName,
    output: Annotated[bool, typer.Option("--output", help="Only what it printed.")] = False,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """All about a run: parameters, tags, metrics, artifacts, where it came from."""
    use_root(root)
    record = track.find(run)
    if as_json:
        json_out(exporting.described(record))
        return
    if output:
        print("\n".join(clean(line) for line in record.output().split("\n")), end="")
        return
    from rich.text import Text

    shown = console()

    def grid(title: str, rows: Sequence[Sequence[str]], heads: Sequence[str] = ()) -> None:
        table(rows, heads, title=title, to=shown)

    shown.print(Text(f"{clean(record.name)}  {record.id}", style="bold"))
    state = f"{record.status}{' (deleted)' if record.deleted else ''}, began {_started(record)}, took {_took(record)}"
    shown.print(Text(state))
    if record.reason:
        shown.print(Text(clean(record.reason), style="red"))
    if record.parent:
        shown.print(Text(f"within {record.parent}"))
    grid("parameters", [(name, _short(value, 100)) for name, value in sorted(record.params.items())])
    grid("tags", [(name, _short(value, 100)) for name, value in sorted(record.tags.items())])
    rows = []
    for name, (last, step, _, least, most, best, count) in sorted(reading.summaries(record).items()):
        line = plotting.sparkline(record.preview(name, 96).values.tolist(), ascii=only_ascii())
        rows.append((name, line, *map(_number, (last, best, least, most)), str(step), f"{count:,}"))
    grid("metrics", rows, ("name", "", "last", "best", "min", "max", "last step", "points"))
    kept = [(a.name, a.kind, f"{a.size_bytes:,} bytes", a.id[:12]) for a in record.artifacts]
    grid("artifacts", kept)
    grid("children", [(child.id[-_SHORT:], child.name, child.status) for child in record.children])
    grid("captured", _captured(record))
    grid("notices", [(notice,) for notice in record.notices])


def _captured(record: track.RunRecord) -> list[tuple[str, str]]:
    captured = record.captured
    rows = []
    git, python, host = (captured.get(topic, {}) for topic in ("git", "python", "host"))
    if git.get("commit") or git.get("snapshot"):
        state = "with changes, kept as " + str(git.get("ref")) if git.get("dirty") else "clean"
        rows.append(("code", f"{str(git.get('commit'))[:12]} on {git.get('branch') or 'no branch'}, {state}"))
    if "command" in captured:
        rows.append(("command", " ".join(map(str, captured["command"].get("argv", [])))[:300]))
        rows.append(("directory", str(captured["command"].get("directory"))))
    if python:
        rows.append(("python", f"{python.get('version')}, {len(python.get('packages', {}))} packages"))
    if host:
        rows.append(("host", f"{host.get('name')}, {host.get('cores')} cores, {host.get('processor')}"))
    return rows


@app.command()
def diff(
    a: Annotated[str, typer.Argument(metavar="A")],
    b: Annotated[str, typer.Argument(metavar="B")],
    code: Annotated[bool, typer.Option("--code", help="The changes of the code, line by line.")] = False,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """What differs between two runs: parameters, code, environment, metrics, the content of artifacts."""
    use_root(root)
    difference = track.diff(track.find(a), track.find(b))
    if as_json:
        json_out(_described(difference))
        return
    text = difference.code_text() if code else difference.summary
    print(clean_lines(text))


def _described(difference: track.RunDiff) -> dict[str, Any]:
    def pairs(values: dict[str, tuple[Any, Any]]) -> dict[str, list[Any]]:
        return {name: [exporting.plain(value) for value in pair] for name, pair in values.items()}

    return {
        "a": difference.a.id,
        "b": difference.b.id,
        "params": pairs(difference.params),
        "tags": pairs(difference.tags),
        "metrics": pairs(dict(difference.metrics)),
        "environment": pairs(difference.environment),
        "code": [list(change) for change in difference.code],
        "artifacts": {
            name: {
                "change": found.change,
                "summary": found.summary,
                "rows_added": found.rows_added,
                "rows_removed": found.rows_removed,
                "rows_changed": found.rows_changed,
                "tensors": [[t.name, t.change, exporting.plain(t.max_abs), t.elements] for t in found.tensors],
            }
            for name, found in difference.artifacts.items()
        },
        "notes": difference.notes,
    }


def _to_plot(metrics: Sequence[str], where: str | None, limit: int) -> list[track.RunRecord]:
    """Those that match; without a condition the newest that has one of the metrics, else the newest."""
    if where is not None:
        return track.runs(where, limit=limit)
    newest = track.runs(limit=MAX_LOOKED_AT)
    return [record for record in newest if any(name in record.metrics for name in metrics)][:1] or newest[:1]


@app.command()
def plot(
    metrics: Annotated[list[str], typer.Argument(metavar="METRIC...")],
    run: Annotated[
        list[str] | None, typer.Option("--run", "-r", help="Repeat it for several.  [default: newest]")
    ] = None,
    where: Where = None,
    limit: Annotated[int, typer.Option(min=1, max=plotting.MAX_LINES, help="Of runs that match --where.")] = 5,
    png: Annotated[Path | None, typer.Option(help="Draw into this file instead.")] = None,
    width: Annotated[int, typer.Option(min=20, max=400)] = 72,
    height: Annotated[int, typer.Option(min=4, max=100)] = 16,
    root: Root = None,
) -> None:
    """Metrics of one or several runs over their steps."""
    where_from = use_root(root)
    if run and where:
        raise typer.BadParameter("--run or --where, not both")
    records = [track.find(name) for name in run] if run else _to_plot(metrics, where, limit)
    if not records:
        raise errors.NotFoundError(f"no runs{' that match' if where else ''} in {where_from}")
    missing = [name for name in metrics if not any(name in record.metrics for record in records)]
    if missing:
        reading.known(missing[0], {name for record in records for name in record.metrics})
    lines = []
    for record in records:
        for name in metrics:
            if name in record.metrics:
                series = record.preview(name, reading.MAX_PREVIEW)
                whose = f"{name}, {record.name} {record.id[-_SHORT:]}"
                lines.append(plotting.Line(clean(whose), series.steps.tolist(), series.values.tolist()))
    if png is None:
        print(plotting.text_plot(lines, width, height, ascii=only_ascii()))
        return
    try:
        plotting.png(lines, png, clean(", ".join(metrics)))
    except OSError as error:
        raise errors.FailedPreconditionError(f"{png}: {error.strerror or error}") from None
    aside = None if png.is_file() else sys.stderr  # it may have gone to the standard output
    print(f"{png}: {len(lines)} line{'' if len(lines) == 1 else 's'}", file=aside)


@app.command()
def export(
    run: RunName,
    folder: Annotated[Path, typer.Argument(help="New, or empty.")],
    parquet: Annotated[bool, typer.Option("--parquet", help="Tables as Parquet, not CSV.")] = False,
    root: Root = None,
) -> None:
    """Write a run's metrics, artifacts and run.json into a folder."""
    use_root(root)
    record = track.find(run)
    try:
        made = track.export(record, folder, format="parquet" if parquet else "csv")
    except OSError as error:
        if isinstance(error, errors.Error):
            raise
        raise errors.FailedPreconditionError(f"{folder}: {error.strerror or error}") from None
    names = len({artifact.name for artifact in record.artifacts})
    print(f"{made}: run {record.id}, {names} artifact{'' if names == 1 else 's'}")


@app.command()
def delete(run: Annotated[list[str], typer.Argument(metavar="RUN...")], root: Root = None) -> None:
    """Take runs out of the lists; `restore` brings them back until `daybreak track gc` purges them."""
    use_root(root)
    for record in [track.find(name) for name in run]:
        track.delete(record)
        print(f"deleted {record.id} ({clean(record.name)})")


@app.command()
def restore(run: Annotated[list[str], typer.Argument(metavar="RUN...")], root: Root = None) -> None:
    """Bring deleted runs back."""
    use_root(root)
    for record in [track.find(name) for name in run]:
        track.restore(record)
        print(f"restored {record.id} ({clean(record.name)})")
