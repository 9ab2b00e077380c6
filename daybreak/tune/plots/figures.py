"""Figures as data: what is drawn, apart from how. Each renderer (a page, a PNG, characters) takes the same ones."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from daybreak.base.errors import FailedPreconditionError, InvalidArgumentError
from daybreak.tune.plots.importance import importances
from daybreak.tune.plots.view import Parameter, Point, View, shown_value

__all__ = ["NAMES", "Axis", "Figure", "Mark", "Parallel", "figures_of", "names_for"]

MAX_POINTS = 4000  # marks of a picture; more are thinned out, and the picture says so
MAX_CURVES = 200
MAX_LINES = 1000  # of parallel coordinates
MAX_ROWS = 200  # of a timeline


@dataclass
class Axis:
    """``options``: it has names in place of numbers."""

    label: str
    log: bool = False
    options: list[str] | None = None
    low: float | None = None
    high: float | None = None


@dataclass
class Mark:
    """``kind``: points, line, steps, bars (x: lengths, y: rows), spans (x to x2, y: rows), verticals (x alone).

    ``colours``: for each point a number of 0 to 1, or None for one that is only there; ``colour``: a state's name or a place.
    """

    kind: str
    x: list[float]
    y: list[float] = field(default_factory=list)
    x2: list[float] = field(default_factory=list)
    name: str = ""
    texts: list[str] = field(default_factory=list)
    colours: list[float | None] = field(default_factory=list)
    colour: str = ""


@dataclass
class Figure:
    """One pair of axes. ``group``: the figure's kind; a kind with several has them side by side."""

    group: str
    title: str
    x: Axis
    y: Axis
    marks: list[Mark]
    note: str = ""


@dataclass
class Parallel:
    """Lines over several axes; ``lines[i][j]``: trial i on axis j, NaN where it has none."""

    group: str
    title: str
    axes: list[Axis]
    lines: list[list[float]]
    colours: list[float | None]
    texts: list[str]
    note: str = ""


def _thinned(count: int, most: int) -> tuple[list[int], str]:
    """Places of so many, the last among them, and a word on what is left out."""
    if count <= most:
        return list(range(count)), ""
    step = math.ceil(count / most)
    return list(range(count - 1, -1, -step))[::-1], f"every {step}th of {count:,} is drawn"


def text_of(point: Point, view: View) -> str:
    """What is said of a trial where the pointer is on it."""
    parts = [f"trial {point.name} ({point.state})"]
    if point.values is not None:
        parts += [f"{name} = {value:.6g}" for name, value in zip(view.metrics, point.values, strict=True)]
    parts += [f"{name} = {shown_value(value)}" for name, value in sorted(point.params.items())]
    return "\n".join(parts)


def _one_metric(view: View, what: str) -> str:
    if not view.metrics:
        raise InvalidArgumentError(
            f"{what}: {view.title} names no metric: say which, and whether 'min' or 'max' is best"
        )
    if len(view.metrics) > 1:
        raise InvalidArgumentError(
            f"{what} is of one objective, and {view.title} has {len(view.metrics)}: see 'pareto'"
        )
    return view.metrics[0]


def _shares(view: View, points: Sequence[Point]) -> list[float | None]:
    """By rank, 1: the best. Ranks, for one value that is far off would leave all others alike."""
    order = sorted({view.signs[0] * p.values[0] for p in points if p.counts()})  # type: ignore[index]
    rank = {value: i / max(len(order) - 1, 1) for i, value in enumerate(order)}
    return [rank[view.signs[0] * p.values[0]] if p.counts() else None for p in points]  # type: ignore[index]


def history(view: View) -> list[Figure]:
    """Values in the order of trials, and the best so far."""
    metric = _one_metric(view, "history")
    found = [point for point in view.candidates() if math.isfinite(point.values[0])]  # type: ignore[index]
    kept, note = _thinned(len(found), MAX_POINTS)
    best_x: list[float] = []
    best_y: list[float] = []
    for point in found:
        value = point.values[0]  # type: ignore[index]
        if point.is_feasible and (not best_y or view.signs[0] * value > view.signs[0] * best_y[-1]):
            best_x.append(float(point.number))
            best_y.append(value)
    if best_x and found:
        best_x.append(float(found[-1].number))
        best_y.append(best_y[-1])
    shown = [found[i] for i in kept]
    marks = [
        Mark(
            "points",
            [float(point.number) for point in shown],
            [point.values[0] for point in shown],  # type: ignore[index]
            name=metric,
            texts=[text_of(point, view) for point in shown],
        ),
        Mark("steps", best_x, best_y, name="best so far"),
    ]
    return [Figure("history", "History", Axis("trial"), Axis(metric), marks, note)]


