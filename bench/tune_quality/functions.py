"""What is searched, for all sides alike: functions with known optima, and the loop that asks and tells. Standard library only.

None has its optimum in the middle, where CMA-ES and quasi-random sequences begin.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Function:
    """``evaluate(trial)`` asks for its parameters and returns the loss (or losses). ``least``: of one objective; of several, the
    hypervolume of the front below ``reference``."""

    name: str
    evaluate: Callable[[Any], Any]
    least: float
    objectives: int = 1
    reference: tuple[float, ...] = ()


def branin(trial: Any) -> float:
    x, y = trial.suggest_float("x", -5, 10), trial.suggest_float("y", 0, 15)
    bend = y - 5.1 * x * x / (4 * math.pi**2) + 5 * x / math.pi - 6
    return bend * bend + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


_A = ((10, 3, 17, 3.5, 1.7, 8), (0.05, 10, 17, 0.1, 8, 14), (3, 3.5, 1.7, 10, 17, 8), (17, 8, 0.05, 10, 0.1, 14))
_P = (
    (1312, 1696, 5569, 124, 8283, 5886),
    (2329, 4135, 8307, 3736, 1004, 9991),
    (2348, 1451, 3522, 2883, 3047, 6650),
    (4047, 8828, 8732, 5743, 1091, 381),
)


def hartmann6(trial: Any) -> float:
    x = [trial.suggest_float(f"x{k}", 0, 1) for k in range(6)]
    found = 0.0
    for weight, a, p in zip((1, 1.2, 3, 3.2), _A, _P, strict=True):
        found -= weight * math.exp(-sum(a[k] * (x[k] - p[k] / 1e4) ** 2 for k in range(6)))
    return found


def _point(trial: Any, dims: int, low: float, high: float, shift: float) -> list[float]:
    """From the optimum's side: coordinates whose optimum is shifted by ``shift`` from where the formula has it."""
    return [trial.suggest_float(f"x{k}", low, high) - shift for k in range(dims)]


def rosenbrock(trial: Any, dims: int) -> float:
    x = _point(trial, dims, -5, 10, 0)
    return sum(100 * (x[k + 1] - x[k] ** 2) ** 2 + (1 - x[k]) ** 2 for k in range(dims - 1))


def ackley(trial: Any, dims: int) -> float:
    x = _point(trial, dims, -32.768, 32.768, 9.37)
    rms = math.sqrt(sum(v * v for v in x) / dims)
    return -20 * math.exp(-0.2 * rms) - math.exp(sum(math.cos(2 * math.pi * v) for v in x) / dims) + 20 + math.e


def rastrigin(trial: Any, dims: int) -> float:
    x = _point(trial, dims, -5.12, 5.12, 1.43)
    return 10 * dims + sum(v * v - 10 * math.cos(2 * math.pi * v) for v in x)


def styblinski_tang(trial: Any, dims: int) -> float:
    x = _point(trial, dims, -5, 5, 0)
    return 0.5 * sum(v**4 - 16 * v * v + 5 * v for v in x)


def conditional(trial: Any) -> float:
    kind = trial.suggest_categorical("kind", ["a", "b", "c"])
    if kind == "a":
        return float((math.log10(trial.suggest_float("lr", 1e-5, 1, log=True)) + 2.3) ** 2)
    if kind == "b":
        n = trial.suggest_int("n", 1, 8)
        depths = [trial.suggest_float(f"depth{i}", 0, 1) for i in range(1, n + 1)]
        return float(0.3 + sum((u - 0.2 * i / n) ** 2 for i, u in enumerate(depths, 1)) + 0.02 * (n - 3) ** 2)
    return float(0.1 + ((trial.suggest_float("c", 0, 10, step=0.25) - 7.25) / 4) ** 2)


def zdt(trial: Any, which: int) -> list[float]:
    x = [trial.suggest_float(f"x{k:02d}", 0, 1) for k in range(30)]
    g = 1 + 9 / 29 * sum(x[1:])
    share = x[0] / g
    h = 1 - share**2 if which == 2 else 1 - math.sqrt(share)
    if which == 3:
        h -= share * math.sin(10 * math.pi * x[0])
    return [x[0], g * h]


def dtlz2(trial: Any) -> list[float]:
    x = [trial.suggest_float(f"x{k:02d}", 0, 1) for k in range(12)]
    r = 1 + sum((v - 0.5) ** 2 for v in x[2:])
    a, b = x[0] * math.pi / 2, x[1] * math.pi / 2
    return [r * math.cos(a) * math.cos(b), r * math.cos(a) * math.sin(b), r * math.sin(a)]


def _many(name: str, function: Callable[[Any, int], float], dims: int, least: float = 0.0) -> Function:
    return Function(f"{name}{dims}", lambda trial: function(trial, dims), least)


