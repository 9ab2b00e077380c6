"""Call sets: one function over many inputs."""

from __future__ import annotations

import os
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

import daybreak
from daybreak._core import runtime as native
from daybreak.runtime.batch import Batch

from .conftest import eventually

pytestmark = pytest.mark.usefixtures("ray")


def square(x: int) -> int:
    return x * x


def outcome(batch: Batch) -> Any:
    """The next result, or the exception."""
    try:
        return batch.next(timeout=60)
    except StopIteration:
        raise
    except Exception as error:
        return error


def outcomes(batch: Batch) -> list[Any]:
    found = []
    while True:
        try:
            found.append(outcome(batch))
        except StopIteration:
            return found


def wait_at(path: str) -> None:
    """Until somebody has opened the named pipe to write."""
    with open(path) as pipe:
        pipe.read()


def open_gate(path: str) -> None:
    with open(path, "w"):
        pass


@pytest.fixture
def gate(tmp_path: Path) -> str:
    path = str(tmp_path / "gate")
    os.mkfifo(path)
    return path


@pytest.mark.parametrize(
    "options", [{}, {"chunksize": 7}, {"ahead": 3}, {"ahead": None}, {"chunksize": 64, "ahead": 10}]
)
def test_results_come_in_the_order_of_the_inputs(options: dict[str, Any]) -> None:
    with Batch(square, range(1000), **options) as batch:
        assert list(batch) == [x * x for x in range(1000)]
        counts = batch.counts()
        assert (counts.done, counts.failed, counts.queued, counts.running, counts.unread) == (1000, 0, 0, 0, 0)
        assert batch.done()


def test_no_inputs_give_no_results() -> None:
    with Batch(square, []) as batch:
        assert list(batch) == []
        assert batch.done()


def test_unordered_results_name_their_input() -> None:
    with Batch(square, range(500), ordered=False) as batch:
        found = {}
        for result in batch:
            found[batch.index] = result
        assert found == {x: x * x for x in range(500)}


def test_star_spreads_an_input_over_the_arguments() -> None:
    with Batch(divmod, [(7, 2), (9, 4)], star=True) as batch:
        assert list(batch) == [(3, 1), (2, 1)]


def test_inputs_and_results_of_every_kind_come_as_they_are() -> None:
    class Local:
        def __init__(self, n: int) -> None:
            self.n = n

        def __eq__(self, other: object) -> bool:
            return self.n == other.n  # type: ignore[attr-defined]

        __hash__ = None  # type: ignore[assignment]

    values = [
        None, True, 1, 1 << 80, 1.5, "text", "x" * 10_000, b"b" * 100_000, [1, 2], (1, "a"), {"k": [1]}, {1, 2}, Local(3),
        [[1], [2, [3]]], Ellipsis, NotImplemented, list(range(5000)),
    ]  # fmt: skip
    for options in ({}, {"ahead": None}, {"chunksize": len(values)}):
        with Batch(lambda value: value, values, **options) as batch:
            assert list(batch) == values


@pytest.mark.parametrize("ahead", [4, None])
def test_large_arrays_cross_and_stay_valid(ahead: int | None) -> None:
    arrays = (np.full(200_000, i, dtype=np.float64) for i in range(20))
    with Batch(lambda array: array + 1, arrays, ahead=ahead) as batch:
        found = list(batch)
    assert [float(array[0]) for array in found] == [i + 1.0 for i in range(20)]
    assert all(array.shape == (200_000,) and (array == array[0]).all() for array in found)


def test_an_array_that_is_changed_between_two_inputs_is_taken_as_it_was() -> None:
    def same_array() -> Iterator[Any]:
        array = np.zeros(50_000)
        for i in range(10):
            array[:] = i
            yield array

    with Batch(lambda array: float(array.sum()), same_array(), ahead=3) as batch:
        assert list(batch) == [50_000.0 * i for i in range(10)]


