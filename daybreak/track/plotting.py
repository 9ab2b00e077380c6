"""Series as pictures: a line of blocks, a plot of characters for the terminal, a PNG."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

from daybreak.base import errors, paths

__all__ = ["Line", "png", "sparkline", "text_plot"]

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = "_.:-=+*#"
_MARKS = "ox+*#@%&$~"
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of a braille character, by row and column
MAX_LINES = len(_MARKS)


@dataclass(frozen=True)
class Line:
    """A series to be drawn; what is not finite is left out."""

    name: str
    steps: Sequence[float]
    values: Sequence[float]
    joined: bool = True  # else each point stands alone

    def points(self) -> list[tuple[float, float]]:
        return [(float(x), float(y)) for x, y in zip(self.steps, self.values, strict=True) if math.isfinite(y)]


def sparkline(values: Sequence[float], width: int = 24, *, ascii: bool = False) -> str:
    """One character for each of ``width`` equal parts of the series (its mean), from the least to the greatest.

    ``ascii``: for a terminal that has no other characters.

    >>> sparkline([0, 1, 2, 3, 2, 1, 0, 7])
    '▁▂▃▄▃▂▁█'
    """
    finite = [float(value) for value in values if math.isfinite(value)]
    if not finite:
        return ""
    width = min(width, len(finite))
    ends = [len(finite) * i // width for i in range(width + 1)]
    means = [_mean(finite[begin:end]) for begin, end in zip(ends, ends[1:], strict=False)]
    least, greatest = min(means), max(means)
    blocks = _ASCII_BLOCKS if ascii else _BLOCKS
    return "".join(blocks[round(_share(mean, least, greatest) * (len(blocks) - 1))] for mean in means)


def _mean(values: Sequence[float]) -> float:
    return sum(value / len(values) for value in values)  # no overflow


def _share(value: float, least: float, greatest: float) -> float:
    """Where it lies between the two, 0 to 1; 0 when they are the same."""
    span = greatest / 2 - least / 2  # halves: the difference of two floats may be infinite
    return min(1.0, max(0.0, (value / 2 - least / 2) / span)) if span > 0 else 0.0


def text_plot(lines: Sequence[Line], width: int = 72, height: int = 16, *, ascii: bool = False) -> str:
    """Lines over their steps: one in braille dots, several (or with ``ascii``) each with a mark of its own.

    InvalidArgumentError for more than 10 lines.
    """
    if len(lines) > MAX_LINES:
        raise errors.InvalidArgumentError(f"{len(lines)} lines: a plot of characters has at most {MAX_LINES}")
    drawn = [(line, line.points()) for line in lines]
    every = [point for _, points in drawn for point in points]
    marked = ascii or len(drawn) > 1
    legend = [f"{_MARKS[i] if marked else ' '} {line.name}" for i, (line, _) in enumerate(drawn)]
    if not every:
        return "\n".join(["(no finite values)", *legend])
    steps, values = [x for x, _ in every], [y for _, y in every]
    box = min(steps), max(steps), min(values), max(values)
    rows = _marks(drawn, box, width, height) if marked else _braille(drawn[0][1], box, width, height, lines[0].joined)
    side, corner, floor = "|+-" if ascii else "│└─"
    labels = [f"{box[3]:.4g}", *[""] * (height - 2), f"{box[2]:.4g}"]
    margin = max(map(len, labels))
    out = [f"{label:>{margin}} {side}{row}".rstrip() for label, row in zip(labels, rows, strict=True)]
    first, last = f"{box[0]:.10g}", f"{box[1]:.10g}"
    out.append(f"{'':>{margin}} {corner}{floor * width}")
    out.append(f"{'':>{margin}}  {first}{last:>{max(1, width - len(first))}}")
    return "\n".join([*out, *legend])


Box = tuple[float, float, float, float]  # least and greatest step, least and greatest value


def _traced(
    points: Sequence[tuple[float, float]], box: Box, columns: int, rows: int, joined: bool
) -> set[tuple[int, int]]:
    """The (column, row) that the points, or a line through them, touch; row 0 is the top."""
    touched: set[tuple[int, int]] = set()
    before: tuple[int, int] | None = None
    for x, y in points:
        column = round(_share(x, box[0], box[1]) * (columns - 1))
        row = round((1 - _share(y, box[2], box[3])) * (rows - 1))
        if joined and before is not None:
            steps = max(abs(column - before[0]), abs(row - before[1]), 1)
            for i in range(steps):
                share = i / steps
                at = (before[0] + (column - before[0]) * share, before[1] + (row - before[1]) * share)
                touched.add((round(at[0]), round(at[1])))
        touched.add((column, row))
        before = column, row
    return touched


def _braille(points: Sequence[tuple[float, float]], box: Box, width: int, height: int, joined: bool) -> list[str]:
    cells = [[0] * width for _ in range(height)]
    for column, row in _traced(points, box, width * 2, height * 4, joined):
        cells[row // 4][column // 2] |= _DOTS[row % 4][column % 2]
    return ["".join(chr(0x2800 + cell) if cell else " " for cell in line) for line in cells]


def _marks(drawn: Sequence[tuple[Line, Sequence[tuple[float, float]]]], box: Box, width: int, height: int) -> list[str]:
    cells = [[" "] * width for _ in range(height)]
    for mark, (line, points) in zip(_MARKS, drawn, strict=False):
        for column, row in _traced(points, box, width, height, line.joined):
            cells[row][column] = mark
    return ["".join(line) for line in cells]


def png(lines: Sequence[Line], path: str | os.PathLike[str], title: str = "") -> None:
    """Draws the lines into a PNG. FailedPreconditionError when matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise errors.FailedPreconditionError("a PNG needs matplotlib: pip install matplotlib") from None
    figure = Figure(figsize=(9, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for line in lines:
        points = line.points()
        axes.plot(
            [x for x, _ in points],
            [y for _, y in points],
            label=_plain(line.name),
            marker="o" if len(points) == 1 or not line.joined else None,
            linewidth=1.4 if line.joined else 0,
        )
    axes.set_xlabel("step")
    axes.set_title(_plain(title))
    axes.grid(alpha=0.3)
    if lines:
        axes.legend()
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=120)
    paths.write(path, drawn.getvalue())


def _plain(text: str) -> str:
    return text.replace("$", r"\$")  # no formulas
