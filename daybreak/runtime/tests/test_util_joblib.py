"""joblib and scikit-learn on the runtime's processes. joblib's own tests run over it in suites/."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import joblib
import numpy as np
import pytest
from daybreak.util.joblib import register, register_ray

import daybreak
from daybreak._core import runtime as native

from .conftest import eventually

N_JOBS = 2


@pytest.fixture(autouse=True)
def _runtime() -> Iterator[None]:
    register()
    daybreak.shutdown()
    daybreak.init(num_cpus=4, resources={"license": 4}, object_store_memory=256 << 20)
    yield
    daybreak.shutdown()


def parallel(calls: Any, n_jobs: int = N_JOBS, **arguments: Any) -> Any:
    return joblib.Parallel(n_jobs=n_jobs, backend="daybreak", **arguments)(calls)


def test_registering_starts_nothing_and_makes_both_names_known() -> None:
    daybreak.shutdown()
    register()
    register_ray()
    assert {"daybreak", "ray"} <= set(joblib.parallel.BACKENDS)
    assert not daybreak.is_initialized()
    with joblib.parallel_config(backend="ray"):
        from daybreak.util.joblib.ray_backend import RayBackend

        assert type(joblib.parallel.get_active_backend()[0]) is RayBackend


def test_calls_run_in_other_processes_and_results_come_in_order() -> None:
    found = parallel(joblib.delayed(lambda x: (x * x, os.getpid()))(i) for i in range(50))
    assert [square for square, _ in found] == [i * i for i in range(50)]
    assert os.getpid() not in {pid for _, pid in found}


def test_by_default_there_is_a_worker_for_each_cpu_of_the_runtime() -> None:
    with joblib.parallel_config(backend="daybreak"):
        assert joblib.effective_n_jobs() == 4
        assert joblib.effective_n_jobs(-2) == 3
        assert joblib.effective_n_jobs(9) == 9
        with pytest.raises(ValueError, match="n_jobs == 0"):
            joblib.effective_n_jobs(0)


def test_workers_serve_one_call_after_the_other_and_are_replaced_when_others_are_asked_for() -> None:
    def pids(n_jobs: int) -> set[int]:
        return set(parallel((joblib.delayed(os.getpid)() for _ in range(40)), n_jobs, batch_size=1))

    first = pids(2)
    assert pids(2) & first
    assert not pids(3) & first
    assert eventually(lambda: native._usage()["actors"] <= 3)


def test_a_large_array_crosses_once_for_all_calls() -> None:
    array = np.arange(1 << 20, dtype=np.float64)

    def total(values: Any, k: int, *, again: Any) -> tuple[float, bool]:
        return float(values[k] + again[k]), bool(values.flags.writeable)

    before = native._usage()["store_bytes"]
    used = []
    found = []
    for item in parallel(
        (joblib.delayed(total)(array, k, again=array) for k in range(20)), return_as="generator", batch_size=1
    ):
        used.append(native._usage()["store_bytes"] - before)
        found.append(item)
    assert found == [(2.0 * k, False) for k in range(20)]
    assert max(used) < 2 * array.nbytes


def test_an_array_that_changes_between_two_calls_is_sent_anew() -> None:
    array = np.zeros(1 << 17)
    with joblib.Parallel(n_jobs=N_JOBS, backend="daybreak") as run:
        assert run(joblib.delayed(np.sum)(array) for _ in range(4)) == [0.0] * 4
        array[:] = 1.0
        assert run(joblib.delayed(np.sum)(array) for _ in range(4)) == [float(len(array))] * 4


def test_an_exception_ends_the_call_and_what_runs_beside_it() -> None:
    def run(i: int) -> None:
        if i == 1:
            raise KeyError("the one")
        import threading

        threading.Event().wait(600)

    with pytest.raises(KeyError, match="the one"):
        parallel(joblib.delayed(run)(i) for i in range(4))
    assert parallel(joblib.delayed(abs)(-i) for i in range(4)) == [0, 1, 2, 3]


def test_parallel_calls_nest() -> None:
    def inner(i: int) -> list[int]:
        register()
        return parallel(joblib.delayed(abs)(-i - j) for j in range(3))  # type: ignore[no-any-return]

    assert parallel(joblib.delayed(inner)(i) for i in range(3)) == [[0, 1, 2], [1, 2, 3], [2, 3, 4]]


def test_workers_take_the_options_of_actors_and_an_initializer() -> None:
    def free() -> float:
        return daybreak.available_resources().get("license", 0.0)

    assert free() == 4
    with joblib.parallel_config(
        backend="daybreak", n_jobs=2, ray_remote_args={"resources": {"license": 1}}, initializer=os.putenv,
        initargs=("DAYBREAK_TEST_MARK", "1"),
    ):  # fmt: skip
        assert max(joblib.Parallel()(joblib.delayed(free)() for _ in range(8))) <= 3


def test_blas_threads_are_shared_out() -> None:
    def threads() -> str | None:
        return os.environ.get("OMP_NUM_THREADS")

    with joblib.parallel_config(backend="daybreak", n_jobs=2, inner_max_num_threads=3):
        assert set(joblib.Parallel()(joblib.delayed(threads)() for _ in range(4))) == {"3"}


def test_grid_search_finds_what_it_finds_alone() -> None:
    from sklearn.datasets import load_iris
    from sklearn.model_selection import GridSearchCV, cross_val_score
    from sklearn.svm import SVC

    iris = load_iris()
    grid = {"C": [0.1, 1, 10], "gamma": [0.01, 0.1]}
    alone = GridSearchCV(SVC(), grid, cv=3).fit(iris.data, iris.target)
    with joblib.parallel_config(backend="daybreak", n_jobs=N_JOBS):
        here = GridSearchCV(SVC(), grid, cv=3).fit(iris.data, iris.target)
        scores = cross_val_score(SVC(), iris.data, iris.target, cv=5)
    assert here.best_params_ == alone.best_params_
    assert set(here.cv_results_) == set(alone.cv_results_)
    for name, column in alone.cv_results_.items():
        if not name.endswith("_time"):
            assert np.array_equal(np.asarray(here.cv_results_[name]), np.asarray(column)), name
    assert len(scores) == 5 and min(scores) > 0.9
