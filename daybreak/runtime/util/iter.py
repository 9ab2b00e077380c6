"""Iterators over items that lie in several actors, the shards, with what is done to them on the way.

    from_range(8, num_shards=2).for_each(f).gather_async()

runs `f` in two actors and gives the results as they come. A ParallelIterator says what the shards do, and can be passed to tasks; a
LocalIterator reads it in one process.
"""

from __future__ import annotations

import time
from collections import deque

from daybreak.runtime import get, remote, wait
from daybreak.runtime.util import iter_metrics
from daybreak.runtime.util.iter_local import END, NOT_READY, LocalIterator, Patience

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    Transform = Callable[[LocalIterator], LocalIterator]

__all__ = [
    "LocalIterator",
    "ParallelIterator",
    "ParallelIteratorWorker",
    "from_actors",
    "from_items",
    "from_iterators",
    "from_range",
]


class ParallelIteratorWorker:
    """A shard. Classes of actors for `from_actors` derive from it.

    Args:
        item_generator: an iterable, or a function that makes one (what does not pickle is made in the actor).
        repeat: over and over again.
    """

    def __init__(self, item_generator: Any, repeat: bool) -> None:
        def made() -> Any:
            return item_generator() if callable(item_generator) else item_generator

        def cycle() -> Iterator[Any]:
            while True:
                items = made()
                if iter(items) is items and not callable(item_generator):
                    raise ValueError(f"{items!r} can be read only once: give what makes it, for repeat=True")
                yield from items

        self._source: Iterable[Any] = cycle() if repeat else made()  # a list or the like starts anew with each reader
        self._items: Iterator[Any] = iter(self._source)
        self._slices: list[deque[Any]] = []

    def par_iter_init(self, transforms: list[Transform]) -> None:
        """Says what is done to the items."""
        iterator = LocalIterator(lambda _: iter(self._source), iter_metrics.SharedMetrics())
        for transform in transforms:
            iterator = transform(iterator)
        self._items = iterator
        self._slices = []

    def par_iter_take(self, batch_ms: float, step: int = 1, start: int = 0) -> tuple[list[Any], bool]:
        """Items, and whether there are no more: one, or what comes in `batch_ms`. Of all items every `step`-th from `start`."""
        until = time.monotonic() + batch_ms / 1000
        taken: list[Any] = []
        while not taken or time.monotonic() < until:
            item = self._next_of(step, start)
            if item is END:
                return taken, True
            taken.append(item)
        return taken, False

    def _next_of(self, step: int, start: int) -> Any:
        if step == 1:
            return next(self._items, END)
        if len(self._slices) != step:
            self._slices = [deque() for _ in range(step)]
        while not self._slices[start]:
            for queue in self._slices:
                item = next(self._items, END)
                if item is END:
                    return self._slices[start].popleft() if self._slices[start] else END
                queue.append(item)
        return self._slices[start].popleft()


class _ActorSet:
    """Shards that do the same."""

    def __init__(self, actors: list[Any], transforms: list[Transform]) -> None:
        self.actors = actors
        self.transforms = transforms

    def start(self) -> None:
        get([actor.par_iter_init.remote(self.transforms) for actor in self.actors])


