"""`daybreak tune ...`: experiments and studies in the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from daybreak.base import errors, named, paths
from daybreak.base.terminal import Json, clean, console, json_out, only_ascii, table

from . import plots
from .plots import tables
from .plots.view import JOURNAL, Point, View, experiments_in, results_root, shown_value, view_of

__all__ = ["app"]

DEFAULT_ROWS = 20
_COLOURS = {"COMPLETE": "green", "RUNNING": "cyan", "FAIL": "red", "PRUNED": "yellow", "PAUSED": "magenta"}

app = typer.Typer(
    help="Look at experiments and studies, go on with them, end them. WHAT is an experiment's folder, its name in the results' "
    "folder, or a journal of studies.",
    pretty_exceptions_enable=False,
)

What = Annotated[str, typer.Argument(metavar="WHAT", help="An experiment's folder or name, or a journal of studies.")]
Metric = Annotated[
    list[str] | None, typer.Option("--metric", "-m", help="Another one; repeat it for several objectives.")
]
Mode = Annotated[list[str] | None, typer.Option("--mode", help="min or max: what is best; one for each metric.")]
StudyName = Annotated[str | None, typer.Option("--study", help="Of a journal with several studies.")]
Root = Annotated[
    Path | None,
    typer.Option("--root", help="The results' folder.  [default: $DAYBREAK_RESULTS_DIR or ~/daybreak_results]"),
]


def _place(what: str, root: Path | None) -> Path:
    path = Path(paths.given(what, "WHAT"))
    if path.exists():
        return path
    inside = (Path(paths.given(root, "--root")) if root is not None else results_root()) / what
    if "/" not in what and inside.exists():
        return inside
    raise errors.NotFoundError(
        f"{what}: there is no such folder or file, nor an experiment of that name in {inside.parent}"
    )


def _view(what: str, root: Path | None, metric: Any = None, mode: Any = None, study: str | None = None) -> View:
    if mode and len(mode) == 1:
        mode = mode[0]
    return view_of(_place(what, root), metric or None, mode or None, study)


def _experiment(what: str, root: Path | None) -> Path:
    path = _place(what, root)
    if not (path / JOURNAL).exists():
        raise errors.NotFoundError(f"{path}: no experiment's folder: {JOURNAL} is not in it")
    return path


@app.callback(invoke_without_command=True)
def tune(context: typer.Context) -> None:
    """Without a command: the experiments in the results' folder."""
    if context.invoked_subcommand is None:
        list_experiments()


