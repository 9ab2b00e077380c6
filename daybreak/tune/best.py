"""Which trials are the best share of all, as importances ask."""

from __future__ import annotations

import math
from collections.abc import Sequence

from daybreak._core import tune as _native

__all__ = ["places_of_best"]


def places_of_best(losses: Sequence[list[float]], quantile: float) -> list[int]:
    """Of the best share, equals of the last included; of several objectives whole fronts first."""
    if quantile == 1.0:
        return list(range(len(losses)))
    count = math.ceil(quantile * len(losses))
    if losses and len(losses[0]) > 1:
        return sorted(_native.best_of_fronts(losses, count))
    limit = sorted(losses)[count - 1]
    return [i for i, loss in enumerate(losses) if loss <= limit]
