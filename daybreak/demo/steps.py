"""The steps of a demo: each is begun, timed, and reported with what it found."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["Reporter", "Step", "Steps"]


class Reporter(Protocol):
    """Who is told what happens."""

    def begin(self, title: str) -> None:
        """A step begins."""

    def progress(self, done: float, text: str) -> None:
        """Within a step: the share done, 0 to 1, and how it goes."""

    def end(self, text: str, passed: bool, seconds: float) -> None:
        """The step is over: what came out."""


@dataclass
class Step:
    """What a step found."""

    text: str = ""
    passed: bool = True
    seconds: float = 0.0


class Steps:
    """Runs the steps, times them and keeps what they found."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self.checks: list[dict[str, Any]] = []

    @contextmanager
    def step(self, name: str, title: str) -> Iterator[Step]:
        self.reporter.begin(title)
        step = Step()
        start = time.perf_counter()
        yield step
        step.seconds = time.perf_counter() - start
        self.checks.append({"name": name, "passed": step.passed, "seconds": round(step.seconds, 3)})
        self.reporter.end(step.text, step.passed, step.seconds)
