"""TuneSearchCV and TuneGridSearchCV: tune-sklearn's words over our samplers and schedulers. The results are scikit-learn's."""

from __future__ import annotations

import base64
import contextlib
import copy
import os
import tempfile
from collections.abc import Iterator
from typing import Any

import cloudpickle
import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.model_selection import ParameterGrid, ParameterSampler, check_cv
from sklearn.model_selection._search import BaseSearchCV
from sklearn.model_selection._validation import _insert_error_scores, _warn_or_raise_about_fit_failures
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_method_params, indexable

from daybreak._core.tune import SamplerFactory
from daybreak.base.errors import InvalidArgumentError, UnimplementedError
from daybreak.tune import schedulers
from daybreak.tune.configs import RunConfig, TuneConfig
from daybreak.tune.search import Searcher
from daybreak.tune.space import grid_search
from daybreak.tune.stoppers import CombinedStopper, MaximumIterationStopper, stopper_of
from daybreak.tune.study_search import StudySearch
from daybreak.tune.trainable import with_parameters
from daybreak.tune.tuner import Tuner

from .fits import OBJECTIVE, RAISED, Fits, Task, way_of
from .spaces import Drawn, space_of

__all__ = ["TuneGridSearchCV", "TuneSearchCV"]

_SAMPLERS: dict[str, Any] = {
    "bayesian": SamplerFactory.tpe,
    "tpe": SamplerFactory.tpe,
    "hyperopt": SamplerFactory.tpe,
    "optuna": SamplerFactory.tpe,
    "gp": SamplerFactory.gp,
    "cmaes": SamplerFactory.cmaes,
    "nsga2": SamplerFactory.nsga2,
    "qmc": SamplerFactory.qmc,
}


