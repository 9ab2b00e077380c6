"""What the journal of a run must not say: that something ran too often, in another order, or that a result came from nowhere."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from daybreak.runtime.tests.chaos.model import TASK_RETRIES, Model
from daybreak.runtime.tests.chaos.program import Body, Call, NewActor, Options, Program, Submit


@dataclass(frozen=True)
class Began:
    call: str
    pid: int
    actor: int = -1
    count: int = 0
    caller: str = ""
    turn: int = 0


def began(lines: list[list[str]]) -> list[Began]:
    return [
        Began(line[1], int(line[2]), *([int(line[4]), int(line[5]), line[6], int(line[7])] if len(line) > 3 else []))
        for line in lines
        if line[0] == "began"
    ]


def _is_number(text: str) -> bool:
    return text.isdigit()


def task_of(program: Program, call: str) -> tuple[Body, Options] | None:
    """What a call was to do, by its name: 12, or 12/ATTEMPT.0 for the first child of it. None: a call of an actor by a task."""
    first, *steps = call.split("/")
    made = program.operations[int(first)]
    assert isinstance(made, Submit)
    body, options = made.body, made.options
    for step in steps:
        child = step.rpartition(".")[2]
        if not _is_number(child):
            return None
        body, options = body.children[int(child)]
    return body, options


def too_often(program: Program, model: Model, runs: list[Began]) -> Iterator[str]:
    starts = Counter(run.call for run in runs)
    unexplained = 0
    for call, count in starts.items():
        found = task_of(program, call)
        if found is None:
            made = next(run.actor for run in runs if run.call == call)
            actor = program.operations[made]
            assert isinstance(actor, NewActor)
            retries = actor.max_task_retries
        else:
            body, options = found
            top = program.operations[int(call)] if call.isdigit() else None
            retries = (
                model.retries(top)
                if isinstance(top, Submit)
                else (TASK_RETRIES if options.retries is None else options.retries)
            )
            if options.retry_on is None and not isinstance(top, Call):
                unexplained += max(0, count - 1 - body.deaths)
        if retries >= 0 and count > retries + 1 and not (model.facts.memory_ends and retries > 0):
            yield f"call {call} ran {count} times, and may be tried {retries} times more than once"
    if unexplained > model.kills + model.facts.memory_ends:
        yield f"tasks ran {unexplained} times more than once, and only {model.kills} workers were killed"


def out_of_order(program: Program, model: Model, runs: list[Began], made: list[list[str]]) -> Iterator[str]:
    lives = Counter(int(line[1]) for line in made)
    for number, count in lives.items():
        actor = program.operations[number]
        assert isinstance(actor, NewActor)
        if 0 <= actor.max_restarts < count - 1:
            yield f"actor {number} was made {count} times, and may be restarted {actor.max_restarts} times"
    counts: dict[int, int] = defaultdict(int)
    turns: dict[tuple[int, str], int] = {}
    for run in runs:
        if run.actor < 0:
            continue
        actor = program.operations[run.actor]
        assert isinstance(actor, NewActor)
        if actor.kind == "threaded":
            continue
        counts[run.pid] += 1
        # A cancelled call may have been interrupted before it could say that it began.
        if run.count != counts[run.pid] and not (model.cancelled and run.count > counts[run.pid]):
            yield f"call {run.call} is number {run.count} of actor {run.actor} (pid {run.pid}), after {counts[run.pid] - 1} others"
        counts[run.pid] = run.count
        if actor.kind == "plain":
            last = turns.get((run.pid, run.caller), -1)
            if run.turn < last:
                yield f"call {run.call} of actor {run.actor} (pid {run.pid}) began after call {last} of the same caller"
            turns[run.pid, run.caller] = run.turn


def from_nowhere(results: dict[int, tuple[int, int]], runs: list[Began]) -> Iterator[str]:
    """results: the process and the count that each call of an actor gave, by slot."""
    there = {(run.call, run.pid, run.count) for run in runs}
    for slot, (pid, count) in results.items():
        if (str(slot), pid, count) not in there:
            yield f"call {slot} says that it was number {count} of pid {pid}, where it never ran"


def wrong(program: Program, model: Model, lines: list[list[str]], results: dict[int, tuple[int, int]]) -> list[str]:
    runs = began(lines)
    made = [line for line in lines if line[0] == "made"]
    return [
        *too_often(program, model, runs),
        *out_of_order(program, model, runs, made),
        *from_nowhere(results, runs),
    ]
