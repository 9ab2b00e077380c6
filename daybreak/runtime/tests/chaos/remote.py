"""What a program runs in workers. Each attempt of a call says so in a journal, which all processes append to, before it does
anything; so what ran, how often and in which order is known whatever dies."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

import daybreak
from daybreak.runtime import ActorHandle
from daybreak.runtime.tests.chaos.program import ERRORS, Body, Boom, Flaky, Options

_numbers = itertools.count()


class Damaged(Exception):
    """A value is not what it was."""


def digest(*parts: object) -> int:
    return zlib.crc32(repr(parts).encode())


def value_of(number: int, size: int) -> Any:
    """A value that shows its number, and whether it is whole."""
    return number if size == 0 else np.arange(number, number + (size + 7) // 8, dtype=np.int64)


def number_of(value: Any) -> int:
    if isinstance(value, dict):  # of an actor's call
        return number_of(value["value"])
    if isinstance(value, tuple):  # put, with references beside it
        return number_of(value[0])
    if isinstance(value, np.ndarray):
        first = int(value[0])
        if not np.array_equal(value, np.arange(first, first + len(value))):
            raise Damaged(f"an array that began with {first} is changed: {value}")
        return first
    if not isinstance(value, int):
        raise Damaged(f"{value!r} is no value of ours")
    return value


class Journal:
    def __init__(self, path: str) -> None:
        self.path = path

    def say(self, *words: object) -> None:
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        os.write(file, (" ".join(map(str, words)) + "\n").encode())
        os.close(file)

    def lines(self) -> list[list[str]]:
        with open(self.path) as file:
            return [line.split() for line in file]

    def attempts(self, call: str) -> int:
        return sum(line[0] == "began" and line[1] == call for line in self.lines())


def numbers_of(args: list[Any]) -> list[int]:
    """Of those that came by reference and those that come in boxes; handles say nothing."""
    found = []
    for arg in args:
        if isinstance(arg, list):
            found += [number_of(daybreak.get(ref)) for ref in arg]
        elif not isinstance(arg, ActorHandle):
            found.append(number_of(arg))
    return found


def begin(body: Body, call: str, journal: str, *more: object) -> int:
    """Says that an attempt begins, and dies or raises where that is what it does. What gives the number of the attempt."""
    log = Journal(journal)
    attempt = log.attempts(call) if body.deaths or body.flaky else 0
    log.say("began", call, os.getpid(), *more)
    if attempt < body.deaths:
        os.kill(os.getpid(), signal.SIGKILL)
    if attempt < body.deaths + body.flaky:
        raise Flaky(call)
    return attempt


def options_of(options: Options, retries: str = "max_retries", **more: Any) -> dict[str, Any]:
    """As daybreak takes them."""
    given = dict(more)
    if options.retries is not None:
        given[retries] = options.retries
    if options.retry_on is not None:
        given["retry_exceptions"] = True if options.retry_on is True else [ERRORS[name] for name in options.retry_on]
    return given


def await_all(refs: list[Any], how: str) -> list[Any]:
    if how == "wait":
        ready, rest = daybreak.wait(refs, num_returns=len(refs))
        if ready != refs or rest:
            raise Damaged(f"wait gave {len(ready)} and {len(rest)} of {len(refs)}")
    return daybreak.get(refs) if how != "one by one" else [daybreak.get(ref) for ref in refs]


def finish(body: Body, call: str, journal: str, args: list[Any], values: list[int]) -> int:
    """The rest of a call: what it awaits, puts and asks; the number that it gives."""
    me = f"{call}/{os.getpid()}-{next(_numbers)}"  # of this attempt
    if body.pause_ms:
        time.sleep(body.pause_ms / 1000)
    if body.children:
        refs = [
            task.options(**options_of(options, num_returns=child.results)).remote(child, f"{me}.{i}", journal, [])
            for i, (child, options) in enumerate(body.children)
        ]
        values = values + [number_of(value) for value in await_all(refs, body.gather)]
        del refs
    for i in range(body.puts):
        number = digest(body.name, "put", i)
        if number_of(daybreak.get(daybreak.put(value_of(number, body.size)))) != number:
            raise Damaged("an object that was put is another's")
    for actor in (a for a in args if isinstance(a, ActorHandle)):
        asked = [Body(f"{body.name}.asks{i}") for i in range(body.asks)]
        answers = [actor.call.remote(one, f"{me}.a{i}", journal, me, i) for i, one in enumerate(asked)]
        values = values + [number_of(daybreak.get(answer)) for answer in answers]
    if body.error:
        raise error_of(body)
    return digest(body.name, values)


def error_of(body: Body) -> Exception:
    return Boom(digest(body.name)) if body.error == "Boom" else ERRORS[body.error](body.name)


@daybreak.remote
def task(body: Body, call: str, journal: str, boxed: list[Any], *args: Any) -> Any:
    begin(body, call, journal)
    arguments = [*boxed, *args]
    number = finish(body, call, journal, arguments, numbers_of(arguments))
    if body.results == 1:
        return value_of(number, body.size)
    return [value_of(digest(number, part), body.size) for part in range(body.results)]


@daybreak.remote
def stream(body: Body, call: str, journal: str, boxed: list[Any], *args: Any) -> Iterator[Any]:
    log = Journal(journal)
    attempt = log.attempts(call)
    log.say("began", call, os.getpid())
    arguments = [*boxed, *args]
    number = digest(body.name, numbers_of(arguments))
    for i in range(body.items):
        if attempt < body.deaths and i == body.items // 2:
            os.kill(os.getpid(), signal.SIGKILL)
        yield value_of(digest(number, i), body.size)
    if attempt < body.deaths:
        os.kill(os.getpid(), signal.SIGKILL)
    if body.error:
        raise error_of(body)


class Plain:
    """An actor that counts its calls. The count of a call is in the journal as well, so each can be held against the other."""

    def __init__(self, actor: int, journal: str) -> None:
        self.actor = actor
        self.count = 0
        Journal(journal).say("made", actor, os.getpid())

    def next(self) -> int:
        self.count += 1
        return self.count

    def call(self, body: Body, call: str, journal: str, caller: str, turn: int, *args: Any) -> Any:
        count = self.next()
        begin(body, call, journal, "actor", self.actor, count, caller, turn)
        number = finish(body, call, journal, list(args), numbers_of(list(args)))
        return {"value": value_of(number, body.size), "pid": os.getpid(), "count": count}


class Threaded(Plain):
    def __init__(self, actor: int, journal: str) -> None:
        super().__init__(actor, journal)
        self.numbers = itertools.count(1)

    def next(self) -> int:
        return next(self.numbers)


class Coroutine(Plain):
    async def call(  # type: ignore[override]
        self, body: Body, call: str, journal: str, caller: str, turn: int, *args: Any
    ) -> Any:
        count = self.next()
        begin(body, call, journal, "actor", self.actor, count, caller, turn)
        await asyncio.sleep(body.pause_ms / 1000)
        if body.error:
            raise error_of(body)
        number = digest(body.name, numbers_of(list(args)))
        return {"value": value_of(number, body.size), "pid": os.getpid(), "count": count}


ACTORS = {"plain": Plain, "threaded": Threaded, "coroutine": Coroutine}