@app.command("list")
def list_experiments(
    where: Annotated[Path | None, typer.Argument(help="A results' folder, or a journal of studies.")] = None,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Experiments, the newest first, or the studies of a journal."""
    path = Path(paths.given(where or root, "folder")) if where or root else results_root()
    found = tables.studies(path) if path.is_file() else tables.experiments(experiments_in(path))
    if as_json:
        json_out(found)
        return
    if not found:
        print(f"no experiments in {path}")
        return
    rows = [[str(entry[head]) if entry[head] is not None else "-" for head in tables.HEADS] for entry in found]
    table(rows, tables.HEADS, wrap=False, to=console())


@app.command()
def show(
    what: What,
    top: Annotated[int, typer.Option(min=1, help="So many trials, the best first.")] = DEFAULT_ROWS,
    metric: Metric = None,
    mode: Mode = None,
    study: StudyName = None,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """How it stands: the best trials, what was reached, what failed."""
    view = _view(what, root, metric, mode, study)
    if as_json:
        json_out(tables.described(view, top))
        return
    from rich.text import Text

    shown = console()
    shown.print(Text(f"{clean(view.title)}: {clean(plots.summary(view))}", style="bold"))
    points = tables.ranked(view)[:top]
    parameters = [parameter.name for parameter in view.parameters()] if view.points else []
    rows: list[list[str | Text]] = [_row(view, point, parameters) for point in points]
    heads = ("trial", "state", *(view.metrics or ["value"]), *parameters)
    table(rows, heads, wrap=False, to=shown)
    if len(view.points) > len(points):
        shown.print(Text(f"(the first {len(points):,} of {len(view.points):,}; --top shows more)", style="dim"))
    table(tables.rungs(view), ("rung", "trials", "best"), title="rungs", to=shown)
    failed = [(point.name, point.error.splitlines()[-1] if point.error else "") for point in view.points if point.error]
    table(failed[:DEFAULT_ROWS], ("trial", "error"), title=f"{len(failed)} failed" if failed else "", to=shown)


def _row(view: View, point: Point, parameters: Sequence[str]) -> list[Any]:
    from rich.text import Text

    values = [f"{value:.6g}" for value in point.values or []] or ["-"] * max(len(view.metrics), 1)
    params = [shown_value(point.params[name]) if name in point.params else "" for name in parameters]
    return [point.name, Text(point.state.lower(), style=_COLOURS.get(point.state, "")), *values, *params]


@app.command()
def plot(
    what: What,
    names: Annotated[list[str] | None, typer.Argument(metavar="[FIGURE...]", help=", ".join(plots.NAMES))] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A file that ends in .html or .png.")] = None,
    parameter: Annotated[list[str] | None, typer.Option("--parameter", "-p", help="Only these; repeat it.")] = None,
    metric: Metric = None,
    mode: Mode = None,
    study: StudyName = None,
    width: Annotated[int, typer.Option(min=20, max=400)] = 72,
    height: Annotated[int, typer.Option(min=4, max=100)] = 16,
    root: Root = None,
) -> None:
    """Draw it: all that there is something for, or the figures that are named."""
    view = _view(what, root, metric, mode, study)
    if out is None:
        print(plots.text(view, names or None, parameter or None, width, height, ascii=only_ascii()))
        return
    try:
        plots.plot(view, out, names or None, parameter or None)
    except OSError as error:
        raise errors.FailedPreconditionError(f"{out}: {error.strerror or error}") from None
    aside = None if out.is_file() else sys.stderr  # it may have gone to the standard output
    print(f"{out}: {', '.join(names or plots.names(view))}", file=aside)


@app.command()
def resume(
    what: What,
    trainable: Annotated[
        str, typer.Argument(metavar="TRAINABLE", help="What is tuned: module:name or file.py:name, as it was.")
    ],
    samples: Annotated[int | None, typer.Option("--samples", min=1, help="Make it longer: so many in all.")] = None,
    errored: Annotated[
        bool, typer.Option("--errored", help="Failed trials go on from their checkpoints, too.")
    ] = False,
    restart_errored: Annotated[bool, typer.Option("--restart-errored", help="Failed trials begin anew.")] = False,
    root: Root = None,
) -> None:
    """Go on with an experiment that has ended before its end. Ctrl-C ends it again, and nothing is lost."""
    from .tuner import Tuner

    path = _experiment(what, root)
    _, found = named.found(trainable, "trainable")
    tuner = Tuner.restore(path, found, resume_errored=errored, restart_errored=restart_errored, num_samples=samples)
    grid = tuner.fit()
    print(plots.summary(view_of(grid)))
    if grid.num_errors:
        raise typer.Exit(1)


@app.command()
def stop(what: What, root: Root = None) -> None:
    """Ask an experiment that runs to end, as Ctrl-C there would: trials save, `resume` goes on."""
    from .stopping import is_running, request_stop

    path = _experiment(what, root)
    if not is_running(path):
        raise errors.FailedPreconditionError(f"{path}: nobody runs it")
    request_stop(path)
    print(f"{path}: asked to stop")


@app.command()
def export(
    what: What,
    out: Annotated[
        Path, typer.Argument(help="A file that ends in .csv, .json, .parquet, or (studies) .jsonl for Optuna.")
    ],
    metric: Metric = None,
    mode: Mode = None,
    study: StudyName = None,
    root: Root = None,
) -> None:
    """Write its trials into a file: one row each."""
    ending = out.suffix.lower()
    if ending == ".jsonl":
        _export_journal(_place(what, root), out)
        return
    view = _view(what, root, metric, mode, study)
    if ending == ".json":
        text = json.dumps(tables.described(view, len(view.points)), indent=1)
        paths.write(out, f"{text}\n".encode())
    elif ending in (".csv", ".parquet"):
        tables.write_frame(view, out)
    else:
        raise errors.InvalidArgumentError(f"{out}: it ends in none of .csv, .json, .parquet, .jsonl")
    print(f"{out}: {len(view.points):,} trials", file=None if out.is_file() else sys.stderr)


def _export_journal(path: Path, out: Path) -> None:
    if path.is_dir():
        raise errors.InvalidArgumentError(
            f"{path}: an experiment has no form of Optuna's journal: .csv, .json or .parquet"
        )
    try:
        from .optuna import Storage, export_journal
    except ModuleNotFoundError as error:
        raise errors.FailedPreconditionError(f"Optuna's JSON lines need {error.name}: pip install optuna") from None
    export_journal(Storage(path), out)
    print(f"{out}: studies as Optuna's JSON lines")