class ParallelIterator:
    """Items in several actors. Made by the `from_...` functions; each shard may be read by one process at a time.

    Example:
        >>> from daybreak.util.iter import from_range
        >>> it = from_range(4, num_shards=2).for_each(lambda x: x * 10)
        >>> it, it.take(4), list(it.select_shards([1]).gather_sync())
        (ParallelIterator[from_range[4, shards=2].for_each()], [0, 20, 10, 30], [20, 30])
    """

    def __init__(self, actor_sets: list[_ActorSet], name: str, parents: Sequence[ParallelIterator] = ()) -> None:
        self._sets = actor_sets
        self._parents = list(parents)  # their actors are read by these
        self.name = name

    def __repr__(self) -> str:
        return f"ParallelIterator[{self.name}]"

    def __iter__(self) -> Iterator[Any]:
        raise TypeError("a ParallelIterator is read by it.gather_sync() or it.gather_async()")

    def _with(self, transform: Transform, name: str) -> ParallelIterator:
        sets = [_ActorSet(each.actors, [*each.transforms, transform]) for each in self._sets]
        return ParallelIterator(sets, self.name + name, self._parents)

    def transform(self, fn: Callable[[Iterator[Any]], Iterator[Any]]) -> ParallelIterator:
        """In each shard: whatever `fn` makes of the iterator of its items."""
        return self._with(lambda it: it.transform(fn), ".transform()")

    def for_each(
        self, fn: Callable[[Any], Any], max_concurrency: int = 1, resources: dict[str, Any] | None = None
    ) -> ParallelIterator:
        """In each shard: `fn(item)` of each item; see LocalIterator.for_each."""
        if max_concurrency < 0:
            raise ValueError(f"max_concurrency={max_concurrency}: it must not be negative")
        return self._with(lambda it: it.for_each(fn, max_concurrency, resources), ".for_each()")

    def filter(self, fn: Callable[[Any], bool]) -> ParallelIterator:
        """In each shard: the items for which `fn` is true."""
        return self._with(lambda it: it.filter(fn), ".filter()")

    def batch(self, n: int) -> ParallelIterator:
        """In each shard: lists of `n` items."""
        return self._with(lambda it: it.batch(n), f".batch({n})")

    def flatten(self) -> ParallelIterator:
        """In each shard: the items of items that are lists or the like."""
        return self._with(lambda it: it.flatten(), ".flatten()")

    def combine(self, fn: Callable[[Any], Iterable[Any]]) -> ParallelIterator:
        """In each shard: `for_each(fn).flatten()`."""
        return self._with(lambda it: it.combine(fn), ".combine()")

    def local_shuffle(self, shuffle_buffer_size: int, seed: int | None = None) -> ParallelIterator:
        """In each shard: a random order, within a buffer of so many items."""
        name = f".local_shuffle(shuffle_buffer_size={shuffle_buffer_size}, seed={seed})"
        return self._with(lambda it: it.shuffle(shuffle_buffer_size, seed), name)

    def repartition(self, num_partitions: int, batch_ms: float = 0) -> ParallelIterator:
        """The same items in other shards: of each shard every `num_partitions`-th goes to the same new one."""
        self._start()
        actors = self._actors()

        def part(index: int) -> Callable[[], Iterator[Any]]:
            return lambda: _as_they_come(actors, None, Patience(), batch_ms, 1, num_partitions, index)

        shards = [remote(ParallelIteratorWorker).remote(part(index), False) for index in range(num_partitions)]
        name = f"{self.name}.repartition[num_partitions={num_partitions}]"
        return ParallelIterator([_ActorSet(shards, [])], name, [self])

    def union(self, other: ParallelIterator) -> ParallelIterator:
        """The shards of both."""
        if not isinstance(other, ParallelIterator):
            raise TypeError(f"union({other!r}): a ParallelIterator expected")
        return ParallelIterator(
            [*self._sets, *other._sets], f"ParallelUnion[{self!r}, {other!r}]", [*self._parents, *other._parents]
        )

    def select_shards(self, shards_to_keep: Sequence[int]) -> ParallelIterator:
        """Some of the shards, by number."""
        found = self._shards()
        kept = [_ActorSet([found[i][0]], found[i][1]) for i in shards_to_keep]
        return ParallelIterator(kept, f"{self.name}.select_shards({len(kept)} of {len(found)})", self._parents)

    def num_shards(self) -> int:
        return len(self._actors())

    def shards(self) -> list[LocalIterator]:
        """An iterator for each shard."""
        return [self.get_shard(i) for i in range(self.num_shards())]

    def get_shard(self, shard_index: int, batch_ms: float = 0, num_async: int = 1) -> LocalIterator:
        """Reads one shard; see `gather_async`."""
        found = self._shards()
        if not 0 <= shard_index < len(found):
            raise ValueError(f"shard_index={shard_index}: there are {len(found)} shards")
        actor, transforms = found[shard_index]
        metrics = iter_metrics.SharedMetrics()

        def items(patience: Patience) -> Iterator[Any]:
            _ActorSet([actor], transforms).start()
            yield from _as_they_come([actor], metrics, patience, batch_ms, _checked(num_async))

        return LocalIterator(items, metrics, [], f"{self.name}.shard[{shard_index}]")

    def gather_sync(self) -> LocalIterator:
        """One item of each shard in turn."""
        return self.batch_across_shards().flatten()._named(f"{self!r}.gather_sync()")

    def gather_async(self, batch_ms: float = 0, num_async: int = 1) -> LocalIterator:
        """Items as they come from the shards.

        Args:
            batch_ms: a shard gathers its items for so many milliseconds before it sends them.
            num_async: how many such requests each shard has at once.
        """
        _checked(num_async)
        metrics = iter_metrics.SharedMetrics()

        def items(patience: Patience) -> Iterator[Any]:
            self._start()
            yield from _as_they_come(self._actors(), metrics, patience, batch_ms, num_async)

        return LocalIterator(items, metrics, [], f"{self!r}.gather_async()")

    def batch_across_shards(self) -> LocalIterator:
        """Lists of one item of each shard that has any left."""

        def items(patience: Patience) -> Iterator[Any]:
            self._start()
            active = self._actors()
            while active:
                refs = [actor.par_iter_take.remote(0) for actor in active]
                while wait(refs, num_returns=len(refs), timeout=patience.seconds)[1]:
                    yield NOT_READY
                answers = get(refs)
                batch = [item for taken, _ in answers for item in taken]
                active = [actor for actor, (_, over) in zip(active, answers, strict=True) if not over]
                if batch:
                    yield batch

        return LocalIterator(items, iter_metrics.SharedMetrics(), [], f"{self!r}.batch_across_shards()")

    def take(self, n: int) -> list[Any]:
        """The first `n` items of `gather_sync`."""
        return self.gather_sync().take(n)

    def show(self, n: int = 20) -> None:
        """Prints them."""
        self.gather_sync().show(n)

    def _start(self) -> None:
        for each in self._sets:
            each.start()

    def _actors(self) -> list[Any]:
        return [actor for each in self._sets for actor in each.actors]

    def _shards(self) -> list[tuple[Any, list[Transform]]]:
        return [(actor, each.transforms) for each in self._sets for actor in each.actors]


