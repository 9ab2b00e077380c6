"""Our map on a Ray cluster of this machine. `./dev test --suite=map_on_ray`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray", reason="needs Ray: ./dev test --suite=map_on_ray")

from functions import fails

import daybreak
from daybreak import map as dmap
from daybreak.base.errors import InvalidArgumentError


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    with dmap.executor("ray", config={"num_cpus": 2, "log_to_driver": False}, retries=1) as made:
        yield made
    daybreak.shutdown()


def test_results_come_in_order_from_workers_of_the_cluster(ray: Any) -> None:
    assert list(ray.map(lambda x: x * x, range(200))) == [i * i for i in range(200)]
    assert ray.call_async(os.getpid).result() != os.getpid()
    assert list(ray.map(pow, [(2, 3), (3, 2)], star=True)) == [8, 9]


def test_errors_deaths_and_times(ray: Any, tmp_path: Path) -> None:
    error = ray.call_async(fails, 3).exception()
    assert type(error) is ValueError and str(error) == "no 3" and "fails" in str(error.__cause__)
    with pytest.raises(dmap.WorkerDied, match="try 2 of 2"):
        ray.call_async(lambda x: os._exit(7), 1).result()

    def once(x: int) -> str:
        if not (tmp_path / "tried").exists():
            (tmp_path / "tried").touch()
            os._exit(7)
        return "second"

    future = ray.call_async(once, 1)
    assert future.result() == "second" and future.status["attempts"] == 2
    with pytest.raises(dmap.CallTimeout):
        ray.call_async(time.sleep, 60, timeout=1).result()


def test_variables_and_logs_go_with_a_call(ray: Any) -> None:
    future = ray.call_async(lambda: print(os.environ["GIVEN"]), extra_env={"GIVEN": "yes"}, logs=True)
    assert future.result() is None and future.status["stdout"] == "yes\n"
    assert ray.call_async(lambda: os.environ.get("GIVEN")).result() is None


def test_an_input_that_does_not_pickle_fails_alone(ray: Any) -> None:
    calls = ray.map(abs, [-1, (i for i in ()), -3])
    futures = [calls[i] for i in range(3)]
    assert futures[0].result() == 1 and futures[2].result() == 3 and "generator" in str(futures[1].exception())


def test_configurations_that_are_none_are_refused() -> None:
    for config in ({"adress": "x"}, "ray://x", 3):
        with pytest.raises(InvalidArgumentError, match="address, num_cpus"):
            dmap.executor("ray", config=config)
