"""Runs a program on a runtime of its own while faults befall it, and compares all that can be seen with the model."""

from __future__ import annotations

import contextlib
import gc
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import daybreak
from daybreak import exceptions as ex
from daybreak._core import runtime as native
from daybreak.runtime import memory_monitor, state
from daybreak.runtime.tests.chaos import effects, remote
from daybreak.runtime.tests.chaos.faults import Done, Faults, Machine
from daybreak.runtime.tests.chaos.model import LOST, Facts, Model
from daybreak.runtime.tests.chaos.program import (
    ERRORS,
    Arg,
    Boom,
    Call,
    Cancel,
    Drop,
    Flaky,
    Forget,
    Kill,
    NewActor,
    Operation,
    Program,
    Put,
    Read,
    Submit,
    Wait,
    choices,
)

STUCK_S = 60.0  # a value that has not come by then never comes
_LEFT_S = 20.0  # within which what is dropped must be gone
_ALL = 1000  # kills of everything at once count as so many
_LOOKS = 20  # of the memory monitor while memory is short once: each may end a process
_SYSTEM_ERRORS = (
    ex.TaskCancelledError,
    ex.OutOfMemoryError,
    ex.WorkerCrashedError,
    ex.ActorUnavailableError,
    ex.ActorDiedError,
    ex.ObjectLostError,
)

Seen = tuple[str, Any]


class Stuck(Exception):
    """Something did not come in STUCK_S."""


@dataclass
class Outcome:
    """wrong: what differs from the model, a sentence each; empty: nothing."""

    wrong: list[str]
    done: Done
    seconds: float
    calls: int = 0  # that ran, with those of tasks and those that were tried again


def name_of(error: BaseException) -> str:
    """As the model calls it."""
    for kind in _SYSTEM_ERRORS:
        if isinstance(error, kind):
            return kind.__name__
    cause = getattr(error, "cause", None)
    if isinstance(error, ex.TaskError) and isinstance(cause, tuple(ERRORS.values())):
        kind_of_user = type(cause)
        if not isinstance(error, kind_of_user):
            return f"{type(error).__name__}, no {kind_of_user.__name__}"
        if isinstance(cause, Flaky):
            return "Flaky"
        return f"{kind_of_user.__name__}:{cause.code if isinstance(cause, Boom) else cause.args[0]}"
    return f"{type(error).__name__}: {error}"