def test_one_buffer_for_all_results_does_not_mix_them() -> None:
    def fill(i: int, kept: list[Any] = []) -> Any:  # noqa: B006 - of its worker
        if not kept:
            kept.append(np.zeros(100))
        kept[0][:] = i
        return kept[0]

    with Batch(fill, range(3000), chunksize=500) as batch:
        assert [float(array[7]) for array in batch] == [float(i) for i in range(3000)]


def test_references_and_handles_in_inputs_stay_what_they_are(ray: Any) -> None:
    refs = [ray.put(i) for i in range(5)]

    def read(ref: Any) -> int:
        return int(daybreak.get(ref)) + 1

    with Batch(read, refs) as batch:
        assert list(batch) == [1, 2, 3, 4, 5]
    with Batch(lambda i: daybreak.put(i), range(3)) as batch:
        assert ray.get(list(batch)) == [0, 1, 2]


def test_a_call_that_raises_harms_no_other() -> None:
    def third_fails(x: int) -> int:
        if x % 3 == 0:
            raise KeyError(x)
        return x

    for chunksize in (None, 10):
        with Batch(third_fails, range(30), chunksize=chunksize) as batch:
            found = outcomes(batch)
            assert [x for x in found if isinstance(x, int)] == [x for x in range(30) if x % 3]
            errors = [x for x in found if not isinstance(x, int)]
            assert all(
                isinstance(error, KeyError) and isinstance(error, daybreak.exceptions.TaskError) for error in errors
            )
            assert "raise KeyError(x)" in str(errors[0])
            assert batch.counts().failed == 10


def test_an_exception_is_that_of_a_task() -> None:
    def fails(x: int) -> int:
        raise ValueError(f"no {x}")

    with pytest.raises(ValueError, match="no 1") as of_task:
        daybreak.get(daybreak.remote(fails).remote(1))
    with Batch(fails, [1]) as batch, pytest.raises(ValueError, match="no 1") as of_call:
        batch.next()
    assert type(of_call.value).__name__ == type(of_task.value).__name__
    assert of_call.value.cause.args == of_task.value.cause.args == ("no 1",)


def test_a_result_that_does_not_pickle_is_its_calls_error() -> None:
    def lock_or_not(x: int) -> Any:
        return threading.Lock() if x == 1 else x

    with Batch(lock_or_not, range(3), chunksize=3) as batch:
        first, second, third = outcomes(batch)
    assert (first, third) == (0, 2)
    assert isinstance(second, TypeError) and "lock" in str(second)


def test_system_exit_of_a_call_is_an_error_and_keeps_the_worker() -> None:
    def leave(x: int) -> int:
        if x == 1:
            raise SystemExit(3)
        return os.getpid()

    with Batch(leave, range(3), chunksize=3) as batch:
        first, second, third = outcomes(batch)
    assert first == third
    assert isinstance(second, daybreak.exceptions.WorkerCrashedError) and "SystemExit(3)" in str(second)


def test_what_the_inputs_raise_comes_behind_the_results_before() -> None:
    def inputs() -> Iterator[int]:
        yield from range(5)
        raise RuntimeError("no more of them")

    with Batch(square, inputs()) as batch:
        found = outcomes(batch)
    assert found[:5] == [0, 1, 4, 9, 16]
    assert isinstance(found[5], RuntimeError) and str(found[5]) == "no more of them"
    assert len(found) == 6


@pytest.mark.parametrize("ahead", [100, None])
def test_an_input_that_does_not_pickle_comes_behind_the_results_before(ahead: int | None) -> None:
    with Batch(lambda x: x, [1, 2, threading.Lock(), 4], ahead=ahead) as batch:
        found = outcomes(batch)
    assert found[:2] == [1, 2]
    assert isinstance(found[2], TypeError) and "lock" in str(found[2])
    assert len(found) == 3


def test_a_generator_is_taken_from_as_results_are_read() -> None:
    taken = []

    def inputs() -> Iterator[int]:
        for i in range(10_000):
            taken.append(i)
            yield i

    with Batch(square, inputs(), ahead=20) as batch:
        assert batch.wait(60)
        assert len(taken) <= 20
        for i in range(100):
            assert batch.next() == i * i
            assert len(taken) <= i + 1 + 20
    assert len(taken) <= 120


