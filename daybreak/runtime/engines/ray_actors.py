"""The actors of `daybreak.util` as they are in the workers of a Ray cluster: sent there by value, so this may import Ray and the
standard library alone. A worker that has Daybreak tells of exceptions as ours do, one that has none as well as it can."""

from __future__ import annotations

import os
from typing import Any

__all__ = ["DONE", "RAISED", "UNREADABLE", "QueueActor", "Worker", "run_all", "run_chunk", "run_each"]

DONE, RAISED, UNREADABLE = range(3)  # what came of a call


class Worker:
    """Of `util.workers`: runs one call after the other."""

    def __init__(self, setup: list[Any]) -> None:
        import multiprocessing

        import ray

        multiprocessing.current_process().authkey = setup[0]  # proxies of a Manager there work here
        initializer, initargs = ray.get(setup[1])
        if initializer is not None:
            initializer(*initargs)

    def pid(self) -> int:
        return os.getpid()

    def run(self, payload: list[Any]) -> tuple[int, Any]:
        """See `util.workers`: it never raises."""
        import ray

        try:
            function, args, kwargs = ray.get(payload.pop())
        except BaseException as error:
            return UNREADABLE, f"{type(error).__name__}: {error}"
        try:
            return DONE, ray.put(function(*args, **kwargs))
        except BaseException as error:
            if error.__traceback__ is not None:
                error.__traceback__ = error.__traceback__.tb_next  # without this frame
            return RAISED, told(error, function)


def told(error: BaseException, function: Any) -> dict[str, Any]:
    """What `runtime.exceptions` reads an exception from."""
    try:
        from daybreak.runtime import exceptions

        return exceptions._to_payload(error, "", function)
    except (ImportError, AttributeError):  # there is none here, or its stand-in
        pass
    import traceback

    import ray

    text = "".join(traceback.format_exception(error))
    pickled = None
    try:
        pickled = ray.cloudpickle.dumps(([error], [(None, None, False)], [{}]))
    except Exception as problem:
        text += f"\n(the exception itself could not be pickled: {type(problem).__name__}: {problem})"
    below = next(each for each in type(error).__mro__ if each.__module__ == "builtins")
    name = getattr(function, "__name__", type(function).__name__)
    return {"function": name, "pid": os.getpid(), "traceback": text, "cause": pickled, "below": below.__name__}


def run_chunk(function: Any, chunk: list[Any], star: bool) -> list[Any]:
    """function: in a list, the reference to it."""
    import daybreak

    called = daybreak.get(function[0])
    return [called(*item) for item in chunk] if star else [called(item) for item in chunk]


def run_each(function: list[Any], chunk: list[Any]) -> tuple[list[Any], dict[int, dict[str, Any]]]:
    """The results, and what is told of those whose calls raised, by their places."""
    import daybreak

    called = daybreak.get(function[0])
    found: list[Any] = []
    raised: dict[int, dict[str, Any]] = {}
    for item in chunk:
        try:
            found.append(called(item))
        except Exception as error:
            raised[len(found)] = told(error, called)
            found.append(None)
    return found, raised


def run_all(function: Any, chunk: list[tuple[Any, ...]]) -> list[Any]:
    return [function(*args) for args in chunk]


class QueueActor:
    """The queue itself. Coroutine methods: however many callers wait, they need no thread each."""

    def __init__(self, maxsize: int) -> None:
        import asyncio

        self._queue: asyncio.Queue[Any] = asyncio.Queue(maxsize)

    async def qsize(self) -> int:
        return self._queue.qsize()

    async def empty(self) -> bool:
        return self._queue.empty()

    async def full(self) -> bool:
        return self._queue.full()

    async def put(self, item: Any, patience: float | None) -> bool:
        import asyncio

        try:
            if patience == 0:
                self._queue.put_nowait(item)
            else:
                await asyncio.wait_for(self._queue.put(item), patience)
        except (TimeoutError, asyncio.QueueFull):
            return False
        return True

    async def get(self, patience: float | None) -> tuple[bool, Any]:
        import asyncio

        try:
            if patience == 0:
                return True, self._queue.get_nowait()
            return True, await asyncio.wait_for(self._queue.get(), patience)
        except (TimeoutError, asyncio.QueueEmpty):
            return False, None

    async def put_batch(self, items: list[Any]) -> bool:
        if self._queue.maxsize > 0 and self._queue.qsize() + len(items) > self._queue.maxsize:
            return False
        for item in items:
            self._queue.put_nowait(item)
        return True

    async def get_batch(self, count: int) -> list[Any] | None:
        if self._queue.qsize() < count:
            return None
        return [self._queue.get_nowait() for _ in range(count)]