def _checked(num_async: int) -> int:
    if num_async < 1:
        raise ValueError(f"num_async={num_async}: it must be at least 1")
    return num_async


def _as_they_come(
    actors: list[Any],
    metrics: iter_metrics.SharedMetrics | None,
    patience: Patience,
    batch_ms: float,
    num_async: int,
    step: int = 1,
    start: int = 0,
) -> Iterator[Any]:
    asked = {actor.par_iter_take.remote(batch_ms, step, start): actor for _ in range(num_async) for actor in actors}
    over: set[int] = set()
    while asked:
        ready, _ = wait(list(asked), num_returns=1, timeout=patience.seconds)
        if not ready:
            yield NOT_READY
            continue
        actor = asked.pop(ready[0])
        taken, ended = get(ready[0])
        if ended:
            over.add(id(actor))
        elif id(actor) not in over:
            asked[actor.par_iter_take.remote(batch_ms, step, start)] = actor
        for item in taken:
            if metrics is not None:
                metrics.get().current_actor = actor
            yield item


def from_items(items: Sequence[Any], num_shards: int = 2, repeat: bool = False) -> ParallelIterator:
    """The items, dealt out to the shards in turn."""
    name = (
        f"from_items[{type(items[0]).__name__ if items else None}, {len(items)}, shards={num_shards}{_again(repeat)}]"
    )
    return from_iterators([items[i::num_shards] for i in range(num_shards)], repeat, name)


def from_range(n: int, num_shards: int = 2, repeat: bool = False) -> ParallelIterator:
    """The numbers from 0 to n - 1, in as many parts."""
    size = n // num_shards
    parts = [range(i * size, n if i == num_shards - 1 else (i + 1) * size) for i in range(num_shards)]
    return from_iterators(parts, repeat, f"from_range[{n}, shards={num_shards}{_again(repeat)}]")


def from_iterators(generators: Sequence[Any], repeat: bool = False, name: str | None = None) -> ParallelIterator:
    """A shard for each iterable, or for each function that makes one."""
    worker = remote(ParallelIteratorWorker)
    actors = [worker.remote(generator, repeat) for generator in generators]
    return from_actors(actors, name or f"from_iterators[shards={len(generators)}{_again(repeat)}]")


def from_actors(actors: Sequence[Any], name: str | None = None) -> ParallelIterator:
    """Actors whose classes derive from ParallelIteratorWorker."""
    return ParallelIterator([_ActorSet(list(actors), [])], name or f"from_actors[shards={len(actors)}]")


def _again(repeat: bool) -> str:
    return ", repeat=True" if repeat else ""
