"""The garbage collector of a worker: it runs, and takes nothing of what was there before the first task for garbage."""

from __future__ import annotations

import gc
import socket
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import pytest
from daybreak.util import Executor
from daybreak.util.multiprocessing import Pool

import daybreak
from daybreak import exceptions as ex
from daybreak.runtime.batch import Batch


@daybreak.remote
def collector() -> tuple[bool, int, int]:
    class Ring:
        pass

    gc.collect()
    ring = Ring()
    ring.itself = ring  # type: ignore[attr-defined]
    del ring
    return gc.isenabled(), gc.get_freeze_count(), gc.collect()


@pytest.mark.parametrize("environment", [{}, {"env_vars": {"DAYBREAK_TEST_COLLECTOR": "1"}}], ids=["shared", "own"])
def test_a_worker_collects_its_garbage_and_leaves_alone_what_it_began_with(environment: dict[str, object]) -> None:
    with daybreak.init(num_cpus=1):
        enabled, frozen, found = daybreak.get(collector.options(runtime_env=environment).remote(), timeout=60)
    assert enabled
    assert frozen > 1_000
    assert found >= 1


class Marker:
    """Something in the frame of whoever caught an exception."""


class Frozen(MemoryError):
    """A user's, below a built-in class that has a `__new__` of its own."""

    def __init__(self) -> None:
        super().__init__("full")
        self.size = 3


def _raises(made: BaseException) -> None:
    raise made


def _dies() -> None:
    import os

    os._exit(1)


def _breaks() -> Iterator[int]:
    yield 1
    raise LookupError("no more inputs")


def of_a_task(made: BaseException) -> Callable[[], object]:
    return lambda: daybreak.get(daybreak.remote(_raises).options(max_retries=0).remote(made))


def _of_a_dead_worker() -> object:
    return daybreak.get(daybreak.remote(_dies).options(max_retries=0).remote())


def _of_a_timeout() -> object:
    import time

    ref = daybreak.remote(time.sleep).remote(30)
    try:
        return daybreak.get(ref, timeout=0)
    finally:
        daybreak.cancel(ref, force=True)


def _of_a_cancelled_task() -> object:
    import time

    ref = daybreak.remote(time.sleep).options(max_retries=0).remote(30)
    daybreak.cancel(ref, force=True)
    return daybreak.get(ref)


def _of_a_dead_actor() -> object:
    class Dead:
        def hello(self) -> None: ...

    dead = daybreak.remote(Dead).remote()
    daybreak.kill(dead)
    return daybreak.get(dead.hello.remote())


def _of_an_executor() -> object:
    with Executor(max_workers=1) as executor:
        return list(executor.map(_dies_of, [1]))


def _dies_of(_: int) -> None:
    _dies()


def _of_the_inputs_of_an_executor() -> object:
    with Executor(max_workers=1) as executor:
        return list(executor.map(abs, [1, socket.socket()]))


def _of_a_pool() -> object:
    with Pool(processes=1) as pool:
        return list(pool.imap(abs, _breaks()))


def _of_an_actor_s_generator() -> object:
    class Source:
        @daybreak.method(num_returns=3)
        async def items(self) -> Any:
            yield 1
            raise LookupError("no more items")

    first, second, _ = daybreak.remote(Source).remote().items.remote()
    return daybreak.get([first, second])


WAYS: dict[str, tuple[Callable[[], object], type[BaseException]]] = {
    **{
        f"a task's {type(made).__name__}": (of_a_task(made), type(made))
        for made in (
            KeyError("x"),
            OSError(2, "none", "file"),
            MemoryError(),
            UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"),
            ExceptionGroup("several", [ValueError(1)]),
            Frozen(),
            ex.OutOfMemoryError("too much"),
        )
    },
    "a task's StopIteration": (of_a_task(StopIteration(3)), ex.TaskError),
    "a dead worker": (_of_a_dead_worker, ex.WorkerCrashedError),
    "a timeout": (_of_a_timeout, ex.GetTimeoutError),
    "a cancelled task": (_of_a_cancelled_task, ex.TaskCancelledError),
    "a dead actor": (_of_a_dead_actor, ex.ActorDiedError),
    "the inputs of a batch": (lambda: list(Batch(abs, _breaks())), LookupError),
    "an executor's worker": (_of_an_executor, BrokenProcessPool),
    "the inputs of a pool": (_of_a_pool, LookupError),
    "an actor's generator": (_of_an_actor_s_generator, LookupError),
}


def caught(do: Callable[[], object], kind: type[BaseException]) -> weakref.ref[Marker]:
    marker = Marker()
    try:
        do()
    except kind:
        return weakref.ref(marker)
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("way", WAYS)
def test_who_catches_an_exception_is_not_held_by_it_until_the_next_collection(ray: Any, way: str) -> None:
    """A frame that an exception holds, and that holds the exception, keeps all frames that called it, with the references in
    them: an idle worker would keep the objects for as long as it is idle."""
    do, kind = WAYS[way]
    caught(do, kind)  # what is loaded and made once
    gc.collect()
    gc.disable()
    try:
        assert caught(do, kind)() is None
    finally:
        gc.enable()


def test_a_worker_that_caught_one_lets_go_of_what_it_had_while_it_is_idle(ray: Any) -> None:
    @daybreak.remote(max_retries=0)
    def catches(boxed: list[Any]) -> int:
        gc.disable()
        own = daybreak.put([1, 2, 3])
        try:
            daybreak.get(daybreak.remote(_raises).options(max_retries=0).remote(ex.OutOfMemoryError("too much")))
        except MemoryError:
            return len(daybreak.get(own)) + int(daybreak.get(boxed[0]))
        return 0

    from daybreak.runtime import state

    from .conftest import eventually

    before = len(state.list_objects(limit=10_000))
    assert daybreak.get(catches.remote([daybreak.put(4)])) == 7
    assert eventually(lambda: len(state.list_objects(limit=10_000)) <= before)
