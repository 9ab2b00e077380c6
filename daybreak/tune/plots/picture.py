"""Figures as one PNG, by matplotlib."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

from daybreak.tune.plots.figures import Axis, Figure, Mark, Parallel
from daybreak.tune.plots.page import colour_at, colour_of
from daybreak.tune.plots.scale import Scale

__all__ = ["png"]

_COLUMNS = 2


def png(title: str, figures: Sequence[Figure | Parallel]) -> bytes:
    """All of them on one sheet."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Sheet

    columns = min(_COLUMNS, len(figures))
    rows = math.ceil(len(figures) / columns)
    sheet = Sheet(figsize=(7.2 * columns, 4.2 * rows + 0.4), layout="constrained")
    FigureCanvasAgg(sheet)
    sheet.suptitle(_plain(title))
    for place, figure in enumerate(figures):
        axes = sheet.add_subplot(rows, columns, place + 1)
        axes.set_title(_plain(figure.title), fontsize=10)
        if isinstance(figure, Parallel):
            _draw_parallel(axes, figure)
        else:
            _draw(axes, figure)
        if figure.note:
            axes.annotate(_plain(figure.note), (1, 0), xycoords="axes fraction", ha="right", va="bottom", fontsize=7)
    drawn = io.BytesIO()
    sheet.savefig(drawn, format="png", dpi=110)
    return drawn.getvalue()


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else "\ufffd" for c in text).replace("$", r"\$")  # no formulas


def _set_axis(axis: Any, label: Any, scale: Any, ticks: Any, figure_axis: Axis) -> None:
    label(_plain(figure_axis.label))
    if figure_axis.options is not None:
        step = math.ceil(len(figure_axis.options) / 24)
        places = range(0, len(figure_axis.options), step)
        ticks(list(places), [_plain(figure_axis.options[i][:28]) for i in places], fontsize=7)
    elif figure_axis.log:
        scale("log")


def _draw(axes: Any, figure: Figure) -> None:
    _set_axis(axes.xaxis, axes.set_xlabel, axes.set_xscale, axes.set_xticks, figure.x)
    _set_axis(axes.yaxis, axes.set_ylabel, axes.set_yscale, axes.set_yticks, figure.y)
    axes.grid(alpha=0.25)
    for mark in figure.marks:
        _draw_mark(axes, mark)
    named = [mark for mark in figure.marks if mark.name and figure.group in ("history", "timeline", "pareto")]
    if named:
        axes.legend(fontsize=7)


def _draw_mark(axes: Any, mark: Mark) -> None:
    colours = [colour_of(mark, i) for i in range(len(mark.x))]
    label = _plain(mark.name) or None
    if mark.kind == "points":
        axes.scatter(mark.x, mark.y, s=12, c=colours, label=label, linewidths=0)
    elif mark.kind == "line":
        axes.plot(
            mark.x,
            mark.y,
            color=colour_of(mark, 0),
            linewidth=1,
            marker="o" if len(mark.x) == 1 else None,
            markersize=3,
        )
    elif mark.kind == "steps":
        axes.step(mark.x, mark.y, where="post", color=colour_of(mark, 0), linewidth=1.6, label=label)
    elif mark.kind == "verticals":
        for x in mark.x:
            axes.axvline(x, color="#999999", linestyle="--", linewidth=0.8)
    else:
        ends = mark.x2 or [0.0] * len(mark.x)
        starts = [min(a, b) for a, b in zip(mark.x, ends, strict=True)]
        widths = [abs(b - a) for a, b in zip(mark.x, ends, strict=True)]
        axes.barh(mark.y, widths, left=starts, height=0.7, color=colours, edgecolor=colours, linewidth=0.8, label=label)


def _draw_parallel(axes: Any, figure: Parallel) -> None:
    scales = [Scale(axis, [line[i] for line in figure.lines], 0.02) for i, axis in enumerate(figure.axes)]
    for line, colour in zip(figure.lines, figure.colours, strict=True):
        points = [(i, scales[i].share(value)) for i, value in enumerate(line) if not math.isnan(value)]
        axes.plot([x for x, _ in points], [y for _, y in points], color=colour_at(colour), linewidth=0.9)
    for i, scale in enumerate(scales):
        axes.axvline(i, color="#888888", linewidth=0.8)
        for share, text in scale.ticks():
            axes.annotate(
                _plain(text[:14]), (i, share), fontsize=6, xytext=(3, 0), textcoords="offset points",
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.5},
            )  # fmt: skip
    axes.set_xticks(range(len(figure.axes)), [_plain(axis.label[:20]) for axis in figure.axes], fontsize=7)
    axes.set_yticks([])
