"""Our samplers behind Optuna's BaseSampler, over any of its storages.

What one suggests is a function of the seed, the trial's number and the trials: a study that is resumed with the same seed goes on
as it would have, and ``reseed_rng``, by which Optuna keeps processes apart, has nothing to do.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from daybreak._core import tune as _native
from daybreak.tune.optuna.mirror import ABOUT_TO_USE, MAX_ATTRIBUTE, NOTE, Mirror, Mirrors


class NativeSampler(BaseSampler):  # type: ignore[misc]
    """One of ours, of which the others are made. Threads may share it."""

    _multi_objective = True

    def __init__(self, seed: int | None) -> None:
        if seed is not None and not 0 <= seed < 2**64:
            raise ValueError(f"seed={seed}: 0 to 2**64 - 1, or None for one by chance")
        self._seed = secrets.randbits(63) if seed is None else int(seed)
        self._make()  # refuses options that cannot be
        self._mirrors = Mirrors()
        self._lock = threading.Lock()

    def _make(self) -> Any:
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_mirrors", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._mirrors = Mirrors()
        self._lock = threading.Lock()

    def reseed_rng(self) -> None:
        """Nothing: trials of other numbers have other random numbers."""

    def _of(self, study: optuna.Study) -> tuple[Mirror, Any]:
        if not self._multi_objective and len(study.directions) > 1:
            raise ValueError(
                f"{type(self).__name__} has one objective and the study {len(study.directions)}: "
                "TPESampler and NSGAIISampler take several"
            )
        return self._mirrors.of(study, self._make)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        with self._lock:
            mirror, native = self._of(study)
            return {name: mirror.theirs(name, ours) for name, ours in native.joint(mirror.trials, trial.number)}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        with self._lock:
            mirror, native = self._of(study)
            if not search_space:
                return {}
            named = [(name, mirror.pair(name, theirs)) for name, theirs in sorted(search_space.items())]
            values, note = native.sample(mirror.trials, trial.number, named)
        found = {
            name: search_space[name].to_external_repr(value) for (name, _), value in zip(named, values, strict=True)
        }
        self._keep(study, trial, found, note)
        return found

    def _keep(self, study: optuna.Study, trial: FrozenTrial, found: dict[str, Any], note: bytes) -> None:
        if note:
            study._storage.set_trial_system_attr(trial._trial_id, NOTE, base64.b64encode(note).decode())

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        with self._lock:
            mirror, native = self._of(study)
            ours = mirror.pair(param_name, param_distribution)
            value = native.sample_one(mirror.trials, trial.number, param_name, ours)
        return param_distribution.to_external_repr(value)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Nothing: the mirror reads it from the storage."""


class RandomSampler(NativeSampler):
    """Each parameter alone, by chance."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(seed)

    def _make(self) -> _native.Sampler:
        return _native.random_sampler(self._seed)


class TPESampler(NativeSampler):
    """The tree-structured Parzen estimator, with the defaults of Optuna 5. Arguments as there; those deprecated in it are not here.

    ``multivariate=None``: parameters together where there is one objective, else each alone.
    """

    def __init__(
        self,
        *,
        n_startup_trials: int = 10,
        n_ei_candidates: int = 24,
        seed: int | None = None,
        multivariate: bool | None = None,
        group: bool = False,
        constant_liar: bool = True,
    ) -> None:
        if n_startup_trials < 0:
            raise ValueError(f"n_startup_trials={n_startup_trials}: 0 or more")
        if n_ei_candidates < 1:
            raise ValueError(f"n_ei_candidates={n_ei_candidates}: at least 1")
        self._options = {
            "startup_trials": n_startup_trials,
            "candidates": n_ei_candidates,
            "multivariate": multivariate,
            "group": group,
            "constant_liar": constant_liar,
        }
        super().__init__(seed)

    def _make(self) -> _native.Sampler:
        return _native.tpe_sampler(self._seed, **self._options)  # type: ignore[arg-type]

    def _keep(self, study: optuna.Study, trial: FrozenTrial, found: dict[str, Any], note: bytes) -> None:
        """Tells other processes what the trial is about to use, as Optuna's own sampler does."""
        if not note:
            return
        text = json.dumps(found)
        for k in range(0, len(text), MAX_ATTRIBUTE):
            key = f"{ABOUT_TO_USE}:{k // MAX_ATTRIBUTE}"
            study._storage.set_trial_system_attr(trial._trial_id, key, text[k : k + MAX_ATTRIBUTE])


