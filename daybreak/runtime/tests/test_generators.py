"""Generators: streams of references, lists of them, one result for each item; in tasks, actors and coroutine actors."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import daybreak
from daybreak._core import runtime as native
from daybreak.runtime.tests.conftest import eventually


@pytest.fixture
def no_leak(ray: Any) -> Iterator[None]:
    before = native._usage()["objects"] - native._usage()["functions"]
    yield
    assert eventually(lambda: native._usage()["objects"] - native._usage()["functions"] <= before), native._usage()


@pytest.fixture(params=["task", "actor", "coroutine actor", "async generator"])
def count(request: pytest.FixtureRequest, ray: Any) -> Any:
    """Something remote that yields 0, 1, ..., n - 1, and then raises if it is told to."""
    if request.param == "task":

        @ray.remote(max_retries=0)
        def generate(n: int, error: Any = None) -> Any:
            yield from range(n)
            if error is not None:
                raise error

        return generate

    class Plain:
        def generate(self, n: int, error: Any = None) -> Any:
            yield from range(n)
            if error is not None:
                raise error

    class Coroutine(Plain):
        async def other(self) -> None: ...

    class Async:
        async def generate(self, n: int, error: Any = None) -> Any:
            for i in range(n):
                await asyncio.sleep(0)
                yield i
            if error is not None:
                raise error

    kinds: dict[str, type] = {"actor": Plain, "coroutine actor": Coroutine, "async generator": Async}
    actor = ray.remote(kinds[request.param]).remote()
    return actor.generate


def test_a_stream_gives_a_reference_to_each_item_as_it_comes(ray: Any, count: Any, no_leak: None) -> None:
    stream = count.remote(5)
    assert isinstance(stream, ray.ObjectRefGenerator)
    assert [ray.get(ref) for ref in stream] == [0, 1, 2, 3, 4]
    assert stream.is_finished()
    for _ in range(3):
        with pytest.raises(StopIteration):
            next(stream)
    assert ray.get(stream.completed(), timeout=30) is None
    assert list(count.remote(0)) == []


def test_a_stream_is_followed_by_async_for(ray: Any, count: Any) -> None:
    async def main() -> list[int]:
        items = [await ref async for ref in count.remote(20)]
        stream = count.remote(1)
        items.append(await (await anext(stream)))
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        return items

    assert asyncio.run(main()) == [*range(20), 0]


def test_an_error_stands_in_the_place_of_the_item_and_ends_the_stream(ray: Any, count: Any, no_leak: None) -> None:
    stream = count.remote(2, KeyError("third"))
    assert [ray.get(next(stream)), ray.get(next(stream))] == [0, 1]
    failed = next(stream)
    with pytest.raises(KeyError, match="third"):
        ray.get(failed)
    with pytest.raises(StopIteration):
        next(stream)
    del failed


def test_the_first_items_are_there_before_the_last(ray: Any, tmp_path: Any) -> None:
    @ray.remote
    def until(path: str) -> Any:
        yield "first"
        while not os.path.exists(path):
            time.sleep(0.001)
        yield "second"

    stream = until.remote(str(tmp_path / "go"))
    assert ray.get(next(stream), timeout=30) == "first"
    assert not stream.next_ready()
    assert stream._next_sync(timeout_s=0).is_nil()
    assert ray.wait([stream], timeout=0) == ([], [stream])
    (tmp_path / "go").touch()
    assert ray.wait([stream], timeout=30) == ([stream], [])
    assert ray.get(next(stream)) == "second"


def test_wait_takes_streams_and_references_together(ray: Any) -> None:
    @ray.remote
    def three() -> Any:
        yield from range(3)

    stream, ref, seen = three.remote(), ray.put("object"), []
    waiting: list[Any] = [stream, ref]
    while waiting:
        ready, waiting = ray.wait(waiting, timeout=30)
        if ready[0] is ref:
            seen.append(ray.get(ref))
            continue
        try:
            seen.append(ray.get(next(stream)))
            waiting.append(stream)
        except StopIteration:
            pass
    assert sorted(map(str, seen)) == ["0", "1", "2", "object"]


def test_large_items_are_views_of_the_store(ray: Any, no_leak: None) -> None:
    @ray.remote
    def arrays() -> Any:
        for i in range(4):
            yield np.full(300_000, i)

    for i, ref in enumerate(arrays.remote()):
        array = ray.get(ref)
        assert not array.flags.owndata and array.sum() == 300_000 * i
        del array, ref


def test_a_stream_that_is_dropped_stops_its_task(ray: Any, tmp_path: Any, no_leak: None) -> None:
    @ray.remote
    def forever(path: str) -> Any:
        i = 0
        try:
            while True:
                yield i
                i += 1
        finally:
            open(path, "w").close()

    stream = forever.remote(str(tmp_path / "closed"))
    assert ray.get(next(stream)) == 0
    del stream
    assert eventually(lambda: (tmp_path / "closed").exists())


@pytest.mark.parametrize("kind", ["task", "actor", "async actor"])
def test_back_pressure_keeps_the_task_near_its_consumer(ray: Any, tmp_path: Any, kind: str) -> None:
    def write(path: str, i: int) -> int:
        with open(path, "a") as f:
            f.write(f"{i}\n")
        return i

    @ray.remote(_generator_backpressure_num_objects=3)
    def task(path: str) -> Any:
        for i in range(20):
            yield write(path, i)

    @ray.remote
    class Actor:
        @ray.method(_generator_backpressure_num_objects=3)
        def make(self, path: str) -> Any:
            for i in range(20):
                yield write(path, i)

    @ray.remote
    class AsyncActor:
        async def make(self, path: str) -> Any:
            for i in range(20):
                yield write(path, i)

    path = str(tmp_path / "made")
    stream = {
        "task": lambda: task.remote(path),
        "actor": lambda: Actor.remote().make.remote(path),
        "async actor": lambda: AsyncActor.remote().make.options(_generator_backpressure_num_objects=3).remote(path),
    }[kind]()
    for i, ref in enumerate(stream):
        assert ray.get(ref) == i
        with open(path) as f:
            assert len(f.readlines()) <= i + 1 + 3 + 1
    assert i == 19


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_task_that_waits_for_its_consumer_ends_when_that_is_gone(ray: Any, tmp_path: Any, asynchronous: bool) -> None:
    @ray.remote(_generator_backpressure_num_objects=1)
    def task(path: str) -> Any:
        try:
            yield from range(10)
        finally:
            open(path, "w").close()

    @ray.remote
    class Actor:
        @ray.method(_generator_backpressure_num_objects=1)
        async def make(self, path: str) -> Any:
            try:
                for i in range(10):
                    yield i
            finally:
                open(path, "w").close()

    actor, path = Actor.remote(), str(tmp_path / "ended")
    stream = actor.make.remote(path) if asynchronous else task.remote(path)
    assert ray.get(next(stream), timeout=30) == 0
    assert eventually(stream.next_ready) and not os.path.exists(path)
    del stream
    assert eventually(lambda: os.path.exists(path))


def test_a_worker_that_dies_fails_the_item_that_it_owed(ray: Any, no_leak: None) -> None:
    @ray.remote(max_retries=0)
    def dies() -> Any:
        yield 1
        yield 2
        os._exit(7)

    stream = dies.remote()
    assert [ray.get(next(stream)), ray.get(next(stream))] == [1, 2]
    with pytest.raises(ray.exceptions.WorkerCrashedError, match="exit code 7"):
        ray.get(next(stream))
    with pytest.raises(StopIteration):
        next(stream)
    with pytest.raises(ray.exceptions.WorkerCrashedError):
        ray.get(stream.completed())


def test_a_retry_goes_on_where_the_stream_had_stopped(ray: Any, tmp_path: Any, no_leak: None) -> None:
    @ray.remote(max_retries=3)
    def dies_thrice(path: str) -> Any:
        for i in range(8):
            if i in (2, 4, 6) and not os.path.exists(f"{path}{i}"):
                open(f"{path}{i}", "w").close()
                os.kill(os.getpid(), signal.SIGKILL)
            yield i, os.getpid()

    items = [ray.get(ref, timeout=30) for ref in dies_thrice.remote(str(tmp_path / "died"))]
    assert [i for i, _ in items] == list(range(8))
    assert len({pid for _, pid in items}) == 4


def test_an_exception_that_is_retried_leaves_no_mark_in_the_stream(ray: Any, tmp_path: Any) -> None:
    @ray.remote(retry_exceptions=[ValueError], max_retries=2)
    def fails_once(path: str) -> Any:
        yield 0
        yield 1
        if not os.path.exists(path):
            open(path, "w").close()
            raise ValueError
        yield 2

    assert [ray.get(ref) for ref in fails_once.remote(str(tmp_path / "failed"))] == [0, 1, 2]


def test_a_killed_actor_fails_the_item_that_it_owed(ray: Any) -> None:
    @ray.remote
    class Slow:
        def items(self) -> Any:
            yield 1
            time.sleep(600)
            yield 2

    actor = Slow.remote()
    stream = actor.items.remote()
    assert ray.get(next(stream), timeout=30) == 1
    ray.kill(actor)
    with pytest.raises(ray.exceptions.ActorDiedError, match=r"killed by kill\(\)"):
        ray.get(next(stream), timeout=30)
    with pytest.raises(StopIteration):
        next(stream)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_stream_is_cancelled(ray: Any, asynchronous: bool) -> None:
    @ray.remote
    def sleeps() -> Any:
        yield 1
        time.sleep(600)

    @ray.remote
    class Sleeps:
        async def sleeps(self) -> Any:
            yield 1
            await asyncio.sleep(600)

    actor = Sleeps.remote()
    stream = actor.sleeps.remote() if asynchronous else sleeps.remote()
    assert ray.get(next(stream), timeout=30) == 1
    ray.cancel(stream)
    with pytest.raises(ray.exceptions.TaskCancelledError, match="was cancelled"):
        ray.get(next(stream), timeout=30)
    with pytest.raises(StopIteration):
        next(stream)


def test_a_stream_stays_in_its_process_and_get_gives_it_back(ray: Any) -> None:
    @ray.remote
    def one(*given: Any) -> Any:
        yield 1

    stream = one.remote()
    with pytest.raises(TypeError, match="stays in its process"):
        pickle.dumps(stream)
    with pytest.raises(TypeError, match="stays in its process"):
        one.remote(stream)
    assert ray.get(stream) is stream


def test_streams_feed_streams(ray: Any, no_leak: None) -> None:
    @ray.remote
    class Stage:
        def __init__(self, below: Any = None) -> None:
            self.below = below

        def items(self) -> Any:
            if self.below is None:
                yield from range(10)
            else:
                for ref in self.below.items.remote():
                    yield ray.get(ref) + 1

    stage = Stage.remote()
    for _ in range(3):
        stage = Stage.remote(stage)
    assert [ray.get(ref) for ref in stage.items.remote()] == list(range(3, 13))
    del stage


def test_dynamic_gives_one_reference_to_a_list_of_references(ray: Any, count: Any, no_leak: None) -> None:
    items = ray.get(count.options(num_returns="dynamic").remote(10), timeout=30)
    assert isinstance(items, ray.DynamicObjectRefGenerator) and len(items) == 10
    assert [ray.get(ref) for ref in items] == list(range(10))

    @ray.remote
    def total(refs: Any) -> int:
        return sum(ray.get(list(refs)))

    assert ray.get(total.remote(count.options(num_returns="dynamic").remote(10)), timeout=30) == 45
    assert ray.get(total.remote(items), timeout=30) == 45
    failed = list(ray.get(count.options(num_returns="dynamic").remote(1, KeyError("k")), timeout=30))
    assert ray.get(failed[0]) == 0
    with pytest.raises(KeyError):
        ray.get(failed[1])
    del items, failed


@pytest.mark.parametrize("how", ["streaming", "dynamic"])
def test_only_what_yields_can_be_a_stream(ray: Any, how: str) -> None:
    @ray.remote(num_returns=how)
    def plain() -> list[int]:
        return [1, 2, 3]

    result = plain.remote()
    with pytest.raises(ValueError, match="is for generator functions"):
        ray.get(next(result) if how == "streaming" else result, timeout=30)


def test_a_number_of_results_takes_an_item_each(ray: Any, no_leak: None) -> None:
    @ray.remote(max_retries=0)
    def generate(n: int, error: bool = False) -> Any:
        for i in range(n):
            yield np.full(20_000, i)
        if error:
            raise KeyError("after")

    def sums(refs: list[Any]) -> list[int]:
        return [int(a[0]) for a in ray.get(refs)]

    assert sums(generate.options(num_returns=3).remote(3)) == [0, 1, 2]
    assert sums(generate.options(num_returns=3).remote(5)) == [0, 1, 2]  # more are dropped
    assert sums([generate.options(num_returns=1).remote(1)]) == [0]
    first, second, third = generate.options(num_returns=3).remote(2)  # too few
    assert sums([first, second]) == [0, 1]
    with pytest.raises(ValueError, match="num_returns=3, but the generator yielded 2"):
        ray.get(third)
    first, second, third = generate.options(num_returns=3).remote(1, True)
    assert sums([first]) == [0]
    for ref in (second, third):
        with pytest.raises(KeyError):
            ray.get(ref)


def test_later_results_are_there_before_the_generator_ends(ray: Any, tmp_path: Any) -> None:
    @ray.remote(num_returns=3)
    def until(path: str) -> Any:
        yield 0
        yield 1
        while not os.path.exists(path):
            time.sleep(0.001)
        yield 2

    refs = until.remote(str(tmp_path / "go"))
    assert ray.get(refs[1], timeout=30) == 1
    assert not ray.wait([refs[2]], timeout=0)[0]
    (tmp_path / "go").touch()
    assert ray.get(refs, timeout=30) == [0, 1, 2]


def test_an_item_that_cannot_be_pickled_is_the_streams_error(ray: Any) -> None:
    import threading

    @ray.remote
    def bad() -> Any:
        yield 1
        yield threading.Lock()

    stream = bad.remote()
    assert ray.get(next(stream)) == 1
    with pytest.raises(TypeError):
        ray.get(next(stream))
    with pytest.raises(StopIteration):
        next(stream)


def test_many_streams_at_once_leave_nothing(ray: Any, no_leak: None) -> None:
    @ray.remote
    def numbers(n: int) -> Any:
        yield from range(n)

    streams = [numbers.remote(50) for _ in range(40)]
    assert sum(ray.get(ref) for stream in streams for ref in stream) == 40 * sum(range(50))
    assert sum(ray.get(ref) for ref in numbers.remote(5000)) == sum(range(5000))
    del streams


def test_options_of_a_stream_are_looked_at(ray: Any) -> None:
    @ray.remote
    def one() -> Any:
        yield 1

    with pytest.raises(ValueError, match="'streaming' .for generators., or 'dynamic'"):
        one.options(num_returns="lazy")
    with pytest.raises(ValueError, match="_generator_backpressure_num_objects=0"):
        one.options(_generator_backpressure_num_objects=0)
    assert daybreak.get(next(one.options(_generator_backpressure_num_objects=-1).remote())) == 1
