"""Pictures of an experiment or a study: in the terminal, as a PNG, as one page of HTML with everything in it.

>>> from daybreak import tune
>>> from daybreak.tune import plots
>>> study = tune.create_study(seed=0, study_name="parabola")
>>> study.optimize(lambda trial: (trial.suggest_float("x", -1, 1) - 0.5) ** 2, n_trials=20)
>>> plots.names(study)
['history', 'parallel', 'slices', 'importance', 'timeline']
>>> plots.text(study, ["importance"]).splitlines()[0]
'Importance of parameters'
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from daybreak.base import paths
from daybreak.base.errors import InvalidArgumentError
from daybreak.tune.plots import figures as _figures
from daybreak.tune.plots import page as _page
from daybreak.tune.plots import picture as _picture
from daybreak.tune.plots import terminal as _terminal
from daybreak.tune.plots.figures import NAMES
from daybreak.tune.plots.importance import importances
from daybreak.tune.plots.view import View, shown_value, view_of

__all__ = ["NAMES", "View", "html", "importances", "names", "plot", "png", "text", "view_of"]


def names(what: Any, **of: Any) -> list[str]:
    """The figures that there is something for; ``what`` and ``of`` as view_of() takes them."""
    return _figures.names_for(view_of(what, **of))


def html(what: Any, names: Sequence[str] | None = None, parameters: Sequence[str] | None = None, **of: Any) -> str:
    """One page; without names all that there is something for."""
    view = view_of(what, **of)
    return _page.page(view.title, summary(view), _figures.figures_of(view, names, parameters), best_rows(view))


def png(what: Any, names: Sequence[str] | None = None, parameters: Sequence[str] | None = None, **of: Any) -> bytes:
    """One sheet."""
    view = view_of(what, **of)
    return _picture.png(view.title, _figures.figures_of(view, names, parameters))


def text(
    what: Any,
    names: Sequence[str] | None = None,
    parameters: Sequence[str] | None = None,
    width: int = 72,
    height: int = 16,
    ascii: bool = False,
    **of: Any,
) -> str:
    """Characters for a terminal."""
    return _terminal.text(_figures.figures_of(view_of(what, **of), names, parameters), width, height, ascii=ascii)


def plot(
    what: Any,
    out: str | os.PathLike[str],
    names: Sequence[str] | None = None,
    parameters: Sequence[str] | None = None,
    **of: Any,
) -> None:
    """Into a file, which ends in .html or .png."""
    ending = os.path.splitext(os.fspath(out))[1].lower()
    if ending not in (".html", ".png"):
        raise InvalidArgumentError(f"{os.fspath(out)!r}: a file that ends in .html or .png")
    drawn = html(what, names, parameters, **of).encode() if ending == ".html" else png(what, names, parameters, **of)
    paths.write(out, drawn)


def summary(view: View) -> str:
    """How many trials, how they ended, which is best."""
    counts: dict[str, int] = {}
    for point in view.points:
        counts[point.state] = counts.get(point.state, 0) + 1
    states = ", ".join(f"{count:,} {state.lower()}" for state, count in sorted(counts.items()))
    said = f"{len(view.points):,} trials" + (f" ({states})" if states else "")
    best = view.best() if len(view.metrics) == 1 else None
    if best is None or best.values is None:
        return f"{said}."
    return f"{said}. Best: trial {best.name}, {view.metrics[0]} = {best.values[0]:.6g}."


def best_rows(view: View, most: int = 10) -> list[list[str]]:
    """The best trials as a table, its heads first; none of several objectives."""
    if len(view.metrics) != 1:
        return []
    ranked = sorted(view.candidates(), key=lambda p: -view.signs[0] * p.values[0])[:most]  # type: ignore[index]
    parameters = [parameter.name for parameter in view.parameters()]
    rows = [["trial", "state", view.metrics[0], *parameters]]
    for point in ranked:
        shown = [shown_value(point.params[name]) if name in point.params else "" for name in parameters]
        rows.append([point.name, point.state.lower(), f"{point.values[0]:.6g}", *shown])  # type: ignore[index]
    return rows
