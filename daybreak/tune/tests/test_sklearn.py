"""scikit-learn's searches on the runtime, and TuneSearchCV. scikit-learn's own tests of its four run over ours in suites/."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import model_selection
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import load_digits, load_iris
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import daybreak
from daybreak import tune
from daybreak.base.errors import InvalidArgumentError, UnimplementedError
from daybreak.tune import sklearn as ours
from daybreak.tune.schedulers import HyperBandScheduler

X, Y = load_iris(return_X_y=True)


@pytest.fixture(scope="module", autouse=True)
def _runtime() -> Iterator[None]:
    daybreak.shutdown()
    daybreak.init(num_cpus=2, object_store_memory=256 << 20)
    yield
    daybreak.shutdown()


class SaysWhere(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Its score is the process that it was fitted in."""

    def __init__(self, a: int = 0) -> None:
        self.a = a

    def fit(self, x: Any, y: Any) -> SaysWhere:
        self.classes_, self.writeable_ = np.unique(y), bool(x.flags.writeable)
        self.pid_ = os.getpid()
        return self

    def score(self, x: Any, y: Any = None) -> float:
        return float(self.pid_)


def same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert set(expected) <= set(found)
    for name, column in expected.items():
        if not name.endswith("_time"):
            assert np.array_equal(np.asarray(found[name]), np.asarray(column)), name


@pytest.mark.parametrize("name", ["GridSearchCV", "RandomizedSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV"])
def test_each_search_finds_what_scikit_learns_own_finds(name: str) -> None:
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401

    space = {"C": [0.1, 1, 10], "gamma": [0.01, 0.1]}
    more: dict[str, Any] = {} if name == "GridSearchCV" else {"random_state": 3}
    if name == "RandomizedSearchCV":
        more["n_iter"] = 4
    theirs = getattr(model_selection, name)(SVC(), space, cv=3, **more).fit(X, Y)
    found = getattr(ours, name)(SVC(), space, cv=3, **more).fit(X, Y)
    same(found.cv_results_, theirs.cv_results_)
    assert found.best_params_ == theirs.best_params_ and found.score(X, Y) == theirs.score(X, Y)
    assert isinstance(found, getattr(model_selection, name))


def test_fits_run_in_processes_of_the_runtime_and_with_one_job_in_this_one() -> None:
    found = ours.GridSearchCV(SaysWhere(), {"a": [1, 2, 3]}, cv=2).fit(X, Y)
    places = {found.cv_results_[f"split{i}_test_score"][j] for i in range(2) for j in range(3)}
    assert os.getpid() not in places
    assert found.best_estimator_.pid_ == os.getpid()
    alone = ours.GridSearchCV(SaysWhere(), {"a": [1]}, cv=2, n_jobs=1).fit(X, Y)
    assert alone.cv_results_["mean_test_score"][0] == os.getpid()


def test_a_backend_that_the_program_has_chosen_is_kept() -> None:
    import joblib

    with joblib.parallel_config(backend="threading", n_jobs=2):
        found = ours.GridSearchCV(SaysWhere(), {"a": [1]}, cv=2).fit(X, Y)
    assert found.cv_results_["mean_test_score"][0] == os.getpid()


def test_a_search_inside_a_search_works() -> None:
    inner = ours.GridSearchCV(SVC(), {"C": [0.1, 1]}, cv=2)
    outer = ours.GridSearchCV(inner, {"estimator__gamma": [0.01, 0.1]}, cv=2).fit(X, Y)
    assert outer.best_score_ > 0.9


def test_a_random_tune_search_has_the_candidates_and_scores_of_a_randomized_search() -> None:
    space = {"C": [0.1, 1, 10, 100], "gamma": [0.01, 0.1, 1]}
    theirs = model_selection.RandomizedSearchCV(SVC(), space, n_iter=5, cv=3, random_state=1, return_train_score=True)
    theirs.fit(X, Y)
    found = ours.TuneSearchCV(SVC(), space, n_trials=5, cv=3, random_state=1, return_train_score=True, n_jobs=2).fit(
        X, Y
    )
    same(found.cv_results_, theirs.cv_results_)
    assert found.best_params_ == theirs.best_params_
    assert list(found.predict(X)) == list(theirs.predict(X))
    assert list(found.cv_results_["training_iteration"]) == [1] * 5


