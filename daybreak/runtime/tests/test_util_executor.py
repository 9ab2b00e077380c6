"""daybreak.util.Executor beside concurrent.futures.ProcessPoolExecutor. CPython's own tests run over it in suites/."""

from __future__ import annotations

import concurrent.futures
import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
from concurrent.futures import CancelledError, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np
import pytest
from daybreak.util import Executor

import daybreak
from daybreak._core import runtime as native

from .conftest import eventually


@daybreak.remote(max_concurrency=20)
class Gate:
    def __init__(self) -> None:
        self.event = threading.Event()

    def wait(self) -> str:
        self.event.wait()
        return "open"

    def open(self) -> None:
        self.event.set()


@daybreak.remote
class Counter:
    def __init__(self) -> None:
        self.n = 0

    def add(self) -> int:
        self.n += 1
        return self.n

    def count(self) -> int:
        return self.n


def opened(gate: Any) -> str:
    return daybreak.get(gate.wait.remote())


class FailsToLoad:
    def __reduce__(self) -> Any:
        return _refuse, ()


def _refuse() -> None:
    raise ValueError("does not load")


class FailsToSave:
    def __reduce__(self) -> Any:
        raise pickle.PicklingError("does not save")


def test_closures_arrays_and_references_cross(ray: Any) -> None:
    base = 10
    array = np.arange(100_000)
    with Executor(2) as executor:
        assert executor.submit(lambda x: x + base, 5).result() == 15
        doubled = executor.submit(lambda a: a * 2, array).result()
        assert (doubled == array * 2).all()
        assert executor.submit(ray.get, ray.put("there")).result() == "there"
        assert executor.submit(divmod, *(7, 2)).result() == (3, 1)


def test_map_submits_at_once_and_gives_results_in_order(ray: Any) -> None:
    with Executor(2) as executor:
        assert list(executor.map(pow, range(10), range(10), chunksize=3)) == [x**x for x in range(10)]
        assert list(executor.map(abs, [])) == []
        with pytest.raises(ValueError, match="chunksize must be >= 1"):
            executor.map(abs, [1], chunksize=0)
        with pytest.raises(ZeroDivisionError):
            list(executor.map(divmod, [1, 1], [1, 0]))
        gate = Gate.remote()
        with pytest.raises(TimeoutError):
            list(executor.map(opened, [gate], timeout=0.01))
        gate.open.remote()


def test_calls_of_a_map_run_at_the_same_time_and_leave_their_turn_to_what_is_submitted_later(ray: Any) -> None:
    gate = Gate.remote()
    with Executor(2) as executor:
        held = executor.map(opened, [gate] * 3)
        after = executor.submit(abs, -7)
        assert not after.done()
        gate.open.remote()
        assert list(held) == ["open"] * 3
        assert after.result(timeout=60) == 7


def test_a_call_of_a_map_that_takes_long_does_not_hold_the_others(ray: Any) -> None:
    gate = Gate.remote()

    def call(x: int) -> int:
        if x == 500:
            daybreak.get(gate.wait.remote())
        if x == 999:
            daybreak.get(gate.open.remote())
        return x

    with Executor(2) as executor:
        assert list(executor.map(call, range(1000), timeout=60)) == list(range(1000))