@dataclass
class _Driver:
    """The program's side of the runtime: what it holds, and what it has seen."""

    program: Program
    journal: str
    refs: dict[int, list[Any]] = field(default_factory=dict)
    streams: dict[int, Any] = field(default_factory=dict)
    actors: dict[int, Any] = field(default_factory=dict)
    seen: dict[tuple[int, int], Seen] = field(default_factory=dict)
    items: dict[int, list[Seen]] = field(default_factory=dict)
    results: dict[int, tuple[int, int]] = field(default_factory=dict)  # of actors' calls: pid and count
    wrong: list[str] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)  # wrong, unless files of spilled values were lost

    def run(self) -> None:
        for operation in self.program.operations:
            self.perform(operation)
        for slot in list(self.refs):
            self.read(slot, STUCK_S)
        for slot in list(self.streams):
            self.read_stream(slot)

    def perform(self, op: Operation) -> None:
        match op:
            case Call():
                self.call(op)
            case Submit():
                self.submit(op)
            case Put():
                number = remote.digest(op.name)
                value = remote.value_of(number, op.size)
                inside = [self.refs[arg.number][arg.part] for arg in op.boxed]
                self.refs[op.index] = [daybreak.put((value, inside) if inside else value)]
            case NewActor():
                self.make(op)
            case Kill():
                if op.actor in self.actors:
                    daybreak.kill(self.actors[op.actor], no_restart=op.no_restart)
            case Forget():
                del self.actors[op.actor]
            case Drop():
                self.refs.pop(op.slot, None)
                self.streams.pop(op.slot, None)
            case Cancel():
                self.cancel(op)
            case Wait():
                self.wait(op)
            case Read():
                if op.slot in self.streams:
                    self.read_stream(op.slot)
                else:
                    self.read(op.slot, STUCK_S if op.timeout is None else op.timeout)
            case _:
                raise AssertionError(op)

    def args(self, args: tuple[Arg, ...]) -> tuple[list[Any], list[Any]]:
        """(in boxes, as they are)."""
        boxed = [[self.refs[a.number][a.part]] for a in args if a.kind == "boxed"]
        plain = [self.refs[a.number][a.part] for a in args if a.kind == "slot"]
        return boxed, plain + [self.actors[a.number] for a in args if a.kind == "actor"]

    def submit(self, op: Submit) -> None:
        boxed, plain = self.args(op.args)
        if op.body.items >= 0:
            options = remote.options_of(op.options)
            self.streams[op.index] = remote.stream.options(**options).remote(
                op.body, f"{op.index}", self.journal, boxed, *plain
            )
            return
        options = remote.options_of(op.options, num_returns=op.body.results)
        made = remote.task.options(**options).remote(op.body, f"{op.index}", self.journal, boxed, *plain)
        self.refs[op.index] = list(made) if op.body.results > 1 else [made]

    def make(self, op: NewActor) -> None:
        options: dict[str, Any] = {"max_restarts": op.max_restarts, "max_task_retries": op.max_task_retries}
        if op.named:
            options["name"] = f"actor {op.index}"
        if op.kind == "threaded":
            options["max_concurrency"] = 3
        made = daybreak.remote(remote.ACTORS[op.kind]).options(**options)
        self.actors[op.index] = made.remote(op.index, self.journal)

    def call(self, op: Call) -> None:
        actor = self.actors[op.actor]
        made = self.program.operations[op.actor]
        assert isinstance(made, NewActor)
        if made.named and op.index % 2:
            try:
                actor = daybreak.get_actor(f"actor {op.actor}")
            except ValueError:
                self.refs[op.index] = [self._failed()]
                return
        options = remote.options_of(op.options, retries="max_task_retries")
        _, plain = self.args(op.args)
        method = actor.call.options(**options) if options else actor.call
        self.refs[op.index] = [method.remote(op.body, f"{op.index}", self.journal, "driver", op.index, *plain)]

    def _failed(self) -> Any:
        """A call of an actor that is dead."""

        @daybreak.remote
        class Dead:
            def call(self) -> None: ...

        dead = Dead.remote()
        daybreak.kill(dead)
        return dead.call.remote()

    def cancel(self, op: Cancel) -> None:
        target = self.streams.get(op.slot) or (self.refs.get(op.slot) or [None])[0]
        if target is not None:
            daybreak.cancel(target, force=op.force, recursive=op.recursive)

    def wait(self, op: Wait) -> None:
        refs = [self.refs[slot][0] for slot in op.slots if slot in self.refs]
        if not refs:
            return
        count = min(op.count, len(refs))
        ready, rest = daybreak.wait(refs, num_returns=count, timeout=STUCK_S if op.timeout is None else op.timeout)
        if op.timeout is None and len(ready) < count:
            raise Stuck(f"operation {op.index} waits for {count} of {op.slots}")
        if sorted(map(id, ready + rest)) != sorted(map(id, refs)) or len(ready) > count:
            self.wrong.append(
                f"operation {op.index}: wait gave {len(ready)} and {len(rest)} of {len(refs)}, {count} asked"
            )
        for ref in ready:
            with contextlib.suppress(ex.Error):
                try:
                    daybreak.get(ref, timeout=0)
                except ex.GetTimeoutError:
                    self.vanished.append(f"operation {op.index}: wait called ready what is not")

    def look(self, ref: Any, timeout: float, slot: int = -1) -> Seen | None:
        """None: it has not come in time."""
        try:
            value = daybreak.get(ref, timeout=timeout)
            if isinstance(value, dict) and slot >= 0:
                self.results[slot] = value["pid"], value["count"]
            if isinstance(value, tuple):
                self.look_inside(slot, value[1])
            return "value", remote.number_of(value)
        except ex.GetTimeoutError:
            if timeout == STUCK_S:
                raise Stuck(f"slot {slot} did not come in {STUCK_S:.0f} s") from None
            return None
        except (ex.Error, remote.Damaged) as error:
            return "error", name_of(error)

    def look_inside(self, slot: int, refs: list[Any]) -> None:
        """The references in an object that was put."""
        put = self.program.operations[slot]
        assert isinstance(put, Put) and len(put.boxed) == len(refs)
        for arg, ref in zip(put.boxed, refs, strict=True):
            self.note(arg.number, arg.part, self.look(ref, STUCK_S, arg.number))

    def note(self, slot: int, part: int, found: Seen | None) -> None:
        if found is not None and (before := self.seen.setdefault((slot, part), found)) != found:
            if found == ("error", LOST):  # it was there, and its file is not any more
                self.vanished.append(f"slot {slot}.{part} was {before}, and now is lost")
                return
            self.wrong.append(f"slot {slot}.{part} was {before}, and now is {found}")

    def read(self, slot: int, timeout: float) -> None:
        for part, ref in enumerate(self.refs.get(slot, [])):
            self.note(slot, part, self.look(ref, timeout, slot))

    def read_stream(self, slot: int) -> None:
        stream = self.streams.pop(slot)
        items = self.items.setdefault(slot, [])
        while True:
            try:
                ref = stream._next_sync(timeout_s=STUCK_S)
            except StopIteration:
                items.append(("end", None))
                return
            if ref.is_nil():
                raise Stuck(f"item {len(items)} of slot {slot} did not come in {STUCK_S:.0f} s")
            found = self.look(ref, STUCK_S)
            assert found is not None
            items.append(found)
            del ref


