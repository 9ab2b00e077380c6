"""What is told of experiments and studies in rows: for the terminal, for JSON, for files."""

from __future__ import annotations

import datetime
import io
import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from daybreak.base import paths
from daybreak.base.errors import Error
from daybreak.tune.plots.view import JOURNAL, Point, View, view_of_experiment, view_of_study

__all__ = ["HEADS", "described", "experiments", "ranked", "rungs", "studies", "write_frame"]

HEADS = ("name", "state", "trials", "done", "failed", "metric", "best", "changed")


def _when(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")


def experiments(folders: Iterable[Path]) -> list[dict[str, Any]]:
    """A row each; one that cannot be read says why in its state."""
    found = []
    for folder in folders:
        changed = _when(os.path.getmtime(folder / JOURNAL))
        try:
            view = view_of_experiment(folder)
        except Error as error:
            found.append(
                dict.fromkeys(HEADS) | {"name": folder.name, "state": f"unreadable: {error}", "changed": changed}
            )
            continue
        found.append(_row(view, _state(view, folder), changed))
    return found


def _state(view: View, folder: Path) -> str:
    from daybreak.tune.stopping import is_running

    if is_running(folder):
        return "running"
    return "unfinished" if any(point.state in ("WAITING", "PAUSED", "RUNNING") for point in view.points) else "finished"


def studies(journal: Path) -> list[dict[str, Any]]:
    """A row for each study of a journal."""
    from daybreak._core.tune import Storage
    from daybreak.tune.study import load_study

    storage = Storage.open(str(journal))
    found = []
    for _, name, _ in storage.studies():
        view = view_of_study(load_study(study_name=name, storage=storage))
        running = any(point.state == "RUNNING" for point in view.points)
        found.append(_row(view, "running" if running else "", _when(os.path.getmtime(journal))))
    return found


def _row(view: View, state: str, changed: str) -> dict[str, Any]:
    best = view.best() if len(view.metrics) == 1 else None
    return {
        "name": view.title,
        "state": state,
        "trials": len(view.points),
        "done": sum(point.state in ("COMPLETE", "PRUNED") for point in view.points),
        "failed": sum(point.state == "FAIL" for point in view.points),
        "metric": ", ".join(view.metrics),
        "best": float(f"{best.values[0]:.6g}") if best is not None and best.values else None,
        "changed": changed,
    }


def ranked(view: View) -> list[Point]:
    """The best first, those without numbers behind them; of several objectives in their order."""
    if len(view.metrics) != 1:
        return list(view.points)
    there = [point for point in view.points if point.counts()]
    rest = [point for point in view.points if not point.counts()]
    return sorted(there, key=lambda p: -view.signs[0] * p.values[0]) + rest  # type: ignore[index]


def rungs(view: View) -> list[tuple[str, str, str]]:
    """Rung, how many came so far, the best there."""
    found = []
    for rung in view.rungs if len(view.metrics) == 1 else []:
        there = [value for p in view.points if (value := p.value_at(rung)) is not None]
        best = max((view.signs[0] * value for value in there), default=math.nan) * view.signs[0]
        found.append((f"{rung:g}", f"{len(there):,}", f"{best:.6g}" if there else "-"))
    return found


def plain(value: Any) -> Any:
    """As JSON holds it: "NaN" and the like for what is no number there, and as it prints what is no value at all."""
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    if isinstance(value, dict):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def described(view: View, top: int) -> dict[str, Any]:
    """For --json: the best trials first."""
    best = view.best() if len(view.metrics) == 1 else None
    trials = [
        {
            "number": point.number,
            "name": point.name,
            "state": point.state,
            "values": point.values,
            "params": point.params,
            "error": point.error or None,
            "path": point.path or None,
        }
        for point in ranked(view)[:top]
    ]
    made = {
        "name": view.title,
        "kind": view.kind,
        "metrics": view.metrics,
        "modes": ["max" if sign > 0 else "min" for sign in view.signs],
        "count": len(view.points),
        "best": best.number if best is not None else None,
        "rungs": [list(row) for row in rungs(view)],
        "trials": trials,
    }
    described_again: dict[str, Any] = json.loads(json.dumps(plain(made)))
    return described_again


def write_frame(view: View, out: Path) -> None:
    """A row a trial: number, name, state, a column a metric and a parameter (params/NAME)."""
    import pandas

    rows = []
    for point in view.points:
        values = point.values or [math.nan] * len(view.metrics)
        row: dict[str, Any] = {"number": point.number, "name": point.name, "state": point.state}
        row |= dict(zip(view.metrics, values, strict=True))
        rows.append(row | {f"params/{name}": value for name, value in point.params.items()})
    frame = pandas.DataFrame(rows)
    for name in frame.columns:
        if frame[name].dtype == object and name.startswith("params/"):
            frame[name] = [plain(value) if isinstance(value, (dict, list, tuple)) else value for value in frame[name]]
            if out.suffix.lower() == ".parquet" and len({type(value) for value in frame[name].dropna()}) > 1:
                frame[name] = [
                    None if value is None else str(value) for value in frame[name]
                ]  # a column has one type there
    made = io.BytesIO()
    if out.suffix.lower() == ".csv":
        frame.to_csv(made, index=False)
    else:
        frame.to_parquet(made, index=False)
    paths.write(out, made.getvalue())