def test_a_map_nobody_reads_is_done_and_one_that_is_given_up_is_not(ray: Any) -> None:
    counter = Counter.remote()

    def count(x: int) -> int:
        return int(daybreak.get(counter.add.remote()))

    with Executor(2) as executor:
        executor.map(count, range(50))
    assert ray.get(counter.count.remote()) == 50
    gate = Gate.remote()
    with Executor(1) as executor:
        results = executor.map(lambda x: opened(gate) if x else x, range(100))
        assert next(results) == 0
        results.close()  # type: ignore[attr-defined]
        gate.open.remote()
    with Executor(1) as executor, pytest.raises(ZeroDivisionError):
        list(executor.map(lambda x: 1 // x, range(100)))


def test_a_worker_that_dies_in_a_map_breaks_the_executor(ray: Any) -> None:
    def call(x: int) -> int:
        if x == 70:
            os.kill(os.getpid(), signal.SIGKILL)
        return x

    executor = Executor(2)
    with pytest.raises(BrokenProcessPool, match="a worker ended"):
        list(executor.map(call, range(200), timeout=60))
    with pytest.raises(BrokenProcessPool):
        executor.map(abs, [1])
    executor.shutdown()


def test_what_of_a_map_cannot_be_pickled_is_raised_where_its_result_would_be(ray: Any) -> None:
    with Executor(1) as executor:
        results = executor.map(id, [1, FailsToSave(), 3])
        assert isinstance(next(results), int)
        with pytest.raises(pickle.PicklingError):
            next(results)
        lock = threading.Lock()
        refused = executor.map(lambda x: lock, [1])
        with pytest.raises(TypeError, match="lock"):
            next(refused)
        with pytest.raises(pickle.PicklingError):
            list(executor.map(lambda x: FailsToSave(), [1]))


def test_shutdown_cancels_what_of_a_map_has_not_begun(ray: Any) -> None:
    gate = Gate.remote()
    executor = Executor(1)
    results = executor.map(lambda x: opened(gate) if x else x, range(100))
    assert next(results) == 0
    executor.shutdown(wait=False, cancel_futures=True)
    gate.open.remote()
    with pytest.raises(CancelledError):
        for _ in range(99):
            next(results)


def test_a_call_that_waits_holds_up_none_that_was_submitted_after_it(ray: Any) -> None:
    gate = Gate.remote()
    with Executor(2) as executor:
        for _ in range(3):  # they are short, and are handed on together
            assert [future.result(60) for future in [executor.submit(abs, -i) for i in range(500)]] == list(range(500))
        waiting = executor.submit(opened, gate)
        between = [executor.submit(abs, -i) for i in range(100)]
        last = executor.submit(lambda: daybreak.get(gate.open.remote()))
        assert last.result(timeout=60) is None
        assert waiting.result(timeout=60) == "open"
        assert [future.result(timeout=60) for future in between] == list(range(100))


def test_functions_travel_by_name_or_by_value_as_pickle_would_have_it(ray: Any) -> None:
    with Executor(1) as executor:
        assert executor.submit(os.path.join, "a", "b").result() == os.path.join("a", "b")
        assert executor.submit(int, "ff", base=16).result() == 255
        assert executor.submit("a-b".split, "-").result() == ["a", "b"]
        for step in range(3):
            assert executor.submit(lambda: step).result() == step  # noqa: B023 - it is as it is now


def test_an_exception_is_what_was_raised_with_the_workers_traceback_as_its_cause(ray: Any) -> None:
    def refuse() -> None:
        raise OSError(2, "gone", "file")  # this line is in the traceback

    with Executor(1) as executor:
        error = executor.submit(refuse).exception()
        assert type(error) is FileNotFoundError and error.filename == "file"
        assert "this line is in the traceback" in str(error.__cause__)
        assert isinstance(executor.submit(sys.exit, 3).exception(), SystemExit)
        assert executor.submit(abs, -1).result() == 1  # and the worker lives


def test_a_worker_that_is_killed_breaks_the_executor(ray: Any) -> None:
    gate = Gate.remote()
    executor = Executor(2)
    waiting = [executor.submit(opened, gate) for _ in range(5)]
    assert eventually(lambda: len(executor._workers.pids()) == 2)
    for pid in executor._workers.pids():
        os.kill(pid, signal.SIGKILL)
    for future in waiting:
        with pytest.raises(BrokenProcessPool, match="a worker ended"):
            future.result(timeout=60)
    with pytest.raises(BrokenProcessPool):
        executor.submit(abs, 1)
    executor.shutdown()


def test_what_cannot_be_pickled_fails_its_future_and_what_cannot_be_unpickled_breaks_the_executor(ray: Any) -> None:
    with Executor(1) as executor:
        assert isinstance(executor.submit(id, FailsToSave()).exception(), pickle.PicklingError)
        assert isinstance(executor.submit(FailsToSave).exception(), pickle.PicklingError)
        assert executor.submit(abs, -1).result() == 1
        with pytest.raises(BrokenProcessPool, match="does not load"):
            executor.submit(id, FailsToLoad()).result(timeout=60)
    with Executor(1) as executor, pytest.raises(BrokenProcessPool, match="does not load"):
        executor.submit(FailsToLoad).result(timeout=60)


def test_an_initializer_that_raises_breaks_the_executor(ray: Any) -> None:
    with Executor(1, initializer=os.putenv, initargs=("DAYBREAK_TEST_MARK", "x")) as executor:
        executor.submit(abs, 1).result()
    with Executor(2, initializer=lambda: 1 / 0) as executor:
        with pytest.raises(BrokenProcessPool, match="division by zero"):
            executor.submit(abs, 1).result(timeout=60)
        with pytest.raises(BrokenProcessPool):
            executor.submit(abs, 1)


def test_workers_start_as_they_are_needed_and_end_after_their_share_of_calls(ray: Any) -> None:
    with Executor(4) as executor:
        pids = {executor.submit(os.getpid).result() for _ in range(5)}
        assert len(pids) == 1
        assert len(executor._workers.pids()) == 1
    with Executor(1, max_tasks_per_child=2) as executor:
        pids_in_order = [executor.submit(os.getpid).result() for _ in range(6)]
    assert pids_in_order[::2] == pids_in_order[1::2] and len(set(pids_in_order)) == 3


def test_a_future_that_waits_can_be_cancelled(ray: Any) -> None:
    gate = Gate.remote()
    with Executor(1) as executor:
        running = executor.submit(opened, gate)
        waiting = executor.submit(opened, gate)
        assert eventually(running.running)
        assert not running.cancel() and waiting.cancel()
        gate.open.remote()
        assert running.result() == "open"
        with pytest.raises(CancelledError):
            waiting.result()
        assert wait([running, waiting], timeout=60).not_done == set()


def test_shutdown_waits_or_cancels_what_waits(ray: Any) -> None:
    gate = Gate.remote()
    executor = Executor(1)
    running, *waiting = [executor.submit(opened, gate) for _ in range(4)]
    assert eventually(running.running)
    executor.shutdown(wait=False, cancel_futures=True)
    assert eventually(lambda: all(future.cancelled() for future in waiting))
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit(abs, 1)
    gate.open.remote()
    executor.shutdown()
    assert running.result() == "open"
    Executor(1).shutdown()  # one that was never used


def test_nothing_is_left_behind(no_leak: Any) -> None:
    with Executor(2) as executor:
        assert sum(executor.map(abs, range(-50, 50))) == 2500
    given_up = Executor(2)
    future = given_up.submit(abs, -1)
    del given_up  # what was submitted is done, then the workers end
    assert future.result(timeout=60) == 1
    del future, executor
    gc.collect()
    assert eventually(lambda: native._usage()["actors"] == 0), native._usage()


def test_what_was_submitted_is_done_before_the_interpreter_ends() -> None:
    code = """
import time
from daybreak.util import Executor

def late(path):
    time.sleep(0.3)
    print("done", flush=True)

if __name__ == "__main__":
    Executor(1).submit(late, "")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "done" in done.stdout and done.returncode == 0, done


@pytest.mark.parametrize(
    ("arguments", "error", "what"),
    [
        ({"max_workers": 0}, ValueError, "max_workers must be greater than 0"),
        ({"max_workers": -1}, ValueError, "max_workers must be greater than 0"),
        ({"max_tasks_per_child": 0}, ValueError, "max_tasks_per_child must be >= 1"),
        ({"max_tasks_per_child": 1.0}, TypeError, "max_tasks_per_child must be an integer"),
        ({"initializer": 3}, TypeError, "initializer must be a callable"),
        ({"mp_context": "fork"}, ValueError, "the workers are the runtime's"),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments: Any, error: type[Exception], what: str) -> None:
    with pytest.raises(error, match=what):
        Executor(**arguments)


def test_it_is_an_executor_of_the_standard_library(ray: Any) -> None:
    with Executor() as executor:
        assert isinstance(executor, concurrent.futures.Executor)
        futures = [executor.submit(abs, -i) for i in range(5)]
        assert {future.result() for future in concurrent.futures.as_completed(futures)} == set(range(5))
