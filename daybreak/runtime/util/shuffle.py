"""A shuffle: items from M readers go to N writers, in one wave of tasks for each.

>>> from daybreak.util.shuffle import simple_shuffle
>>> import daybreak
>>> simple_shuffle(
...     input_reader=lambda i: range(i * 10, i * 10 + 4),
...     input_num_partitions=2,
...     output_num_partitions=2,
...     output_writer=lambda j, refs: sorted(daybreak.get(refs)),
... )
[[0, 2, 10, 12], [1, 3, 11, 13]]
"""

from __future__ import annotations

import argparse
import time

from daybreak.runtime import get, init, is_initialized, put, remote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

__all__ = [
    "ObjectStoreWriter",
    "ObjectStoreWriterNonStreaming",
    "main",
    "round_robin_partitioner",
    "run",
    "simple_shuffle",
]

_SPARE = 1.5  # times what is shuffled
_ITEM_BYTES = 16  # of two int64, in `run`


class ObjectStoreWriter:
    """Takes the items that a reader has for one writer. This one stores each by itself; `finish` gives their references."""

    def __init__(self) -> None:
        self.results: list[Any] = []

    def add(self, item: Any) -> None:
        self.results.append(put(item))

    def finish(self) -> list[Any]:
        return self.results


class ObjectStoreWriterNonStreaming(ObjectStoreWriter):
    """As that; the items travel together, and the writer gets them instead of references."""

    def add(self, item: Any) -> None:
        self.results.append(item)


def round_robin_partitioner(input_stream: Iterable[Any], num_partitions: int) -> Iterator[tuple[int, Any]]:
    """(number of the writer, item): one after the other."""
    for i, item in enumerate(input_stream):
        yield i % num_partitions, item


def simple_shuffle(
    *,
    input_reader: Callable[[int], Iterable[Any]],
    input_num_partitions: int,
    output_num_partitions: int,
    output_writer: Callable[[int, list[Any]], Any],
    partitioner: Callable[[Iterable[Any], int], Iterable[tuple[int, Any]]] = round_robin_partitioner,
    object_store_writer: type[ObjectStoreWriter] = ObjectStoreWriter,
) -> list[Any]:
    """What the writers give.

    Args:
        input_reader: the items of a partition.
        input_num_partitions, output_num_partitions: how many tasks read, how many write; at least 1.
        output_writer: gets its number and a list of references to items.
        partitioner: says where items go.
        object_store_writer: how they travel.
    """
    for name, count in (
        ("input_num_partitions", input_num_partitions),
        ("output_num_partitions", output_num_partitions),
    ):
        if count < 1:
            raise ValueError(f"{name}={count}: it must be at least 1")

    def read(i: int) -> Any:
        writers = [object_store_writer() for _ in range(output_num_partitions)]
        for to, item in partitioner(input_reader(i), output_num_partitions):
            writers[to].add(item)
        parts = [writer.finish() for writer in writers]
        return parts if output_num_partitions > 1 else parts[0]

    def write(j: int, *parts: list[Any]) -> Any:
        return output_writer(j, [item for part in parts for item in part])

    reading = remote(num_returns=output_num_partitions)(read)
    read_refs = [reading.remote(i) for i in range(input_num_partitions)]
    rows = read_refs if output_num_partitions > 1 else [[ref] for ref in read_refs]
    writing = remote(write)
    return list(get([writing.remote(j, *(row[j] for row in rows)) for j in range(output_num_partitions)]))


def run(
    object_store_memory: float = 1e9,
    num_partitions: int = 5,
    partition_size: float = 200e6,
    num_cpus: int = 8,
    no_streaming: bool = False,
) -> int:
    """Shuffles `num_partitions` partitions of `partition_size` bytes and prints how long it took. The bytes that arrived.

    All of it lies in the object store at once: a runtime that this starts has room for it, whatever `object_store_memory` says.
    """
    import numpy as np

    if not is_initialized():
        room = max(object_store_memory, _SPARE * num_partitions * partition_size)
        init(num_cpus=num_cpus, object_store_memory=int(room))
    rows = int(partition_size) // _ITEM_BYTES // num_partitions

    def reader(_: int) -> Iterator[Any]:
        for _ in range(num_partitions):
            yield np.ones((rows, 2), dtype=np.int64)

    def writer(_: int, parts: list[Any]) -> int:
        return sum((part if no_streaming else get(part)).nbytes for part in parts)

    began = time.monotonic()
    arrived = simple_shuffle(
        input_reader=reader,
        input_num_partitions=num_partitions,
        output_num_partitions=num_partitions,
        output_writer=writer,
        object_store_writer=ObjectStoreWriterNonStreaming if no_streaming else ObjectStoreWriter,
    )
    print(f"Shuffled {sum(arrived) >> 20} MiB in {time.monotonic() - began:.2f} seconds")
    return sum(arrived)


def main(arguments: Sequence[str] = ()) -> None:
    """`python -m daybreak.runtime.util.shuffle`."""
    parser = argparse.ArgumentParser(description="Shuffles arrays and says how long it took.")
    parser.add_argument("--object-store-memory", type=float, default=1e9)
    parser.add_argument("--num-partitions", type=int, default=5)
    parser.add_argument("--partition-size", type=float, default=200e6)
    parser.add_argument("--num-cpus", type=int, default=8)
    parser.add_argument("--no-streaming", action="store_true")
    run(**vars(parser.parse_args(list(arguments))))


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