def facts_of(done: Done, lines: list[list[str]]) -> Facts:
    """An actor's process that died before it could say whose it was may have been anybody's."""
    actors = {int(line[2]): int(line[1]) for line in lines if line[0] == "made"}
    everything = _ALL * done.zygotes
    kills = Counter(actors[pid] for pid, _ in done.killed if pid in actors)
    others = Counter(actor for pid, actor in done.killed if pid not in actors)
    return Facts(others[False] + everything, kills, others[True] + everything, _LOOKS * done.squeezes, done.lost)


def differences(driver: _Driver, model: Model) -> Iterator[str]:
    for (slot, part), (kind, what) in driver.seen.items():
        allowed = model.slot(slot, part)
        if (kind == "value" and what != allowed.value) or (kind == "error" and what not in allowed.errors):
            yield f"slot {slot}.{part} is {kind} {what}, and may be {allowed}: {driver.program.operations[slot]}"
    for slot, items in driver.items.items():
        made = driver.program.operations[slot]
        assert isinstance(made, Submit)
        if wrong := model.stream(made, items):
            yield f"stream {slot}: {wrong}: {made}"


def eventually(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


@dataclass
class _Left:
    """What there is of this process: must be as before when the runtime has ended."""

    descriptors: int
    threads: int
    children: list[str]
    maps: int

    @classmethod
    def now(cls) -> _Left:
        gc.collect()
        with open(f"/proc/self/task/{os.getpid()}/children") as children, open("/proc/self/maps") as maps:
            return cls(
                len(os.listdir("/proc/self/fd")),
                len(os.listdir("/proc/self/task")),
                children.read().split(),
                sum("memfd:daybreak" in line for line in maps),
            )


def left_in_store() -> str:
    """What is in use although nobody holds anything; "": nothing."""

    def clean() -> bool:
        gc.collect()
        usage = native._usage()
        return bool(usage["objects"] == usage["functions"] and usage["actors"] == 0)

    if eventually(clean, _LEFT_S):
        return ""
    rows = [*state.list_objects(), *state.list_tasks(), *state.list_actors()]
    workers = [f"{row.worker_type} {row.pid} {row.task_id or 'idle'}" for row in state.list_workers() if row.is_alive]
    return (
        f"{native._usage()} is left when nobody holds anything: {[str(row) for row in rows][:12]}; workers: {workers}"
    )


def run(program: Program) -> Outcome:
    """One run in this process, which has no runtime now."""
    before, started = _Left.now(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="daybreak-chaos-") as folder:
        outcome = _run_in(program, Path(folder))
        left = [path.name for path in (Path(folder) / "spilled").iterdir()]
    if left:
        outcome.wrong.append(f"the folder for spilled objects still has {left}")
    if not eventually(lambda: _Left.now() == before, 5.0):
        outcome.wrong.append(f"this process is left with {_Left.now()}, it began with {before}")
    outcome.seconds = time.monotonic() - started
    return outcome


def _run_in(program: Program, folder: Path) -> Outcome:
    (folder / "spilled").mkdir()
    journal = folder / "journal"
    journal.touch()
    machine = Machine(folder / "machine")
    usual, memory_monitor.root = memory_monitor.root, str(machine.root)
    faults = Faults(program.seed, machine, folder / "spilled")
    driver = _Driver(program, str(journal))
    try:
        daybreak.init(
            num_cpus=program.settings.num_cpus,
            object_store_memory=program.settings.store_mib << 20,
            object_spilling_directory=folder / "spilled",
            object_spilling_threshold=choices(program.seed, "threshold").choice([0.8, 0.3, 0.05]),
            log_to_driver=False,
            _system_config={"memory_monitor_refresh_ms": 5 if "squeeze" in faults.kinds else 0},
        )
        stuck = ""
        try:
            with faults:
                driver.run()
        except Stuck as error:
            stuck = f"{error}: {[str(row) for row in state.list_tasks()][:12]}"
        lines = remote.Journal(str(journal)).lines()
        model = Model(program, facts_of(faults.done, lines))
        wrong = [*driver.wrong, *([stuck] if stuck else []), *([] if faults.done.lost else driver.vanished)]
        wrong += differences(driver, model)
        wrong += effects.wrong(program, model, lines, driver.results)
        driver.refs.clear(), driver.streams.clear(), driver.actors.clear()
        if not stuck and (left := left_in_store()):
            wrong.append(left)
        return Outcome(wrong, faults.done, 0, sum(line[0] == "began" for line in lines))
    finally:
        daybreak.shutdown()
        memory_monitor.root = usual
