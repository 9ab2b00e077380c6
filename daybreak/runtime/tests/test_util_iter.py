"""Iterators over shards: what is read, in which order, and what they are called."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from daybreak.util.iter import (
    LocalIterator,
    ParallelIteratorWorker,
    from_actors,
    from_items,
    from_iterators,
    from_range,
)

import daybreak


@daybreak.remote(max_concurrency=50)
class Semaphore:
    def __init__(self) -> None:
        self.semaphore = threading.Semaphore(0)

    def acquire(self) -> None:
        self.semaphore.acquire()

    def release(self) -> None:
        self.semaphore.release()

    def try_acquire(self) -> bool:
        return self.semaphore.acquire(blocking=False)


def test_items_are_dealt_to_the_shards_and_read_in_turn(ray: Any) -> None:
    it = from_items([1, 2, 3, 4])
    assert repr(it) == "ParallelIterator[from_items[int, 4, shards=2]]" and it.num_shards() == 2
    assert list(it.gather_sync()) == [1, 2, 3, 4]
    assert next(it.gather_sync()) == 1
    assert it.take(3) == [1, 2, 3] and it.take(10) == [1, 2, 3, 4]
    assert [list(shard) for shard in it.shards()] == [[1, 3], [2, 4]]
    with pytest.raises(TypeError, match="gather_sync"):
        iter(it)
    assert list(from_range(4).gather_sync()) == [0, 2, 1, 3]
    assert list(from_iterators([range(2), lambda: range(2)]).gather_sync()) == [0, 0, 1, 1]
    assert repr(from_iterators([range(2)])) == "ParallelIterator[from_iterators[shards=1]]"


def test_items_repeat_for_ever_when_told(ray: Any) -> None:
    it = from_items([1, 2, 3, 4], repeat=True)
    assert repr(it) == "ParallelIterator[from_items[int, 4, shards=2, repeat=True]]"
    assert it.take(8) == [1, 2, 3, 4, 1, 2, 3, 4]
    assert from_range(2, 1, repeat=True).take(5) == [0, 1, 0, 1, 0]


def test_shards_may_be_actors_of_ones_own(ray: Any) -> None:
    class Own(ParallelIteratorWorker):
        def __init__(self, items: list[int]) -> None:
            super().__init__(items, False)

    actor = ray.remote(Own)
    it = from_actors([actor.remote([1, 2]), actor.remote([3, 4])])
    assert repr(it) == "ParallelIterator[from_actors[shards=2]]"
    assert list(it.gather_sync()) == [1, 3, 2, 4]


def test_what_is_done_to_items_is_in_the_name(ray: Any) -> None:
    it = from_range(4).for_each(lambda x: x * 2).for_each(lambda x: x * 2)
    assert repr(it) == "ParallelIterator[from_range[4, shards=2].for_each().for_each()]"
    assert list(it.gather_sync()) == [0, 8, 4, 12]
    it = from_range(4).filter(lambda x: x < 3)
    assert repr(it) == "ParallelIterator[from_range[4, shards=2].filter()]"
    assert list(it.gather_sync()) == [0, 2, 1]
    it = from_range(5, 1).batch(2)
    assert repr(it) == "ParallelIterator[from_range[5, shards=1].batch(2)]"
    assert list(it.gather_sync()) == [[0, 1], [2, 3], [4]]
    it = from_items([[1, 2], [3, 4]], 1).flatten()
    assert repr(it) == "ParallelIterator[from_items[list, 2, shards=1].flatten()]"
    assert list(it.gather_sync()) == [1, 2, 3, 4]
    it = from_range(2, 1).combine(lambda x: [x, x])
    assert repr(it) == "ParallelIterator[from_range[2, shards=1].combine()]"
    assert list(it.gather_sync()) == [0, 0, 1, 1]


def test_an_iterator_is_transformed_in_the_shard_or_here(ray: Any) -> None:
    def doubled(items: Iterator[int]) -> Iterator[int]:
        for item in items:
            yield item * 2

    it = from_range(4).transform(doubled)
    assert repr(it) == "ParallelIterator[from_range[4, shards=2].transform()]"
    assert list(it.gather_sync()) == [0, 4, 2, 6]
    assert list(from_range(4).gather_sync().transform(doubled)) == [0, 4, 2, 6]
    in_union = from_range(2).gather_async().transform(doubled).union(from_range(2).gather_async())
    assert sorted(in_union) == [0, 0, 1, 2]


def test_shards_are_gathered_in_turn_as_they_come_and_in_batches(ray: Any) -> None:
    it = from_range(4)
    assert repr(it.gather_sync()) == "LocalIterator[ParallelIterator[from_range[4, shards=2]].gather_sync()]"
    assert repr(it.gather_async()) == "LocalIterator[ParallelIterator[from_range[4, shards=2]].gather_async()]"
    assert sorted(it.gather_async()) == [0, 1, 2, 3]
    assert sorted(from_range(100).gather_async(batch_ms=20, num_async=4)) == list(range(100))
    batches = from_iterators([[0, 1], [2, 3, 4]]).batch_across_shards()
    assert repr(batches) == "LocalIterator[ParallelIterator[from_iterators[shards=2]].batch_across_shards()]"
    assert list(batches) == [[0, 2], [1, 3], [4]]
    assert [list(from_range(6, 3).get_shard(i, batch_ms=5, num_async=3)) for i in range(3)] == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(ValueError, match="shard_index=3: there are 3 shards"):
        from_range(6, 3).get_shard(3)
    with pytest.raises(ValueError, match="num_async=0"):
        it.gather_async(num_async=0)


@pytest.mark.parametrize("gather", ["gather_sync", "gather_async"])
def test_no_more_items_are_under_way_than_told(ray: Any, gather: str) -> None:
    begun, may_end = Semaphore.remote(), Semaphore.remote()

    def task(x: int) -> int:
        daybreak.get(begun.release.remote())
        daybreak.get(may_end.acquire.remote())
        return x + 10

    it = from_range(8, 2).for_each(task, max_concurrency=2, resources={"num_cpus": 0.01})
    assert repr(it) == "ParallelIterator[from_range[8, shards=2].for_each()]"
    everything = ray.remote(num_cpus=0.01)(lambda it: list(it)).remote(getattr(it, gather)())
    for _ in range(4):
        ray.get(begun.acquire.remote())
    assert not ray.get(begun.try_acquire.remote())
    if gather == "gather_async":
        ray.get(may_end.release.remote())
        ray.get(begun.acquire.remote())  # one ended, and one more began
        assert not ray.get(begun.try_acquire.remote())
    for _ in range(8):
        ray.get(may_end.release.remote())
    assert sorted(ray.get(everything)) == list(range(10, 18))
    with pytest.raises(ValueError, match="max_concurrency=-1"):
        it.for_each(task, max_concurrency=-1)


def test_a_shuffle_stays_within_shard_and_buffer(ray: Any) -> None:
    it = from_range(8, 2).local_shuffle(shuffle_buffer_size=2)
    assert repr(it) == ("ParallelIterator[from_range[8, shards=2].local_shuffle(shuffle_buffer_size=2, seed=None)]")
    assert [set(shard) for shard in it.shards()] == [{0, 1, 2, 3}, {4, 5, 6, 7}]
    assert list(from_range(10, 1).local_shuffle(1).gather_sync()) == list(range(10))
    seeded = [list(from_range(100, 4).local_shuffle(10, seed=s).gather_sync()) for s in (1, 1, 2)]
    assert seeded[0] == seeded[1] != seeded[2]
    pairs = "".join(from_items([0, 1] * 1000, 1).local_shuffle(100, seed=0).gather_sync().for_each(str))
    found = Counter(zip(pairs[:-1], pairs[1:], strict=True))
    assert len(found) == 4 and min(found.values()) > 350  # of 500 each


def test_items_are_dealt_to_other_shards(ray: Any) -> None:
    it = from_range(9, 3).repartition(2).for_each(lambda x: 2 * x)
    assert repr(it) == "ParallelIterator[from_range[9, shards=3].repartition[num_partitions=2].for_each()]"
    assert it.num_shards() == 2
    assert [set(shard) for shard in it.shards()] == [{0, 4, 6, 10, 12, 16}, {2, 8, 14}]
    more = from_range(100, 2).repartition(3, batch_ms=5)
    assert [set(more.get_shard(i)) for i in range(3)] == [
        set(range(i, 50, 3)) | set(range(50 + i, 100, 3)) for i in range(3)
    ]
    united = from_range(9, 1).repartition(2).union(from_range(9, 1).repartition(2))
    assert united.num_shards() == 4 and Counter(united.gather_async()) == Counter([*range(9), *range(9)])


def test_shards_are_selected_and_united(ray: Any) -> None:
    it = from_items([1, 2, 3, 4], num_shards=4)
    assert it.select_shards([0, 2]).take(4) == [1, 3] and it.select_shards([1, 3]).take(4) == [2, 4]
    both = from_items(["a", "b", "c"], 1).union(from_items(["x", "y", "z"], 1))
    assert repr(both) == (
        "ParallelIterator[ParallelUnion[ParallelIterator[from_items[str, 3, shards=1]], "
        "ParallelIterator[from_items[str, 3, shards=1]]]]"
    )
    assert list(both.gather_sync()) == ["a", "x", "b", "y", "c", "z"]


def test_a_union_gives_what_is_ready_first(ray: Any) -> None:
    gate = Semaphore.remote()

    def slow() -> Iterator[str]:
        daybreak.get(gate.acquire.remote())
        yield from ("slow", "slower")

    fast = from_range(5, 1).gather_async()
    union = from_iterators([slow]).gather_async().union(fast)
    assert repr(union).startswith("LocalIterator[LocalUnion[LocalIterator[ParallelIterator[from_iterators[shards=1]]")
    assert union.take(5) == [0, 1, 2, 3, 4]
    gate.release.remote()
    assert list(union) == ["slow", "slower"]


def test_a_union_reads_as_often_as_weights_say(ray: Any) -> None:
    a, b = (from_items([name] * 4, 1).gather_sync() for name in "ab")
    assert list(a.union(b, round_robin_weights=[2, 1])) == ["a", "a", "b", "a", "a", "b", "b", "b"]
    a, b = (from_items([name] * 2, 1).gather_sync() for name in "ab")
    assert sorted(a.union(b, round_robin_weights=[1, "*"])) == ["a", "a", "b", "b"]
    with pytest.raises(ValueError, match="3 for 2 iterators"):
        a.union(b, round_robin_weights=[1, 1, 1])


def test_copies_of_an_iterator_read_the_same_items(ray: Any) -> None:
    one, two = from_range(5, 1).gather_sync().duplicate(2)
    union = one.batch(2).union(two)
    assert list(union) == [0, [0, 1], 1, 2, [2, 3], 3, 4, [4]]
    alone, other = from_range(5, 1).gather_sync().duplicate(2)
    assert list(alone) == list(other) == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="at least 2"):
        alone.duplicate(1)


def test_functions_of_a_chain_count_together_and_those_of_united_chains(ray: Any) -> None:
    def counted(name: str, step: int) -> Any:
        def count(_: int) -> int:
            counters = LocalIterator.get_metrics().counters
            counters[name] += step
            return int(counters[name])

        return count

    chains = [from_items([1, 2, 3], 1).gather_async().for_each(counted(name, 1)) for name in "abc"]
    assert from_items([1, 2], 1).gather_sync().for_each(counted("a", 5)).take(2) == [5, 10]  # alone
    seen = []

    def look(x: int) -> int:
        seen.append(dict(LocalIterator.get_metrics().counters))
        return x

    union = chains[0].union(chains[1], deterministic=True).union(chains[2], deterministic=True).for_each(look)
    assert list(union) == [1, 1, 1, 2, 2, 3, 2, 3, 3]
    assert seen[-1] == {"a": 3, "b": 3, "c": 3}
    with pytest.raises(ValueError, match="only inside"):
        LocalIterator.get_metrics()


def test_the_shard_of_each_item_is_known(ray: Any) -> None:
    counts = Counter(actor for actor, _ in from_range(4).gather_async().zip_with_source_actor())
    assert sorted(counts.values()) == [2, 2]


def test_iterators_are_read_in_other_processes(ray: Any) -> None:
    it = from_iterators([[0, 1], [3, 4], [5, 6, 7]])

    @ray.remote
    def shard(it: Any, i: int) -> list[int]:
        return list(it.get_shard(i))

    @ray.remote
    def shards(it: Any) -> list[list[int]]:
        return [daybreak.get(shard.remote(it, i)) for i in range(3)]

    assert ray.get(shards.remote(it)) == [[0, 1], [3, 4], [5, 6, 7]]
    local = from_items([1, 2, 3, 4]).gather_sync().for_each(lambda x: x).filter(lambda x: True).batch(2).flatten()
    assert repr(local) == (
        "LocalIterator[ParallelIterator[from_items[int, 4, shards=2]].gather_sync().for_each().filter().batch(2).flatten()]"
    )
    assert ray.get(ray.remote(lambda it: list(it)).remote(local)) == [1, 2, 3, 4]
    union = from_range(2).gather_async().union(from_range(2).gather_async())
    assert sorted(ray.get(ray.remote(lambda it: list(it)).remote(union))) == [0, 0, 1, 1]
