"""Distributions, there and back: Optuna's with their options as JSON text, ours with indices."""

from __future__ import annotations

import json
from decimal import Decimal
from functools import lru_cache

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from daybreak._core.tune import Distribution
from daybreak.base.errors import InvalidArgumentError
from daybreak.tune import options

__all__ = ["ours", "theirs"]


def ours(name: str, distribution: BaseDistribution) -> tuple[Distribution, str]:
    """Ours, and the JSON text of the options, "" for numbers."""
    if isinstance(distribution, FloatDistribution):
        return Distribution.real(distribution.low, distribution.high, distribution.log, distribution.step or 0.0), ""
    if isinstance(distribution, IntDistribution):
        return Distribution.whole(distribution.low, distribution.high, distribution.log, distribution.step), ""
    if isinstance(distribution, CategoricalDistribution):
        values, text = options.checked(name, distribution.choices)
        return Distribution.categorical(len(values)), text
    raise InvalidArgumentError(
        f"'{name}' has a {type(distribution).__name__}: FloatDistribution, IntDistribution or CategoricalDistribution expected"
    )


def theirs(distribution: Distribution, text: str) -> BaseDistribution:
    # Not by the object, which is another one each time.
    kind = "categorical" if distribution.is_categorical else "whole" if distribution.is_whole else "real"
    return made(
        kind, distribution.low, distribution.high, distribution.step, distribution.log, distribution.count, text
    )


@lru_cache(4096)
def made(kind: str, low: float, high: float, step: float, log: bool, count: int, text: str) -> BaseDistribution:
    if kind == "categorical":
        if not text:  # of a study that gave indices alone, in C++
            return CategoricalDistribution(tuple(range(count)))
        return CategoricalDistribution(tuple(json.loads(text)))
    if kind == "whole":
        return IntDistribution(int(low), int(high), log=log, step=int(step))
    if step:  # Optuna counts steps in decimals: 0.3 is three of 0.1
        high = float(Decimal(str(low)) + (count - 1) * Decimal(str(step)))
    return FloatDistribution(low, high, log=log, step=step or None)
