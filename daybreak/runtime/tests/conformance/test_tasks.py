"""Tasks, objects, waits and errors, as every engine has them."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np
import pytest

import daybreak
from daybreak import exceptions


@daybreak.remote
def add(a: Any, b: Any = 1) -> Any:
    return a + b


@daybreak.remote
def sleeping(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@daybreak.remote
def fibonacci(n: int) -> int:
    if n < 2:
        return n
    return sum(daybreak.get([fibonacci.remote(n - 1), fibonacci.remote(n - 2)]))


class Odd(Exception):
    def __init__(self, number: int, *, why: str) -> None:
        super().__init__(number)
        self.number, self.why = number, why

    def __reduce__(self) -> Any:
        return _odd, (self.number, self.why)


def _odd(number: int, why: str) -> Odd:
    return Odd(number, why=why)


def test_a_call_returns_a_reference_and_get_its_value() -> None:
    assert daybreak.get(add.remote(1, b=2)) == 3
    assert daybreak.get([add.remote(i) for i in range(20)]) == list(range(1, 21))


def test_references_as_arguments_are_their_values_and_within_containers_stay_references() -> None:
    one = daybreak.put(1)
    assert daybreak.get(add.remote(one, add.remote(one))) == 3

    @daybreak.remote
    def inside(refs: list[Any]) -> Any:
        return daybreak.get(refs[0])

    assert daybreak.get(inside.remote([one])) == 1


def test_a_task_submits_tasks_and_itself() -> None:
    assert daybreak.get(fibonacci.remote(6)) == 8


def test_several_results_have_a_reference_each() -> None:
    @daybreak.remote(num_returns=3)
    def three() -> tuple[int, int, int]:
        return 1, 2, 3

    a, b, c = three.remote()
    assert daybreak.get([c, a, b]) == [3, 1, 2]
    assert daybreak.get(three.options(num_returns=1).remote()) == (1, 2, 3)


def test_no_result_is_none() -> None:
    @daybreak.remote(num_returns=0)
    def nothing() -> None:
        return None

    assert nothing.remote() is None


def test_arrays_come_back_equal_and_read_only() -> None:
    for array in (
        np.arange(200_000.0).reshape(400, 500),
        np.zeros((0, 3)),
        np.arange(7, dtype=">i4"),
        np.array(["a", "é"]),
    ):
        back = daybreak.get(daybreak.put(array))
        assert back.dtype == array.dtype and np.array_equal(back, array)
    with pytest.raises(ValueError, match="read-only"):
        daybreak.get(daybreak.put(np.ones(100_000)))[0] = 2


def test_a_function_brings_what_it_closes_over() -> None:
    base = {"n": 40}

    @daybreak.remote
    def closed(x: int) -> int:
        return int(base["n"] + x + len(os.sep))

    assert daybreak.get(closed.remote(1)) == 42


def test_calling_directly_and_unknown_options_are_refused() -> None:
    with pytest.raises(TypeError, match="remote"):
        add(1)
    with pytest.raises(ValueError, match="colour"):
        add.options(colour="red")


def test_an_exception_arrives_as_its_own_class_and_as_a_task_error() -> None:
    @daybreak.remote(max_retries=0)
    def fails() -> None:
        raise Odd(3, why="it is")

    with pytest.raises(Odd) as caught:
        daybreak.get(fails.remote())
    assert isinstance(caught.value, exceptions.TaskError)
    assert (caught.value.number, caught.value.why) == (3, "it is")
    assert "Odd" in str(caught.value) and "fails" in caught.value.function_name


def test_the_error_of_a_dependency_is_the_caller_s() -> None:
    @daybreak.remote
    def fails() -> None:
        raise KeyError("key")

    with pytest.raises(KeyError):
        daybreak.get(add.remote(fails.remote()))

    @daybreak.remote
    def waits(refs: list[Any]) -> Any:
        return daybreak.get(refs[0])

    with pytest.raises(KeyError):
        daybreak.get(waits.remote([fails.remote()]))


def test_an_os_error_keeps_its_number_and_file() -> None:
    @daybreak.remote
    def opens() -> None:
        open("/nowhere/at/all")

    with pytest.raises(FileNotFoundError) as caught:
        daybreak.get(opens.remote())
    assert caught.value.errno == 2 and caught.value.filename == "/nowhere/at/all"


def test_an_exception_is_retried_as_often_as_asked(tmp_path: Any) -> None:
    path = str(tmp_path / "tries")

    @daybreak.remote(max_retries=2, retry_exceptions=[ValueError])
    def third_time() -> int:
        with open(path, "a") as f:
            f.write("x")
        if os.path.getsize(path) < 3:
            raise ValueError("again")
        return os.path.getsize(path)

    assert daybreak.get(third_time.remote()) == 3


def test_a_worker_that_dies_is_replaced_and_its_task_tried_again(tmp_path: Any) -> None:
    path = str(tmp_path / "died")

    @daybreak.remote(max_retries=1)
    def dies_once() -> str:
        if not os.path.exists(path):
            open(path, "w").close()
            os._exit(1)
        return "alive"

    assert daybreak.get(dies_once.remote(), timeout=60) == "alive"

    @daybreak.remote(max_retries=0)
    def dies() -> None:
        os._exit(1)

    with pytest.raises(exceptions.WorkerCrashedError):
        daybreak.get(dies.remote(), timeout=60)


def test_wait_splits_what_is_ready_in_the_order_given() -> None:
    fast, slow = add.remote(1), sleeping.remote(20)
    ready, rest = daybreak.wait([slow, fast], num_returns=1, timeout=30)
    assert ready == [fast] and rest == [slow]
    assert daybreak.wait([slow], timeout=0) == ([], [slow])
    daybreak.cancel(slow, force=True)


def test_wait_refuses_duplicates_and_get_what_is_no_reference() -> None:
    ref = daybreak.put(1)
    with pytest.raises(ValueError):
        daybreak.wait([ref, ref])
    for wrong in (1, [1], {"a": ref}):
        with pytest.raises((TypeError, ValueError)):
            daybreak.get(wrong)


def test_get_gives_up_after_its_timeout() -> None:
    slow = sleeping.remote(20)
    with pytest.raises(exceptions.GetTimeoutError):
        daybreak.get(slow, timeout=0.1)
    with pytest.raises(TimeoutError):
        daybreak.get([slow], timeout=0.1)
    daybreak.cancel(slow, force=True)


def test_a_cancelled_task_is_a_task_cancelled_error(tmp_path: Any, eventually: Any) -> None:
    path = str(tmp_path / "begun")

    @daybreak.remote
    def endless() -> None:
        open(path, "w").close()
        while True:
            time.sleep(0.1)

    running = endless.remote()
    assert eventually(lambda: os.path.exists(path))
    daybreak.cancel(running)
    with pytest.raises(exceptions.TaskCancelledError):
        daybreak.get(running, timeout=30)
    holder = sleeping.remote(60)
    waiting = add.remote(holder)
    daybreak.wait(
        [waiting], timeout=1
    )  # Ray 2.60 aborts the driver where a task is cancelled while its arguments are looked up
    daybreak.cancel(waiting)
    with pytest.raises(exceptions.TaskCancelledError):
        daybreak.get(waiting, timeout=30)
    daybreak.cancel(holder, force=True)


def test_a_task_that_has_ended_is_not_cancelled() -> None:
    ref = add.remote(1)
    assert daybreak.get(ref) == 2
    daybreak.cancel(ref)
    assert daybreak.get(ref) == 2


def test_resources_serialise_what_does_not_fit_together(tmp_path: Any) -> None:
    @daybreak.remote(resources={"licence": 2}, num_cpus=0)
    def alone() -> tuple[float, float]:
        began = time.time()
        time.sleep(0.2)
        return began, time.time()

    spans = sorted(daybreak.get([alone.remote() for _ in range(3)]))
    assert all(first[1] <= second[0] + 0.05 for first, second in zip(spans, spans[1:], strict=False))


def test_resources_are_counted() -> None:
    assert daybreak.cluster_resources()["CPU"] == 4.0
    assert daybreak.cluster_resources()["licence"] == 2.0
    assert set(daybreak.available_resources()) <= set(daybreak.cluster_resources())
    assert len(daybreak.nodes()) >= 1 and daybreak.nodes()[0]["Alive"]


def test_the_context_says_where_the_code_runs() -> None:
    @daybreak.remote
    def ids() -> tuple[Any, Any]:
        context = daybreak.get_runtime_context()
        return context.get_task_id(), context.get_actor_id()

    task, actor = daybreak.get(ids.remote())
    assert isinstance(task, str) and task and actor is None


def test_a_reference_is_awaited() -> None:
    import asyncio

    async def main() -> list[Any]:
        return list(await asyncio.gather(add.remote(1), add.remote(2)))

    assert asyncio.run(main()) == [2, 3]


def test_big_arguments_and_results_pass() -> None:
    array = np.arange(1_000_000)

    @daybreak.remote
    def doubled(a: Any) -> Any:
        return a * 2

    assert np.array_equal(daybreak.get(doubled.remote(array)), array * 2)


def test_initialised_twice_is_an_error_unless_it_is_ignored() -> None:
    assert daybreak.is_initialized()
    with pytest.raises(RuntimeError):
        daybreak.init()
    daybreak.init(ignore_reinit_error=True)


def test_a_task_and_an_actor_have_the_variables_of_their_environment_and_no_other_has() -> None:
    @daybreak.remote
    def look() -> Any:
        return os.environ.get("CONFORMANCE")

    @daybreak.remote
    class Looker:
        def look(self) -> Any:
            return os.environ.get("CONFORMANCE")

    env = {"env_vars": {"CONFORMANCE": "yes"}}
    assert daybreak.get([look.remote(), look.options(runtime_env=env).remote()], timeout=60) == [None, "yes"]
    assert daybreak.get(Looker.options(runtime_env=env).remote().look.remote(), timeout=60) == "yes"