def test_without_end_of_inputs_results_can_be_read() -> None:
    def endless() -> Iterator[int]:
        i = 0
        while True:
            yield i
            i += 1

    with Batch(square, endless()) as batch:
        assert [next(batch) for _ in range(5000)] == [i * i for i in range(5000)]


@pytest.mark.parametrize("chunksize", [None, 1])
def test_a_call_that_takes_long_is_alone(gate: str, chunksize: int | None) -> None:
    """The call before the last waits for the last, which would be behind it in its chunk."""

    def call(x: int) -> int:
        if x == 1998:
            wait_at(gate)
        if x == 1999:
            open_gate(gate)
        return x

    with Batch(call, range(2000), chunksize=chunksize, ahead=None) as batch:
        assert [batch.next(timeout=60) for _ in range(2000)] == list(range(2000))


def test_calls_of_an_endless_set_do_not_stay_behind_one_that_waits(gate: str) -> None:
    met = threading.Event()

    def call(x: int) -> int:
        if x == 3000:
            wait_at(gate)
        if x == 3001:
            open_gate(gate)
        return x

    def endless() -> Iterator[int]:
        i = 0
        while not met.is_set():
            yield i
            i += 1

    found = set()
    with Batch(call, endless(), ordered=False) as batch:
        for x in batch:
            found.add(x)
            if {3000, 3001} <= found:
                met.set()
    assert found == set(range(len(found)))


def test_calls_run_at_the_same_time(gate: str) -> None:
    with Batch(lambda x: wait_at(gate) if x == 0 else open_gate(gate), range(2)) as batch:
        assert [batch.next(timeout=60), batch.next(timeout=60)] == [None, None]


def test_a_batch_in_a_task_has_its_calls_run(ray: Any) -> None:
    @ray.remote
    def outer(n: int) -> int:
        with Batch(square, range(n)) as batch:
            return sum(batch)

    assert ray.get([outer.remote(50) for _ in range(20)], timeout=60) == [sum(x * x for x in range(50))] * 20


# ---- deaths


def dies_once(path: str, x: int) -> Any:
    if x == 40 and not os.path.exists(path):
        open_marker(path)
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def open_marker(path: str) -> None:
    with open(path, "x"):
        pass


def test_calls_of_a_worker_that_dies_are_run_again(tmp_path: Path) -> None:
    path = str(tmp_path / "died")
    with Batch(lambda x: dies_once(path, x), range(100), chunksize=8) as batch:
        assert list(batch) == list(range(100))


