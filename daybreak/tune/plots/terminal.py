"""Figures as characters."""

from __future__ import annotations

import math
from collections.abc import Sequence

from daybreak.base.printable import clean
from daybreak.track.plotting import Line, text_plot
from daybreak.tune.plots.figures import Figure, Parallel

__all__ = ["text"]

_MOST_LINES = 8
_MOST_ROWS = 30


def text(figures: Sequence[Figure | Parallel], width: int = 72, height: int = 16, *, ascii: bool = False) -> str:
    """One below the other; parallel coordinates have no form of characters and say so."""
    return "\n\n".join(f"{clean(figure.title)}\n{_one(figure, width, height, ascii)}" for figure in figures)


def _one(figure: Figure | Parallel, width: int, height: int, ascii: bool) -> str:
    if isinstance(figure, Parallel):
        return "(parallel coordinates are drawn into a file: --out page.html or --out picture.png)"
    if any(mark.kind in ("bars", "spans") for mark in figure.marks):
        return _rows(figure, width, ascii)
    lines = []
    for mark in figure.marks[:_MOST_LINES]:
        if mark.kind == "verticals":
            continue
        x = [math.log10(value) if figure.x.log else value for value in mark.x]
        y = list(mark.y)
        if mark.kind == "steps":
            x, y = [v for v in x for _ in (0, 1)][1:], [v for v in y for _ in (0, 1)][:-1]
        lines.append(Line(clean(mark.name or figure.y.label), x, y, joined=mark.kind != "points"))
    label = f"log10({figure.x.label})" if figure.x.log else figure.x.label
    options = ", ".join(f"{i}: {clean(name)}" for i, name in enumerate(figure.x.options or []))
    more = [f"... and {len(figure.marks) - _MOST_LINES} more"] if len(figure.marks) > _MOST_LINES else []
    drawn = text_plot(lines, width, height, ascii=ascii)
    return "\n".join([drawn, f"  over {clean(label)}" + (f" ({options})" if options else ""), *more])


def _rows(figure: Figure, width: int, ascii: bool) -> str:
    names = [clean(name) for name in figure.y.options or []]
    most = max((max(mark.x + mark.x2, default=0.0) for mark in figure.marks), default=0.0) or 1.0
    margin = min(28, max(map(len, names), default=0))
    room = max(width - margin - 12, 10)
    full = "#" if ascii else "█"
    found: dict[int, list[tuple[float, float, str]]] = {}
    for mark in figure.marks:
        for i, y in enumerate(mark.y):
            start, end = (mark.x[i], mark.x2[i]) if mark.x2 else (0.0, mark.x[i])
            found.setdefault(round(y), []).append((start, end, mark.name))
    out = []
    top_first = sorted(found, reverse=figure.group != "timeline")
    for row in top_first[:_MOST_ROWS]:
        cells = [" "] * room
        for start, end, _ in found[row]:
            first, last = int(start / most * room), max(math.ceil(end / most * room), int(start / most * room) + 1)
            if end > start or figure.group == "timeline":
                cells[first:last] = [full] * (min(last, room) - min(first, room))
        value = found[row][-1][2].lower() if figure.group == "timeline" else f"{found[row][0][1]:.4g}"
        out.append(f"{names[row][:margin]:<{margin}} {''.join(cells[:room])} {value}".rstrip())
    if len(top_first) > _MOST_ROWS:
        out.append(f"... and {len(top_first) - _MOST_ROWS} more")
    return "\n".join([*out, f"{'':<{margin}} 0 to {most:.4g}: {clean(figure.x.label)}"])
