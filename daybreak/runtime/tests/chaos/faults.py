"""What is done to the processes of a runtime while it works: the sequence is drawn from a seed, the instants are the machine's."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from daybreak._core import runtime as native
from daybreak.runtime.tests.chaos.program import choices

_FULL, _EASY = 99, 50  # percent of the machine's memory
_SQUEEZE_S = 0.05
MOST = 80  # in one program: a call that is killed each time it begins would be tried for ever
MEANS_S = (0, 0.4, 0.1, 0.1, 0.03)  # between two faults, one of these by the seed; 0: there are none


class Machine:
    """The tree of files in which the memory monitor reads how full the machine is."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "proc" / "self").mkdir(parents=True)
        self.use(_EASY)

    def use(self, percent: int) -> None:
        new = self.root / "new"
        new.write_text(f"MemTotal: 1048576 kB\nMemAvailable: {1048576 * (100 - percent) // 100} kB\n")
        new.replace(self.root / "proc" / "meminfo")


@dataclass
class Done:
    """What was done: the processes that were killed, and which of them were actors; how often memory was short."""

    killed: list[tuple[int, bool]] = field(default_factory=list)
    zygotes: int = 0
    stopped: int = 0
    squeezes: int = 0
    lost: int = 0  # files of spilled values that were removed, cut or altered

    def __str__(self) -> str:
        kills = f"{len(self.killed)} killed, {self.zygotes} times all at once"
        return f"{kills}, {self.stopped} stopped, memory short {self.squeezes} times, {self.lost} spilled files lost"


class Faults:
    """A thread that does the next thing of the sequence until it is left. Where the seed says so, it does nothing."""

    def __init__(self, seed: int, machine: Machine, spilled: Path) -> None:
        self._choices = choices(seed, "faults")
        self._mean_s = self._choices.choice(MEANS_S)
        self.kinds = self._choices.choice([["kill"], ["kill", "stop"], ["stop"], ["kill", "kill", "stop", "squeeze"]])
        if self._choices.random() < 0.15:
            self.kinds = [*self.kinds, "zygote"]
        if choices(seed, "spilled").random() < 0.5:
            self.kinds = [*self.kinds, "lose", "lose"]
        self._machine = machine
        self._spilled = spilled
        self._stop = threading.Event()
        self._asleep: list[tuple[float, int]] = []  # processes that are stopped: until when, pidfd
        self.done = Done()
        self._thread = threading.Thread(target=self._run, name="faults", daemon=True)

    def __enter__(self) -> Faults:
        if self._mean_s:
            self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        if self._mean_s:
            self._thread.join()

    def _run(self) -> None:
        try:
            for _ in range(MOST):
                if self._stop.wait(self._choices.expovariate(1 / self._mean_s)):
                    return
                kind, which, length = self._choices.choice(self.kinds), self._choices.random(), self._choices.random()
                with contextlib.suppress(ProcessLookupError):
                    self._do(kind, which, length)
                self._wake(time.monotonic())
            self._stop.wait(0.3)  # those that stand still
        finally:
            self._wake(float("inf"))
            self._machine.use(_EASY)

    def _wake(self, now: float) -> None:
        for until, fd in list(self._asleep):
            if until <= now:
                self._asleep.remove((until, fd))
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(fd, signal.SIGCONT)
                os.close(fd)

    def _do(self, kind: str, which: float, length: float) -> None:
        if kind == "squeeze":
            self.done.squeezes += 1
            self._machine.use(_FULL)
            self._stop.wait(_SQUEEZE_S)
            self._machine.use(_EASY)
            return
        if kind == "lose":
            self._lose(which, length)
            return
        if kind == "zygote":
            with open(f"/proc/self/task/{os.getpid()}/children") as children:
                found = [(int(pid), False) for pid in children.read().split()]
        else:
            found = sorted((pid, actor) for pid, actor in native._processes() if pid > 0)
        if not found:
            return
        pid, actor = found[int(which * len(found))]
        fd = os.pidfd_open(pid)
        try:
            # Still ours, so the descriptor is of what was in the list.
            if kind != "zygote" and (pid, actor) not in native._processes():
                return
            signal.pidfd_send_signal(fd, signal.SIGSTOP if kind == "stop" else signal.SIGKILL)
            if kind == "kill":
                self.done.killed.append((pid, actor))
            elif kind == "zygote":
                self.done.zygotes += 1
            else:
                self.done.stopped += 1
                self._asleep.append((time.monotonic() + 0.02 + 0.2 * length, os.dup(fd)))
        finally:
            os.close(fd)

    def _lose(self, which: float, how: float) -> None:
        """As a disk that fails, or somebody who tidies up: a value's file is gone, shorter, or has another byte."""
        found = sorted(path for path in self._spilled.rglob("*") if path.is_file() and path.stat().st_size > 4096)
        if not found:
            return
        path = found[int(which * len(found))]
        with contextlib.suppress(FileNotFoundError):  # its value was dropped meanwhile
            size = path.stat().st_size
            if how < 0.4:
                path.unlink()
            elif how < 0.6:
                os.truncate(path, size // 2)
            else:
                with open(path, "r+b") as file:
                    file.seek(size // 2)
                    byte = file.read(1)
                    file.seek(size // 2)
                    file.write(bytes([byte[0] ^ 0x40]))
            self.done.lost += 1
