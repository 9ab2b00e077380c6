"""HyperOpt's words for a space, as 2018's programs have them: a label comes first, and bounds of logarithms are logarithms.

>>> from daybreak.tune import hp
>>> hp.uniform("lr", 0, 1)
uniform(0.0, 1.0)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from . import space as _space

__all__ = [
    "choice",
    "loguniform",
    "normal",
    "qloguniform",
    "qnormal",
    "quniform",
    "randint",
    "uniform",
    "uniformint",
]


def choice(label: str, options: Sequence[Any]) -> Any:
    """One of the options: the value reaches the config, not its index."""
    return _space.choice(options)


def uniform(label: str, low: float, high: float) -> Any:
    return _space.uniform(low, high)


def quniform(label: str, low: float, high: float, q: float) -> Any:
    """round(uniform / q) * q; the bounds are widened to multiples of q."""
    return _space.quniform(math.floor(low / q) * q, math.ceil(high / q) * q, q)


def loguniform(label: str, low: float, high: float) -> Any:
    """exp(uniform(low, high))."""
    return _space.loguniform(math.exp(low), math.exp(high))


def qloguniform(label: str, low: float, high: float, q: float) -> Any:
    """round(exp(uniform(low, high)) / q) * q, at least q."""
    lowest = max(round(math.exp(low) / q), 1) * q
    return _space.qloguniform(lowest, max(round(math.exp(high) / q) * q, lowest), q)


def normal(label: str, mu: float, sigma: float) -> Any:
    return _space.randn(mu, sigma)


def qnormal(label: str, mu: float, sigma: float, q: float) -> Any:
    return _space.qrandn(mu, sigma, q)


def randint(label: str, *bounds: int) -> Any:
    """randint(label, upper) or randint(label, low, upper): whole numbers below upper."""
    low, high = (0, bounds[0]) if len(bounds) == 1 else bounds
    return _space.randint(low, high)


def uniformint(label: str, low: int, high: int) -> Any:
    """Whole numbers from low to high, both included."""
    return _space.randint(low, high + 1)
