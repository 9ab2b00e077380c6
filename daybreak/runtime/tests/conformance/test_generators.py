"""Generators: results as they come, as every engine has them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import daybreak
from daybreak import exceptions


@daybreak.remote
def numbers(count: int, fail_at: int = -1) -> Iterator[int]:
    for i in range(count):
        if i == fail_at:
            raise LookupError(f"no number {i}")
        yield i


@daybreak.remote(num_cpus=0)
class Source:
    """Yields, and says how far it is."""

    def __init__(self) -> None:
        self.made = 0

    def numbers(self, count: int) -> Iterator[int]:
        for i in range(count):
            self.made += 1
            yield i

    def made_so_far(self) -> int:
        return self.made


@daybreak.remote(num_cpus=0)
class Awaiting:
    async def numbers(self, count: int) -> AsyncIterator[int]:
        for i in range(count):
            await asyncio.sleep(0)
            yield i


def test_a_streaming_generator_gives_references_as_they_come() -> None:
    refs = list(numbers.options(num_returns="streaming").remote(5))
    assert daybreak.get(refs, timeout=60) == list(range(5))


def test_a_generator_task_streams_without_being_asked() -> None:
    assert [daybreak.get(ref, timeout=60) for ref in numbers.remote(3)] == [0, 1, 2]


def test_next_gives_the_first_item_while_the_task_still_runs(tmp_path: Any) -> None:
    gate = tmp_path / "gate"

    @daybreak.remote
    def slowly(path: str) -> Iterator[int]:
        import os

        yield 1
        while not os.path.exists(path):
            time.sleep(0.01)
        yield 2

    stream = slowly.remote(str(gate))
    assert daybreak.get(next(stream), timeout=60) == 1
    gate.touch()
    assert daybreak.get(next(stream), timeout=60) == 2
    with pytest.raises(StopIteration):
        next(stream)


def test_a_stream_is_iterated_by_a_coroutine() -> None:
    async def main() -> list[int]:
        return [await ref async for ref in numbers.remote(4)]

    assert asyncio.run(main()) == [0, 1, 2, 3]


def test_wait_takes_a_stream_for_its_next_item() -> None:
    stream = numbers.remote(1)
    ready, rest = daybreak.wait([stream], timeout=60)
    assert ready == [stream] and rest == []
    assert daybreak.get(next(stream), timeout=60) == 0


def test_an_error_in_the_middle_comes_after_what_was_yielded() -> None:
    stream = numbers.remote(5, fail_at=2)
    assert [daybreak.get(next(stream), timeout=60) for _ in range(2)] == [0, 1]
    with pytest.raises(LookupError, match="no number 2"):
        daybreak.get(next(stream), timeout=60)
    with pytest.raises(StopIteration):
        next(stream)


def test_a_generator_with_a_number_of_results_gives_one_a_yield() -> None:
    first, second = numbers.options(num_returns=2).remote(2)
    assert daybreak.get([first, second], timeout=60) == [0, 1]


def test_a_dynamic_generator_is_one_reference_to_references() -> None:
    ref = numbers.options(num_returns="dynamic").remote(3)
    assert [daybreak.get(item, timeout=60) for item in daybreak.get(ref, timeout=60)] == [0, 1, 2]


def test_a_producer_is_held_back_as_far_as_asked(eventually: Any) -> None:
    source = Source.options(max_concurrency=2).remote()
    stream = source.numbers.options(num_returns="streaming", _generator_backpressure_num_objects=2).remote(50)
    assert daybreak.get(next(stream), timeout=60) == 0
    assert eventually(lambda: daybreak.get(source.made_so_far.remote(), timeout=60) >= 2)
    time.sleep(0.2)
    assert daybreak.get(source.made_so_far.remote(), timeout=60) <= 5
    assert [daybreak.get(ref, timeout=60) for ref in stream] == list(range(1, 50))


def test_methods_of_actors_and_coroutine_actors_yield() -> None:
    source = Source.remote()
    stream = source.numbers.options(num_returns="streaming").remote(3)
    assert [daybreak.get(ref, timeout=60) for ref in stream] == [0, 1, 2]
    stream = Awaiting.remote().numbers.options(num_returns="streaming").remote(3)
    assert [daybreak.get(ref, timeout=60) for ref in stream] == [0, 1, 2]


def test_a_stream_that_is_dropped_harms_nobody() -> None:
    source = Source.remote()
    stream = source.numbers.options(num_returns="streaming").remote(3)
    daybreak.get(next(stream), timeout=60)
    del stream
    assert daybreak.get(source.made_so_far.remote(), timeout=60) >= 1


def test_a_stream_whose_worker_dies_says_so() -> None:
    @daybreak.remote(max_retries=0)
    def dies() -> Iterator[int]:
        import os

        yield 1
        os._exit(1)

    stream = dies.remote()
    with pytest.raises(exceptions.WorkerCrashedError):
        for ref in stream:
            daybreak.get(ref, timeout=60)
