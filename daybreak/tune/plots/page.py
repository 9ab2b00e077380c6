"""One HTML page with everything in it: pictures as SVG, a word on each trial under the pointer, and nothing that is loaded."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

from daybreak.tune.plots.figures import Axis, Figure, Mark, Parallel
from daybreak.tune.plots.scale import Scale, scales_of

__all__ = ["colour_at", "colour_of", "page"]

WIDTH, HEIGHT = 560, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 16, 14, 46
_SHADES = ((222, 235, 247), (107, 174, 214), (33, 113, 181), (8, 48, 107))  # the last: best
_STATES = {
    "COMPLETE": "#2171b5", "PRUNED": "#e6a700", "FAIL": "#cb181d", "RUNNING": "#31a354", "PAUSED": "#8856a7",
    "WAITING": "#969696", "best": "#cb181d", "dim": "#9ecae1",
}  # fmt: skip
_STYLE = """
:root{color-scheme:light}body{font:15px/1.45 system-ui,sans-serif;margin:24px auto;max-width:1240px;padding:0 16px;color:#1a1a1a;
background:#fff}h1{font-size:22px}h2{font-size:17px;margin:26px 0 6px}.row{display:flex;flex-wrap:wrap;gap:14px}figure{margin:0}
figcaption,.note{color:#555;font-size:13px}svg{background:#fff;border:1px solid #ddd;border-radius:4px;max-width:100%;height:auto}
svg text{font-size:11px;fill:#333}svg .grid{stroke:#eee}svg .axis{stroke:#888}svg .mark:hover{stroke:#d00;stroke-width:3}
table{border-collapse:collapse;font-size:13px}td,th{padding:3px 10px 3px 0;text-align:left;border-bottom:1px solid #eee}
.scroll{overflow-x:auto}td.n{text-align:right;font-variant-numeric:tabular-nums}
"""


def colour_at(share: float | None) -> str:
    """From pale to dark; grey without one."""
    if share is None or math.isnan(share):
        return "#bbbbbb"
    at = min(max(share, 0.0), 1.0) * (len(_SHADES) - 1)
    i = min(int(at), len(_SHADES) - 2)
    mixed = [round(a + (b - a) * (at - i)) for a, b in zip(_SHADES[i], _SHADES[i + 1], strict=True)]
    return "#{:02x}{:02x}{:02x}".format(*mixed)


def colour_of(mark: Mark, place: int) -> str:
    """Of one point, bar or line of a mark."""
    if place < len(mark.colours):
        return colour_at(mark.colours[place])
    return _STATES.get(mark.colour, "#cb181d" if mark.kind == "steps" else "#2171b5")


def _escaped(text: str) -> str:
    """Also without what no XML may hold."""
    return html.escape("".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text))


def _title(mark: Mark, place: int) -> str:
    return f"<title>{_escaped(mark.texts[place])}</title>" if place < len(mark.texts) else ""


class _Box:
    """Where on the picture a value lies."""

    def __init__(self, figure: Figure) -> None:
        rows = len(figure.y.options or [])
        self.left = _LEFT if figure.y.options is None else min(200, 34 + 7 * max(map(len, figure.y.options), default=0))
        self.height = max(HEIGHT, _TOP + _BOTTOM + 16 * rows) if figure.y.options is not None else HEIGHT
        self.x_scale, self.y_scale = scales_of(figure)

    def x(self, value: float) -> float:
        return round(self.left + self.x_scale.share(value) * (WIDTH - self.left - _RIGHT), 2)

    def y(self, value: float) -> float:
        return round(self.height - _BOTTOM - self.y_scale.share(value) * (self.height - _TOP - _BOTTOM), 2)

    def frame(self, figure: Figure) -> list[str]:
        bottom, right = self.height - _BOTTOM, WIDTH - _RIGHT
        out = []
        for share, text in self.x_scale.ticks():
            at = round(self.left + share * (right - self.left), 2)
            out.append(f'<line class="grid" x1="{at}" x2="{at}" y1="{_TOP}" y2="{bottom}"/>')
            out.append(f'<text x="{at}" y="{bottom + 16}" text-anchor="middle">{_escaped(text[:18])}</text>')
        for share, text in self.y_scale.ticks():
            at = round(bottom - share * (bottom - _TOP), 2)
            out.append(f'<line class="grid" x1="{self.left}" x2="{right}" y1="{at}" y2="{at}"/>')
            out.append(f'<text x="{self.left - 6}" y="{at + 4}" text-anchor="end">{_escaped(text[:28])}</text>')
        out.append(f'<path class="axis" fill="none" d="M{self.left} {_TOP}V{bottom}H{right}"/>')
        middle = (self.left + right) / 2
        x_label, y_label = _label(figure.x), _label(figure.y)
        out.append(f'<text x="{middle}" y="{self.height - 8}" text-anchor="middle">{_escaped(x_label)}</text>')
        out.append(
            f'<text transform="translate(12 {(bottom + _TOP) / 2}) rotate(-90)" text-anchor="middle">{_escaped(y_label)}</text>'
        )
        return out


def _label(axis: Axis) -> str:
    return f"{axis.label} (log)" if axis.log else axis.label


def _path(box: _Box, mark: Mark) -> str:
    points = [(box.x(x), box.y(y)) for x, y in zip(mark.x, mark.y, strict=True)]
    if mark.kind == "steps":
        points = [p for i, (x, y) in enumerate(points) for p in ([(x, points[i - 1][1])] if i else []) + [(x, y)]]
    return "M" + "L".join(f"{x} {y}" for x, y in points if not (math.isnan(x) or math.isnan(y)))


def _drawn(box: _Box, mark: Mark) -> list[str]:
    out = []
    if mark.kind in ("line", "steps") and mark.x:
        width = 2 if mark.kind == "steps" else 1.2
        path = f'<path class="mark" fill="none" stroke="{colour_of(mark, 0)}" stroke-width="{width}" d="{_path(box, mark)}">'
        out.append(f"{path}{_title(mark, 0)}</path>")
        if len(mark.x) == 1:
            out.append(
                f'<circle class="mark" cx="{box.x(mark.x[0])}" cy="{box.y(mark.y[0])}" r="3" fill="{colour_of(mark, 0)}"/>'
            )
    elif mark.kind == "verticals":
        for x in mark.x:
            at = box.x(x)
            out.append(
                f'<line stroke="#999" stroke-dasharray="4 3" x1="{at}" x2="{at}" y1="{_TOP}" y2="{box.height - _BOTTOM}"/>'
            )
    elif mark.kind == "points":
        for i, (x, y) in enumerate(zip(mark.x, mark.y, strict=True)):
            cx, cy = box.x(x), box.y(y)
            if not (math.isnan(cx) or math.isnan(cy)):
                out.append(
                    f'<circle class="mark" cx="{cx}" cy="{cy}" r="3.2" fill="{colour_of(mark, i)}">{_title(mark, i)}</circle>'
                )
    else:
        thick = min(14.0, 0.7 * abs(box.y(0) - box.y(1)))
        ends = mark.x2 or [0.0] * len(mark.x)
        for i, (a, b, y) in enumerate(zip(mark.x, ends, mark.y, strict=True)):
            x1, x2 = sorted((box.x(a), box.x(b)))
            rest = f'width="{max(round(x2 - x1, 2), 1)}" height="{thick:.1f}" fill="{colour_of(mark, i)}"'
            out.append(f'<rect class="mark" x="{x1}" y="{box.y(y) - thick / 2:.1f}" {rest}>{_title(mark, i)}</rect>')
    return out


def svg(figure: Figure | Parallel) -> str:
    """One picture."""
    if isinstance(figure, Parallel):
        return _parallel_svg(figure)
    box = _Box(figure)
    out = box.frame(figure)
    for mark in sorted(figure.marks, key=lambda one: one.kind == "points"):  # above lines: the pointer is to find them
        out += _drawn(box, mark)
    return _element(WIDTH, box.height, figure.title, out)


def _element(width: float, height: float, title: str, out: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img"'
    return f'{head} aria-label="{_escaped(title)}">{"".join(out)}</svg>'


def _parallel_svg(figure: Parallel) -> str:
    columns = len(figure.axes)
    width = max(WIDTH, 70 + 130 * columns)
    height, top, bottom = 380, 34, 24
    at = [60 + i * (width - 120) / max(columns - 1, 1) for i in range(columns)]
    scales = [Scale(axis, [line[i] for line in figure.lines], 0.02) for i, axis in enumerate(figure.axes)]

    def y(share: float) -> float:
        return round(height - bottom - share * (height - top - bottom), 2)

    out = []
    for line, colour, text in zip(figure.lines, figure.colours, figure.texts, strict=True):
        points = [(at[i], y(scales[i].share(value))) for i, value in enumerate(line) if not math.isnan(value)]
        path = "M" + "L".join(f"{px:.1f} {py}" for px, py in points if not math.isnan(py))
        stroke = f'stroke="{colour_at(colour)}" stroke-width="1.3"'
        out.append(f'<path class="mark" fill="none" {stroke} d="{path}"><title>{_escaped(text)}</title></path>')
    for i, axis in enumerate(figure.axes):
        out.append(f'<line class="axis" x1="{at[i]:.1f}" x2="{at[i]:.1f}" y1="{top}" y2="{height - bottom}"/>')
        out.append(f'<text x="{at[i]:.1f}" y="16" text-anchor="middle">{_escaped(_label(axis)[:22])}</text>')
        for share, text in scales[i].ticks():
            out.append(f'<text x="{at[i] + 5:.1f}" y="{y(share) + 4}">{_escaped(text[:16])}</text>')
    return _element(width, height, figure.title, out)


_HEADS = {
    "history": "History", "curves": "Learning curves", "rungs": "Rungs", "parallel": "Parallel coordinates",
    "slices": "Slices", "importance": "Importance", "pareto": "Pareto front", "timeline": "Timeline",
}  # fmt: skip


def page(title: str, summary: str, figures: Sequence[Figure | Parallel], rows: Sequence[Sequence[str]] = ()) -> str:
    """``rows``: a table above the pictures, its heads first."""
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    out = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>{_escaped(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{_escaped(title)}</h1><p>{_escaped(summary)}</p>",
    ]
    if rows:
        heads = "".join(f"<th>{_escaped(cell)}</th>" for cell in rows[0])
        body = "".join("<tr>" + "".join(f"<td>{_escaped(c)}</td>" for c in row) + "</tr>" for row in rows[1:])
        out.append(f'<div class="scroll"><table><tr>{heads}</tr>{body}</table></div>')
    group = ""
    for figure in figures:
        if figure.group != group:
            out.append(
                ("</div>" if group else "") + f'<h2 id="{figure.group}">{_HEADS[figure.group]}</h2><div class="row">'
            )
            group = figure.group
        words = [
            _escaped(word) for word in (figure.title if figure.title != _HEADS[group] else "", figure.note) if word
        ]
        caption = "; ".join([*words, *([legend] if (legend := _legend(figure)) else [])])
        out.append(f"<figure>{svg(figure)}<figcaption>{caption}</figcaption></figure>")
    return "\n".join([*out, "</div>" if group else "", "</body></html>", ""])


def _legend(figure: Figure | Parallel) -> str:
    if isinstance(figure, Parallel):
        return "the darker, the better"
    if figure.group == "curves":
        return "the darker, the better" + (
            "; dashed: rungs" if any(m.kind == "verticals" for m in figure.marks) else ""
        )
    if figure.group == "slices":
        return "the darker, the later"
    named = [mark for mark in figure.marks if mark.name]
    return " ".join(f'<span style="color:{colour_of(mark, 0)}">&#9632;</span> {_escaped(mark.name)}' for mark in named)
