"""daybreak.util.multiprocessing.Pool does what multiprocessing.Pool does, and what Ray's does where the two differ."""

from __future__ import annotations

import os
import queue
import threading
from collections import Counter
from collections.abc import Iterator
from multiprocessing.pool import RemoteTraceback
from pathlib import Path
from typing import Any

import pytest
from daybreak.exceptions import ActorDiedError
from daybreak.util.multiprocessing import Pool, TimeoutError

import daybreak
from daybreak._core import runtime as native
from daybreak.runtime.util.annotations import RayDeprecationWarning

from .conftest import eventually


@pytest.fixture
def four(request: pytest.FixtureRequest) -> Iterator[Pool]:
    daybreak.shutdown()
    daybreak.init(num_cpus=4, object_store_memory=256 << 20)
    pool = Pool(processes=4)
    yield pool
    pool.terminate()
    pool.join()
    daybreak.shutdown()


@daybreak.remote(max_concurrency=50)
class Gate:
    """Opens for all who wait at it."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.waiting = threading.Semaphore(0)

    def wait(self) -> str:
        self.waiting.release()
        self.event.wait()
        return "open"

    def somebody_waits(self) -> None:
        self.waiting.acquire()

    def open(self) -> None:
        self.event.set()


def opened(gate: Any) -> str:
    return daybreak.get(gate.wait.remote())


def failing(x: int) -> int:
    if x % 10 == 3:
        raise KeyError(x)
    return x


def test_a_pool_starts_a_runtime_of_its_size_or_uses_the_one_that_runs() -> None:
    daybreak.shutdown()
    with Pool(processes=2) as pool:
        assert daybreak.cluster_resources()["CPU"] == 2
        assert len(set(pool.map(lambda _: os.getpid(), [(), ()]))) == 2
    daybreak.shutdown()
    daybreak.init(num_cpus=3)
    with Pool(processes=2) as pool:
        assert daybreak.cluster_resources()["CPU"] == 3
        assert daybreak.available_resources()["CPU"] == 3  # its workers need none
    with pytest.raises(ValueError, match="processes=4: the runtime has 3 CPUs"):
        Pool(processes=4)
    daybreak.shutdown()


def test_apply_passes_arguments_and_raises_what_the_function_raised(four: Pool) -> None:
    def combine(a: int, b: int, c: int = 0) -> tuple[int, int, int]:
        return a, b, c

    assert four.apply(combine, (1, 2), {"c": 3}) == (1, 2, 3)
    assert four.apply_async(combine, [1, 2]).get() == (1, 2, 0)
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        four.apply(combine, (1,))
    with pytest.raises(KeyError) as caught:
        four.apply(failing, (3,))
    assert type(caught.value) is KeyError and caught.value.args == (3,)
    assert isinstance(caught.value.__cause__, RemoteTraceback) and "raise KeyError(x)" in str(caught.value.__cause__)


def test_a_result_says_whether_it_is_ready_and_how_it_went(four: Pool) -> None:
    gate = Gate.remote()
    result = four.apply_async(opened, (gate,))
    assert not result.ready()
    with pytest.raises(TimeoutError):
        result.get(timeout=0.01)
    with pytest.raises(ValueError, match="not ready"):
        result.successful()
    gate.open.remote()
    result.wait(60)
    assert result.ready() and result.successful() and result.get() == "open"
    failed = four.apply_async(failing, (3,))
    failed.wait(60)
    assert failed.ready() and not failed.successful()


def test_map_keeps_the_order_and_uses_all_workers(four: Pool) -> None:
    found = four.map(lambda x: (x, os.getpid()), range(1000))
    assert [x for x, _ in found] == list(range(1000))
    shares = Counter(pid for _, pid in found)
    assert len(shares) == 4 and min(shares.values()) > 100
    assert four.map(abs, []) == []
    assert four.map(abs, (x for x in (-1, -2, -3)), chunksize=2) == [1, 2, 3]
    with pytest.raises(KeyError):
        four.map(failing, range(100))
    with pytest.raises(ValueError, match="Chunksize must be 1"):
        four.map(abs, [1], chunksize=0)


def test_starmap_unpacks_items(four: Pool) -> None:
    items = [tuple(range(i)) for i in range(100)]
    assert four.starmap(lambda *args: args, items) == items
    assert four.starmap_async(pow, zip([2, 3], [3, 2], strict=True)).get() == [8, 9]


def test_each_callback_is_called_once(four: Pool) -> None:
    told: queue.Queue[Any] = queue.Queue()
    hooks: Any = {"callback": told.put, "error_callback": told.put}
    assert four.apply_async(failing, (1,), **hooks).get() == 1
    assert told.get(timeout=60) == 1
    four.apply_async(failing, (3,), **hooks)
    assert isinstance(told.get(timeout=60), KeyError)
    result = four.map_async(failing, [1, 2, 4, 5], **hooks)
    assert sorted(told.get(timeout=60)) == [1, 2, 4, 5] and result.get() == [1, 2, 4, 5]
    four.map_async(failing, range(100), chunksize=1, **hooks).wait()  # ten of them raise
    assert isinstance(told.get(timeout=60), KeyError)
    assert told.empty()


def test_a_callback_that_raises_is_printed_and_ends_nothing(four: Pool, capfd: pytest.CaptureFixture[str]) -> None:
    result = four.apply_async(abs, (-1,), callback=lambda _: 1 / 0)
    assert result.get(timeout=60) == 1
    assert four.apply(abs, (-2,)) == 2
    assert "ZeroDivisionError" in capfd.readouterr().err


@pytest.mark.parametrize("lazy", [True, False])
def test_imap_gives_results_in_order_and_exceptions_among_them(four: Pool, lazy: bool) -> None:
    items = iter(range(100)) if lazy else range(100)
    results = four.imap(failing, items, chunksize=11)
    for x in range(100):
        found = results.next()
        assert isinstance(found, KeyError) and found.args == (x,) if x % 10 == 3 else found == x
    with pytest.raises(StopIteration):
        results.next()
    with pytest.raises(StopIteration):
        results.next()


def test_imap_unordered_gives_what_is_ready_and_waits_no_longer_than_told(four: Pool) -> None:
    gate = Gate.remote()
    results = four.imap_unordered(lambda x: opened(gate) if x == 5 else x, range(20), chunksize=2)
    early = {results.next(timeout=60) for _ in range(18)}
    assert early == set(range(20)) - {4, 5}
    with pytest.raises(TimeoutError):
        results.next(timeout=0.01)
    gate.open.remote()
    assert list(results) == [4, "open"]


def test_imap_takes_from_an_endless_iterable_only_what_it_needs(four: Pool) -> None:
    taken = []

    def endless() -> Iterator[int]:
        while True:
            taken.append(len(taken))
            yield taken[-1]

    results = four.imap(abs, endless())
    assert [results.next(timeout=60) for _ in range(10)] == list(range(10))
    assert len(taken) < 30


def test_imap_raises_what_the_iterable_raised_after_what_came_before(four: Pool) -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise LookupError("no more")

    results = four.imap(abs, broken())
    assert results.next(timeout=60) == 1
    with pytest.raises(LookupError, match="no more"):
        results.next(timeout=60)
    with pytest.raises(StopIteration):
        results.next()


def test_imap_takes_what_is_no_iterable_as_one_item_and_warns(four: Pool) -> None:
    with pytest.warns(RayDeprecationWarning, match="Passing a non-iterable argument"):
        assert list(four.imap(abs, -3)) == [3]  # type: ignore[arg-type]
    with pytest.warns(RayDeprecationWarning, match="Passing a non-iterable argument"):
        assert list(four.imap_unordered(abs, -3)) == [3]  # type: ignore[arg-type]


def test_each_worker_is_initialized_before_the_pool_is_there(tmp_path: Path) -> None:
    daybreak.shutdown()

    def leave_mark(folder: Path) -> None:
        (folder / str(os.getpid())).touch()

    with Pool(processes=3, initializer=leave_mark, initargs=(tmp_path,)) as pool:
        assert len(list(tmp_path.iterdir())) == 3
        assert {str(pid) for pid in pool.map(lambda _: os.getpid(), range(12))} == {p.name for p in tmp_path.iterdir()}
    with pytest.raises(ZeroDivisionError):
        Pool(processes=1, initializer=lambda: 1 / 0)
    daybreak.shutdown()


def test_a_worker_ends_after_its_share_of_calls() -> None:
    daybreak.shutdown()
    with Pool(processes=3, maxtasksperchild=1) as pool:
        assert len(set(pool.map(lambda _: os.getpid(), range(12)))) == 12
    with Pool(processes=1, maxtasksperchild=2) as pool:
        assert sorted(Counter(pool.apply(os.getpid) for _ in range(6)).values()) == [2, 2, 2]
    daybreak.shutdown()


def test_close_lets_calls_end_and_takes_no_more(four: Pool) -> None:
    gate = Gate.remote()
    result = four.map_async(opened, [gate] * 4)
    with pytest.raises(ValueError, match="still running"):
        four.join()
    four.close()
    with pytest.raises(ValueError, match="not running"):
        four.apply(abs, (1,))
    assert not result.ready()
    gate.open.remote()
    four.join()
    assert result.get(timeout=60) == ["open"] * 4
    assert eventually(lambda: native._usage()["actors"] <= 1)  # the gate


def test_terminate_ends_what_runs_and_what_waits(four: Pool) -> None:
    gate = Gate.remote()
    running = four.map_async(opened, [gate] * 40, chunksize=1)
    daybreak.get(gate.somebody_waits.remote())
    four.terminate()
    four.join()
    assert running.ready() and not running.successful()
    with pytest.raises(ActorDiedError):
        running.get()


def test_the_calls_of_a_worker_that_dies_fail_and_another_takes_its_place(four: Pool) -> None:
    with pytest.raises(ActorDiedError):
        four.apply(os._exit, (3,))
    assert four.map(abs, range(-8, 0)) == list(range(8, 0, -1))
    assert len(set(four.map(lambda _: os.getpid(), range(16)))) == 4


def test_pools_nest_on_one_cpu() -> None:
    daybreak.shutdown()
    daybreak.init(num_cpus=1)

    def inner(x: int) -> list[int]:
        with Pool(ray_address="auto") as pool:
            return pool.map(abs, [-x, -x - 1])

    with Pool(ray_address="auto") as pool:
        assert pool.map(inner, [2, 5]) == [[2, 3], [5, 6]]
    daybreak.shutdown()


def test_a_pool_of_a_runtime_that_is_over_says_so(four: Pool) -> None:
    gate = Gate.remote()
    running = four.apply_async(opened, (gate,))
    daybreak.get(gate.somebody_waits.remote())
    daybreak.shutdown()
    with pytest.raises((RuntimeError, ActorDiedError)):
        running.get(timeout=60)
    with pytest.raises(RuntimeError, match="shut down"):
        four.apply(abs, (1,))
    assert not daybreak.is_initialized()


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"processes": 0}, "at least 1"),
        ({"maxtasksperchild": 0}, "maxtasksperchild must be"),
        ({"maxtasksperchild": 1.5}, "maxtasksperchild must be"),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments: Any, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        Pool(**arguments)


def test_what_does_not_pickle_fails_its_call_alone(four: Pool) -> None:
    with pytest.raises(TypeError, match="cannot be pickled"):
        four.apply(abs, (threading.Lock(),))
    with pytest.raises(TypeError, match="cannot be pickled"):
        four.apply(threading.Lock)
    assert four.apply(abs, (-1,)) == 1
