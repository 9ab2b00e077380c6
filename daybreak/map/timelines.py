"""When calls ran: as a picture, and in the terminal."""

from __future__ import annotations

from typing import Any

from daybreak.base import paths
from daybreak.base.errors import FailedPreconditionError, InvalidArgumentError
from daybreak.base.printable import only_ascii

from .summaries import Span, spans

__all__ = ["plot", "text", "timeline"]

_MAX_LANES = 40
_MAX_POINTS = 20_000  # of a picture: more calls are thinned


def _of(what: Any) -> list[Span]:
    found = what if isinstance(what, list) and what and isinstance(what[0], Span) else spans(what)
    if not found:
        raise FailedPreconditionError("no call's times are known: wait for the calls, and give the executor logs=True")
    return sorted(found, key=lambda span: (span.submitted, span.callset_id, span.index))


def text(what: Any, width: int = 72, *, ascii: bool | None = None) -> str:
    """A line for each worker, from the first submission to the last end. A cell is full, half or empty as the worker ran calls in
    its time; `!` where one failed. `what`: a call set, or futures."""
    found = _of(what)
    if width < 20:
        raise InvalidArgumentError(f"width={width}: 20 or more")
    full, half, empty = ("#", "-", " ") if (only_ascii() if ascii is None else ascii) else ("█", "▌", "·")
    begin, end = min(span.submitted for span in found), max(span.end for span in found)
    cell = max((end - begin) / width, 1e-9)
    lanes: dict[int, list[Span]] = {}
    for span in found:
        lanes.setdefault(span.pid, []).append(span)
    lines = []
    for pid, of_worker in sorted(lanes.items())[:_MAX_LANES]:
        busy, failed = [0.0] * width, [False] * width
        for span in of_worker:
            first, last = int((span.start - begin) / cell), min(width - 1, int((span.end - begin) / cell))
            for place in range(max(first, 0), last + 1):
                left, right = begin + place * cell, begin + (place + 1) * cell
                busy[place] += max(0.0, min(right, span.end) - max(left, span.start)) / cell
            failed[last] = failed[last] or span.failed
        cells = [
            "!" if bad else full if part > 0.66 else half if part > 0 else empty
            for part, bad in zip(busy, failed, strict=True)
        ]
        lines.append(f"{pid:>8} {''.join(cells)} {len(of_worker):,}")
    if len(lanes) > _MAX_LANES:
        lines.append(f"{'':8} ({len(lanes) - _MAX_LANES} more workers)")
    scale = f"{end - begin:.3g} s"
    lines.append(f"{'worker':>8} 0{scale:>{width - 1}} calls")
    return "\n".join(lines)


def timeline(what: Any, path: Any = None, *, width: int = 72) -> str:
    """When calls ran. With a path, a picture there (see `plot`): its path is returned; without, text for the terminal."""
    return text(what, width) if path is None else plot(what, path)


def plot(what: Any, path: Any) -> str:
    """A picture (.png, or whatever matplotlib writes by that ending): each call's submission, start and end. Where it was written.

    Raises:
        FailedPreconditionError: there is no matplotlib; no call's times are known.
    """
    found = _of(what)
    place = paths.given(path, "path")
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise FailedPreconditionError(
            "a picture needs matplotlib: pip install matplotlib; text() needs nothing"
        ) from None
    step = -(-len(found) // _MAX_POINTS)
    shown = found[::step]
    zero = min(span.submitted for span in found)
    rows = range(len(shown))
    figure = Figure(figsize=(10, 6), layout="tight")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.hlines(rows, [s.start - zero for s in shown], [s.end - zero for s in shown], color="0.85", linewidth=1)
    for label, colour, times in (
        ("submitted", "tab:blue", [s.submitted for s in shown]),
        ("started", "tab:green", [s.start for s in shown]),
        ("ended", "tab:orange", [s.end for s in shown]),
    ):
        axes.scatter([when - zero for when in times], rows, s=12, color=colour, edgecolor="none", label=label)
    bad = [(s.end - zero, row) for row, s in zip(rows, shown, strict=True) if s.failed]
    if bad:
        axes.scatter([x for x, _ in bad], [y for _, y in bad], s=30, marker="x", color="tab:red", label="failed")
    axes.set_xlabel("seconds")
    axes.set_ylabel("call" if step == 1 else f"every {step}th call")
    axes.legend(loc="upper left")
    figure.savefig(place)
    return place
