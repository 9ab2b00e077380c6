"""Pools and groups of actors, results as they come, the shuffle."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from daybreak.exceptions import ActorDiedError
from daybreak.util import ActorGroup, ActorPool, as_completed, map_unordered, shuffle
from daybreak.util import iter as iter_by_attribute

import daybreak
from daybreak.runtime.util.annotations import RayDeprecationWarning


@pytest.fixture
def ray(two_cpus: Any) -> Iterator[Any]:
    yield two_cpus


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
class Worker:
    def double(self, x: int) -> int:
        return 2 * x

    def wait_at(self, gate: Any) -> str:
        return daybreak.get(gate.wait.remote())

    @daybreak.method(num_returns=2)
    def pair(self, x: int) -> tuple[int, int]:
        return x, x + 1

    def fail(self, x: int) -> None:
        raise KeyError(x)


def double(actor: Any, x: int) -> Any:
    return actor.double.remote(x)


# ---- ActorPool


def test_results_come_in_order_or_as_they_are_ready(ray: Any) -> None:
    pool = ActorPool([Worker.remote() for _ in range(3)])
    assert list(pool.map(double, range(10))) == [2 * x for x in range(10)]
    assert sorted(pool.map_unordered(double, range(10))) == [2 * x for x in range(10)]
    gate = Gate.remote()
    pool.submit(lambda actor, _: actor.wait_at.remote(gate), None)
    pool.submit(double, 4)
    assert pool.get_next_unordered() == 8
    gate.open.remote()
    assert pool.get_next() == "open"
    assert not pool.has_next()
    for take in (pool.get_next, pool.get_next_unordered):
        with pytest.raises(StopIteration):
            take()


def test_map_submits_before_it_is_read(ray: Any) -> None:
    pool = ActorPool([Worker.remote()])
    seen = []
    results = pool.map(lambda actor, x: seen.append(x) or actor.double.remote(x), [1, 2])
    assert seen == [1]
    assert list(results) == [2, 4] and seen == [1, 2]


def test_map_gives_up_what_was_submitted_before(ray: Any) -> None:
    gate = Gate.remote()
    pool = ActorPool([Worker.remote(), Worker.remote()])
    pool.submit(lambda actor, _: actor.wait_at.remote(gate), None)
    gate.open.remote()
    assert list(pool.map(double, [1, 2, 3])) == [2, 4, 6]
    assert list(pool.map_unordered(double, [])) == []


def test_a_time_out_is_raised_or_gives_the_call_up(ray: Any) -> None:
    gate = Gate.remote()
    pool = ActorPool([Worker.remote()])
    pool.submit(lambda actor, _: actor.wait_at.remote(gate), None)
    for take in (pool.get_next, pool.get_next_unordered):
        with pytest.raises(TimeoutError):
            take(timeout=0.01)
    assert pool.get_next_unordered(timeout=0.01, ignore_if_timedout=True) is None
    assert not pool.has_free()
    with pytest.raises(TimeoutError, match="given up"):
        pool.get_next(timeout=0.01, ignore_if_timedout=True)
    assert pool.has_free() and not pool.has_next()
    gate.open.remote()


def test_a_method_with_several_results_gives_them_together(ray: Any) -> None:
    pool = ActorPool([Worker.remote() for _ in range(2)])
    for x in range(4):
        pool.submit(lambda actor, v: actor.pair.remote(v), x)
    assert [pool.get_next(timeout=60) for _ in range(2)] == [[0, 1], [1, 2]]
    assert sorted(pool.get_next_unordered(timeout=60) for _ in range(2)) == [[2, 3], [3, 4]]


def test_an_actor_whose_call_raised_is_free_again(ray: Any) -> None:
    pool = ActorPool([Worker.remote()])
    pool.submit(lambda actor, x: actor.fail.remote(x), 1)
    with pytest.raises(KeyError):
        pool.get_next()
    assert pool.has_free()
    assert list(pool.map(double, [3])) == [6]


def test_actors_come_and_go(ray: Any) -> None:
    first, second, third = (Worker.remote() for _ in range(3))
    pool = ActorPool([first])
    pool.submit(double, 1)
    assert not pool.has_free() and pool.pop_idle() is None
    with pytest.raises(ValueError, match="in this pool already"):
        pool.push(first)
    pool.push(second)
    assert pool.has_free()
    with pytest.raises(ValueError, match="in this pool already"):
        pool.push(second)
    pool.submit(double, 2)
    pool.submit(double, 3)
    assert not pool.has_free() and len(pool._pending_submits) == 1
    pool.push(third)  # takes what waits
    assert not pool.has_free() and not pool._pending_submits
    assert [pool.get_next() for _ in range(3)] == [2, 4, 6]
    assert [pool.pop_idle() is None for _ in range(4)] == [False, False, False, True]
    pool.submit(double, 5)
    with pytest.raises(ValueError, match="has no actor: push one"):
        pool.get_next()


# ---- ActorGroup


class Member:
    def __init__(self, start: int = 0) -> None:
        self.total = start

    def add(self, x: int) -> int:
        self.total += x
        return self.total

    def get_actor_metadata(self) -> str:
        return f"member with {self.total}"


def group_of(**arguments: Any) -> ActorGroup:
    with pytest.warns(RayDeprecationWarning, match=r"use ray\.util\.multiprocessing"):
        return ActorGroup(Member, **arguments)


def test_a_group_calls_all_its_actors(ray: Any) -> None:
    group = group_of(num_actors=2, init_args=(10,))
    assert len(group) == 2 and group.actor_metadata == ["member with 10"] * 2
    assert "CPU" not in ray.available_resources()
    assert ray.get(group.add.remote(1)) == [11, 11]
    assert ray.get(group[0].actor.add.remote(1)) == 12
    assert ray.get(group.add.remote(0)) == [12, 11]
    group.remove_actors([0])
    assert ray.get(group.add.remote(0)) == [11]
    with pytest.raises(TypeError, match=r"add\.remote\(\)"):
        group.add(1)
    with pytest.raises(AttributeError, match="no method 'subtract'"):
        group.subtract.remote(1)


def test_a_group_ends_and_starts_again(ray: Any) -> None:
    group = group_of(num_actors=2, init_kwargs={"start": 1})
    with pytest.raises(RuntimeError, match="call shutdown"):
        group.start()
    actor = group[0].actor
    for patience in (60, 0):
        group.shutdown(patience)
        with pytest.raises(RuntimeError, match="call start"):
            group.add.remote(1)
        with pytest.raises(ActorDiedError):
            ray.get(actor.add.remote(1))
        group.start()
        actor = group[0].actor
        assert ray.get(group.add.remote(1)) == [2, 2]


@pytest.mark.parametrize("arguments", [{"num_actors": 0}, {"num_actors": -1}, {"num_cpus_per_actor": -1}])
def test_a_group_refuses_numbers_that_cannot_be(arguments: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match="must"):
            ActorGroup(Member, **arguments)


# ---- as_completed, map_unordered


def test_results_come_as_they_are_ready(ray: Any) -> None:
    gate = Gate.remote()
    square = ray.remote(lambda x: x * x)
    refs = [gate.wait.remote(), *(square.remote(i) for i in range(4))]
    results = as_completed(refs, chunk_size=2)
    assert sorted(next(results) for _ in range(4)) == [0, 1, 4, 9]
    gate.open.remote()
    assert list(results) == ["open"]
    assert sorted(ray.get(list(as_completed(refs, yield_obj_refs=True))), key=str) == [0, 1, 4, 9, "open"]


def test_no_more_calls_are_under_way_than_told(ray: Any) -> None:
    taken = []

    def items() -> Iterator[int]:
        for i in range(100):
            taken.append(i)
            yield i

    results = map_unordered(ray.remote(lambda x: x * x), items(), backpressure_size=5, chunk_size=1)
    assert next(results) in {i * i for i in range(5)} and len(taken) == 5
    assert len(list(results)) == 99


@pytest.mark.parametrize(
    "arguments", [{"chunk_size": 0}, {"backpressure_size": 0}, {"num_returns": 2}, {"chunk_size": -1}]
)
def test_results_as_they_come_refuse_what_cannot_be(ray: Any, arguments: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        map_unordered(ray.remote(abs), [], **arguments)


# ---- the shuffle


@pytest.mark.parametrize("writer", [shuffle.ObjectStoreWriter, shuffle.ObjectStoreWriterNonStreaming])
@pytest.mark.parametrize("outputs", [1, 3])
def test_a_shuffle_brings_each_item_to_the_writer_that_it_is_for(ray: Any, writer: Any, outputs: int) -> None:
    def written(j: int, parts: list[Any]) -> list[int]:
        return sorted(daybreak.get(parts) if writer is shuffle.ObjectStoreWriter else parts)

    found = shuffle.simple_shuffle(
        input_reader=lambda i: range(i * 100, i * 100 + 7),
        input_num_partitions=4,
        output_num_partitions=outputs,
        output_writer=written,
        partitioner=lambda items, n: ((x % n, x) for x in items),
        object_store_writer=writer,
    )
    everything = [x for i in range(4) for x in range(i * 100, i * 100 + 7)]
    assert found == [[x for x in everything if x % outputs == j] for j in range(outputs)]
    with pytest.raises(ValueError, match="input_num_partitions=0"):
        shuffle.simple_shuffle(
            input_reader=range,
            input_num_partitions=0,
            output_num_partitions=1,
            output_writer=lambda j, parts: None,
        )


def test_the_program_shuffles_arrays_and_says_how_long_it_took(ray: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert shuffle.run(num_partitions=3, partition_size=3e6) == 9_000_000
    shuffle.main(["--num-partitions=2", "--partition-size=4e6", "--no-streaming"])
    said = capsys.readouterr().out
    assert "Shuffled 8 MiB" in said and "Shuffled 7 MiB" in said


# ---- names


def test_util_is_one_package_under_its_two_names() -> None:
    import daybreak.util.iter
    import daybreak.util.multiprocessing.pool

    import daybreak.runtime.util.iter

    assert daybreak.util is daybreak.runtime.util
    assert daybreak.util.iter is daybreak.runtime.util.iter is iter_by_attribute
    assert daybreak.util.iter.__spec__.name == "daybreak.runtime.util.iter"
    assert daybreak.util.multiprocessing.Pool.__module__ == "daybreak.runtime.util.multiprocessing.pool"
    with pytest.raises(ImportError):
        import daybreak.util.no_such_thing
    with pytest.raises(AttributeError, match="no attribute 'no_such_thing'"):
        daybreak.util.no_such_thing  # noqa: B018
