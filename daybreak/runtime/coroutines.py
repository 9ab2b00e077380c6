"""A coroutine actor's process: event loops that run its calls, each as an asyncio.Task, one loop for a concurrency group.

A loop looks for calls where it looks for events, and sleeps on the bell of the process, as every actor does: a call costs no
descriptor, and one that comes while the loop is awake no system call. Descriptors that somebody else has given to the loop
are watched by a thread, which rings the bell.
"""

from __future__ import annotations

import asyncio
import contextvars
import select
import selectors
import signal
import sys
import threading
from types import AsyncGeneratorType, CoroutineType, GeneratorType

from .._core import runtime as _native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator
    from typing import Any

    Events = list[tuple[selectors.SelectorKey, int]]

__all__ = ["run", "warn_of_blocking"]

_CALLS_PER_ROUND = 64  # that are begun before what is ready goes on
_GENERATORS = (AsyncGeneratorType, GeneratorType)
_current: contextvars.ContextVar[int] = contextvars.ContextVar("daybreak_call")  # whose code runs
_warned: set[str] = set()


class _Selector(selectors.EpollSelector):
    """The events of one loop: descriptors, and calls of its concurrency group."""

    def __init__(self, group: int, limit: int) -> None:
        super().__init__()
        self.loop: asyncio.AbstractEventLoop | None = None  # set when calls may begin
        self._group = group
        self._limit = limit
        self._unstarted: dict[int, asyncio.Task[None]] = {}
        self._started: dict[int, asyncio.Task[None]] = {}
        self._cancelled: set[int] = set()
        self._cancellations = 0
        self._paced: dict[int, asyncio.Future[None]] = {}  # streams that wait for their consumers
        self._armed = threading.Lock()  # the watcher waits for it
        self._armed.acquire()
        self._watching = False
        self._watcher: threading.Thread | None = None

    def select(self, timeout: float | None = None) -> Events:
        seen = _native._bell()  # before the looks: what is rung for after them ends the sleep
        begun = self._look()
        watched = len(self.get_map()) > 1  # more than the loop's own, which is for signals
        events = super().select(0) if watched else []
        if begun or events or (timeout is not None and timeout <= 0):
            return events
        if watched:
            self._watch()
        _native._wait_for_bell(seen, timeout)
        self._look()
        return super().select(0)

    def _look(self) -> bool:
        """At what others have left here. True: something is ready to go on."""
        begun = self._begin_calls()
        on = bool(self._paced) and self._let_on()
        cancellations = _native._cancellations()
        if cancellations == self._cancellations:
            return begun or on
        self._cancellations = cancellations
        self._cancel_calls()
        return True

    def _begin_calls(self) -> bool:
        if self.loop is None:
            return False
        if self._unstarted:  # cancelled by somebody before their first step, which they do not take then
            for token, task in self._unstarted.items():
                if task.done():
                    self._fail(token, asyncio.CancelledError())
            self._unstarted = {token: task for token, task in self._unstarted.items() if not task.done()}
        begun = 0
        while begun < _CALLS_PER_ROUND:
            room = len(self._started) + len(self._unstarted) < self._limit
            call = _native._take_call(self._group, room)
            if call is None:
                break
            if call is False:
                self.loop.stop()
                return True
            self._unstarted[call[0]] = asyncio.Task(self._run(*call), loop=self.loop)
            begun += 1
        return begun > 0

    async def _run(self, token: int, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> None:
        self._started[token] = self._unstarted.pop(token)
        _current.set(token)
        try:
            result = function(*args, **kwargs) if kwargs else function(*args)
            if type(result) is CoroutineType:
                result = await result
            elif type(result) in _GENERATORS:
                if await self._stream(token, result):
                    return
                if type(result) is AsyncGeneratorType:
                    result = await _collected(result)
        except BaseException as error:
            self._end(token)
            if error.__traceback__ is not None:  # the user's frames only; set in C: an exception may be frozen
                error.with_traceback(error.__traceback__.tb_next)
            self._fail(token, error)
        else:
            self._end(token)
            _native._finish_call(token, result)

    async def _stream(self, token: int, items: Any) -> bool:
        """True: the call was to give a stream, and has ended."""
        written_before = _native._stream_begin(token)
        if written_before is None:
            return False
        each = items if isinstance(items, AsyncGeneratorType) else _each(items)
        number = 0
        if written_before is False:
            await each.aclose()  # which ends the loop below
        async for item in each:
            number += 1
            if number <= written_before:
                continue
            wanted = _native._stream_write(token, item)
            while wanted and not _native._stream_has_room(token):
                self._paced[token] = room = self.loop.create_future()  # type: ignore[union-attr]
                await room
            if not wanted:
                await each.aclose()
                break
        self._end(token)
        _native._stream_end(token)
        return True

    def _let_on(self) -> bool:
        """The streams whose consumers have come closer. True: there were some."""
        on = [token for token in self._paced if _native._stream_has_room(token)]
        for token in on:
            room = self._paced.pop(token)
            if not room.done():
                room.set_result(None)
        return bool(on)

    def _end(self, token: int) -> None:
        del self._started[token]
        self._cancelled.discard(token)
        self._paced.pop(token, None)

    def _fail(self, token: int, error: BaseException) -> None:
        if _native._fail_call(token, error) and self.loop is not None:
            self.loop.stop()

    def _cancel_calls(self) -> None:
        """Those that somebody has cancelled."""
        for token, task in [*self._started.items(), *self._unstarted.items()]:
            if token not in self._cancelled and _native._is_cancelled(token):
                self._cancelled.add(token)
                task.cancel()

    def _watch(self) -> None:
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._ring_for_descriptors, name="daybreak-io", daemon=True)
            self._watcher.start()
        if not self._watching:
            self._watching = True
            self._armed.release()

    def _ring_for_descriptors(self) -> None:
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        while True:
            self._armed.acquire()
            poll.poll()
            self._watching = False
            _native._ring_bell()


