"""Experiments on a simulated clock: hours of training on many workers in milliseconds, the same each time.

A scheduler, a space and a searcher are what an experiment has; what training gives comes from a table or a function. For choosing a
scheduler and its numbers before machines are paid for, and for tests of what one does.

>>> from daybreak import tune
>>> from daybreak.tune.schedulers import ASHAScheduler
>>> from daybreak.tune.simulate import curves, simulate
>>> asha = ASHAScheduler(max_t=27, reduction_factor=3)
>>> found = simulate(curves(trials=64, epochs=27, seed=1), scheduler=asha, mode="max", workers=8)
>>> full = simulate(curves(trials=64, epochs=27, seed=1), mode="max", workers=8)
>>> found.end_s < full.end_s / 2, found.best.value >= full.best.value - 0.05
(True, True)
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from daybreak._core import tune as _native
from daybreak.base.errors import InvalidArgumentError

from . import explore
from .configs import check_mode
from .schedulers import FIFOScheduler
from .suggesting import Source

__all__ = ["Event", "Simulated", "SimulatedTrial", "Table", "curves", "simulate"]

Step = Callable[[dict[str, Any], int, Any], "tuple[float, float, Any]"]


class Table:
    """What training each config gave: a row a config, a column an epoch.

    ``values``: the metric, configs x epochs; ``seconds``: since the trial's beginning, the same shape (without: one an epoch).
    """

    def __init__(self, values: Any, seconds: Any = None) -> None:
        self.values = _rows("values", values)
        self.epochs = len(self.values[0])
        self.seconds = (
            _rows("seconds", seconds) if seconds is not None else [[k + 1.0 for k in range(self.epochs)]] * len(self)
        )
        for name, rows in (("values", self.values), ("seconds", self.seconds)):
            for i, row in enumerate(rows):
                if len(row) != self.epochs:
                    raise InvalidArgumentError(f"{name}[{i}] has {len(row)} epochs and values[0] {self.epochs}")
        if len(self.seconds) != len(self):
            raise InvalidArgumentError(f"seconds has {len(self.seconds)} rows and values {len(self)}")

    def __len__(self) -> int:
        return len(self.values)


def _rows(name: str, given: Any) -> list[list[float]]:
    rows = [[float(x) for x in (row.tolist() if hasattr(row, "tolist") else row)] for row in given]
    if not rows or not rows[0]:
        raise InvalidArgumentError(f"{name}: at least one config and one epoch")
    return rows


def curves(trials: int = 100, epochs: int = 81, noise: float = 0.02, seconds: float = 1.0, seed: int = 0) -> Table:
    """A table of curves a - b * epoch^-c with noise (higher is better) that cross, so that the best at the beginning are not the
    best at the end; an epoch takes between half and one and a half of ``seconds``, by trial."""
    values, elapsed = _native.simulate_curves(trials, epochs, noise, seconds, seed)
    cut = [slice(k * epochs, (k + 1) * epochs) for k in range(trials)]
    return Table([values[part] for part in cut], [elapsed[part] for part in cut])


class Event(NamedTuple):
    """``kind``: start, result, pause, stop (by a decision), complete (by itself), exploit (it goes on from ``source``'s state)."""

    time: float
    kind: str
    trial: int
    source: int
    epoch: int
    value: float


class SimulatedTrial(NamedTuple):
    number: int
    config: dict[str, Any]
    state: str
    epoch: int
    seconds: float
    value: float
    starts: int


@dataclass
class Simulated:
    """What came of it: ``events`` in their order, ``trials``, when it ended and how long workers were busy (simulated seconds)."""

    events: list[Event]
    trials: list[SimulatedTrial]
    end_s: float
    busy_s: float
    out_of_time: bool
    mode: str

    @property
    def best(self) -> Event:
        """The result of the best value; NaN is none. InvalidArgumentError where there is no result."""
        results = [event for event in self.events if event.kind == "result" and not math.isnan(event.value)]
        if not results:
            raise InvalidArgumentError("there is no result: no trial came to its first epoch")
        return (max if self.mode == "max" else min)(results, key=lambda event: event.value)

    def best_by(self, time: float) -> float:
        """The best value that was known at the time; NaN before there was one."""
        known = [e.value for e in self.events if e.kind == "result" and e.time <= time and not math.isnan(e.value)]
        return (max(known) if self.mode == "max" else min(known)) if known else math.nan


class _Workload:
    """What the simulation asks: configs of a source, epochs of a function."""

    def __init__(self, step: Step, source: Source, scheduler: Any, metric: str, sign: float) -> None:
        self.step, self.source, self.scheduler, self.metric, self.sign = step, source, scheduler, metric, sign
        self.configs: list[dict[str, Any]] = []
        self.ids: list[str] = []
        self.states: list[dict[int, Any]] = []  # after each epoch
        self.results: list[dict[str, Any]] = []
        self.times: list[int] = []

    def begin(self, trial: int) -> bool:
        found = self.source.next(0, trial)
        if found is None:
            return False
        trial_id, config, _, chosen = found
        explore.fill(self.scheduler, config, chosen, self.source.seed, trial)
        self.configs.append(config)
        self.ids.append(trial_id)
        self.states.append({0: None})
        self.results.append({})
        self.times.append(0)
        return True

    def train(self, trial: int, epoch: int) -> tuple[float, float]:
        before = copy.deepcopy(self.states[trial].get(epoch - 1))
        found = self.step(self.configs[trial], epoch, before)
        if not isinstance(found, Sequence) or len(found) != 3:
            raise InvalidArgumentError(f"the step gave {found!r}: (value, seconds, state)")
        value, seconds, self.states[trial][epoch] = found
        return self.sign * float(value), float(seconds)

    def seen(self, trial: int, epoch: int, score: float, stops: bool) -> None:
        self.results[trial] = {self.metric: self.sign * score, "training_iteration": epoch}
        if self.source.searcher is not None and not stops:
            result = {**self.results[trial], "config": self.configs[trial]}
            self.source.searcher.on_trial_result(self.ids[trial], result)

    def exploit(self, trial: int, source: int, epoch: int, explored: list[float]) -> None:
        self.times[trial] += 1
        config = copy.deepcopy(self.configs[source])
        found = dict(zip(getattr(self.scheduler, "bounds", {}), explored, strict=True)) if explored else None
        self.configs[trial] = explore.explored(
            self.scheduler, config, self.source.seed, trial, self.times[trial], found
        )
        self.states[trial] = dict(self.states[source])

    def values(self, trial: int, names: list[str]) -> list[float]:
        return [float(explore.at_path(self.configs[trial], name)) for name in names]

    def ended(self, trial: int, stopped: bool) -> None:
        if self.source.searcher is not None:
            result = {**self.results[trial], "config": self.configs[trial]} if self.results[trial] else None
            self.source.searcher.on_trial_complete(self.ids[trial], result, error=result is None)


def simulate(
    training: Table | Step,
    space: dict[str, Any] | None = None,
    *,
    scheduler: Any = None,
    search_alg: Any = None,
    metric: str = "value",
    mode: str = "min",
    num_samples: int = 1,
    max_t: int = 100,
    workers: int = 4,
    time_budget_s: float | None = None,
    delay_s: float | Mapping[str, float] = 0.05,
    seed: int = 0,
) -> Simulated:
    """Runs an experiment whose training is ``training``, on a clock that does not wait.

    A :class:`Table`: trial k is row k. A function ``step(config, epoch, state)`` returns the metric after the epoch, the seconds
    that it takes and a state that the next epoch is given (None at first; what population based training copies); configs come
    from ``space`` and ``search_alg`` as in `Tuner`, ``num_samples`` of it, for ``max_t`` epochs.

    ``scheduler``: a native one, whose time is a trial's epochs where its time_attr is "training_iteration", and otherwise the
    seconds that it has trained. ``delay_s``: of each message; a dict names those of "start", "result", "complete", "stop".
    """
    check_mode(mode)
    scheduler = scheduler if scheduler is not None else FIFOScheduler()
    if not hasattr(scheduler, "described"):
        raise InvalidArgumentError(f"scheduler={scheduler!r}: a native one; one of your own reads a clock of its own")
    numbers = dict(scheduler.numbers)
    if getattr(scheduler, "seeded", False):
        numbers["seed"] = float(seed % 2**53)
    sign = -1.0 if mode == "min" else 1.0
    options = _options(workers, time_budget_s, delay_s, scheduler.time_attr != "training_iteration")
    if isinstance(training, Table):
        if space is not None or search_alg is not None:
            raise InvalidArgumentError(
                "a Table has its configs already: leave space= and search_alg= out, or give a function"
            )
        flat = [sign * x for row in training.values for x in row]
        seconds = [x for row in training.seconds for x in row]
        options["trials"] = float(len(training))
        found = _native.simulate_table(scheduler.kind, numbers, flat, seconds, training.epochs, options)
        configs: list[dict[str, Any]] = [{} for _ in range(len(training))]
    else:
        source = Source(space or {}, search_alg, num_samples, seed, "simulated")
        if source.searcher is not None:
            source.searcher.set_search_properties(metric, mode, space or {})
        workload = _Workload(training, source, scheduler, metric, sign)
        total = source.total()
        if total is None:
            raise InvalidArgumentError("num_samples=-1: a simulation has an end")
        options |= {"trials": float(total), "one_by_one": float(source.searcher is not None)}
        found = _native.simulate(scheduler.kind, numbers, workload, max_t, options)
        configs = workload.configs
    return Simulated(
        [Event(time, kind, k, source, t, sign * value) for time, kind, k, source, t, value in found["events"]],
        [
            SimulatedTrial(k, configs[k], state, epoch, took, sign * value, starts)
            for k, (state, epoch, took, value, starts) in enumerate(found["trials"])
        ],
        found["end_s"],
        found["busy_s"],
        found["out_of_time"],
        mode,
    )


def _options(workers: int, budget: float | None, delay: float | Mapping[str, float], seconds: bool) -> dict[str, float]:
    if isinstance(workers, bool) or not isinstance(workers, int) or not 0 < workers < 2**32:
        raise InvalidArgumentError(f"workers={workers!r}: a whole number, at least 1")
    options = {"workers": float(workers), "by_seconds": float(seconds)}
    if budget is not None:
        options["budget_s"] = float(budget)
    names = ("start", "result", "complete", "stop")
    delays = dict(delay) if isinstance(delay, Mapping) else dict.fromkeys(names, float(delay))
    for name, value in delays.items():
        if name not in names:
            raise InvalidArgumentError(f"delay_s[{name!r}]: {', '.join(names)}")
        options[f"{name}_delay_s"] = float(value)
    return options
