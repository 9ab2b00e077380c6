"""Replicas: started, watched, started again when they die, ended after what they hold."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from daybreak import runtime
from daybreak.base import errors
from daybreak.serve.output import Logs
from daybreak.serve.payload import Runnable, summary_of
from daybreak.serve.replica import Job, Replica

__all__ = ["FIRST_PAUSE_S", "MAX_PAUSE_S", "Fleet", "Slot", "Spec"]

FIRST_PAUSE_S = 0.1  # before the first restart; doubled for each that fails
MAX_PAUSE_S = 30.0
HANG_CHECK_S = 1.0  # between looks at whether replicas go on; at most a tenth of what they may take
STEADY_S = 60.0  # a replica that was ready for so long begins again with the first pause
EVENT_WAIT_S = 0.5
END_WAIT_S = 2.0  # for the process of a replica that was told to end
LAST_WORDS_S = 3.0  # for the process of a replica whose connection broke to say how it ended, before it is killed


_BROKEN = "it died"


@dataclass(frozen=True)
class Spec:
    """What the replicas of one version run."""

    model: str
    version: str
    run: Runnable
    batch: str
    output: str


@dataclass(eq=False)
class Slot:
    """A replica that there shall be; the process behind it changes. Guarded by the fleet's lock."""

    spec: Spec
    index: int
    state: str = "starting"  # starting, ready, dead, draining, gone
    core_id: int = -1
    actor: Any = None
    life: int = 0  # counts its processes, so that late news of an old one is not taken for the new one's
    restarts: int = 0
    failures: int = 0  # in a row
    error: str = ""
    supervised: bool = False
    ready_at: float = 0.0
    due: float = 0.0  # when it is to be started again, while dead
    died_at: float = 0.0
    is_clearing: bool = False
    is_cleared: bool = True  # whether the core and the runtime have forgotten the dead one
    deadline: float = 0.0  # when it must be ready, while starting
    answered: int = -1  # batches, when that was looked at last and it had some to answer
    stuck_since: float = 0.0  # since when it has answered no more
    ended: threading.Event = field(default_factory=threading.Event)


