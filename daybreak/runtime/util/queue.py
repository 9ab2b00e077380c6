"""A queue that tasks, actors and the driver share. It lives in an actor, which waits for all of them at once."""

from __future__ import annotations

import queue

from daybreak.base import numbers
from daybreak.runtime import get, kill, remote
from daybreak.runtime.engines.ray_actors import QueueActor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__all__ = ["Empty", "Full", "Queue"]


class Empty(queue.Empty):
    """Nothing was in the queue; also the standard library's `queue.Empty`."""


class Full(queue.Full):
    """The queue had no room; also the standard library's `queue.Full`."""


class Queue:
    """A first-in first-out queue of any picklable values. Pass it to tasks and actors: all use the same one.

    Args:
        maxsize: how many items it holds; 0 or less: any number.
        actor_options: of the actor that it lives in, which needs no CPU unless they say so.

    Example:
        >>> from daybreak.util.queue import Queue
        >>> queue = Queue(maxsize=10)
        >>> queue.put("a")
        >>> queue.get(timeout=60), queue.empty()
        ('a', True)
        >>> queue.shutdown()
    """

    def __init__(self, maxsize: int = 0, actor_options: dict[str, Any] | None = None) -> None:
        self.maxsize = numbers.integer(maxsize, "maxsize")
        self.actor: Any = remote(QueueActor).options(**(actor_options or {})).remote(self.maxsize)

    def __len__(self) -> int:
        return self.size()

    def size(self) -> int:
        """How many items are in it."""
        return int(get(self.actor.qsize.remote()))

    qsize = size

    def empty(self) -> bool:
        return bool(get(self.actor.empty.remote()))

    def full(self) -> bool:
        return bool(get(self.actor.full.remote()))

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Adds an item at the end; waits for room.

        Raises:
            Full: there was no room, at once (block=False) or in `timeout` seconds.
            ValueError: timeout is negative.
        """
        _added(get(self.actor.put.remote(item, _patience(block, timeout))), self.maxsize)

    async def put_async(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """As `put`, in an event loop."""
        _added(await self.actor.put.remote(item, _patience(block, timeout)), self.maxsize)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Takes the first item; waits for one.

        Raises:
            Empty: there was none, at once (block=False) or in `timeout` seconds.
            ValueError: timeout is negative.
        """
        return _taken(get(self.actor.get.remote(_patience(block, timeout))))

    async def get_async(self, block: bool = True, timeout: float | None = None) -> Any:
        """As `get`, in an event loop."""
        return _taken(await self.actor.get.remote(_patience(block, timeout)))

    def put_nowait(self, item: Any) -> None:
        """`put(item, block=False)`."""
        self.put(item, block=False)

    def get_nowait(self) -> Any:
        """`get(block=False)`."""
        return self.get(block=False)

    def put_nowait_batch(self, items: Iterable[Any]) -> None:
        """Adds all items or none.

        Raises:
            Full: there was no room for all of them.
        """
        listed = list(items)
        if not get(self.actor.put_batch.remote(listed)):
            raise Full(f"no room for {len(listed)} items in a queue of maxsize {self.maxsize}")

    def get_nowait_batch(self, num_items: int) -> list[Any]:
        """Takes `num_items` items.

        Raises:
            Empty: there were fewer; they are still there.
            ValueError: num_items is no whole number from 0 on.
        """
        num_items = numbers.integer(num_items, "num_items", minimum=0)
        found = get(self.actor.get_batch.remote(num_items))
        if found is None:
            raise Empty(f"fewer than {num_items} items in the queue")
        return list(found)

    def shutdown(self, force: bool = False, grace_period_s: int = 5) -> None:
        """Ends the actor: calls that wait, and later ones, raise ActorDiedError. What was called before is done first, unless
        force is given or it takes longer than `grace_period_s` seconds."""
        if self.actor is None:
            return
        actor, self.actor = self.actor, None
        if not force:
            from daybreak.runtime import wait

            if wait([actor.__ray_terminate__.remote()], timeout=grace_period_s)[0]:
                return
        kill(actor)


def _patience(block: bool, timeout: float | None) -> float | None:
    """Seconds to wait: 0 not at all, None for ever."""
    if not block:
        return 0
    if timeout is None:
        return None
    seconds = numbers.real(timeout, "timeout")
    if not seconds >= 0:
        raise ValueError(f"timeout={timeout}: it must not be negative")
    return seconds


def _added(done: bool, maxsize: int) -> None:
    if not done:
        raise Full(f"no room in a queue of maxsize {maxsize}")


def _taken(answer: tuple[bool, Any]) -> Any:
    found, item = answer
    if not found:
        raise Empty("nothing in the queue")
    return item
