"""What an executor promises: order, laziness, chains, options; and what is left behind."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import daybreak
from daybreak import map as room
from daybreak._core import runtime as native
from daybreak.base.errors import InvalidArgumentError

from .conftest import WAYS, double, eventually, odd_fails, pid_of, wait_at

# ---- results


@pytest.mark.parametrize("way", WAYS)
def test_results_come_in_the_order_of_the_inputs(executor: room.Executor, way: dict[str, Any]) -> None:
    assert list(executor.map(double, range(300), **way)) == [2 * x for x in range(300)]
    assert executor.map(double, (x for x in range(7)), ahead=2, **way).results() == [2 * x for x in range(7)]
    assert executor.map(double, [], **way).results() == []


@pytest.mark.parametrize("way", WAYS)
def test_futures_know_their_call(executor: room.Executor, way: dict[str, Any]) -> None:
    calls = executor.map(odd_fails, range(6), **way)
    futures = calls.futures()
    assert [future.index for future in futures] == list(range(6))
    assert futures[2].result(timeout=60) == 2
    with pytest.raises(ValueError, match="3 is odd") as caught:
        futures[3].result(timeout=60)
    error = caught.value
    assert error.args == ("3 is odd", 3)
    assert error.call_index == 3  # type: ignore[attr-defined]
    assert any("call 3 of" in note for note in error.__notes__)
    assert "odd_fails" in str(error)  # the worker's traceback
    assert calls[-1] == futures[5] and calls[1:3] == futures[1:3] and len(calls) == 6
    with pytest.raises(IndexError, match="call 6 of"):
        calls[6]


@pytest.mark.parametrize("way", WAYS)
def test_a_call_that_raises_is_one_of_many(executor: room.Executor, way: dict[str, Any]) -> None:
    futures = executor.map(odd_fails, range(5), **way).futures()
    errors = [future.exception(timeout=60) for future in futures]
    assert [None if error is None else error.args[1] for error in errors] == [None, 1, None, 3, None]


def test_none_is_a_result(executor: room.Executor) -> None:
    assert executor.map(lambda x: None, range(3)).results() == [None, None, None]
    assert executor.get_all_results(executor.map(lambda x: None, range(3), logs=True)) == [None, None, None]


def test_iteration_drops_what_it_gave_and_says_so(executor: room.Executor) -> None:
    calls = executor.map(double, range(4))
    assert list(calls) == [0, 2, 4, 6]
    with pytest.raises(LookupError, match="read by iteration"):
        calls[1].result()


def test_a_stream_that_was_begun_goes_on_as_futures(executor: room.Executor) -> None:
    calls = executor.map(double, range(5000))
    begun = iter(calls)
    assert [next(begun) for _ in range(700)] == [2 * x for x in range(700)]
    assert calls[4999].result(timeout=60) == 9998
    assert calls[700].result(timeout=60) == 1400
    assert list(begun) == [2 * x for x in range(700, 5000)]


@pytest.mark.parametrize("way", WAYS)
def test_as_completed_gives_each_once(executor: room.Executor, way: dict[str, Any]) -> None:
    calls = executor.map(double, range(200), **way)
    assert sorted(future.result() for future in calls.as_completed()) == [2 * x for x in range(200)]
    futures = executor.map(double, range(50), **way).futures()
    assert {future.index for future in room.as_completed(futures)} == set(range(50))


def test_the_slow_call_comes_last_as_completed(executor: room.Executor, gate: str) -> None:
    def maybe_wait(x: int) -> int:
        if x == 0:
            wait_at(gate)
        return x

    seen = []
    for future in executor.map(maybe_wait, range(5)).as_completed():
        seen.append(future.index)
        if len(seen) == 4:
            with open(gate, "w"):
                pass
    assert sorted(seen[:4]) == [1, 2, 3, 4] and seen[4] == 0


def test_star_spreads_a_tuple_and_a_lambda_goes_along(executor: room.Executor) -> None:
    assert executor.map(lambda a, b: a - b, [(5, 2), (1, 1)], star=True).results() == [3, 0]
    assert executor.map(divmod, [(7, 2)], star=True, logs=True).results() == [(3, 1)]
    assert executor.call_async(divmod, 7, 2).result(timeout=60) == (3, 1)


def test_values_of_many_kinds_cross(executor: room.Executor) -> None:
    arrays = [np.arange(6).reshape(2, 3), np.asfortranarray(np.ones((3, 2))), np.array(["a", "bc"]), np.float32(1.5)]
    for way in WAYS:
        found = executor.map(lambda x: x, arrays, **way).results()
        for got, sent in zip(found, arrays, strict=True):
            assert np.array_equal(got, sent) and np.asarray(got).dtype == np.asarray(sent).dtype
    others: list[Any] = [b"bytes", "text", {1: (2,)}, {3}, 1 << 90, Path("x"), signal.SIGINT, None, 2.5j]
    assert executor.map(lambda x: x, others).results() == others
    assert executor.map(double, np.arange(4)).results() == [0, 2, 4, 6]


# ---- inputs


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("ahead", [1, 3, 50])
def test_a_generator_is_never_further_ahead_than_was_said(
    executor: room.Executor, ahead: int, way: dict[str, Any]
) -> None:
    # python/cpython#131466: buffersize was exceeded by one; #74028: a generator was eaten at once.
    taken = read = most = 0

    def inputs() -> Iterator[int]:
        nonlocal taken, most
        for x in range(200):
            taken += 1
            most = max(most, taken - read)
            yield x

    results = executor.map(double, inputs(), ahead=ahead, **way)
    for value in results:
        read += 1
        assert value == 2 * (read - 1)
    assert taken == 200 and most <= ahead


@pytest.mark.parametrize("way", WAYS)
def test_what_the_inputs_raise_comes_behind_the_results_before_it(executor: room.Executor, way: dict[str, Any]) -> None:
    def inputs() -> Iterator[int]:
        yield from range(3)
        raise KeyError("no more")

    results = iter(executor.map(double, inputs(), **way))
    assert [next(results) for _ in range(3)] == [0, 2, 4]
    with pytest.raises(KeyError, match="no more"):
        next(results)


def test_an_input_that_does_not_pickle_is_named(executor: room.Executor) -> None:
    with pytest.raises(TypeError, match="pickle"):
        executor.map(double, [threading.Lock()]).results()


def test_arguments_are_dropped_when_their_call_is_done(executor: room.Executor) -> None:
    # joblib/joblib#682: memory grew with the calls that were done.
    import weakref

    class Input:
        pass

    alive: list[weakref.ref[Input]] = []

    def inputs() -> Iterator[Input]:
        for _ in range(100):
            made = Input()
            alive.append(weakref.ref(made))
            yield made
            del made

    for way in WAYS:
        alive.clear()
        for _ in executor.map(lambda x: None, inputs(), ahead=5, **way):
            assert sum(each() is not None for each in alive) <= 6


@settings(max_examples=25, deadline=None)
@given(
    inputs=st.lists(st.one_of(st.integers(), st.text(max_size=40), st.binary(max_size=6000)), max_size=30),
    ahead=st.one_of(st.none(), st.integers(1, 40)),
    once=st.booleans(),
    logs=st.booleans(),
    order=st.sampled_from(["iterate", "futures", "completed"]),
)
def test_every_input_has_its_result(inputs: list[Any], ahead: int | None, once: bool, logs: bool, order: str) -> None:
    if not daybreak.is_initialized():
        daybreak.init(num_cpus=2, object_store_memory=256 << 20)
    with room.executor() as executor:
        calls = executor.map(lambda x: (x,), iter(inputs) if once else inputs, ahead=ahead, logs=logs)
        if order == "iterate":
            found = list(calls)
        elif order == "futures":
            found = [future.result(timeout=60) for future in calls.futures()]
        else:
            found = [None] * len(inputs)
            for future in calls.as_completed():
                found[future.index] = future.result()
        assert found == [(x,) for x in inputs]


# ---- what is left


def test_nothing_of_a_map_is_left_behind(executor: room.Executor) -> None:
    for way in WAYS:
        executor.map(double, [np.ones(100_000) for _ in range(10)], **way).results()
        list(executor.map(double, range(1000), **way).as_completed())
        next(iter(executor.map(double, range(1000), **way)))
        left_alone = executor.map(odd_fails, range(100), **way).futures()
        room.wait(left_alone)
        del left_alone

    def empty() -> bool:
        gc.collect()
        usage = native._usage()
        return usage["objects"] == usage["functions"]  # of which the runtime keeps some

    assert eventually(empty), native._usage()


def test_no_process_outlives_a_driver_that_was_killed(tmp_path: Path) -> None:
    program = """