def curves(view: View) -> list[Figure]:
    """What each trial has reported on its way, and where a scheduler decided."""
    metric = _one_metric(view, "curves")
    found = [point for point in view.points if point.curve]
    kept, note = _thinned(len(found), MAX_CURVES)
    shown = [found[i] for i in kept]
    shares = _shares(view, shown)
    marks = []
    for point, share in zip(shown, shares, strict=True):
        curve = [(x, y) for x, y in point.curve if math.isfinite(y)]
        places, _ = _thinned(len(curve), MAX_POINTS // 10)
        marks.append(
            Mark(
                "line",
                [curve[i][0] for i in places],
                [curve[i][1] for i in places],
                name=point.name,
                texts=[text_of(point, view)],
                colours=[share],
            )
        )
    if view.rungs:
        marks.append(Mark("verticals", list(view.rungs), name="rungs"))
    return [Figure("curves", "Learning curves", Axis("step"), Axis(metric), marks, note)]


def rungs(view: View) -> list[Figure]:
    """How many trials have come as far as each rung, and the best there."""
    metric = _one_metric(view, "rungs")
    if not view.rungs:
        raise FailedPreconditionError(
            f"rungs: the scheduler of {view.title} has none that lie at fixed iterations: ASHA's do; see 'curves'"
        )
    reached, x, y, texts = [], [], [], []
    for rung in view.rungs:
        there = [(p, value) for p in view.points if (value := p.value_at(rung)) is not None]
        reached.append(float(len(there)))
        kept, _ = _thinned(len(there), MAX_POINTS // len(view.rungs))
        for i in kept:
            x.append(rung)
            y.append(there[i][1])
            texts.append(text_of(there[i][0], view))
    counts = Figure(
        "rungs",
        "Trials at each rung",
        Axis("trials"),
        Axis("rung", options=[f"{rung:g}" for rung in view.rungs]),
        [Mark("bars", reached, [float(i) for i in range(len(reached))])],
    )
    values = Figure(
        "rungs", "Values at each rung", Axis("step", log=True), Axis(metric), [Mark("points", x, y, texts=texts)]
    )
    return [counts, values]


def _axis(parameter: Parameter, values: Sequence[float]) -> Axis:
    if parameter.options is not None:
        return Axis(parameter.name, options=[shown_value(one) for one in parameter.options])
    return Axis(parameter.name, log=parameter.log and all(value > 0 for value in values))


def slices(view: View, parameters: Sequence[str] | None = None) -> list[Figure]:
    """The value over each parameter."""
    metric = _one_metric(view, "slices")
    found = [p for p in view.candidates() if math.isfinite(p.values[0])]  # type: ignore[index]
    kept, note = _thinned(len(found), MAX_POINTS // 2)
    shown = [found[i] for i in kept]
    made = []
    for parameter in view.parameters(parameters):
        having = [point for point in shown if parameter.name in point.params]
        x = [parameter.place(point.params[parameter.name]) for point in having]
        last = max((point.number for point in having), default=1) or 1
        mark = Mark(
            "points",
            x,
            [point.values[0] for point in having],  # type: ignore[index]
            texts=[text_of(point, view) for point in having],
            colours=[point.number / last for point in having],
        )
        made.append(Figure("slices", parameter.name, _axis(parameter, x), Axis(metric), [mark], note))
    return made


def parallel(view: View, parameters: Sequence[str] | None = None) -> list[Parallel]:
    """A line a trial over all parameters and its value; the better, the darker."""
    metric = _one_metric(view, "parallel")
    found = [p for p in view.candidates() if math.isfinite(p.values[0])]  # type: ignore[index]
    kept, note = _thinned(len(found), MAX_LINES)
    shown = sorted((found[i] for i in kept), key=lambda p: view.signs[0] * p.values[0])  # type: ignore[index]
    chosen = view.parameters(parameters)
    lines = [
        [
            *(
                parameter.place(p.params[parameter.name]) if parameter.name in p.params else math.nan
                for parameter in chosen
            ),
            p.values[0],  # type: ignore[index]
        ]
        for p in shown
    ]
    axes = [_axis(parameter, [line[i] for line in lines if line[i] == line[i]]) for i, parameter in enumerate(chosen)]
    texts = [text_of(point, view) for point in shown]
    return [
        Parallel("parallel", "Parallel coordinates", [*axes, Axis(metric)], lines, _shares(view, shown), texts, note)
    ]


def importance(view: View, parameters: Sequence[str] | None = None) -> list[Figure]:
    """How much of what is good depends on each parameter (PED-ANOVA)."""
    found = importances(view, parameters)
    names = list(found)[::-1]
    mark = Mark("bars", [found[name] for name in names], [float(i) for i in range(len(names))])
    mark.texts = [f"{name}: {found[name]:.4g}" for name in names]
    return [Figure("importance", "Importance of parameters", Axis("importance"), Axis("", options=names), [mark])]


def pareto(view: View) -> list[Figure]:
    """Of several objectives: what no other trial betters in all; each pair of objectives is a picture."""
    if len(view.metrics) < 2:
        raise FailedPreconditionError(
            f"pareto: {view.title} has one objective: two or more have a front; see 'history'"
        )
    found = [p for p in view.candidates() if p.values and all(map(math.isfinite, p.values))]
    front = {p.number for p in _front(view, [p for p in found if p.is_feasible])}
    kept, note = _thinned(len(found), MAX_POINTS)
    shown = [p for i, p in enumerate(found) if i in set(kept) or p.number in front]
    made = []
    for a in range(len(view.metrics)):
        for b in range(a + 1, len(view.metrics)):
            marks = []
            for name, colour, inside in (("others", "dim", False), ("front", "best", True)):
                points = [p for p in shown if (p.number in front) is inside]
                x, y = ([p.values[i] for p in points] for i in (a, b))  # type: ignore[index]
                marks.append(Mark("points", x, y, name=name, texts=[text_of(p, view) for p in points], colour=colour))
            made.append(Figure("pareto", "Pareto front", Axis(view.metrics[a]), Axis(view.metrics[b]), marks, note))
    return made


def _front(view: View, points: Sequence[Point]) -> list[Point]:
    import numpy as np

    losses = np.array([p.values for p in points], float).reshape(len(points), len(view.signs)) * -np.array(view.signs)
    dominated = [bool(np.any((losses <= loss).all(axis=1) & (losses < loss).any(axis=1))) for loss in losses]
    return [point for point, is_worse in zip(points, dominated, strict=True) if not is_worse]


def timeline(view: View) -> list[Figure]:
    """When each trial ran, and how it ended."""
    found = [point for point in view.points if point.spans]
    kept, note = _thinned(len(found), MAX_ROWS)
    shown = [found[i] for i in kept]
    begin = min((point.spans[0][0] for point in shown), default=0.0)
    rows: dict[str, Mark] = {}
    for row, point in enumerate(shown):
        mark = rows.setdefault(point.state, Mark("spans", [], name=point.state, colour=point.state))
        for start, end in point.spans:
            mark.x.append(start - begin)
            mark.x2.append(end - begin)
            mark.y.append(float(row))
            mark.texts.append(f"{text_of(point, view)}\n{end - start:.3g} s")
    since = datetime.datetime.fromtimestamp(begin).strftime("%Y-%m-%d %H:%M:%S") if shown else ""
    names = [point.name for point in shown]
    label = f"seconds since {since}" if since else "seconds"
    return [Figure("timeline", "Timeline", Axis(label), Axis("trial", options=names), list(rows.values()), note)]


_MAKERS: dict[str, Callable[..., Sequence[Figure | Parallel]]] = {
    "history": history,
    "curves": curves,
    "rungs": rungs,
    "parallel": parallel,
    "slices": slices,
    "importance": importance,
    "pareto": pareto,
    "timeline": timeline,
}
NAMES = tuple(_MAKERS)
_OF_PARAMETERS = ("parallel", "slices", "importance")


def names_for(view: View) -> list[str]:
    """The figures that this view has something for."""
    if len(view.metrics) > 1:
        return ["pareto", "timeline"]
    if not view.metrics:
        return ["timeline"]
    has_parameters = any(point.params for point in view.points)
    names = ["history"]
    names += ["curves"] if any(len(point.curve) > 1 for point in view.points) else []
    names += ["rungs"] if view.rungs else []
    names += ["parallel", "slices"] if has_parameters else []
    names += ["importance"] if has_parameters and len(view.finished()) > 1 else []
    return [*names, "timeline"]


def figures_of(
    view: View, names: Sequence[str] | None = None, parameters: Sequence[str] | None = None
) -> list[Figure | Parallel]:
    """InvalidArgumentError for a name that no figure has."""
    if not view.points:
        raise FailedPreconditionError(f"{view.title} has no trials yet: nothing to draw")
    made: list[Figure | Parallel] = []
    for name in names or names_for(view):
        if name not in _MAKERS:
            raise InvalidArgumentError(f"no figure is called {name!r}: {', '.join(NAMES)}")
        made += _MAKERS[name](view, parameters) if name in _OF_PARAMETERS else _MAKERS[name](view)
    return made