class _TuneBase(BaseSearchCV):  # type: ignore[misc]
    """Fits, scores and refits as scikit-learn's searches do; the candidates are trials of an experiment."""

    early_stopping: Any
    max_iters: int
    mode: str | None
    random_state: Any

    def _candidates(self) -> tuple[list[dict[str, Any]] | None, dict[str, Any], dict[str, list[Any]], Any, int]:
        """All of them, or a space, its options, its searcher and how many."""
        raise NotImplementedError(f"{type(self).__name__}._candidates() is not there")

    def fit(self, X: Any, y: Any = None, **params: Any) -> Any:
        """Searches, then fits the best on all data. X: (samples, features), y: (samples,) or (samples, outputs).

        InvalidArgumentError: an argument that does not go with another; what a fit raises, with error_score="raise".
        """
        self._check()
        scorers, refit_metric = self._get_scorers()
        X, y = indexable(X, y)
        routed = self._get_routed_params_for_fit(_check_method_params(X, params=params))
        self._checked_cv_orig = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        splits = list(self._checked_cv_orig.split(X, y, **routed.splitter.split))
        self.n_splits_ = len(splits)
        listed, space, options, searcher, count = self._candidates()
        stops = bool(self.early_stopping)
        task = Task(
            estimator=clone(self.estimator),
            X=X,
            y=y,
            splits=splits,
            scorer=scorers,
            fit_params=dict(routed.estimator.fit),
            score_params=dict(routed.scorer.score),
            return_train_score=self.return_train_score,
            error_score=self.error_score,
            verbose=self.verbose,
            objective=self.refit if isinstance(self.refit, str) else "score",
            way=way_of(self.estimator) if stops else None,
            steps=self.max_iters,
            candidates=listed,
            options=options,
        )
        found = self._searched(task, space, searcher, count)
        return self._finish(task, found, refit_metric, X, y, routed)

    def _check(self) -> None:
        if self.mode not in (None, "max", "min"):
            raise InvalidArgumentError(f"mode={self.mode!r}: 'max' or 'min'")
        if isinstance(self.max_iters, bool) or int(self.max_iters) < 1:
            raise InvalidArgumentError(f"max_iters={self.max_iters!r}: at least 1")
        if self.early_stopping and self.max_iters < 2:
            raise InvalidArgumentError(
                f"early_stopping={self.early_stopping!r} with max_iters={self.max_iters}: in how many parts is trained? at least 2"
            )
        if self.max_iters > 1 and not self.early_stopping:
            raise InvalidArgumentError(
                f"max_iters={self.max_iters} without early_stopping: nothing would end a fit early; early_stopping=True"
            )
        several = isinstance(self.scoring, (list, tuple, set, dict))
        if several and not isinstance(self.refit, str):
            raise InvalidArgumentError(
                f"scoring={self.scoring!r} with refit={self.refit!r}: refit= names one to search by"
            )

    def _searched(self, task: Task, space: dict[str, Any], searcher: Any, count: int) -> list[Any]:
        limit = MaximumIterationStopper(self.max_iters)
        limits, own = stopper_of(self.stopper)
        workers = None if self.n_jobs in (None, -1) else int(self.n_jobs)
        with self._folder() as folder:
            tuner = Tuner(
                with_parameters(Fits, task=task),
                param_space=space,
                tune_config=TuneConfig(
                    metric=OBJECTIVE,
                    mode=self.mode or "max",
                    search_alg=searcher,
                    scheduler=scheduler_of(self.early_stopping, self.max_iters),
                    num_samples=count,
                    max_concurrent_trials=workers,
                    time_budget_s=self.time_budget_s,
                    reuse_actors=True,
                    seed=seed_of(self.random_state),
                ),
                run_config=RunConfig(
                    name=self.name,
                    storage_path=folder,
                    stop=CombinedStopper(limit, own)
                    if own is not None
                    else {**(limits or {}), "training_iteration": self.max_iters},
                    callbacks=self.loggers,
                    verbose=1 if self.verbose else 0,
                ),
            )
            return list(tuner.fit())

    @contextlib.contextmanager
    def _folder(self) -> Iterator[str]:
        if self.local_dir is not None:
            yield os.path.expanduser(os.fspath(self.local_dir))
            return
        with tempfile.TemporaryDirectory(prefix="daybreak-search-") as folder:
            yield folder

    def _finish(self, task: Task, found: list[Any], refit_metric: str, X: Any, y: Any, routed: Any) -> Any:
        candidates: list[dict[str, Any]] = []
        out: list[dict[str, Any]] = []
        iterations: list[int] = []
        for result in found:
            if RAISED in result.metrics:
                raise cloudpickle.loads(base64.b64decode(result.metrics[RAISED]))
            if result.error is not None and self.error_score == "raise":
                raise result.error
            if "folds" not in result.metrics and result.error is None:
                continue  # time_budget_s has ended it before its first report
            candidates.append(task.parameters(result.config))
            out += result.metrics.get("folds") or [task.failed(str(result.error))] * self.n_splits_
            iterations.append(result.metrics.get("training_iteration", 0))
        if not candidates:
            raise InvalidArgumentError(f"time_budget_s={self.time_budget_s}: no candidate was fitted; allow more")
        _warn_or_raise_about_fit_failures(out, self.error_score)
        if callable(self.scoring):
            _insert_error_scores(out, self.error_score)
        results = self._format_results(candidates, self.n_splits_, out, {"training_iteration": iterations})
        self.multimetric_ = isinstance(out[0]["test_scores"], dict)
        if callable(self.scoring) and self.multimetric_:
            self._check_refit_for_multimetric(out[0]["test_scores"])
            refit_metric = self.refit
        if self.refit or not self.multimetric_:
            self._choose(results, refit_metric)
        if self.refit:
            best = clone(task.estimator).set_params(**clone(self.best_params_, safe=False))
            self.best_estimator_ = best.fit(X, **({} if y is None else {"y": y}), **routed.estimator.fit)
            if hasattr(best, "feature_names_in_"):
                self.feature_names_in_ = best.feature_names_in_
        self.scorer_ = getattr(task.scorer, "_scorers", task.scorer)
        self.cv_results_ = results
        return self

    def _choose(self, results: dict[str, Any], metric: str) -> None:
        if self.mode == "min" and not callable(self.refit):
            means = results[f"mean_test_{metric}"]
            self.best_index_ = int(np.nanargmin(means)) if not np.all(np.isnan(means)) else 0
        else:
            self.best_index_ = self._select_best_index(self.refit, metric, results)
        if not callable(self.refit):
            self.best_score_ = results[f"mean_test_{metric}"][self.best_index_]
        self.best_params_ = results["params"][self.best_index_]


