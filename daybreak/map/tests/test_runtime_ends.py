"""A runtime that ends under a map: who waits learns of it, and a later map starts another one."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

import daybreak
from daybreak import map as room


@pytest.fixture(autouse=True)
def its_own_runtime() -> Iterator[None]:
    daybreak.shutdown()
    daybreak.init(num_cpus=2, object_store_memory=128 << 20)
    yield
    daybreak.shutdown()


@pytest.mark.parametrize("way", [{}, {"logs": True}])
def test_waiting_calls_fail_when_the_runtime_is_shut_down(way: dict[str, Any]) -> None:
    executor = room.executor()
    futures = executor.map(time.sleep, [60] * 4, **way).futures()
    one = executor.call_async(time.sleep, 60, **way)
    daybreak.shutdown()
    for future in [*futures, one]:
        with pytest.raises((RuntimeError, daybreak.exceptions.Error)):
            future.result(timeout=30)
    assert executor.map(abs, [-1, -2], **way).results() == [1, 2]


def test_without_a_runtime_an_executor_starts_one() -> None:
    daybreak.shutdown()
    with room.executor() as executor:
        assert executor.map(abs, [-1]).results() == [1]
    assert daybreak.is_initialized()


def test_in_a_process_alone_calls_run_as_well() -> None:
    daybreak.shutdown()
    daybreak.init(local_mode=True)
    with room.executor() as executor:
        assert executor.map(abs, range(-3, 0)).results() == [3, 2, 1]
        assert isinstance(executor.call_async(lambda text: int(text), "x").exception(), ValueError)


def test_a_program_that_fails_with_an_open_executor_ends_with_its_own_error() -> None:
    program = (
        "import daybreak; from daybreak import map as dmap; daybreak.init(num_cpus=2)\n"
        "executor = dmap.executor(logs=True); calls = executor.map(abs, range(30)); dmap.get_all_results(calls)\n"
        "raise ValueError('the end')"
    )
    started = [
        subprocess.Popen([sys.executable, "-P", "-c", program], stderr=subprocess.PIPE, text=True) for _ in range(12)
    ]
    for process in started:
        said = process.communicate(timeout=100)[1]
        assert said.endswith("ValueError: the end\n") and process.returncode == 1, said
