"""A random program: operations of a driver, drawn from a seed. The first n operations of a seed are the same whatever comes after
them, so a failing program is made shorter by cutting its end off."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any


class Boom(Exception):
    """What tasks raise; it keeps what it was told."""

    def __init__(self, code: int) -> None:
        super().__init__(f"boom {code}")
        self.code = code


class Flaky(Exception):
    """What a task raises that would work the next time."""


ERRORS: dict[str, type[Exception]] = {"Boom": Boom, "KeyError": KeyError, "ValueError": ValueError, "Flaky": Flaky}


@dataclass(frozen=True)
class Options:
    """Of a call. retries: max_retries of a task, max_task_retries of an actor's; None: what is the default there."""

    retries: int | None = None
    retry_on: Any = None  # retry_exceptions: None, True, or a tuple of names of ERRORS


@dataclass(frozen=True)
class Body:
    """What a call does: it dies or raises in its first attempts, waits, calls others, puts, and gives or raises something."""

    name: str  # the same in all attempts
    deaths: int = 0  # its first attempts end their process
    flaky: int = 0  # the next ones raise Flaky
    error: str = ""  # what it raises in the end; or
    size: int = 0  # it gives an array of so many bytes; 0: a small value
    pause_ms: float = 0
    puts: int = 0  # objects that it puts and gets
    results: int = 1  # num_returns
    items: int = -1  # of a stream, before its error or end; -1: it is none
    gather: str = "get"  # how it awaits its children: "get", "wait", "one by one"
    children: tuple[tuple[Body, Options], ...] = ()
    asks: int = 0  # calls to each actor whose handle it was given


@dataclass(frozen=True)
class Arg:
    """slot: by reference, so the call waits for its value; boxed: inside a list, so the call gets it itself; actor: a handle."""

    kind: str
    number: int
    part: int = 0


@dataclass(frozen=True)
class Operation:
    index: int


@dataclass(frozen=True)
class Submit(Operation):
    body: Body
    options: Options
    args: tuple[Arg, ...] = ()


@dataclass(frozen=True)
class Call(Submit):
    actor: int = 0


@dataclass(frozen=True)
class Put(Operation):
    name: str
    size: int
    boxed: tuple[Arg, ...] = ()


@dataclass(frozen=True)
class NewActor(Operation):
    kind: str  # "plain", "threaded", "coroutine"
    max_restarts: int
    max_task_retries: int
    named: bool


@dataclass(frozen=True)
class Kill(Operation):
    actor: int
    no_restart: bool


@dataclass(frozen=True)
class Forget(Operation):
    """The driver drops its handle."""

    actor: int


@dataclass(frozen=True)
class Drop(Operation):
    slot: int


@dataclass(frozen=True)
class Cancel(Operation):
    slot: int
    force: bool
    recursive: bool


@dataclass(frozen=True)
class Wait(Operation):
    slots: tuple[int, ...]
    count: int
    timeout: float | None


@dataclass(frozen=True)
class Read(Operation):
    slot: int
    timeout: float | None


@dataclass(frozen=True)
class Settings:
    """Of the runtime that the program runs on."""

    num_cpus: int
    store_mib: int


@dataclass
class Program:
    """operations[i].index == i; what operation i makes is slot i or actor i."""

    seed: int
    settings: Settings
    operations: list[Operation] = field(default_factory=list)


def choices(seed: int, what: object) -> random.Random:
    """The choices of one operation: those of another do not move them."""
    return random.Random(f"{seed}/{what}")


