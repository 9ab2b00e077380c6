"""A pool of actors that take calls as they become free."""

from __future__ import annotations

from collections import deque

from daybreak.runtime import get, wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

__all__ = ["ActorPool"]


class ActorPool:
    """Hands values to whichever of its actors is free.

    A function says how: it takes an actor and a value, calls a method and gives back the reference (or the list of references,
    of a method with several results).

    Example:
        >>> import daybreak
        >>> from daybreak.util import ActorPool
        >>> @daybreak.remote
        ... class Doubler:
        ...     def double(self, x):
        ...         return 2 * x
        >>> pool = ActorPool([Doubler.remote(), Doubler.remote()])
        >>> list(pool.map(lambda actor, x: actor.double.remote(x), [1, 2, 3]))
        [2, 4, 6]
    """

    def __init__(self, actors: Iterable[Any]) -> None:
        self._idle = list(actors)
        self._running: dict[int, tuple[Any, Any]] = {}  # actors and references, by number, the oldest first
        self._pending_submits: deque[tuple[Callable[[Any, Any], Any], Any]] = deque()
        self._submitted = 0

    def map(self, fn: Callable[[Any, Any], Any], values: Iterable[Any]) -> Iterator[Any]:
        """The results of `fn(actor, value)`, in the order of the values. All are submitted now. What was submitted before and has
        not been read is given up: its result is nobody's, and its actor takes the next call when it is done with it."""
        self._give_up()
        for value in values:
            self.submit(fn, value)
        return self._results(self.get_next)

    def map_unordered(self, fn: Callable[[Any, Any], Any], values: Iterable[Any]) -> Iterator[Any]:
        """As `map`; results come as they are ready."""
        self._give_up()
        for value in values:
            self.submit(fn, value)
        return self._results(self.get_next_unordered)

    def submit(self, fn: Callable[[Any, Any], Any], value: Any) -> None:
        """Calls `fn(actor, value)`: now if an actor is free, else when a result is read."""
        if not self._idle:
            self._pending_submits.append((fn, value))
            return
        actor = self._idle.pop()
        self._running[self._submitted] = (actor, fn(actor, value))
        self._submitted += 1

    def has_next(self) -> bool:
        """Whether a result is still to come."""
        return bool(self._running) or bool(self._pending_submits)

    def get_next(self, timeout: float | None = None, ignore_if_timedout: bool = False) -> Any:
        """The oldest result that has not been read. Raises what its call raised.

        Raises:
            StopIteration: there is none.
            TimeoutError: it was not there in `timeout` seconds. With ignore_if_timedout the call is given up.
        """
        number = next(iter(self._check_next()))
        if timeout is not None and not self._ready(number, timeout):
            if ignore_if_timedout:
                self._take(number)
                raise TimeoutError(f"no result in {timeout} s: the call was given up")
            raise TimeoutError(f"no result in {timeout} s: wait longer, or give it up with ignore_if_timedout=True")
        return get(self._take(number))

    def get_next_unordered(self, timeout: float | None = None, ignore_if_timedout: bool = False) -> Any:
        """Any result that is ready. Raises what its call raised.

        Raises:
            StopIteration: there is none to come.
            TimeoutError: none was ready in `timeout` seconds; with ignore_if_timedout the result is None.
        """
        running = self._check_next()
        by_ref = {_last(refs): number for number, (_, refs) in running.items()}
        ready, _ = wait(list(by_ref), num_returns=1, timeout=timeout)
        if not ready:
            if ignore_if_timedout:
                return None
            raise TimeoutError(f"no result in {timeout} s: wait longer")
        return get(self._take(by_ref[ready[0]]))

    def has_free(self) -> bool:
        """Whether an actor is idle."""
        return bool(self._idle) and not self._pending_submits

    def pop_idle(self) -> Any:
        """Takes an idle actor out of the pool. None when there is none."""
        return self._idle.pop() if self.has_free() else None

    def push(self, actor: Any) -> None:
        """Adds an actor.

        Raises:
            ValueError: it is in the pool already.
        """
        if actor in self._idle or any(actor == busy for busy, _ in self._running.values()):
            raise ValueError(f"{actor!r} is in this pool already")
        self._free(actor)

    def _check_next(self) -> dict[int, tuple[Any, Any]]:
        if not self.has_next():
            raise StopIteration("no more results to get")
        if not self._running:
            raise ValueError(f"{len(self._pending_submits)} calls wait and the pool has no actor: push one")
        return self._running

    def _ready(self, number: int, timeout: float | None) -> bool:
        return bool(wait([_last(self._running[number][1])], timeout=timeout)[0])

    def _take(self, number: int) -> Any:
        """The references of a call; its actor is free."""
        actor, refs = self._running.pop(number)
        self._free(actor)
        return refs

    def _free(self, actor: Any) -> None:
        self._idle.append(actor)
        if self._pending_submits:
            self.submit(*self._pending_submits.popleft())

    def _give_up(self) -> None:
        self._pending_submits.clear()
        for number in list(self._running):
            self._take(number)

    def _results(self, take: Callable[[], Any]) -> Iterator[Any]:
        while self.has_next():
            yield take()


def _last(refs: Any) -> Any:
    """The reference to wait for: results of one call become ready together."""
    return refs[-1] if isinstance(refs, list) else refs
