"""What a task declares and what a peer's function returns. Standard library only: peers run in environments of their own."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Row:
    """One line of a task's table. Its name is the name of the function that each peer's file may have."""

    name: str
    unit: str
    better: Literal["higher", "lower"]
    what: str = ""  # one sentence: what is measured
    must: float | None = None  # the ratio that has to be reached to the peer that `against` says
    goal: float | None = None  # and the one that is hoped for
    must_value: float | None = None  # the same for our own value, in the unit
    floors: Mapping[str, float] = field(default_factory=dict)  # least values of our `info`, such as a mean return
    rounds: int = 5
    quick_rounds: int = 1
    fresh: bool = False  # a process of its own in every round: start-up times, memory
    against: Literal["first", "best"] = (
        "first"  # which peer `must` is a ratio to: the first of PEERS, or the hardest of all
    )
    theirs: Literal["median", "best"] = "median"  # which of the peer's rounds we are held against
    long: bool = False  # takes minutes: only with --long, or when it is named by --rows
    tolerance: float = 0.0  # relative, when `check` is a number or a list of numbers


@dataclass
class Measure:
    """What a row's function returns.

    ``check`` is whatever JSON holds and must be equal for all peers: a time counts only when the results agree. ``info`` is kept
    beside the value (returns, seeds, sizes).
    """

    value: float
    check: Any = None
    info: dict[str, float] = field(default_factory=dict)


class Skip(Exception):
    """Raised by a row's function that does not apply on this machine; the message says why."""


def rate(call: Callable[[], Any], seconds: float = 1.0, batch: int = 1, warm_up: int = 1) -> float:
    """Calls (times ``batch``, when one call does so many) per second, over at least ``seconds`` after ``warm_up`` calls."""
    for _ in range(warm_up):
        call()
    calls = 0
    started = now = time.perf_counter()
    while now - started < seconds:
        call()
        calls += 1
        now = time.perf_counter()
    return calls * batch / (now - started)


def seconds(call: Callable[[], Any], repeat: int = 1) -> float:
    """The median of ``repeat`` timings of one call."""
    times = []
    for _ in range(repeat):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times)