class _Maker:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.slots: dict[int, Submit | Put] = {}
        self.actors: dict[int, NewActor] = {}
        self.dropped: set[int] = set()

    def options(self, r: random.Random, of_actor: int | None = None) -> Options:
        """of_actor: max_task_retries of the actor, whose default that is; None: of a task."""
        retries = (
            r.choice([None, None, 0, 0, 1, 2, 5, -1]) if of_actor is None else r.choice([None, None, None, 0, 1, -1])
        )
        retry_on = r.choice([None, None, None, None, True, ("Flaky",), ("KeyError", "Flaky")])
        endless = retries == -1 or (retries is None and of_actor == -1)
        return Options(retries, None if endless else retry_on)  # what fails each time would be tried for ever

    def body(self, r: random.Random, name: str, depth: int) -> Body:
        size = r.choice([0, 0, 0, 0, 10, 5_000, 70_000, 400_000, 1_000_000])
        children: list[tuple[Body, Options]] = []
        if depth > 0 and r.random() < 0.3:
            for i in range(r.randint(1, 4)):
                child = self.body(r, f"{name}.{i}", depth - 1)
                children.append((child, self.options(r)))
        return Body(
            name,
            deaths=r.choice([0] * 10 + [1, 1, 2]),
            flaky=r.choice([0] * 8 + [1, 1, 2]),
            error=r.choice([""] * 14 + ["Boom", "KeyError", "ValueError"]),
            size=size,
            pause_ms=r.choice([0, 0, 0, 0, 1, 5, 20]),
            puts=r.choice([0, 0, 0, 1, 3]),
            gather=r.choice(["get", "wait", "one by one"]),
            children=tuple(children),
            asks=r.choice([0, 1, 1, 2]),
        )

    def args(self, r: random.Random) -> tuple[Arg, ...]:
        found = []
        there = [s for s in self.slots if s not in self.dropped and getattr(self.slots[s], "body", None) is not None]
        there += [s for s in self.slots if s not in self.dropped and isinstance(self.slots[s], Put)]
        there = [s for s in there if not self._streams(s)]
        for _ in range(r.choice([0, 0, 0, 1, 1, 2, 3])):
            if there:
                slot = r.choice(there[-12:])
                made = self.slots[slot]
                parts = made.body.results if isinstance(made, Submit) else 1
                found.append(Arg(r.choice(["slot", "slot", "boxed"]), slot, r.randrange(parts)))
        if self.actors and r.random() < 0.15:
            found.append(Arg("actor", r.choice(list(self.actors))))
        return tuple(found)

    def _streams(self, slot: int) -> bool:
        made = self.slots[slot]
        return isinstance(made, Submit) and made.body.items >= 0

    def operation(self, i: int) -> Operation:
        r = choices(self.seed, i)
        kinds = {
            "submit": 40, "put": 8, "actor": 7, "call": 28, "kill": 1.5, "forget": 1.5, "drop": 5, "cancel": 4,
            "wait": 5, "read": 8,
        }  # fmt: skip
        kind = r.choices(list(kinds), list(kinds.values()))[0]
        alive = list(self.actors)
        live = [s for s in self.slots if s not in self.dropped]
        if kind == "actor" or (kind in ("call", "kill", "forget") and not alive):
            self.actors[i] = made = NewActor(
                i,
                r.choice(["plain", "plain", "plain", "threaded", "coroutine"]),
                r.choice([0, 0, 1, 3, -1]),
                r.choice([0, 0, 0, 1, -1]),
                r.random() < 0.3,
            )
            return made
        if kind == "call":
            return self._slot(self._call(i, r, r.choice(alive[-4:])))
        if kind == "kill":
            return Kill(i, r.choice(alive), r.random() < 0.5)
        if kind == "forget":
            actor = r.choice(alive)
            del self.actors[actor]
            return Forget(i, actor)
        if kind == "put" or (kind == "submit" and r.random() < 0.1):
            boxed = tuple(Arg("boxed", s) for s in live[-3:] if not self._streams(s) and r.random() < 0.2)
            return self._slot(Put(i, f"{i}", r.choice([0, 0, 100, 9_000, 300_000, 1_000_000]), boxed))
        if kind in ("drop", "cancel", "wait", "read") and live:
            return self._about(i, r, kind, live)
        body = self._top(r, f"{i}")
        return self._slot(Submit(i, body, self.options(r), self.args(r)))

    def _top(self, r: random.Random, name: str) -> Body:
        body = self.body(r, name, depth=2)
        shape = r.random()
        if shape < 0.1:
            return replace(body, results=r.randint(2, 4))
        if shape < 0.22:
            return replace(body, items=r.randint(0, 6), flaky=0, children=(), size=min(body.size, 70_000))
        return body

    def _call(self, i: int, r: random.Random, actor: int) -> Call:
        changes: dict[str, Any] = {"size": r.choice([0, 0, 0, 50_000])}
        if self.actors[actor].kind == "coroutine":
            changes |= {"children": (), "puts": 0, "asks": 0}
        body = replace(self.body(r, f"{i}", depth=1), **changes)
        options = self.options(r, self.actors[actor].max_task_retries)
        return Call(i, body, options, tuple(a for a in self.args(r) if a.kind == "slot"), actor)

    def _about(self, i: int, r: random.Random, kind: str, live: list[int]) -> Operation:
        if kind == "drop":
            slot = r.choice(live)
            self.dropped.add(slot)
            return Drop(i, slot)
        if kind == "cancel":
            tasks = [s for s in live if isinstance(self.slots[s], Submit)]
            if tasks:
                slot = r.choice(tasks[-6:])
                force = r.random() < 0.3 and not isinstance(self.slots[slot], Call)
                return Cancel(i, slot, force, r.random() < 0.7)
        if kind in ("cancel", "wait"):
            some = [s for s in live if not self._streams(s)]
            slots = tuple(r.sample(some, min(len(some), r.randint(1, 8))))
            if slots:
                return Wait(i, slots, r.randint(1, len(slots)), r.choice([None, None, 0, 0.01]))
        return Read(i, r.choice(live), r.choice([None, None, 0, 0.005]))

    def _slot(self, made: Any) -> Any:
        self.slots[made.index] = made
        return made


def make(seed: int, operations: int) -> Program:
    r = choices(seed, "settings")
    settings = Settings(num_cpus=r.choice([1, 2, 2, 3, 4]), store_mib=r.choice([16, 16, 24, 64]))
    maker = _Maker(seed)
    return Program(seed, settings, [maker.operation(i) for i in range(operations)])