class CmaEsSampler(NativeSampler):
    """CMA-ES over the numbers that all complete trials have; the rest by chance. Arguments as Optuna's, but for those deprecated
    there; ``restart_strategy`` ("ipop", "bipop") works here. Separable CMA, learning-rate adaptation and warm starts are not here.
    """

    _multi_objective = False

    def __init__(
        self,
        *,
        n_startup_trials: int = 1,
        seed: int | None = None,
        popsize: int | None = None,
        with_margin: bool = False,
        restart_strategy: str | None = None,
    ) -> None:
        if n_startup_trials < 0:
            raise ValueError(f"n_startup_trials={n_startup_trials}: 0 or more")
        if popsize is not None and popsize < 1:
            raise ValueError(f"popsize={popsize}: 4 or more")
        if restart_strategy not in (None, "ipop", "bipop"):
            raise ValueError(f"restart_strategy={restart_strategy!r}: None, 'ipop' or 'bipop'")
        self._options = {
            "startup_trials": n_startup_trials,
            "population": popsize,
            "with_margin": with_margin,
            "restarts": (None, "ipop", "bipop").index(restart_strategy),
        }
        super().__init__(seed)

    def _make(self) -> _native.Sampler:
        return _native.cmaes_sampler(self._seed, **self._options)  # type: ignore[arg-type]


class NSGAIISampler(NativeSampler):
    """NSGA-II. ``crossover``: "uniform" or "sbx"; Optuna's crossover objects are not taken."""

    def __init__(
        self,
        *,
        population_size: int = 50,
        mutation_prob: float | None = None,
        crossover: str = "uniform",
        crossover_prob: float = 0.9,
        swapping_prob: float = 0.5,
        seed: int | None = None,
    ) -> None:
        if population_size < 2:
            raise ValueError(f"population_size={population_size}: at least 2")
        if crossover not in ("uniform", "sbx"):
            raise ValueError(f"crossover={crossover!r}: 'uniform' or 'sbx'")
        self._options = {
            "population": population_size,
            "mutation": mutation_prob,
            "crossover": crossover_prob,
            "swapping": swapping_prob,
            "sbx": crossover == "sbx",
        }
        super().__init__(seed)

    def _make(self) -> _native.Sampler:
        return _native.nsga2_sampler(self._seed, **self._options)  # type: ignore[arg-type]


class NSGAIIISampler(NativeSampler):
    """NSGA-III (Deb and Jain, 2014): NSGA-II that keeps to lines through reference points, for three objectives and more. All
    objectives are compared in their own directions.

    ``reference_points``: a row a point, a number an objective, none negative; without them the simplex's, whose edges have
    ``dividing_parameter`` parts. ``crossover``: "uniform" or "sbx"; Optuna's crossover objects are not taken.
    """

    def __init__(
        self,
        *,
        population_size: int = 50,
        mutation_prob: float | None = None,
        crossover: str = "uniform",
        crossover_prob: float = 0.9,
        swapping_prob: float = 0.5,
        seed: int | None = None,
        reference_points: Any = None,
        dividing_parameter: int = 3,
    ) -> None:
        if population_size < 2:
            raise ValueError(f"population_size={population_size}: at least 2")
        if crossover not in ("uniform", "sbx"):
            raise ValueError(f"crossover={crossover!r}: 'uniform' or 'sbx'")
        if dividing_parameter < 1:
            raise ValueError(f"dividing_parameter={dividing_parameter}: at least 1")
        self._options = {
            "population": population_size,
            "mutation": mutation_prob,
            "crossover": crossover_prob,
            "swapping": swapping_prob,
            "sbx": crossover == "sbx",
            "dividing_parameter": dividing_parameter,
            "references": [] if reference_points is None else [[float(x) for x in row] for row in reference_points],
        }
        super().__init__(seed)

    def _make(self) -> _native.Sampler:
        return _native.nsga3_sampler(self._seed, **self._options)  # type: ignore[arg-type]


class QMCSampler(NativeSampler):
    """Sobol's or Halton's sequence ("sobol", "halton"). A trial's number is its place in it, so processes need not agree on one."""

    def __init__(self, *, qmc_type: str = "sobol", scramble: bool = False, seed: int | None = None) -> None:
        if qmc_type not in ("sobol", "halton"):
            raise ValueError(f"qmc_type={qmc_type!r}: 'sobol' or 'halton'")
        self._options = {"halton": qmc_type == "halton", "scramble": scramble}
        super().__init__(seed)

    def _make(self) -> _native.Sampler:
        return _native.qmc_sampler(self._seed, **self._options)


class GPSampler(NativeSampler):
    """A Gaussian process and its largest log expected improvement; running trials count as what is expected of them.

    One objective and no constraints: a study with either is refused.
    """

    _multi_objective = False

    def __init__(self, *, seed: int | None = None, n_startup_trials: int = 10) -> None:
        if n_startup_trials < 0:
            raise ValueError(f"n_startup_trials={n_startup_trials}: 0 or more")
        self._startup_trials = n_startup_trials
        super().__init__(seed)

    def _make(self) -> _native.Sampler:
        return _native.gp_sampler(self._seed, self._startup_trials)

    _keep = TPESampler._keep