def test_a_tune_grid_search_has_the_results_of_a_grid_search() -> None:
    grid = [{"n_neighbors": [1, 3]}, {"weights": ["distance"], "n_neighbors": [5]}]
    theirs = model_selection.GridSearchCV(KNeighborsClassifier(), grid, cv=3).fit(X, Y)
    found = ours.TuneGridSearchCV(KNeighborsClassifier(), grid, cv=3, n_jobs=1).fit(X, Y)
    same(found.cv_results_, theirs.cv_results_)


def test_several_metrics_are_scored_and_one_is_searched_by() -> None:
    scoring = {"acc": "accuracy", "f1": "f1_macro"}
    found = ours.TuneGridSearchCV(SVC(), {"C": [0.001, 1]}, scoring=scoring, refit="f1", cv=2, n_jobs=1).fit(X, Y)
    assert found.best_params_ == {"C": 1} and found.best_score_ == found.cv_results_["mean_test_f1"][1]
    with pytest.raises(InvalidArgumentError, match="refit= names one"):
        ours.TuneGridSearchCV(SVC(), {"C": [1]}, scoring=scoring).fit(X, Y)


@pytest.mark.parametrize("how", ["tpe", tune.SamplerFactory.gp()], ids=["tpe", "gp"])
def test_a_model_searches_tuples_lists_distributions_and_domains(how: Any) -> None:
    from scipy.stats import loguniform

    space = {
        "C": (1e-3, 1e3, "log-uniform"),
        "gamma": loguniform(1e-4, 1.0),
        "kernel": ["rbf", "linear"],
        "degree": (2, 4),
        "tol": tune.loguniform(1e-5, 1e-2),
    }
    search = ours.TuneSearchCV(SVC(), space, n_trials=6, cv=2, search_optimization=how, random_state=7, n_jobs=1)
    found = search.fit(X, Y)
    params = found.cv_results_["params"]
    assert len(params) == 6 and len({p["C"] for p in params}) == 6
    assert all(1e-3 <= p["C"] <= 1e3 and p["degree"] in (2, 3, 4) and p["kernel"] in ("rbf", "linear") for p in params)
    assert found.best_score_ == max(found.cv_results_["mean_test_score"])
    if how == "tpe":
        assert clone(search).fit(X, Y).cv_results_["params"] == params


def test_options_that_are_objects_reach_the_estimator() -> None:
    pipeline = make_pipeline(StandardScaler(), SVC())
    space = {"svc": [SVC(C=0.1), KNeighborsClassifier(3)]}
    found = ours.TuneSearchCV(
        pipeline, space, n_trials=4, cv=2, search_optimization="tpe", random_state=0, n_jobs=1
    ).fit(X, Y)
    assert {type(p["svc"]) for p in found.cv_results_["params"]} <= {SVC, KNeighborsClassifier}
    assert found.best_score_ > 0.8


@pytest.mark.parametrize(
    ("estimator", "space"),
    [
        (LogisticRegression(max_iter=20), {"C": [1.0, 10.0, 100.0, 1e-6, 1e-7, 1e-8]}),
        (
            GradientBoostingClassifier(n_estimators=10, random_state=0),
            {"learning_rate": [0.3, 0.2, 0.1], "max_features": [1], "subsample": [1.0, 0.01]},
        ),
        (
            make_pipeline(StandardScaler(), SGDClassifier(random_state=0)),
            {"sgdclassifier__alpha": [1e-4, 1e-3, 1e-2, 1e2, 1e3, 1e4]},
        ),
    ],
    ids=["max_iter", "n_estimators", "pipeline with partial_fit"],
)
def test_bad_candidates_are_ended_early_and_the_best_are_trained_to_the_end(estimator: Any, space: Any) -> None:
    search = ours.TuneGridSearchCV(estimator, space, early_stopping=True, max_iters=8, cv=2, n_jobs=1).fit(X, Y)
    parts = search.cv_results_["training_iteration"]
    assert max(parts) == 8 and min(parts) < 8
    assert parts[search.best_index_] == 8 and search.best_score_ > 0.6


