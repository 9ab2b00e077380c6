"""Reading an iterator of util/iter.py in one process."""

from __future__ import annotations

import random
import time
from collections import deque

from daybreak.runtime import get, remote, wait
from daybreak.runtime.util import iter_metrics

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    Base = Callable[["Patience"], Iterator[Any]]

__all__ = ["END", "NOT_READY", "LocalIterator", "Patience"]

_IDLE_S = 0.01  # how long a union waits for one of its iterators, when the last look at all of them found nothing
_MAX_PULL = 100  # items of an iterator of weight "*" before the others have their turn


class _Mark:
    """Itself again in every process."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __reduce__(self) -> str:
        return self._name


END = _Mark("END")
NOT_READY = _Mark("NOT_READY")  # given where an iterator would have to wait, and was told not to; users never see it


class Patience:
    """How long an iterator may wait for an item. None: for ever; else it gives NOT_READY then."""

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = seconds


class LocalIterator:
    """Reads items in this process. Made by `gather_sync`, `gather_async`, `get_shard` and their like; can be passed to a task until
    it has been read from.
    """

    def __init__(
        self,
        base: Base,
        metrics: iter_metrics.SharedMetrics,
        transforms: Sequence[Callable[[Iterator[Any]], Iterator[Any]]] = (),
        name: str = "unknown",
        patience: Patience | None = None,
    ) -> None:
        self._base = base
        self._metrics = metrics
        self._transforms = list(transforms)
        self._patience = patience or Patience()
        self._built: Iterator[Any] | None = None
        self.name = name

    @staticmethod
    def get_metrics() -> iter_metrics.MetricsContext:
        """Inside a function that an iterator runs: the counters of its chain.

        Raises:
            ValueError: elsewhere.
        """
        return iter_metrics.current()

    def __repr__(self) -> str:
        return f"LocalIterator[{self.name}]"

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        while (item := self._pull()) is NOT_READY:
            pass
        return item

    def _pull(self) -> Any:
        """The next item, or NOT_READY. Raises StopIteration."""
        if self._built is None:
            built = self._base(self._patience)
            for transform in self._transforms:
                built = transform(built)
            self._built = iter(built)
        return next(self._built)

    def _with(self, transform: Callable[[Iterator[Any]], Iterator[Any]], name: str) -> LocalIterator:
        return LocalIterator(self._base, self._metrics, [*self._transforms, transform], self.name + name)

    def transform(self, fn: Callable[[Iterator[Any]], Iterator[Any]]) -> LocalIterator:
        """Whatever `fn` makes of the iterator of the items."""

        def apply(items: Iterator[Any]) -> Iterator[Any]:
            def ready() -> Iterator[Any]:
                for item in items:
                    if item is NOT_READY:  # `fn` cannot be told: it waits
                        time.sleep(_IDLE_S)
                    else:
                        yield item

            made = iter(fn(ready()))
            while True:
                with iter_metrics.running(self._metrics):
                    item = next(made, END)
                if item is END:
                    return
                yield item

        return self._with(apply, ".transform()")

    def for_each(
        self, fn: Callable[[Any], Any], max_concurrency: int = 1, resources: dict[str, Any] | None = None
    ) -> LocalIterator:
        """`fn(item)` of each item.

        Args:
            max_concurrency: 1: here, in order. N: in N tasks at once, 0: in as many as there are items; as they are ready.
            resources: options of those tasks: {"num_cpus": 0.5}.
        """
        if max_concurrency < 0:
            raise ValueError(f"max_concurrency={max_concurrency}: it must not be negative")

        def apply(items: Iterator[Any]) -> Iterator[Any]:
            for item in items:
                if item is not NOT_READY:
                    with iter_metrics.running(self._metrics):
                        item = fn(item)
                yield item

        def apply_in_tasks(items: Iterator[Any]) -> Iterator[Any]:
            task = remote(fn).options(**(resources or {}))
            running: list[Any] = []
            for item in items:
                if item is NOT_READY:
                    yield item
                    continue
                while 0 < max_concurrency <= len(running):
                    ready, running = wait(running)
                    yield from get(ready)
                running.append(task.remote(item))
            while running:
                ready, running = wait(running)
                yield from get(ready)

        return self._with(apply if max_concurrency == 1 else apply_in_tasks, ".for_each()")

    def filter(self, fn: Callable[[Any], bool]) -> LocalIterator:
        """The items for which `fn` is true."""

        def apply(items: Iterator[Any]) -> Iterator[Any]:
            for item in items:
                keep: object = True
                if item is not NOT_READY:
                    with iter_metrics.running(self._metrics):
                        keep = fn(item)
                if keep:
                    yield item

        return self._with(apply, ".filter()")

    def batch(self, n: int) -> LocalIterator:
        """Lists of `n` items; the last one may be shorter."""

        def apply(items: Iterator[Any]) -> Iterator[Any]:
            batch: list[Any] = []
            for item in items:
                if item is NOT_READY:
                    yield item
                    continue
                batch.append(item)
                if len(batch) >= n:
                    yield batch
                    batch = []
            if batch:
                yield batch

        return self._with(apply, f".batch({n})")

    def flatten(self) -> LocalIterator:
        """The items of items that are lists or the like."""

        def apply(items: Iterator[Any]) -> Iterator[Any]:
            for item in items:
                if item is NOT_READY:
                    yield item
                else:
                    yield from item

        return self._with(apply, ".flatten()")

    def combine(self, fn: Callable[[Any], Iterable[Any]]) -> LocalIterator:
        """`for_each(fn).flatten()`."""
        return self.for_each(fn).flatten()._named(f"{self.name}.combine()")

    def shuffle(self, shuffle_buffer_size: int, seed: int | None = None) -> LocalIterator:
        """The items in a random order, within a buffer of so many."""

        def apply(items: Iterator[Any]) -> Iterator[Any]:
            generator = random.Random(seed)
            buffer: list[Any] = []
            for item in items:
                if item is NOT_READY:
                    yield item
                    continue
                buffer.append(item)
                if len(buffer) >= shuffle_buffer_size:
                    yield buffer.pop(generator.randrange(len(buffer)))
            generator.shuffle(buffer)
            yield from buffer

        return self._with(apply, f".shuffle(shuffle_buffer_size={shuffle_buffer_size}, seed={seed})")

    def zip_with_source_actor(self) -> LocalIterator:
        """(actor, item): the shard that each item came from; for items of `gather_async` and `get_shard`."""

        def pair(item: Any) -> tuple[Any, Any]:
            actor = self.get_metrics().current_actor
            if actor is None:
                raise ValueError("the items do not come from one actor each: use gather_async()")
            return actor, item

        return self.for_each(pair)._named(f"{self.name}.zip_with_source_actor()")

    def take(self, n: int) -> list[Any]:
        """The next `n` items, or fewer."""
        taken: list[Any] = []
        for _ in range(n):
            item = next(self, END)
            if item is END:
                break
            taken.append(item)
        return taken

    def show(self, n: int = 20) -> None:
        """Prints the next `n` items."""
        for item in self.take(n):
            print(item)

    def duplicate(self, n: int) -> list[LocalIterator]:
        """`n` iterators over the same items. In a union the one that has read most waits for the others, so that little is
        held."""
        if n < 2:
            raise ValueError(f"duplicate({n}): at least 2 copies")
        queues: list[deque[Any]] = [deque() for _ in range(n)]

        def copy_of(own: deque[Any]) -> Base:
            def items(patience: Patience) -> Iterator[Any]:
                while True:
                    if patience.seconds is not None and len(own) < max(map(len, queues)):
                        yield NOT_READY
                        continue
                    if not own:
                        if self._built is None:
                            self._patience = patience
                        item = next(self._puller(), END)
                        if item is END:
                            return
                        for queue in queues:  # also that it was not ready: they stay in step
                            queue.append(item)
                    yield own.popleft()

            return items

        return [
            LocalIterator(copy_of(queue), self._metrics, [], f"{self.name}.duplicate[{i}]")
            for i, queue in enumerate(queues)
        ]

    def union(
        self,
        *others: LocalIterator,
        deterministic: bool = False,
        round_robin_weights: Sequence[float | str] | None = None,
    ) -> LocalIterator:
        """The items of all: as they are ready, or (deterministic) one of each in turn.

        Args:
            round_robin_weights: items that each gives in its turn, also fractions; "*" gives what is ready.
        """
        for other in others:
            if not isinstance(other, LocalIterator):
                raise ValueError(f"union({other!r}): a LocalIterator expected")
        parents = [self, *others]
        weights = list(round_robin_weights or [1] * len(parents))
        if len(weights) != len(parents):
            raise ValueError(f"round_robin_weights: {len(weights)} for {len(parents)} iterators")
        waits = [weight != "*" if round_robin_weights else deterministic for weight in weights]
        metrics = iter_metrics.SharedMetrics([parent._metrics for parent in parents])

        def items(patience: Patience) -> Iterator[Any]:
            active = [
                (weight, LocalIterator(it._base, it._metrics, it._transforms, it.name, Patience(None if wait else 0)))
                for weight, it, wait in zip(weights, parents, waits, strict=True)
            ]
            while active:
                idle = True
                for entry in list(active):
                    weight, iterator = entry
                    for _ in range(_whole(weight)):
                        item = next(iterator._puller(), END)
                        if item is END:
                            active.remove(entry)
                            break
                        if item is NOT_READY:
                            break
                        idle = False
                        yield item
                if idle and patience.seconds is not None and active:
                    yield NOT_READY
                for _, iterator in active:
                    if iterator._patience.seconds is not None:
                        iterator._patience.seconds = _IDLE_S if idle and patience.seconds is None else 0

        return LocalIterator(items, metrics, [], f"LocalUnion[{', '.join(map(repr, parents))}]")

    def _puller(self) -> Iterator[Any]:
        """This iterator with what is not ready."""
        return _Puller(self)

    def _named(self, name: str) -> LocalIterator:
        self.name = name
        return self


class _Puller:
    def __init__(self, iterator: LocalIterator) -> None:
        self._iterator = iterator

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return self._iterator._pull()


def _whole(weight: float | str) -> int:
    """As often as the weight says, a fraction by chance."""
    if isinstance(weight, str):
        return _MAX_PULL
    whole = int(weight)
    return whole + (random.random() < weight - whole)