async def _each(items: Any) -> AsyncGenerator[Any, None]:
    """Of a plain generator; others run between two of them."""
    try:
        for item in items:
            yield item
            await asyncio.sleep(0)
    finally:
        items.close()


async def _collected(items: AsyncGenerator[Any, None]) -> Generator[Any, None, None]:
    """What it yields, and then raises, as a plain generator that does."""
    found: list[Any] = []
    failed: list[Exception] = []  # emptied again: its traceback has this frame
    try:
        async for item in items:
            found.append(item)
    except Exception as error:
        failed.append(error)

    def again() -> Generator[Any, None, None]:
        yield from found
        if failed:
            raise failed.pop()

    return again()


class _Loop(asyncio.SelectorEventLoop):
    def _write_to_self(self) -> None:
        """How another thread wakes this one: `call_soon_threadsafe`."""
        _native._ring_bell()


def _new_loop(group: int, limit: int) -> tuple[_Loop, _Selector]:
    selector = _Selector(group, limit)
    loop = _Loop(selector)

    def report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        name = _native._actor_class()
        loop.default_exception_handler(context | {"message": f"actor {name}: {context.get('message', 'error')}"})

    loop.set_exception_handler(report)
    return loop, selector


def _run_forever(loop: _Loop, selector: _Selector) -> None:
    """On this thread, until the actor is to end."""
    _native._enter_loop(_current)
    asyncio.set_event_loop(loop)
    selector.loop = loop
    try:
        loop.run_forever()
    except SystemExit:  # of a task that the actor has started itself
        _native._leave()


def run(limits: list[int], end: Callable[[], None]) -> bool:
    """Constructs the actor and runs its calls, at most `limits[g]` of group g at once. False: the constructor failed.

    end: ends the process; called on the thread of a group whose call has ended the actor."""
    loops = [_new_loop(group, limit) for group, limit in enumerate(limits)]
    signal.signal(signal.SIGINT, lambda *_: None)  # a cancellation is looked for where calls are
    main, selector = loops[0]
    asyncio.set_event_loop(main)

    async def construct() -> bool:
        return bool(_native._construct())

    if not main.run_until_complete(construct()):
        return False

    def run_group(loop: _Loop, selector: _Selector) -> None:
        _run_forever(loop, selector)
        if _native._leaving():
            end()

    for loop, its_selector in loops[1:]:
        threading.Thread(target=run_group, args=(loop, its_selector), daemon=True).start()
    _run_forever(main, selector)
    return True


def warn_of_blocking(verb: str) -> None:
    """Once for each verb."""
    if verb in _warned:
        return
    _warned.add(verb)
    print(
        f"{verb}() waits inside a coroutine actor and holds up all of its calls: await the reference instead "
        "(asyncio.gather for several)",
        file=sys.stderr,
    )
