"""Which parameters matter: PED-ANOVA over a view's complete trials, whatever they come from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from daybreak._core import tune as _native
from daybreak.base.errors import FailedPreconditionError
from daybreak.tune.best import places_of_best
from daybreak.tune.plots.view import Parameter, View, view_of
from daybreak.tune.study import TrialState

__all__ = ["importances"]

TARGET_QUANTILE = 0.1  # the best tenth is compared with all


def importances(what: Any, parameters: Sequence[str] | None = None, **of: Any) -> dict[str, float]:
    """Name to importance, the greatest first; ``what`` and ``of`` as view_of() takes them.

    FailedPreconditionError with fewer than two finished trials.
    """
    view = view_of(what, **of)
    points = [p for p in view.finished() if all(map(math.isfinite, p.values or []))]
    if len(points) < 2:
        raise FailedPreconditionError(
            f"importance: {view.title} has {len(points)} finished trials, at least 2 are needed"
        )
    mirror = _native.TrialMirror([2 if sign > 0 else 1 for sign in view.signs])
    chosen = view.parameters(parameters)
    spaces = {parameter.name: _space(view, parameter) for parameter in chosen}
    given = set()
    for number, point in enumerate(points):
        mirror.add(TrialState.RUNNING)
        for parameter in chosen:
            place = parameter.place(point.params[parameter.name]) if parameter.name in point.params else math.nan
            if math.isfinite(place):
                mirror.give(number, parameter.name, place, spaces[parameter.name])
                given.add(parameter.name)
        mirror.move(number, TrialState.COMPLETE, point.values or [])
    losses = [[-sign * value for sign, value in zip(view.signs, p.values or [], strict=True)] for p in points]
    names = sorted(given)
    best = places_of_best(losses, TARGET_QUANTILE)
    shares = _native.ped_anova(mirror, list(range(len(points))), best, names, True) if names else []
    found = {parameter.name: 0.0 for parameter in chosen} | dict(zip(names, shares, strict=True))
    return dict(sorted(found.items(), key=lambda pair: pair[1], reverse=True))


def _space(view: View, parameter: Parameter) -> _native.Distribution:
    """The study's own; of an experiment the range that was seen."""
    if parameter.options is not None:
        return _native.Distribution.categorical(len(parameter.options))
    own: _native.Distribution | None = view.distributions.get(parameter.name)
    if own is not None and not own.is_categorical and own.contains(parameter.low) and own.contains(parameter.high):
        return own
    if parameter.whole:
        return _native.Distribution.whole(int(parameter.low), int(parameter.high), log=parameter.log)
    return _native.Distribution.real(parameter.low, parameter.high, log=parameter.log)