def test_training_in_parts_ends_where_training_at_once_does() -> None:
    """Of boosting, whose trees are added one after the other."""
    estimator = GradientBoostingClassifier(n_estimators=10, random_state=0)
    at_once = ours.TuneGridSearchCV(estimator, {"learning_rate": [0.1]}, cv=2, n_jobs=1).fit(X, Y)
    parts = ours.TuneGridSearchCV(
        estimator, {"learning_rate": [0.1]}, cv=2, early_stopping="FIFOScheduler", max_iters=4, n_jobs=1
    ).fit(X, Y)
    assert parts.cv_results_["mean_test_score"][0] == at_once.cv_results_["mean_test_score"][0]


def test_a_scheduler_that_pauses_goes_on_from_the_models() -> None:
    space = {"alpha": [1e-4, 1e-2, 1.0, 1e3]}
    found = ours.TuneGridSearchCV(
        SGDClassifier(random_state=0), space, early_stopping=HyperBandScheduler(max_t=3), max_iters=3, cv=2, n_jobs=1
    ).fit(X, Y)
    assert max(found.cv_results_["training_iteration"]) == 3 and len(found.cv_results_["params"]) == 4


def test_a_fit_that_fails_has_the_error_score_or_is_raised() -> None:
    space = {"C": [1.0, -1.0]}
    with pytest.warns(Warning, match="1 fits failed|2 fits failed"):
        found = ours.TuneGridSearchCV(SVC(), space, cv=2, error_score=-5.0, n_jobs=1).fit(X, Y)
    assert found.cv_results_["mean_test_score"][1] == -5.0
    with pytest.raises(ValueError, match="'C' parameter of SVC"):
        ours.TuneGridSearchCV(SVC(), space, cv=2, error_score="raise", n_jobs=1).fit(X, Y)


def test_the_lowest_score_is_the_best_with_mode_min_and_an_experiment_with_a_name_stays(tmp_path: Path) -> None:
    found = ours.TuneGridSearchCV(
        SVC(), {"C": [0.001, 1]}, cv=2, mode="min", n_jobs=1, local_dir=tmp_path, name="kept"
    ).fit(X, Y)
    assert found.best_index_ == int(np.argmin(found.cv_results_["mean_test_score"]))
    assert tune.Tuner.can_restore(tmp_path / "kept")


@pytest.mark.parametrize(
    ("changed", "error", "text"),
    [
        ({"early_stopping": True}, InvalidArgumentError, "max_iters=1"),
        ({"max_iters": 4}, InvalidArgumentError, "without early_stopping"),
        ({"early_stopping": True, "max_iters": 4}, InvalidArgumentError, "no partial_fit"),
        (
            {"early_stopping": "Nothing", "max_iters": 4, "estimator": SGDClassifier()},
            InvalidArgumentError,
            "'Nothing'",
        ),
        ({"search_optimization": "magic"}, InvalidArgumentError, "'magic'"),
        ({"search_optimization": "bohb"}, UnimplementedError, "HyperBandScheduler"),
        ({"param_distributions": {"C": (1, 10)}}, InvalidArgumentError, "random search"),
        ({"n_trials": 0}, InvalidArgumentError, "at least 1"),
        ({"mode": "up"}, InvalidArgumentError, "'up'"),
    ],
)
def test_what_does_not_go_together_is_refused_by_name(changed: dict[str, Any], error: type, text: str) -> None:
    arguments = {"estimator": SVC(), "param_distributions": {"C": [1]}, "cv": 2, **changed}
    with pytest.raises(error, match=text):
        ours.TuneSearchCV(**arguments).fit(X, Y)


def test_a_table_and_a_sparse_matrix_cross_once_for_all_fits() -> None:
    import pandas
    from scipy import sparse

    from daybreak._core import runtime as native

    digits = np.tile(load_digits().data, (10, 1))
    target = np.tile(load_digits().target, 10)
    for data in (pandas.DataFrame(digits), sparse.csr_matrix(digits)):
        before = native._usage()["store_bytes"]
        peak = 0

        class Looks(SaysWhere):
            def fit(self, x: Any, y: Any) -> Any:
                self.classes_ = np.unique(y)
                self.pid_ = native._usage()["store_bytes"]
                return self

        found = ours.GridSearchCV(Looks(), {"a": list(range(6))}, cv=2, pre_dispatch="all").fit(data, target)
        peak = max(found.cv_results_["split0_test_score"]) - before
        assert 0 < peak < 2.5 * digits.nbytes
