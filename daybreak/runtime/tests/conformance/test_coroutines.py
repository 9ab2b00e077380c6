"""Coroutine and threaded actors, concurrency groups, references that are awaited, as every engine has them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

import daybreak
from daybreak import exceptions


@daybreak.remote(num_cpus=0)
class Meeting:
    """Waits until so many are there."""

    def __init__(self) -> None:
        self.there = 0
        self.most = 0
        self.open = asyncio.Event()

    async def meet(self, of: int) -> int:
        self.there += 1
        self.most = max(self.most, self.there)
        if self.there >= of:
            self.open.set()
        await self.open.wait()
        return of

    async def count(self) -> int:
        self.there += 1
        self.most = max(self.most, self.there)
        await asyncio.sleep(0.01)
        self.there -= 1
        return self.most

    async def fail(self) -> None:
        await asyncio.sleep(0)
        raise LookupError("no such thing")

    async def sleep(self) -> None:
        self.there += 1
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            self.there -= 1
            raise

    async def sum_of(self, refs: list[Any]) -> Any:
        return sum(await asyncio.gather(*refs)) + await refs[0]

    async def here(self) -> int:
        return self.there


@daybreak.remote(num_cpus=0, concurrency_groups={"slow": 1, "fast": 2})
class Groups:
    """A group's calls do not wait for another's. Each group may have a loop of its own: what they share is plain."""

    def __init__(self) -> None:
        self.open = False

    @daybreak.method(concurrency_group="slow")
    async def waits(self) -> str:
        while not self.open:
            await asyncio.sleep(0.01)
        return "waited"

    @daybreak.method(concurrency_group="fast")
    async def opens(self) -> str:
        self.open = True
        return "opened"

    async def where(self) -> str:
        return "anywhere"


@daybreak.remote
def later(value: int, seconds: float = 0.0) -> int:
    time.sleep(seconds)
    return value


def test_two_hundred_calls_of_a_coroutine_actor_run_at_once() -> None:
    meeting = Meeting.remote()
    assert daybreak.get([meeting.meet.remote(200) for _ in range(200)], timeout=60) == [200] * 200


def test_a_limit_of_concurrent_coroutines_is_kept() -> None:
    meeting = Meeting.options(max_concurrency=3).remote()
    assert max(daybreak.get([meeting.count.remote() for _ in range(30)], timeout=60)) == 3


def test_an_exception_of_a_coroutine_is_its_call_s_alone() -> None:
    meeting = Meeting.remote()
    failing, fine = meeting.fail.remote(), meeting.meet.remote(1)
    with pytest.raises(LookupError, match="no such thing"):
        daybreak.get(failing, timeout=60)
    assert daybreak.get(fine, timeout=60) == 1


def test_a_coroutine_awaits_references() -> None:
    meeting = Meeting.remote()
    refs = [later.remote(i) for i in range(1, 4)]
    assert daybreak.get(meeting.sum_of.remote(refs), timeout=60) == 7


def test_a_cancelled_coroutine_sees_it_and_the_others_go_on(eventually: Any) -> None:
    meeting = Meeting.remote()
    ref = meeting.sleep.remote()
    assert eventually(lambda: daybreak.get(meeting.here.remote(), timeout=60) == 1)
    daybreak.cancel(ref)
    with pytest.raises(exceptions.TaskCancelledError):
        daybreak.get(ref, timeout=60)
    assert eventually(lambda: daybreak.get(meeting.here.remote(), timeout=60) == 0)


def test_calls_of_one_concurrency_group_do_not_wait_for_another() -> None:
    groups = Groups.remote()
    waiting = [groups.waits.remote() for _ in range(2)]  # the second waits for the first
    assert daybreak.get(groups.where.remote(), timeout=60) == "anywhere"
    assert daybreak.wait(waiting, timeout=0.2)[0] == []
    assert daybreak.get(groups.where.options(concurrency_group="fast").remote(), timeout=60) == "anywhere"
    assert daybreak.get(groups.opens.remote(), timeout=60) == "opened"
    assert daybreak.get(waiting, timeout=60) == ["waited"] * 2


def test_references_are_gathered_and_waited_for_with_a_limit() -> None:
    async def main() -> list[int]:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(later.remote(0, 2.0).future())), 0.05)
        return list(await asyncio.gather(*(later.remote(i) for i in range(5))))

    assert asyncio.run(main()) == list(range(5))


def test_a_future_of_a_reference_has_its_result_or_its_error() -> None:
    @daybreak.remote
    def fails() -> None:
        raise LookupError("no such thing")

    assert later.remote(3).future().result(timeout=60) == 3
    with pytest.raises(Exception, match="no such thing"):
        fails.remote().future().result(timeout=60)
