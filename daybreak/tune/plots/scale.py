"""From values to places along an axis, and the numbers that are written beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from daybreak.tune.plots.figures import Axis, Figure

__all__ = ["Scale", "scales_of"]

_MOST, _LEAST = 1e300, 1e-300  # of what an axis can show; what is beyond lies at or behind its ends


class Scale:
    """Values of an axis as shares of its length.

    >>> scale = Scale(Axis("lr", log=True), [0.001, 0.1])
    >>> round(scale.share(0.01), 3)
    0.5
    >>> [text for _, text in scale.ticks()]
    ['0.001', '0.01', '0.1']
    """

    def __init__(self, axis: Axis, values: Sequence[float], margin: float = 0.0) -> None:
        self.axis = axis
        if axis.options is not None:
            self._low, self._high = -0.5, max(len(axis.options), 1) - 0.5
            return
        finite = [value for value in values if math.isfinite(value) and (not axis.log or value > 0)]
        self._log = axis.log and bool(finite)
        low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
        if self._log:
            low, high = math.log10(low), math.log10(high)
        low, high = max(low, -_MOST), min(high, _MOST)
        size = max(abs(low), abs(high))
        if high - low <= size * 1e-12 or high - low < _LEAST:
            half = size / 2 if size > _LEAST and not self._log else 0.5
            low, high = low - half, high + half
        self._low, self._high = low - (high - low) * margin, high + (high - low) * margin

    def share(self, value: float) -> float:
        """0 at the lower end, 1 at the upper; NaN stays."""
        if self.axis.options is None and self._log:
            value = math.log10(value) if value > 0 else math.nan
        return self._share_of(min(max(value, -2 * _MOST), 2 * _MOST) if value == value else value)

    def ticks(self, most: int = 6) -> list[tuple[float, str]]:
        """(share, text), from below."""
        if self.axis.options is not None:
            step = math.ceil(len(self.axis.options) / 24)
            return [(self.share(i), text) for i, text in enumerate(self.axis.options) if i % step == 0]
        if self._log:
            values = _round_powers(self._low, self._high, most)
            if len(values) > 1:
                return [(self._share_of(math.log10(value)), f"{value:g}") for value in values]
            return [(self._share_of(place), f"{10.0**place:.3g}") for place in (self._low, self._high)]
        return [(self._share_of(value), f"{value:.4g}") for value in _round_numbers(self._low, self._high, most)]

    def _share_of(self, place: float) -> float:
        return (place - self._low) / (self._high - self._low)


def _round_powers(low: float, high: float, most: int) -> list[float]:
    """Powers of ten between the two logarithms; where there are few of them, with twice and five times each."""
    low, high = max(low, -307.0), min(high, 308.0)
    whole = range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)
    if len(whole) > 2:
        return [10.0**i for i in whole][:: math.ceil(len(whole) / most)]
    between = range(math.floor(low), math.ceil(high) + 1)
    return [f * 10.0**i for i in between for f in (1, 2, 5) if low - 1e-9 <= math.log10(f) + i <= high + 1e-9]


def _round_numbers(low: float, high: float, most: int) -> list[float]:
    """1, 2 or 5 times a power of ten apart."""
    span = high - low
    if not math.isfinite(span) or span <= 0:
        return [low, high]
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= most)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def scales_of(figure: Figure) -> tuple[Scale, Scale]:
    """Of x and y, over all marks."""
    x = [value for mark in figure.marks for value in (*mark.x, *mark.x2)]
    y = [value for mark in figure.marks for value in mark.y]
    from_zero = any(mark.kind in ("bars", "spans") for mark in figure.marks)
    margin = 0.0 if from_zero else 0.04
    return Scale(figure.x, [*x, 0.0] if from_zero else x, margin), Scale(figure.y, y, margin)