BRANIN = Function("branin", branin, 0.39788735772973816)
HARTMANN = Function("hartmann6", hartmann6, -3.322368011415515)
CONDITIONAL = Function("conditional", conditional, 0.0)
ONE = [
    BRANIN,
    HARTMANN,
    CONDITIONAL,
    *(
        _many(name, function, dims, least * dims)
        for dims in (5, 10)
        for name, function, least in (
            ("rosenbrock", rosenbrock, 0.0),
            ("ackley", ackley, 0.0),
            ("rastrigin", rastrigin, 0.0),
            ("styblinski_tang", styblinski_tang, -39.16616570377142),
        )
    ),
]
# A thousand trials in 30 dimensions do not come below 1.1 in the second objective: with that reference all would have nothing.
_FAR = 6.0
_MORE = 1.1 * (_FAR - 1.1)  # the fronts begin at (0, 1)
SEVERAL = [
    Function("zdt1", lambda trial: zdt(trial, 1), 0.87667 + _MORE, 2, (1.1, _FAR)),
    Function("zdt2", lambda trial: zdt(trial, 2), 0.54333 + _MORE, 2, (1.1, _FAR)),
    Function("zdt3", lambda trial: zdt(trial, 3), 1.33176 + _MORE, 2, (1.1, _FAR)),
    Function("dtlz2", dtlz2, 0.80740, 3, (1.1, 1.1, 1.1)),
]
FUNCTIONS = {function.name: function for function in [*ONE, *SEVERAL]}


@dataclass(frozen=True)
class Case:
    """A sampler on a function, so many trials of which so many are in flight at once."""

    sampler: str
    function: str
    budgets: tuple[int, ...]
    in_flight: int = 1

    @property
    def name(self) -> str:
        return f"{self.sampler} {self.function}" + (f" x{self.in_flight}" if self.in_flight > 1 else "")


_TPE = (50, 100, 200)
CASES = [
    *(Case("tpe", f.name, _TPE) for f in ONE if not f.name.endswith("10")),
    *(Case("cmaes", f.name, (200, 500, 1000)) for f in ONE if f.name.endswith("10")),
    *(Case("nsga2", f.name, (200, 500, 1000)) for f in SEVERAL),
    *(Case("gp", name, (20, 40, 60)) for name in ("branin", "hartmann6", "conditional")),
    *(Case("tpe", name, _TPE, n) for n in (8, 32) for name in ("branin", "hartmann6", "ackley5", "conditional")),
]


def dominated(points: list[list[float]], reference: tuple[float, ...]) -> float:
    """The volume below the reference that the points dominate: in slices along the last objective."""
    inside = sorted(
        {tuple(p) for p in points if all(v < r for v, r in zip(p, reference, strict=True))}, key=lambda p: p[-1]
    )
    if not inside:
        return 0.0
    if len(reference) == 1:
        return reference[0] - inside[0][0]
    volume = 0.0
    if len(reference) == 2:
        lowest = reference[0]
        for k, (first, second) in enumerate(inside):
            lowest = min(lowest, first)
            above = inside[k + 1][1] if k + 1 < len(inside) else reference[1]
            volume += (reference[0] - lowest) * (above - second)
        return volume
    for k, point in enumerate(inside):
        above = inside[k + 1][-1] if k + 1 < len(inside) else reference[-1]
        if above > point[-1]:
            volume += (above - point[-1]) * dominated([list(p[:-1]) for p in inside[: k + 1]], reference[:-1])
    return volume


def regrets(case: Case, seed: int, ask: Callable[[], Any], tell: Callable[[Any, Any], None]) -> dict[str, list[float]]:
    """At each budget how far the best (the front) is from what there is, and the mean of log10 of it over all trials so far.

    With several in flight each takes a time of its own, drawn of the seed and its number, on a simulated clock: they are told in
    the order in which they end, and the next is asked then.
    """
    function = FUNCTIONS[case.function]
    running: list[tuple[float, int, Any, Any]] = []
    front: list[list[float]] = []
    best, areas = math.inf, 0.0
    found: dict[str, list[float]] = {"regret": [], "area": []}
    now, asked, told = 0.0, 0, 0
    while told < case.budgets[-1]:
        while len(running) < case.in_flight and asked < case.budgets[-1]:
            trial = ask()
            took = math.exp(random.Random(f"{seed} {asked}").gauss(0, 0.5))
            heapq.heappush(running, (now + took, asked, trial, function.evaluate(trial)))
            asked += 1
        now, _, trial, value = heapq.heappop(running)
        tell(trial, value)
        told += 1
        if function.objectives == 1:
            best = min(best, value - function.least)
            areas += math.log10(max(best, 1e-12))
        else:
            front = _with(front, list(value))
        if told in case.budgets:
            if function.objectives > 1:
                best = function.least - dominated(front, function.reference)
                areas = told * math.log10(max(best, 1e-12))
            found["regret"].append(max(best, 1e-12))
            found["area"].append(areas / told)
    return found


def _with(front: list[list[float]], point: list[float]) -> list[list[float]]:
    def covers(a: list[float], b: list[float]) -> bool:
        return all(x <= y for x, y in zip(a, b, strict=True))

    if any(covers(other, point) for other in front):
        return front
    return [other for other in front if not covers(point, other)] + [point]
