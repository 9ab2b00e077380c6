"""Whether one side is no worse than the other: standard library only.

Of each case both sides' values are log10 of the regret at the last budget, and the area under it, a seed each.
"""

from __future__ import annotations

import math
import random
import statistics
from dataclasses import dataclass

MARGIN = 0.1  # of the median of log10 regret: what is no more than this worse counts as equal
LEAST_A12 = 0.44  # of what counts as equal
RESAMPLES = 2000
LEVEL = 0.05


@dataclass(frozen=True)
class Verdict:
    """``difference``: of medians, ours less theirs (below 0: ours is better), and its 95% bootstrap interval. ``p``: two-sided
    Mann-Whitney, after Holm over the cases. ``a12``: how often one of ours is better than one of theirs, ties half."""

    ours: float
    theirs: float
    difference: float
    low: float
    high: float
    p: float
    a12: float

    @property
    def word(self) -> str:
        if self.high < -MARGIN or (self.p < LEVEL and self.a12 > 0.5):
            return "better"
        if self.low > MARGIN or (self.p < LEVEL and self.a12 < 0.5):
            return "WORSE"
        if self.high <= MARGIN and self.a12 >= LEAST_A12:
            return "non-inferior"
        return "open"


def a12(ours: list[float], theirs: list[float]) -> float:
    """
    >>> a12([1, 2], [3, 4]), a12([1, 1], [1, 1])
    (1.0, 0.5)
    """
    wins = sum((a < b) + 0.5 * (a == b) for a in ours for b in theirs)
    return wins / (len(ours) * len(theirs))


def mann_whitney(ours: list[float], theirs: list[float]) -> float:
    """Two-sided, by the normal approximation with ties.

    >>> round(mann_whitney(list(range(20)), list(range(20, 40))), 6) < 1e-4
    True
    """
    n, m = len(ours), len(theirs)
    both = sorted([*ours, *theirs])
    ties = sum(count**3 - count for count in (both.count(value) for value in set(both)))
    total = n + m
    variance = n * m / 12 * (total + 1 - ties / (total * (total - 1)))
    if variance <= 0:
        return 1.0
    distance = abs(a12(ours, theirs) * n * m - n * m / 2)
    z = max(0.0, distance - 0.5) / math.sqrt(variance)
    return math.erfc(z / math.sqrt(2))


def holm(values: list[float]) -> list[float]:
    """
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(values)), key=lambda k: values[k])
    found, most = [0.0] * len(values), 0.0
    for rank, k in enumerate(order):
        most = max(most, min(1.0, values[k] * (len(values) - rank)))
        found[k] = round(most, 12)
    return found


def verdicts(pairs: list[tuple[list[float], list[float]]]) -> list[Verdict]:
    """Of each case both sides' values, less being better."""
    adjusted = holm([mann_whitney(*pair) for pair in pairs])
    made = []
    for (ours, theirs), p in zip(pairs, adjusted, strict=True):
        draw = random.Random(f"{ours} {theirs}")
        differences = sorted(
            statistics.median(draw.choices(ours, k=len(ours))) - statistics.median(draw.choices(theirs, k=len(theirs)))
            for _ in range(RESAMPLES)
        )
        own, other = statistics.median(ours), statistics.median(theirs)
        ends = differences[round(0.025 * (RESAMPLES - 1))], differences[round(0.975 * (RESAMPLES - 1))]
        made.append(Verdict(own, other, own - other, *ends, p, a12(ours, theirs)))
    return made