class TuneSearchCV(_TuneBase):
    """Searches ``n_trials`` candidates, by chance or by a model of those before, and may end those early that do badly.

    ``search_optimization``: "random" (the candidates that scikit-learn's RandomizedSearchCV draws with the same random_state),
    "bayesian", "tpe", "hyperopt", "optuna" (all our TPE), "gp", "cmaes", "nsga2", "qmc", a `tune.SamplerFactory`, or a searcher
    of `tune.search`. ``param_distributions``: lists of options, scipy's distributions, `tune`'s domains, and but for "random"
    tuples (low, high) or (low, high, "log-uniform"), both included.
    ``early_stopping``: True (ASHA), a scheduler of `tune.schedulers`, or its name; then training goes on in ``max_iters`` parts: by
    partial_fit, or by warm_start with n_estimators or max_iter; the last step of a Pipeline is what is trained on.
    ``n_jobs``: so many trials at once, a CPU each; None or -1: as many as there are CPUs. ``local_dir``: where the experiment is
    kept, under ``name``; without it nothing stays. ``mode="min"``: the lowest score is the best.
    cv_results_ has a column training_iteration beside scikit-learn's: in how many parts a candidate was trained.
    """

    def __init__(
        self,
        estimator: Any,
        param_distributions: Any,
        early_stopping: Any = None,
        n_trials: int = 10,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: Any = True,
        cv: Any = None,
        verbose: int = 0,
        random_state: Any = None,
        error_score: Any = np.nan,
        return_train_score: bool = False,
        local_dir: str | os.PathLike[str] | None = None,
        name: str | None = None,
        max_iters: int = 1,
        search_optimization: Any = "random",
        search_kwargs: dict[str, Any] | None = None,
        loggers: Any = None,
        stopper: Any = None,
        time_budget_s: float | None = None,
        mode: str | None = None,
    ) -> None:
        super().__init__(
            estimator=estimator,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.param_distributions = param_distributions
        self.early_stopping = early_stopping
        self.n_trials = n_trials
        self.random_state = random_state
        self.local_dir = local_dir
        self.name = name
        self.max_iters = max_iters
        self.search_optimization = search_optimization
        self.search_kwargs = search_kwargs
        self.loggers = loggers
        self.stopper = stopper
        self.time_budget_s = time_budget_s
        self.mode = mode

    def _candidates(self) -> tuple[list[dict[str, Any]] | None, dict[str, Any], dict[str, list[Any]], Any, int]:
        if isinstance(self.n_trials, bool) or int(self.n_trials) < 1:
            raise InvalidArgumentError(f"n_trials={self.n_trials!r}: at least 1")
        how = self.search_optimization
        if how == "random":
            if self.search_kwargs:
                raise InvalidArgumentError(f"search_kwargs={self.search_kwargs!r}: a random search has no options")
            given = Drawn.all_in(self.param_distributions)
            listed = list(ParameterSampler(given, int(self.n_trials), random_state=self.random_state))
            return listed, {"candidate": grid_search(range(len(listed)))}, {}, None, 1
        space, options = space_of(self.param_distributions)
        return None, space, options, self._searcher(how), int(self.n_trials)

    def _searcher(self, how: Any) -> Any:
        given = self.search_kwargs or {}
        if isinstance(how, Searcher) or callable(getattr(how, "suggest", None)):
            if given:
                raise InvalidArgumentError(f"search_kwargs={given!r}: give them to the {type(how).__name__}")
            return copy.deepcopy(how)
        if how == "bohb":
            raise UnimplementedError(
                "search_optimization='bohb': 'tpe' with early_stopping='HyperBandScheduler' is nearest"
            )
        if isinstance(how, SamplerFactory):
            sampler = how
        elif isinstance(how, str) and how in _SAMPLERS:
            sampler = _SAMPLERS[how](**given)
        else:
            raise InvalidArgumentError(
                f"search_optimization={how!r}: 'random', {', '.join(map(repr, _SAMPLERS))}, a tune.SamplerFactory or a searcher"
            )
        return StudySearch(sampler=sampler, seed=seed_of(self.random_state))


class TuneGridSearchCV(_TuneBase):
    """All of a grid, in scikit-learn's order; its arguments are TuneSearchCV's."""

    def __init__(
        self,
        estimator: Any,
        param_grid: Any,
        early_stopping: Any = None,
        scoring: Any = None,
        n_jobs: int | None = None,
        cv: Any = None,
        refit: Any = True,
        verbose: int = 0,
        error_score: Any = np.nan,
        return_train_score: bool = False,
        local_dir: str | os.PathLike[str] | None = None,
        name: str | None = None,
        max_iters: int = 1,
        loggers: Any = None,
        stopper: Any = None,
        time_budget_s: float | None = None,
        mode: str | None = None,
    ) -> None:
        super().__init__(
            estimator=estimator,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.param_grid = param_grid
        self.early_stopping = early_stopping
        self.local_dir = local_dir
        self.name = name
        self.max_iters = max_iters
        self.loggers = loggers
        self.stopper = stopper
        self.time_budget_s = time_budget_s
        self.mode = mode

    random_state = None

    def _candidates(self) -> tuple[list[dict[str, Any]] | None, dict[str, Any], dict[str, list[Any]], Any, int]:
        listed = list(ParameterGrid(self.param_grid))
        return listed, {"candidate": grid_search(range(len(listed)))}, {}, None, 1


def seed_of(random_state: Any) -> int | None:
    return None if random_state is None else int(check_random_state(random_state).randint(2**31 - 1))


def scheduler_of(given: Any, steps: int) -> Any:
    """Of early_stopping=; None for none."""
    if given is None or given is False:
        return None
    if given is True:
        return schedulers.AsyncHyperBandScheduler(max_t=steps)
    if isinstance(given, str):
        made: Any = getattr(schedulers, given, None)
        if made is None or not isinstance(made, type):
            raise InvalidArgumentError(
                f"early_stopping={given!r}: True, a scheduler or its name, such as 'AsyncHyperBandScheduler'"
            )
        if given == "MedianStoppingRule":
            return made(time_attr="training_iteration", grace_period=1)
        return made() if given == "FIFOScheduler" else made(max_t=steps)
    return copy.deepcopy(given)
