"""A queue that the driver, tasks and actors share."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Iterator
from typing import Any

import pytest
from daybreak.exceptions import ActorDiedError
from daybreak.util.queue import Empty, Full, Queue

import daybreak

from .conftest import eventually


@pytest.fixture
def ray(two_cpus: Any) -> Iterator[Any]:
    yield two_cpus


def test_items_leave_in_the_order_they_came(ray: Any) -> None:
    shared = Queue()
    assert shared.empty() and not shared.full()
    for item in range(10):
        shared.put(item)
        assert shared.qsize() == shared.size() == len(shared) == item + 1
    assert [shared.get() for _ in range(10)] == list(range(10))


def test_a_queue_that_is_empty_or_full_says_so_in_time(ray: Any) -> None:
    shared = Queue(1)
    for take in (shared.get_nowait, lambda: shared.get(block=False), lambda: shared.get(timeout=0.01)):
        with pytest.raises(Empty):
            take()
    shared.put("a", timeout=1)
    assert shared.full()
    for add in (shared.put_nowait, lambda x: shared.put(x, block=False), lambda x: shared.put(x, timeout=0.01)):
        with pytest.raises(Full):
            add("b")
    for call in (lambda: shared.get(timeout=-1), lambda: shared.put(1, timeout=-1)):
        with pytest.raises(ValueError, match="timeout=-1"):
            call()
    assert shared.get() == "a"
    assert issubclass(Empty, queue.Empty) and issubclass(Full, queue.Full)


def test_it_is_used_from_an_event_loop(ray: Any) -> None:
    async def use() -> list[Any]:
        shared = Queue(1)
        getting = asyncio.create_task(shared.get_async())
        await shared.put_async("a")
        found = [await getting]
        await shared.put_async("b", block=False)
        with pytest.raises(Full):
            await shared.put_async("c", block=False)
        with pytest.raises(Full):
            await shared.put_async("c", timeout=0.01)
        found.append(await shared.get_async(timeout=60))
        for arguments in ({"block": False}, {"timeout": 0.01}):
            with pytest.raises(Empty):
                await shared.get_async(**arguments)
        for call in (shared.get_async(timeout=-1), shared.put_async(1, timeout=-1)):
            with pytest.raises(ValueError, match="timeout=-1"):
                await call
        return found

    assert asyncio.run(use()) == ["a", "b"]


def test_those_who_wait_are_served_when_there_is_something(ray: Any) -> None:
    shared = Queue(1)
    taking = [ray.remote(num_cpus=0)(lambda: shared.get()).remote() for _ in range(3)]
    with pytest.raises(Empty):
        shared.get_nowait()
    assert not ray.wait(taking, timeout=0.05)[0]
    putting = [ray.remote(num_cpus=0)(shared.put).remote(i) for i in range(3)]
    assert sorted(ray.get(taking)) == [0, 1, 2]
    assert ray.get(putting) == [None] * 3
    shared.put(1)
    waiting = ray.remote(shared.put).remote(2)
    assert not ray.wait([waiting], timeout=0.05)[0]
    assert [shared.get(), shared.get()] == [1, 2] and ray.get(waiting) is None


def test_many_wait_at_once(ray: Any) -> None:
    shared = Queue()
    refs = [shared.actor.get.remote(None) for _ in range(300)]
    for i in range(300):
        shared.put_nowait(i)
    assert sorted(item for _, item in ray.get(refs)) == list(range(300))


def test_batches_go_whole_or_not_at_all(ray: Any) -> None:
    shared = Queue(3)
    shared.put(0)
    with pytest.raises(Full, match="no room for 3 items in a queue of maxsize 3"):
        shared.put_nowait_batch([1, 2, 3])
    shared.put_nowait_batch(i for i in (1, 2))
    with pytest.raises(Empty, match="fewer than 4"):
        shared.get_nowait_batch(4)
    assert shared.get_nowait_batch(3) == [0, 1, 2] and shared.get_nowait_batch(0) == []
    for bad in (-1, 1.5):
        with pytest.raises(ValueError, match="num_items"):
            shared.get_nowait_batch(bad)  # type: ignore[arg-type]


def test_references_in_it_stay_alive(ray: Any) -> None:
    shared = Queue()
    shared.put({"ref": ray.put("there")})
    assert ray.get(shared.get()["ref"]) == "there"


@pytest.mark.parametrize("force", [False, True])
def test_a_queue_that_is_shut_down_is_over(ray: Any, force: bool) -> None:
    shared = Queue()
    actor = shared.actor
    shared.shutdown(force=force)
    assert shared.actor is None
    with pytest.raises(ActorDiedError):
        ray.get(actor.empty.remote())
    shared.shutdown()  # again: nothing to do


def test_its_actor_needs_what_is_said(ray: Any) -> None:
    free = Queue()
    assert free.empty() and ray.available_resources()["CPU"] == 2
    taking = Queue(actor_options={"num_cpus": 2})
    assert taking.empty()
    assert eventually(lambda: "CPU" not in ray.available_resources())
    assert daybreak.get(taking.actor.__ray_ready__.remote())
