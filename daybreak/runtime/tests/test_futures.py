"""`await ref` and `ref.future()`."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import daybreak
from daybreak import exceptions as ex

from .conftest import eventually


@pytest.fixture(autouse=True)
def no_thread_dies(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An exception that ends a thread fails the test."""
    died: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", died.append)
    yield
    assert not died


def test_wait_that_times_out_leaves_no_thread_that_dies(ray: Any) -> None:
    @ray.remote
    def slow() -> int:
        time.sleep(0.3)
        return 7

    async def main() -> int:
        ref = slow.remote()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(ref, 0.05)
        return await asyncio.wait_for(ref, 10)  # type: ignore[no-any-return]

    assert asyncio.run(main()) == 7


def test_many_awaited_references_need_one_thread(ray: Any) -> None:
    @ray.remote
    def number(i: int) -> int:
        time.sleep(0.2 if i < 2 else 0)
        return i

    async def main() -> tuple[list[int], int]:
        before = threading.active_count()
        gathered = asyncio.gather(*[number.remote(i) for i in range(1500)])
        await asyncio.sleep(0.05)
        more = threading.active_count() - before
        return await gathered, more

    values, threads = asyncio.run(main())
    assert values == list(range(1500)) and threads <= 1


def test_future_of_a_reference_is_one_of_concurrent_futures(ray: Any) -> None:
    @ray.remote
    def number(i: int) -> int:
        if i == 3:
            raise FileNotFoundError(2, "gone", "/x")
        time.sleep(0.05)
        return i

    refs = [number.remote(i) for i in range(5)]
    futures = {ref.future(): i for i, ref in enumerate(refs)}
    for future in concurrent.futures.as_completed(futures, timeout=10):
        if futures[future] == 3:
            with pytest.raises(FileNotFoundError) as gone:
                future.result()
            assert gone.value.filename == "/x"
        else:
            assert future.result() == futures[future]
    assert refs[0].future().result(timeout=0) == 0  # what is there already waits for nobody
    both = [number.remote(9).future() for _ in range(2)]
    assert [each.result(timeout=10) for each in both] == [9, 9]


def test_cancelled_future_lets_go_of_its_reference(no_leak: Any) -> None:
    @no_leak.remote
    def slow() -> None:
        time.sleep(0.2)

    futures = [slow.remote().future() for _ in range(3)]
    assert futures[0].cancel()

    async def main() -> None:
        waiting = asyncio.ensure_future(asyncio.gather(slow.remote(), slow.remote()))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())
    concurrent.futures.wait(futures[1:], timeout=10)


def test_shutdown_fails_the_futures_that_wait_and_the_next_runtime_serves_again(two_cpus: Any) -> None:
    @two_cpus.remote
    def slow(seconds: float) -> int:
        time.sleep(seconds)
        return 5

    future = slow.remote(60).future()
    daybreak.shutdown()
    with pytest.raises(RuntimeError, match="shut down"):
        future.result(timeout=10)
    daybreak.init(num_cpus=1, object_store_memory=64 << 20)
    assert slow.remote(0.05).future().result(timeout=20) == 5


def test_awaiting_a_failed_task_raises_what_the_task_raised(ray: Any) -> None:
    @ray.remote
    def fails() -> None:
        raise KeyError("k")

    async def main() -> Any:
        return await asyncio.gather(fails.remote(), fails.remote(), return_exceptions=True)

    for error in asyncio.run(main()):
        assert isinstance(error, KeyError) and isinstance(error, ex.TaskError)


def test_thread_that_waits_ends_when_there_is_nothing_to_wait_for(ray: Any) -> None:
    @ray.remote
    def nothing() -> None:
        time.sleep(0.01)

    nothing.remote().future().result(timeout=10)

    def gone() -> bool:
        return all(thread.name != "daybreak-futures" for thread in threading.enumerate())

    assert eventually(gone)