class Fleet:
    """All replicas of a server. Safe to use from many threads.

    ready_timeout_s: how long a replica may take to load and warm up.
    hang_timeout_s: how long it may work on one batch, by the name of the model; then it is ended and started again.
    """

    def __init__(self, core: Any, logs: Logs, ready_timeout_s: float, hang_timeout_s: Callable[[str], float]) -> None:
        self._core = core
        self._logs = logs
        self.ready_timeout_s = ready_timeout_s
        self._hang_timeout_s = hang_timeout_s
        self._changed = threading.Condition()
        self._slots: dict[tuple[str, str], list[Slot]] = {}
        self._by_id: dict[int, Slot] = {}
        self._closing = False
        self._actors: Any = None
        self._threads = [
            threading.Thread(target=loop, name=name, daemon=True)
            for name, loop in (
                ("serve-events", self._events),
                ("serve-restarts", self._restarts),
                ("serve-hangs", self._hangs),
            )
        ]
        for thread in self._threads:
            thread.start()

    # Starting.

    def add(self, spec: Spec, count: int, *, supervised: bool) -> list[Slot]:
        """Starts so many more. Those that are not supervised stay dead when they die: who starts them waits for them."""
        with self._changed:
            there = self._slots.setdefault((spec.model, spec.version), [])
            taken = {slot.index for slot in there}
            free = [index for index in range(len(there) + count) if index not in taken][:count]
            slots = [Slot(spec, index, supervised=supervised) for index in free]
            there.extend(slots)
        for slot in slots:
            self._start(slot)
        return slots

    def _start(self, slot: Slot) -> None:
        """A new process (or thread) for the slot. What goes wrong is the slot's error."""
        spec = slot.spec
        with self._changed:
            if slot.state in ("draining", "gone") or self._closing:
                return
            slot.state, slot.core_id, slot.actor, slot.answered = "starting", -1, None, -1
            slot.life += 1
            slot.ended.clear()
            slot.deadline = time.monotonic() + self.ready_timeout_s
            life = slot.life
            self._changed.notify_all()  # there is a deadline to keep
        try:
            if spec.run.native is not None:
                core_id = self._core.add_native_replica(spec.model, spec.version, spec.run.native)
                self._known(slot, life, core_id, None)
                return
            core_id, address = self._core.add_channel(spec.model, spec.version)
            pipe = self._logs.open(spec.model, spec.version, slot.index)
            job = Job(address, pipe, spec.run.sha256, spec.run.path, spec.run.data, spec.batch, spec.output)
            actor = self._actor_class().remote(job)
            self._known(slot, life, core_id, actor)
            actor.run.remote().future().add_done_callback(lambda future: self._actor_ended(slot, life, future))
        except Exception as error:  # the runtime's limits, or the core's
            self._dead(slot, life, summary_of(error))

    def _actor_class(self) -> Any:
        if self._actors is None:
            self._actors = runtime.remote(num_cpus=0)(Replica)
        return self._actors

    def _known(self, slot: Slot, life: int, core_id: int, actor: Any) -> None:
        with self._changed:
            if slot.life == life:
                slot.core_id, slot.actor = core_id, actor
                self._by_id[core_id] = slot
        # Its event may have come before its id was known here.
        if any(found["id"] == core_id and found["state"] == "ready" for found in self._core.replicas()):
            self._ready(core_id)

    # News.

    def _events(self) -> None:
        while not self._closing:
            try:
                event = self._core.wait_event(EVENT_WAIT_S)
            except errors.Error:
                return  # the core has stopped
            if event is None:
                continue
            kind, core_id = event
            if kind == "ready":
                self._ready(core_id)
            elif kind == "dead":
                slot = self._by_id.get(core_id)
                if slot is not None:
                    self._dead(slot, slot.life, self._last_error(core_id))

    def _last_error(self, core_id: int) -> str:
        for found in self._core.replicas():
            if found["id"] == core_id:
                return str(found.get("last_error") or "") or _BROKEN
        return _BROKEN

    def _ready(self, core_id: int) -> None:
        with self._changed:
            slot = self._by_id.get(core_id)
            if slot is not None and slot.state == "starting" and slot.core_id == core_id:
                slot.state, slot.ready_at = "ready", time.monotonic()
                self._changed.notify_all()

    def _actor_ended(self, slot: Slot, life: int, future: Any) -> None:
        error = future.exception()
        cause = getattr(error, "cause", None) or error
        if life == slot.life:
            slot.ended.set()
        self._dead(slot, life, "its process ended" if cause is None else _why(cause))
        with self._changed:
            if slot.life == life:
                slot.died_at = 0.0  # it has said its last words
                self._changed.notify_all()

    def _dead(self, slot: Slot, life: int, why: str, *, lives: bool = False) -> None:
        """lives: its process is there still, and is to be ended at once."""
        now = time.monotonic()
        with self._changed:
            if slot.life != life or slot.state in ("draining", "gone"):
                return
            if slot.state == "dead":
                if slot.error == _BROKEN and not slot.is_clearing and not slot.is_cleared:
                    slot.error = why  # the process says more than that the connection broke
                return
            if slot.state == "ready" and now - slot.ready_at >= STEADY_S:
                slot.failures = 0
            slot.state, slot.error, slot.died_at, slot.is_cleared = "dead", why, now, False
            if lives or slot.actor is None:
                slot.died_at = 0.0
            slot.due = now + min(FIRST_PAUSE_S * 2**slot.failures, MAX_PAUSE_S)
            slot.failures = min(slot.failures + 1, 32)
            self._by_id.pop(slot.core_id, None)
            self._changed.notify_all()

    def _clear(self, slot: Slot) -> None:
        """Lets the core and the runtime forget a dead one."""
        with self._changed:
            if slot.state != "dead" or slot.is_cleared:
                return
            slot.is_clearing = True
            core_id, actor = slot.core_id, slot.actor
        self._end_process(core_id, actor)
        with self._changed:
            slot.core_id, slot.actor = -1, None
            slot.is_clearing, slot.is_cleared = False, True
            self._changed.notify_all()

    def _end_process(self, core_id: int, actor: Any) -> None:
        if core_id >= 0:
            with contextlib.suppress(Exception):
                self._core.remove_replica(core_id, 0.0)
        if actor is not None:
            with contextlib.suppress(Exception):
                runtime.kill(actor)

    def _restarts(self) -> None:
        while True:
            with self._changed:
                if self._closing:
                    return
                now = time.monotonic()
                every = [slot for slots in self._slots.values() for slot in slots]
                late = [(slot, slot.life) for slot in every if slot.state == "starting" and slot.deadline <= now]
                dead = [slot for slot in every if slot.state == "dead"]
                unclear = [slot for slot in dead if not slot.is_cleared and slot.died_at + LAST_WORDS_S <= now]
                due = [slot for slot in dead if slot.supervised and slot.is_cleared and slot.due <= now]
                if not late and not unclear and not due:
                    times = [slot.deadline for slot in every if slot.state == "starting"]
                    times += [slot.died_at + LAST_WORDS_S for slot in dead if not slot.is_cleared]
                    times += [slot.due for slot in dead if slot.supervised and slot.is_cleared]
                    self._changed.wait(max(0.0, min(times) - now) if times else None)
                    continue
            for slot, life in late:
                self._dead(slot, life, f"it was not ready after {self.ready_timeout_s:g} s", lives=True)
            for slot in unclear:
                self._clear(slot)
            for slot in due:
                slot.restarts += 1
                self._start(slot)

    def _hangs(self) -> None:
        """Ends processes that have a batch and answer none. (A thread of this process cannot be ended.)"""
        pause = HANG_CHECK_S
        while True:
            with self._changed:
                if self._closing or self._changed.wait_for(lambda: self._closing, pause):
                    return
            now, pause = time.monotonic(), HANG_CHECK_S
            hung = []
            for found in self._core.replicas():
                with self._changed:
                    slot = self._by_id.get(found["id"])
                    if slot is None or slot.state != "ready" or slot.actor is None:
                        continue
                    limit = self._hang_timeout_s(slot.spec.model)
                    pause = min(pause, limit / 10)
                    if not found["under_way"] or found["batches"] != slot.answered:
                        slot.answered, slot.stuck_since = found["batches"], now
                    elif now - slot.stuck_since >= limit:
                        hung.append((slot, slot.life, f"it had not answered a batch after {limit:g} s"))
            for slot, life, why in hung:
                self._dead(slot, life, why, lives=True)

    # Waiting, ending.

    def wait(self, slots: list[Slot]) -> None:
        """Until all are ready. FailedPreconditionError with the reason as soon as one is dead."""
        with self._changed:
            while True:
                for slot in slots:
                    if slot.state in ("dead", "gone"):
                        raise errors.FailedPreconditionError(
                            f"version {slot.spec.version} of {slot.spec.model} did not come up: {slot.error or 'it was removed'} "
                            f"(its output: daybreak serve logs {slot.spec.model})"
                        )
                if all(slot.state == "ready" for slot in slots):
                    return
                self._changed.wait()

    def wait_settled(self, timeout_s: float) -> bool:
        """Until every supervised replica is ready; False when that takes longer."""
        end = time.monotonic() + timeout_s
        with self._changed:
            while any(slot.state in ("starting", "dead") for slots in self._slots.values() for slot in slots):
                left = end - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
            return True

    def supervise(self, slots: list[Slot]) -> None:
        """From now on they are started again when they die."""
        with self._changed:
            for slot in slots:
                slot.supervised = True
            self._changed.notify_all()

    def remove(self, slots: list[Slot], drain_s: float) -> None:
        """Ends them, each after what it holds, all together within drain_s."""
        end = time.monotonic() + drain_s
        with self._changed:
            ending = [slot for slot in slots if slot.state != "gone"]
            parts = []
            for slot in ending:
                parts.append((slot, slot.core_id, slot.actor, slot.state == "ready"))
                slot.state = "draining"
                self._by_id.pop(slot.core_id, None)
            self._changed.notify_all()
            self._changed.wait_for(lambda: not any(slot.is_clearing for slot in ending))
        for slot, core_id, actor, was_ready in parts:
            if core_id >= 0:
                with contextlib.suppress(errors.Error):
                    self._core.remove_replica(core_id, max(0.0, end - time.monotonic()) if was_ready else 0.0)
            if actor is not None and was_ready:
                slot.ended.wait(END_WAIT_S)
            self._end_process(-1, actor)
            self._logs.close_one(slot.spec.model, slot.spec.version, slot.index)
            with self._changed:
                slot.state, slot.actor = "gone", None
                there = self._slots.get((slot.spec.model, slot.spec.version), [])
                if slot in there:
                    there.remove(slot)
                if not there:
                    self._slots.pop((slot.spec.model, slot.spec.version), None)
                self._changed.notify_all()

    def of(self, model: str, version: str) -> list[Slot]:
        """The replicas of a version, in the order of their numbers."""
        with self._changed:
            return sorted(self._slots.get((model, version), []), key=lambda slot: slot.index)

    def every(self) -> list[Slot]:
        with self._changed:
            return [slot for slots in self._slots.values() for slot in slots]

    def close(self) -> None:
        """Ends all at once."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self.remove(self.every(), 0.0)
        for thread in self._threads:
            thread.join()


def _why(error: BaseException) -> str:
    """What is said of a replica's end: the first line alone, for its traceback is in its log."""
    first = str(error).strip().partition("\n")[0]
    if isinstance(error, errors.Error) and first:
        return first[:200]  # the runtime's own words
    return f"{type(error).__name__}{': ' + first[:200] if first else ''}"
