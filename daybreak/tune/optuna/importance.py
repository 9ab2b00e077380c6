"""Our importances behind Optuna's evaluators: `optuna.importance.get_param_importances(study, evaluator=...)`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import optuna
from optuna.importance import BaseImportanceEvaluator
from optuna.importance._base import _get_distributions, _get_filtered_trials
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from daybreak._core import tune as _native
from daybreak.tune.best import places_of_best
from daybreak.tune.optuna.mirror import Mirror, native

Target = Callable[[FrozenTrial], float] | None
FEW = 2  # a distribution that fewer trials have is left out


def _by_importance(found: dict[str, float]) -> dict[str, float]:
    return dict(sorted(found.items(), key=lambda item: item[1], reverse=True))


class PedAnovaImportanceEvaluator(BaseImportanceEvaluator):  # type: ignore[misc]
    """PED-ANOVA: how much the density of the best trials differs. Also with several objectives and conditional parameters."""

    def __init__(
        self, *, target_quantile: float = 0.1, region_quantile: float = 1.0, evaluate_on_local: bool = True
    ) -> None:
        if not 0.0 < target_quantile < region_quantile <= 1.0:
            raise ValueError(
                f"target_quantile={target_quantile}, region_quantile={region_quantile}: 0 < the first < the second <= 1"
            )
        if region_quantile != 1.0 and not evaluate_on_local:
            warnings.warn("region_quantile has no effect with evaluate_on_local=False", stacklevel=2)
        self._target_quantile = target_quantile
        self._region_quantile = region_quantile
        self._local = evaluate_on_local

    def _best(
        self, study: optuna.Study, trials: list[FrozenTrial], quantile: float, target: Target
    ) -> list[FrozenTrial]:
        if target is not None:
            losses = [[float(target(trial))] for trial in trials]
        else:
            signs = [-1.0 if direction == StudyDirection.MAXIMIZE else 1.0 for direction in study.directions]
            losses = [[sign * value for sign, value in zip(signs, trial.values, strict=True)] for trial in trials]
        return [trials[place] for place in places_of_best(losses, quantile)]

    def evaluate(
        self, study: optuna.Study, params: list[str] | None = None, *, target: Target = None
    ) -> dict[str, float]:
        trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        known = {name for trial in trials for name in trial.distributions}
        if params is None:
            params = sorted(known)
        elif not isinstance(params, (list, tuple)) or not all(isinstance(name, str) for name in params):
            raise TypeError(f"params={params!r}: a list of parameters' names")
        elif missing := [name for name in params if name not in known]:
            raise ValueError(f"no complete trial has {', '.join(missing)}: leave it out of params")
        if target is not None:
            warnings.warn("the importances are for low values of target: negate it for high ones", stacklevel=2)
        finite = [
            trial for trial in trials if all(map(math.isfinite, trial.values if target is None else [target(trial)]))
        ]
        if len(finite) <= 1:
            warnings.warn("fewer than two trials: all importances are equal", stacklevel=2)
            return dict.fromkeys(params, 0.0)
        top = self._best(study, finite, self._target_quantile, target)
        region = self._best(study, finite, self._region_quantile, target)
        if len(top) == len(region):
            warnings.warn("the best trials are all trials: all importances are equal", stacklevel=2)
        self._warn_of_few(region, params)
        mirror = Mirror(study)
        mirror.read(study)
        numbers = ([trial.number for trial in region], [trial.number for trial in top])
        return _by_importance(
            dict(zip(params, _native.ped_anova(mirror.trials, *numbers, params, self._local), strict=True))
        )

    @staticmethod
    def _warn_of_few(region: list[FrozenTrial], params: list[str]) -> None:
        for name in params:
            counts: dict[object, int] = {}
            for trial in region:
                distribution = trial.distributions.get(name)
                counts[distribution] = counts.get(distribution, 0) + 1
            if any(count < FEW for count in counts.values()):
                warnings.warn(f"{name!r} has a distribution that only one trial has: it is left out", stacklevel=3)


class _ForestEvaluator(BaseImportanceEvaluator):  # type: ignore[misc]
    """Of regression trees over the parameters that all complete trials have."""

    def __init__(self, *, n_trees: int = 64, max_depth: int = 64, seed: int | None = None) -> None:
        if n_trees < 1 or max_depth < 1:
            raise ValueError(f"n_trees={n_trees}, max_depth={max_depth}: at least 1")
        self._options = {"seed": 0 if seed is None else seed, "trees": n_trees, "max_depth": max_depth}

    def _shares(self, forest: _native.Forest) -> list[float]:
        raise NotImplementedError

    def evaluate(
        self, study: optuna.Study, params: list[str] | None = None, *, target: Target = None
    ) -> dict[str, float]:
        if target is None and len(study.directions) > 1:
            raise ValueError(
                f"{len(study.directions)} objectives: target says which, as in target=lambda trial: trial.values[0]"
            )
        distributions = _get_distributions(study, params=params)
        names = list(distributions) if params is None else params
        found = dict.fromkeys(names, 0.0)
        several = {name: one for name, one in distributions.items() if not one.single()}
        trials = _get_filtered_trials(study, params=names, target=target) if several else []
        if len(trials) > 1:
            points = [
                [float(one.to_internal_repr(trial.params[name])) for name, one in several.items()] for trial in trials
            ]
            losses = [float(trial.value if target is None else target(trial)) for trial in trials]
            spaces = [native(one) for one in several.values()]
            forest = _native.Forest.fit(spaces, points, losses, **self._options)
            found.update(zip(several, self._shares(forest), strict=True))
        return _by_importance(found)


class FanovaImportanceEvaluator(_ForestEvaluator):
    """Functional ANOVA: the share of the trees' variance over the whole space that a parameter alone explains. A category is one
    parameter with equally likely options, where Optuna measures the cube of its indicators."""

    def _shares(self, forest: _native.Forest) -> list[float]:
        return forest.fanova()


class MeanDecreaseImpurityImportanceEvaluator(_ForestEvaluator):
    """What the trees' splits at a parameter took off the variance."""

    def _shares(self, forest: _native.Forest) -> list[float]:
        return forest.impurity_decrease()
