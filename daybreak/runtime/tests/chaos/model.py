"""The same program without a runtime: what each of its results may be, given what was done to the processes that ran it.

Values are numbers, which are computed from the names of calls and the numbers of their arguments. Errors are names; those of the
user's exceptions have their argument behind a colon. What the model allows is a superset of what can happen, as tight as it can
say without knowing at which instruction a process died; with nothing killed it is one outcome."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache

from daybreak.runtime.tests.chaos.program import (
    Arg,
    Body,
    Call,
    Cancel,
    Forget,
    Kill,
    NewActor,
    Options,
    Program,
    Put,
    Submit,
)
from daybreak.runtime.tests.chaos.remote import digest

TASK_RETRIES = 3  # max_retries, where nothing is said
CRASHED, DIED, UNAVAILABLE, CANCELLED, NO_MEMORY = (
    "WorkerCrashedError",
    "ActorDiedError",
    "ActorUnavailableError",
    "TaskCancelledError",
    "OutOfMemoryError",
)
LOST = "ObjectLostError"
_MOST_KILLS = 8  # of one call that are told apart


@dataclass
class Facts:
    """What befell the processes."""

    worker_kills: int = 0  # from outside, each of which may have hit any task
    actor_kills: dict[int, int] = field(default_factory=dict)  # by actor
    nobodys: int = 0  # of actors' processes that had not said whose they were
    memory_ends: int = 0  # at most so many were ended because memory was short
    lost: int = 0  # spilled values, each of which may have been any: a task's is computed again, which costs it a retry


@dataclass(frozen=True)
class Allowed:
    value: int | None  # None: it cannot have one
    errors: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return " or ".join([*([] if self.value is None else [f"value {self.value}"]), *sorted(self.errors)])


def retried(options: Options, error: str) -> bool:
    return options.retry_on is True or (options.retry_on is not None and error.partition(":")[0] in options.retry_on)


@cache
def _attempts(
    body: Body, options: Options, budget: int, index: int, kills: int, short: bool
) -> tuple[bool, bool, bool]:
    """Whether it may come to what it does in the end; to Flaky; to the death of its process without a retry left. budget -1: no
    limit. short: of memory, for which an attempt may be ended that counts as no retry."""

    def again(index: int, kills: int, spent: int = 1) -> tuple[bool, bool, bool]:
        if budget == 0:
            return False, False, True
        return _attempts(body, options, budget - (spent if budget > 0 else 0), index, kills, short)

    if index < body.deaths:
        found = again(index + 1, kills)
    elif index < body.deaths + body.flaky:
        if retried(options, "Flaky") and budget != 0:
            found = again(index + 1, kills)
        else:
            found = (False, True, False)
    else:
        found = (True, False, False)
    ends, flakes, crashes = found
    others = []
    if kills > 0:  # before it said that it began, or after
        others += [again(index, kills - 1), again(index + 1, kills - 1)]
    if short and budget != 0 and index < body.deaths + body.flaky:
        others.append(again(index + 1, kills, spent=0))
    for killed in others:
        ends, flakes, crashes = ends or killed[0], flakes or killed[1], crashes or killed[2]
    return ends, flakes, crashes


class Model:
    def __init__(self, program: Program, facts: Facts) -> None:
        self.operations = program.operations
        self.facts = facts
        self._slots: dict[int, Allowed] = {}
        self.forgotten = {op.actor for op in self.operations if isinstance(op, Forget)}
        self.cancelled = {op.slot for op in self.operations if isinstance(op, Cancel)}
        self.killed_at = {
            op.actor: op.index for op in reversed(self.operations) if isinstance(op, Kill) and op.no_restart
        }
        self._forced = sum(isinstance(op, Cancel) and op.force for op in self.operations)
        self.kills = facts.worker_kills + self._forced + facts.lost
        self._losses = frozenset({LOST} if facts.lost else ())

    def slot(self, index: int, part: int = 0) -> Allowed:
        """Of a task, a call or a put; not of a stream."""
        made = self.operations[index]
        if index not in self._slots:
            self._slots[index] = self._of(made)
        allowed = self._slots[index]
        if isinstance(made, Submit) and made.body.results > 1 and allowed.value is not None:
            return replace(allowed, value=digest(allowed.value, part))
        return allowed

    def _of(self, made: object) -> Allowed:
        if isinstance(made, Put):
            return Allowed(digest(made.name), self._losses)
        assert isinstance(made, Submit)
        allowed = self.call(made) if isinstance(made, Call) else self.task(made.body, made.options, made.args)
        if made.index in self.cancelled:
            allowed = replace(allowed, errors=allowed.errors | {CANCELLED})
        return allowed

    def retries(self, made: Submit) -> int:
        if made.options.retries is not None:
            return made.options.retries
        return self._actor(made.actor).max_task_retries if isinstance(made, Call) else TASK_RETRIES

    def _actor(self, actor: int) -> NewActor:
        made = self.operations[actor]
        assert isinstance(made, NewActor)
        return made

    def deaths_of(self, actor: int) -> int:
        """As often as the actor's process may have died."""
        scripted = sum(op.body.deaths for op in self.operations if isinstance(op, Call) and op.actor == actor)
        restarts = sum(isinstance(op, Kill) and op.actor == actor and not op.no_restart for op in self.operations)
        outside = self.facts.actor_kills.get(actor, 0) + self.facts.nobodys + self.facts.memory_ends
        return outside + scripted + restarts

    def lost(self, actor: int, retries: int) -> frozenset[str]:
        """How a call may fail by a death of its actor."""
        made, deaths = self._actor(actor), self.deaths_of(actor)
        errors = set()
        if made.max_restarts >= 0 and deaths > made.max_restarts:
            errors.add(DIED)
        if made.max_restarts != 0 and retries >= 0 and deaths > retries:
            errors.add(UNAVAILABLE)
        if actor in self.killed_at or (actor in self.forgotten and UNAVAILABLE in errors):
            errors.add(DIED)  # without a handle it comes back for what is tried again only
        if self.facts.memory_ends:
            errors.add(NO_MEMORY)
        return frozenset(errors)

    def task(self, body: Body, options: Options, args: tuple[Arg, ...] = ()) -> Allowed:
        retries = TASK_RETRIES if options.retries is None else options.retries
        crash = {CRASHED} | ({NO_MEMORY} if self.facts.memory_ends else set())
        return self._tried(body, options, retries, args, min(self.kills, _MOST_KILLS), crash)

    def call(self, made: Call) -> Allowed:
        retries = self.retries(made)
        # Exceptions that are retried may have used all of them up.
        lost = self.lost(made.actor, retries if made.options.retry_on is None else min(retries, 0))
        kills = max(self.deaths_of(made.actor) - made.body.deaths, 0)
        allowed = self._tried(made.body, made.options, retries, made.args, min(kills, _MOST_KILLS), lost)
        ended = self.killed_at.get(made.actor, made.index) < made.index
        errors = allowed.errors | lost
        if ended:  # it comes after the kill, and nothing of it runs
            memory = {NO_MEMORY} if self.facts.memory_ends else set()  # which may have ended it before
            return Allowed(None, memory | {DIED} | self._outside(made.args)[1])
        return Allowed(allowed.value, errors)

    def _outside(self, args: Iterable[Arg]) -> tuple[bool, frozenset[str]]:
        """Whether the arguments by reference may all have values, and the errors that they may be."""
        found = [self.slot(arg.number, arg.part) for arg in args if arg.kind == "slot"]
        return all(a.value is not None for a in found), frozenset().union(*(a.errors for a in found))

    def _tried(
        self, body: Body, options: Options, retries: int, args: tuple[Arg, ...], kills: int, crash: Iterable[str]
    ) -> Allowed:
        there, errors = self._outside(args)
        if not there:  # which a worker finds, and may die of before it says so
            died = retries >= 0 and kills > retries or (self.facts.memory_ends and NO_MEMORY in crash)
            return Allowed(None, errors | frozenset(crash if died else ()))
        ends, flakes, crashes = _attempts(body, options, retries, 0, kills, self.facts.memory_ends > 0)
        value: int | None = None
        if ends:
            inside = self._end(body, args)
            value, errors = inside.value, errors | inside.errors
        if flakes:
            errors |= {"Flaky"}
        if crashes or (self.facts.memory_ends and NO_MEMORY in crash):
            errors |= frozenset(crash)
        return Allowed(value, errors | self._losses)  # of what it puts and gets itself, too

    def _end(self, body: Body, args: tuple[Arg, ...]) -> Allowed:
        """What an attempt that nothing disturbs comes to."""
        errors: frozenset[str] = frozenset()
        numbers: list[int | None] = []
        for kind in ("boxed", "slot"):
            for arg in args:
                if arg.kind == kind:
                    allowed = self.slot(arg.number, arg.part)
                    numbers.append(allowed.value)
                    errors |= allowed.errors if kind == "boxed" else frozenset()
        for child, options in body.children:
            allowed = self.task(child, options)
            numbers.append(allowed.value)
            errors |= allowed.errors
        for arg in args:
            if arg.kind == "actor" and body.asks:
                errors |= self.lost(arg.number, self._actor(arg.number).max_task_retries)
                numbers += [digest(f"{body.name}.asks{i}", []) for i in range(body.asks)]
        if body.error:
            number = digest(body.name) if body.error == "Boom" else body.name
            return Allowed(None, errors | {f"{body.error}:{number}"})
        return Allowed(None if None in numbers else digest(body.name, numbers), errors)

    def stream(self, made: Submit, seen: list[tuple[str, object]]) -> str:
        """What is wrong with the items that a stream gave, in the end or when its reader stopped; "": nothing. An item is ("value",
        number) or ("error", name); the last is ("end", None) where the stream has ended."""
        body, retries = made.body, self.retries(made)
        there, outside = self._outside(made.args)
        boxed = [self.slot(a.number, a.part) for a in made.args if a.kind == "boxed"]
        errors = outside.union(*(a.errors for a in boxed)) | self._losses
        if retries >= 0 and body.deaths + self.kills > retries:
            errors |= {CRASHED}
        if self.facts.memory_ends:
            errors |= {NO_MEMORY}
        if made.index in self.cancelled:
            errors |= {CANCELLED}
        numbers = [a.value for a in boxed]
        numbers += [self.slot(a.number, a.part).value for a in made.args if a.kind == "slot"]
        number = digest(body.name, numbers)
        whole = there and None not in numbers and (retries < 0 or body.deaths <= retries)
        for i, (kind, what) in enumerate(seen):
            if kind == "value" and (what != digest(number, i) or i >= body.items or None in numbers):
                return f"item {i} is {what}, and not {digest(number, i)}, of {body.items}"
            own = f"{body.error}:{digest(body.name) if body.error == 'Boom' else body.name}"
            if kind == "error" and what not in errors and (not body.error or what != own or i != body.items):
                return f"item {i} is {what}, which is none of {sorted(errors)} {own if body.error else ''}"
            lost = what in self._losses  # an item's value, and not the task: the next one may be there
            if kind == "error" and not lost and seen[i + 1 :] not in ([], [("end", None)]):
                return f"{seen[i + 1]} comes after the error {what}"
            if kind == "end" and (i == 0 or seen[i - 1][0] != "error") and (not whole or i != body.items or body.error):
                return f"it ends after {i} items without an error"
        return ""