import os, time
from daybreak import map
def say(x):
    print("worker", os.getpid(), flush=True)
    time.sleep(60)
if __name__ == "__main__":
    futures = map.executor(num_cpus=0.5).map(say, range(4)).futures()
    print("driver", os.getpid(), flush=True)
    time.sleep(60)
"""
    file = tmp_path / "program.py"
    file.write_text(program)
    driver = subprocess.Popen([sys.executable, str(file)], stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    pids: list[int] = []
    while len(pids) < 2:
        line = driver.stdout.readline()
        pids += [int(word) for word in line.split() if "worker" in line and word.isdigit()]
    driver.kill()
    driver.wait()

    def gone(pid: int) -> bool:
        try:
            with open(f"/proc/{pid}/stat") as stat:
                return stat.read().rsplit(")", 1)[1].split()[0] == "Z"
        except OSError:
            return True

    assert eventually(lambda: all(gone(pid) for pid in pids))


def own_bytes() -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon:"))


@pytest.mark.parametrize("order", ["iterate", "completed"])
def test_a_long_map_takes_no_more_memory_as_it_goes(executor: room.Executor, order: str) -> None:
    # joblib/joblib#682 #781
    count = 400_000 if order == "iterate" else 60_000

    def inputs() -> Iterator[int]:
        yield from range(count)

    calls = executor.map(double, inputs())
    results = iter(calls) if order == "iterate" else (future.result() for future in calls.as_completed())
    for _ in range(20_000):
        next(results)
    before = own_bytes()
    left = sum(1 for _ in results)
    assert left == count - 20_000
    assert own_bytes() - before < 24 << 20


def test_a_call_that_waits_takes_few_bytes(executor: room.Executor, gate: str) -> None:
    def first_waits(x: int) -> int:
        if x == 0:
            wait_at(gate)
        return x

    executor.map(double, range(10)).results()
    gc.collect()
    before = own_bytes()
    calls = executor.map(first_waits, range(300_000), ahead=None)
    assert (own_bytes() - before) / 300_000 <= 64
    with open(gate, "w"):
        pass
    assert sum(calls) == sum(range(300_000))


# ---- chains


def test_chains_begin_when_what_they_need_is_there(executor: room.Executor) -> None:
    first = executor.map(double, range(5))
    assert executor.chain(double, first).results() == [4 * x for x in range(5)]
    assert executor.map_reduce(double, range(10), sum).result(timeout=60) == 90
    assert executor.reduce(len, executor.map(double, [])).result(timeout=60) == 0
    bad = executor.chain(double, executor.map(odd_fails, range(3)))
    assert isinstance(bad[1].exception(timeout=60), ValueError)
    assert bad[2].result(timeout=60) == 4


def test_calls_that_only_a_callback_waits_for_go_on(executor: room.Executor) -> None:
    seen: list[Any] = []
    for way in WAYS:
        executor.call_async(lambda x: time.sleep(0.2), 1, **way).add_done_callback(lambda f: seen.append(f.exception()))
        reduced = executor.map_reduce(lambda x: time.sleep(0.1), range(4), len, **way)
        gc.collect()
        assert reduced.result(timeout=30) == 4
    assert eventually(lambda: seen == [None, None])


def test_calls_whose_futures_nobody_keeps_are_done(executor: room.Executor, tmp_path: Path) -> None:
    def note(name: str) -> None:
        time.sleep(0.05)
        (tmp_path / name).touch()

    for number, way in enumerate(WAYS):
        executor.call_async(note, f"one{number}", **way)
        executor.map(note, [f"{number}of{i}" for i in range(6)], **way).futures()
        gc.collect()
    assert eventually(lambda: len(list(tmp_path.iterdir())) == 14), list(tmp_path.iterdir())


def test_a_map_that_is_given_up_is_cancelled(executor: room.Executor, tmp_path: Path) -> None:
    def note(x: int) -> int:
        time.sleep(0.01)
        (tmp_path / str(x)).touch()
        return x

    results = iter(executor.map(note, range(2000), ahead=1000))
    assert next(results) == 0
    del results
    gc.collect()
    executor.map(abs, range(10)).results()
    assert len(list(tmp_path.iterdir())) < 500


def test_waiting_is_over_call_sets(executor: room.Executor) -> None:
    # pywren/pywren#179: calls of two sets with the same number were taken for each other.
    one, two = executor.map(double, range(3)), executor.map(odd_fails, range(3), logs=True)
    mixed = [two[1], one[1], two[0], one[0]]
    done, pending = room.wait(mixed)
    assert done == mixed and pending == []
    assert len({*mixed, *one.futures(), *two.futures()}) == 6


def test_a_call_may_map_itself(executor: room.Executor) -> None:
    # joblib/joblib#947 #842: nested work went one by one, or hung.
    def outer(x: int) -> int:
        from daybreak import map as room

        with room.executor() as inner:
            return sum(inner.map(lambda y: y + x, range(3)))

    assert executor.map(outer, range(6)).results() == [3 + 3 * x for x in range(6)]


def test_futures_pickle(executor: room.Executor) -> None:
    future = executor.call_async(double, 4)
    assert future.result(timeout=60) == 8
    here = pickle.loads(pickle.dumps(future))
    assert here == future and here.result() == 8
    assert executor.map(lambda f: f.result(), [future]).results() == [8]  # of another process


# ---- options


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("memory", 0, "memory=0"),
        ("memory", "1 GB", "memory='1 GB'"),
        ("timeout", -1, "timeout=-1"),
        ("timeout", float("nan"), "timeout=nan"),
        ("retries", -2, "retries=-2"),
        ("ahead", 0, "ahead=0"),
        ("pure", "yes", "pure='yes'"),
        ("extra_env", {"A": 1}, "extra_env"),
        ("exclude_modules", "numpy", "exclude_modules='numpy'"),
        ("tineout", 1, "timeout"),
    ],
)
def test_a_wrong_option_is_named(executor: room.Executor, option: str, value: Any, says: str) -> None:
    with pytest.raises((InvalidArgumentError, TypeError), match=says):
        executor.map(double, [1], **{option: value})


def test_options_are_what_numpy_gives_too(executor: room.Executor) -> None:
    assert executor.map(double, [1], retries=np.int64(1), timeout=np.float32(5), ahead=np.uint8(3)).results() == [2]


def test_wrong_calls_are_refused(executor: room.Executor) -> None:
    with pytest.raises(TypeError, match="not callable"):
        executor.map(3, [1])  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="backend='cloud'"):
        room.executor("cloud")
    with pytest.raises(TypeError, match="no future"):
        room.wait([1])
    with pytest.raises(InvalidArgumentError, match="return_when=7"):
        room.wait([], 7)
    executor.close()
    with pytest.raises(RuntimeError, match="closed"):
        executor.map(double, [1])


def test_the_environment_of_a_call_is_its_own(executor: room.Executor) -> None:
    # and the worker's is as it was when the call is over
    assert executor.map(os.getenv, ["MAP_TEST"], extra_env={"MAP_TEST": "here"}).results() == ["here"]
    assert executor.map(os.getenv, ["MAP_TEST"] * 8).results() == [None] * 8


def test_what_a_call_prints_is_kept(executor: room.Executor) -> None:
    def talk(n: int) -> None:
        print("x" * n)
        print("end", file=sys.stderr)

    short, long = executor.map(talk, [3, 300_000], logs=True).futures()
    room.wait([short, long])
    assert short.status["stdout"] == "xxx\nend\n"
    assert long.status["stdout"].endswith("end\n") and "characters are left out" in long.status["stdout"]
    assert len(long.status["stdout"]) < 70_000


def test_a_status_has_times_and_the_process(executor: room.Executor) -> None:
    before = time.time()
    future = executor.map(pid_of, [0], logs=True)[0]
    pid = future.result(timeout=60)
    status = future.status
    assert status["pid"] == pid and status["attempts"] == 1
    assert before - 1 < status["start_time"] <= status["end_time"] < time.time() + 1
    assert status["exec_time"] >= 0 <= status["setup_time"]


def test_done_callbacks_are_called_once(executor: room.Executor) -> None:
    seen: list[int] = []
    future = executor.call_async(double, 1)
    future.add_done_callback(lambda f: seen.append(f.result()))
    future.result(timeout=60)
    future.add_done_callback(lambda f: seen.append(10))
    assert eventually(lambda: sorted(seen) == [2, 10])