def test_without_retries_only_calls_that_had_begun_are_lost(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def call(x: int) -> int:
        with open(log, "a") as file:
            file.write(f"{x}\n")
        if x == 40:
            os.kill(os.getpid(), signal.SIGKILL)
        return x

    with Batch(call, range(100), retries=0) as batch:
        found = outcomes(batch)
    lost = [x for x, each in enumerate(found) if isinstance(each, daybreak.exceptions.WorkerCrashedError)]
    assert 40 in lost and lost == list(range(lost[0], 41))
    assert [x for x in range(100) if x not in lost] == [each for each in found if isinstance(each, int)]
    ran = [int(line) for line in log.read_text().split()]
    assert sorted(ran) == list(range(100))  # each once


# ---- the end


def test_a_cancelled_batch_begins_nothing_more(gate: str) -> None:
    def call(x: int) -> int:
        if x < 2:
            wait_at(gate)
        return x

    with Batch(call, range(1000), ahead=None) as batch:
        assert eventually(lambda: batch.counts().running >= 2)
        batch.cancel()
        assert batch.counts().queued == 0
        open_gate(gate)
        found = outcomes(batch)
    assert len(found) == 1000
    assert sum(isinstance(each, daybreak.exceptions.TaskCancelledError) for each in found) >= 998


def test_a_forced_cancel_ends_what_runs(gate: str) -> None:
    with Batch(lambda x: wait_at(gate), range(10)) as batch:
        assert eventually(lambda: batch.counts().running >= 2)
        batch.cancel(force=True)
        found = outcomes(batch)
    assert len(found) == 10 and all(isinstance(each, daybreak.exceptions.TaskCancelledError) for each in found)


def test_a_timeout_is_kept_and_loses_nothing(gate: str) -> None:
    with Batch(lambda x: wait_at(gate), [0]) as batch:
        with pytest.raises(TimeoutError):
            batch.next(timeout=0.01)
        assert not batch.wait(0.01)
        open_gate(gate)
        assert batch.next(timeout=60) is None


def test_who_reads_a_closed_batch_is_told() -> None:
    batch = Batch(square, range(10))
    batch.close()
    batch.close()
    with pytest.raises(RuntimeError, match="closed"):
        batch.next()


@pytest.mark.parametrize("how", ["close", "drop", "read"])
def test_nothing_is_left_behind(no_leak: Any, how: str) -> None:
    arrays = [np.zeros(100_000) for _ in range(10)]
    for ahead in (5, None):
        batch = Batch(lambda array: array + 1, iter(arrays), ahead=ahead)
        if how == "read":
            list(batch)
        else:
            next(batch)
        if how == "close":
            batch.close()
        del batch


def test_the_end_of_the_runtime_ends_a_wait_for_results(two_cpus: Any, gate: str) -> None:
    batch = Batch(lambda x: wait_at(gate), [0])
    assert eventually(lambda: batch.counts().running == 1)
    told: list[BaseException] = []

    def read() -> None:
        try:
            batch.next()
        except BaseException as error:
            told.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    two_cpus.shutdown()
    reader.join(30)
    assert not reader.is_alive() and isinstance(told[0], RuntimeError) and "shut down" in str(told[0])
    with pytest.raises(RuntimeError, match="shut down"):
        batch.next()


def test_calls_go_on_though_nobody_reads() -> None:
    told, batches = threading.Event(), list[Batch]()
    with Batch(square, range(5000), ahead=None, on_done=lambda: batches and batches[0].done() and told.set()) as batch:
        batches.append(batch)
        assert told.wait(60) or batch.done()
        assert batch.counts().unread == 5000


def test_many_batches_share_one_thread(gate: str) -> None:
    waiting = [Batch(lambda x: wait_at(gate), [0]) for _ in range(20)]
    assert sum(thread.name == "daybreak-batches" for thread in threading.enumerate()) == 1
    for batch in waiting:
        batch.cancel(force=True)
        batch.close()
    assert eventually(lambda: all(thread.name != "daybreak-batches" for thread in threading.enumerate()))


def test_a_call_that_waits_takes_at_most_64_bytes_of_the_driver(gate: str) -> None:
    def own_memory() -> int:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith("RssAnon"))

    n = 100_000

    def call(x: int) -> int:
        if x < 2:
            wait_at(gate)
        return x

    before_bytes = native._usage()["store_bytes"]
    with Batch(square, range(100), ahead=None, retries=0):  # what is loaded once is there
        before = own_memory()
        with Batch(call, range(n), ahead=None, retries=0) as batch:
            waiting = batch.counts().queued + batch.counts().running
            assert waiting > 0.9 * n
            assert (own_memory() - before) / waiting <= 64
            assert native._usage()["store_bytes"] - before_bytes < 1 << 20
            batch.cancel(force=True)
            assert batch.wait(60)


def test_what_a_batch_cannot_have_is_refused_by_name() -> None:
    for arguments, words in (
        ({"chunksize": 0}, "chunksize=0"),
        ({"ahead": 0}, "ahead=0"),
        ({"retries": -2}, "retries=-2"),
        ({"options": {"num_returns": 2}}, "num_returns"),
        ({"options": {"no_such": 2}}, "no_such"),
    ):
        with pytest.raises((ValueError, TypeError), match=words):
            Batch(square, range(3), **arguments)
    with pytest.raises(TypeError, match="not callable"):
        Batch(3, range(3))  # type: ignore[arg-type]

    async def coroutine(x: int) -> int:
        return x

    with pytest.raises(daybreak.exceptions.Error, match="coroutine"):
        Batch(coroutine, range(3))


