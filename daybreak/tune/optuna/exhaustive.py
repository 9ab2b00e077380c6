"""Samplers that go through all there is and then stop the study."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from daybreak._core import tune as _native
from daybreak.base.errors import OutOfRangeError
from daybreak.tune.optuna.mirror import Mirror
from daybreak.tune.optuna.samplers import NativeSampler


class _Plan:
    """Of one study."""

    def __init__(self, seed: int, grid: dict[str, list[Any]]) -> None:
        self._seed = seed
        self._grid = grid
        self._known: frozenset[str] = frozenset()
        self._plan = _native.GridPlan.make(seed, [(name, [0.0] * len(values)) for name, values in grid.items()])

    def of(self, mirror: Mirror) -> _native.GridPlan:
        """With the values as the trials have them, as soon as it is known what they are: the order does not change by that."""
        known = frozenset(name for name in self._grid if mirror.known(name) is not None)
        if known != self._known:
            axes = []
            for name, values in self._grid.items():
                distribution = mirror.known(name)
                inner = [0.0] * len(values) if distribution is None else map(distribution.to_internal_repr, values)
                axes.append((name, [float(value) for value in inner]))
            self._known = known
            self._plan = _native.GridPlan.make(self._seed, axes)
        return self._plan


class GridSampler(NativeSampler):
    """Every cell of the grid once, in a random order; one whose trial failed, or took other values, again. Then the study is
    stopped.

    Trials that are asked for after that have the cells once more, with a warning.
    """

    def __init__(self, search_space: Mapping[str, Sequence[Any]], seed: int | None = None) -> None:
        self._grid = {name: list(values) for name, values in sorted(search_space.items())}
        super().__init__(0 if seed is None else seed)

    def _make(self) -> Any:
        return _Plan(self._seed, self._grid)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        if param_name not in self._grid:
            raise ValueError(f"{param_name!r} is no axis of the grid ({', '.join(self._grid)}): add it")
        with self._lock:
            mirror, plans = self._of(study)
            mirror.pair(param_name, param_distribution)
            plan = plans.of(mirror)
            cell = plan.cell(mirror.trials, trial.number)
            if cell is None:
                warnings.warn(f"all {len(plan)} cells of the grid have been given out: again", stacklevel=2)
                cell = plan.cell(mirror.trials, trial.number % len(plan))
                assert cell is not None
            place = plan.place(cell, list(self._grid).index(param_name))
        value = self._grid[param_name][place]
        if not param_distribution._contains(param_distribution.to_internal_repr(value)):
            raise ValueError(f"the grid's {param_name}={value!r} is not in {param_distribution}")
        return value

    def is_exhausted(self, study: optuna.Study) -> bool:
        """Whether the next trial would have no cell."""
        with self._lock:
            mirror, plans = self._of(study)
            return bool(plans.of(mirror).cell(mirror.trials, len(mirror.trials)) is None)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        if state != TrialState.FAIL and self.is_exhausted(study):
            study.stop()


class BruteForceSampler(NativeSampler):
    """Every combination of steps, whole numbers and options once, also of conditional parameters. Then the study is stopped.

    Trials that are asked for after that are by chance, with a warning.
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(seed)

    def _make(self) -> _native.Sampler:
        return _native.brute_force_sampler(self._seed)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        try:
            return super().sample_independent(study, trial, param_name, param_distribution)
        except OutOfRangeError:
            warnings.warn(f"nothing is left to try of {param_name!r}: a value by chance", stacklevel=2)
            with self._lock:
                mirror, _ = self._of(study)
                drawn = mirror.pair(param_name, param_distribution).drawn(self._seed, trial.number, param_name)
            return param_distribution.to_external_repr(drawn)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        with self._lock:
            mirror, _ = self._of(study)
            exhausted = _native.brute_force_exhausted(mirror.trials)
        if exhausted and state != TrialState.FAIL:
            study.stop()