def test_the_options_of_a_remote_function_count(ray: Any) -> None:
    @ray.remote(num_cpus=2)
    def alone(x: int) -> float:
        begun = time.monotonic()
        return begun

    with Batch(alone, range(4)) as batch:
        assert len(list(batch)) == 4


def calls_of(function: Any, inputs: list[Any], **how: Any) -> Any:
    """A native call set, fed with all inputs."""
    from daybreak.runtime.batch import export, go_on_with
    from daybreak.runtime.tasks import RemoteFunction

    calls = native._Calls(export(function), 1, 0, how.pop("ordered", True), 2, how.pop("most", 0))
    calls.add_tasks(RemoteFunction(native.run_chunk, {"name": "chunk", "max_retries": 0, **how}), 2)
    calls.feed(iter(inputs), len(inputs), True)
    calls.end_inputs()
    calls.pump()
    go_on_with(calls)
    return calls


def test_an_ordered_set_goes_over_to_results_as_they_come(gate: str) -> None:
    def maybe_wait(x: int) -> int:
        if x == 0:
            wait_at(gate)
        return x

    calls = calls_of(maybe_wait, list(range(200)))
    calls.unorder()
    found: dict[int, Any] = {}

    def all_but_the_first() -> bool:
        found.update((number, content) for number, how, content in calls.read_ready() if how == 0)
        return len(found) == 199

    assert eventually(all_but_the_first) and 0 not in found
    open_gate(gate)
    assert calls.wait(60)
    assert [content for _, _, content in calls.read_ready()] == [0]
    assert found == {x: x for x in range(1, 200)}
    calls.close()


def test_what_next_has_begun_to_read_is_not_lost_when_the_rest_is_read_at_once() -> None:
    calls = calls_of(square, list(range(500)))
    assert [calls.next(60) for _ in range(3)] == [0, 1, 4]
    assert calls.wait(60)
    rest = {number: content for number, how, content in calls.read_ready() if how == 0}
    assert rest == {x: x * x for x in range(3, 500)}
    calls.close()


def test_a_chunk_of_one_call_takes_no_other_along() -> None:
    def poison(x: int) -> int:
        if x == 50:
            os._exit(3)
        return x

    calls = calls_of(poison, list(range(100)), most=1)
    assert calls.wait(60)
    lost = [number for number, how, _ in calls.read_ready() if how == 2]
    assert lost == [50]
    calls.close()


def test_one_call_of_many_is_ended(tmp_path: Path) -> None:
    def sleep(x: int) -> None:
        (tmp_path / str(x)).touch()
        time.sleep(60)

    calls = calls_of(sleep, [0, 1], most=1, ordered=False)
    assert eventually(lambda: len(list(tmp_path.iterdir())) == 2)
    assert not calls.cancel_one(7, True)
    assert calls.cancel_one(1, True)

    found: list[Any] = []

    def one_ended() -> bool:
        found.extend(calls.read_ready())
        return len(found) == 1

    assert eventually(one_ended) and found[0][:2] == (1, 2)
    assert isinstance(found[0][2], daybreak.exceptions.TaskCancelledError)
    calls.cancel(True)
    calls.close()


@pytest.mark.parametrize("ends", ["raise ValueError('the end')", "sys.exit(1)", "os.kill(os.getpid(), signal.SIGINT)"])
def test_a_program_that_ends_while_the_thread_of_batches_lingers_ends_as_it_would(ends: str) -> None:
    program = (
        "import os, signal, sys, daybreak; from daybreak.runtime.batch import Batch; daybreak.init(num_cpus=1)\n"
        f"kept = Batch(abs, range(100)); assert next(kept) == 0\n{ends}"
    )
    started = [
        subprocess.Popen([sys.executable, "-P", "-c", program], stderr=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for process in started:
        said = process.communicate(timeout=60)[1]
        assert "terminate called" not in said, said
        assert process.returncode in (1, -2, 130), said
