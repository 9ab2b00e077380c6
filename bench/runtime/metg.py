"""METG: the smallest task at which the cores still spend 50% (95%) of their time in user code, as Task Bench measures it
(Slaughter et al., SC 2020), for three graphs: independent tasks, a stencil (each task needs three of the step before) and a binary
tree that is reduced to its root.

A task counts down; how long a count takes is measured with all cores counting at once. Efficiency is the time that all counting
takes, over all cores, divided by the time that passed.
"""

from __future__ import annotations

import math
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from bench.rows import Measure, Skip

CPUS = 2
PATTERNS = ("independent", "stencil", "tree")
LARGEST_US = 50_000.0
SMALLEST_US = 1.0
STENCIL_WIDTH = 16
MOST_TASKS = 4096
MOST_EFFICIENT = 1.15  # more is no efficiency: a count took less than when it was timed
LEAST = 0.5  # of the two rows' efficiencies: what comes below takes long and says nothing more
CALIBRATE = """
import sys, time
def spin(n):
    for _ in range(n): pass
def timed():
    started = time.perf_counter(); spin(400_000); return time.perf_counter() - started
spin(2_000_000)
sys.stdout.write(f"{sorted(timed() for _ in range(15))[7] / 400_000}\\n"); sys.stdout.flush()
end = time.perf_counter() + 0.4
while time.perf_counter() < end: pass
"""


def spin(count: int, *needs: Any) -> int:
    """One task: it needs others' results and counts."""
    for _ in range(count):
        pass
    return len(needs)


def seconds_per_count(cpus: int) -> float:
    """With all cores at it: two of them may be one core's threads."""
    children = [
        subprocess.Popen([sys.executable, "-c", CALIBRATE], stdout=subprocess.PIPE, text=True) for _ in range(cpus)
    ]
    return max(float(child.communicate()[0]) for child in children)


def tasks_of(pattern: str, about: int) -> tuple[int, int]:
    """A graph's size and how many tasks that is: leaves of the tree, steps of the stencil, tasks."""
    if pattern == "tree":
        leaves = 1 << max(6, round(math.log2(max(8, about / 2))))  # fewer leave cores idle near the root
        return leaves, 2 * leaves - 1
    if pattern == "stencil":
        steps = max(2, round(about / STENCIL_WIDTH))
        return steps, steps * STENCIL_WIDTH
    return about, about


def graph(pattern: str, size: int, count: int, call: Callable[..., Any], wait: Callable[[list[Any]], Any]) -> None:
    """Runs a graph with `call(count, *needs)`, which gives something that a later call may need, and waits for its end."""
    if pattern == "independent":
        wait([call(count) for _ in range(size)])
    elif pattern == "stencil":
        row = [call(count) for _ in range(STENCIL_WIDTH)]
        for _ in range(size - 1):
            row = [call(count, row[i - 1], row[i], row[(i + 1) % STENCIL_WIDTH]) for i in range(STENCIL_WIDTH)]
        wait(row)
    else:
        level = [call(count) for _ in range(size)]
        while len(level) > 1:
            level = [call(count, level[i], level[i + 1]) for i in range(0, len(level), 2)]
        wait(level)


class Sweep:
    """The efficiencies of one pattern from large tasks to small ones; measured once for its two rows."""

    def __init__(self, run: Callable[[str, int, int], None], cpus: int, quick: bool) -> None:
        self.run, self.cpus, self.window_s = run, cpus, 0.15 if quick else 0.2
        self.count_s = 0.0
        self.points: dict[str, list[tuple[float, float]]] = {}  # pattern: (task's length in us, efficiency)

    def efficiency(self, pattern: str, us: float) -> float:
        self.count_s = self.count_s or seconds_per_count(self.cpus)
        about = int(self.window_s * self.cpus / (us * 1e-6))
        size, tasks = tasks_of(pattern, max(8 * self.cpus, min(MOST_TASKS, about)))
        count = max(1, round(us * 1e-6 / self.count_s))
        started = time.perf_counter()
        self.run(pattern, size, count)
        return tasks * count * self.count_s / self.cpus / (time.perf_counter() - started)

    def sweep(self, pattern: str) -> list[tuple[float, float]]:
        if pattern not in self.points:
            self.run(pattern, tasks_of(pattern, 64)[0], 1)
            points = self.points[pattern] = []
            us = LARGEST_US
            while us >= SMALLEST_US and (not points or points[-1][1] >= LEAST):
                points.append((us, self.efficiency(pattern, us)))
                # What is far above both bars is passed quickly.
                us /= 4 if points[-1][1] > 0.975 else 2
        return self.points[pattern]

    def metg(self, pattern: str, least: float) -> Measure:
        """Between the last task that was large enough and the first that was not, where the line between them crosses."""
        points = self.sweep(pattern)
        if (most := max(efficiency for _, efficiency in points)) > MOST_EFFICIENT:
            raise Skip(
                f"an efficiency of {most:.0%} was seen: the machine's speed changed between the calibration and the runs"
            )
        if points[0][1] < least:
            raise Skip(f"{points[0][1]:.0%} with tasks of {LARGEST_US / 1e3:.0f} ms is the most that was seen")
        above = points[0]
        for point in points[1:]:
            if point[1] < least:
                share = (above[1] - least) / (above[1] - point[1])
                value = math.exp(math.log(above[0]) + share * (math.log(point[0]) - math.log(above[0])))
                return Measure(value, None, {f"at_{us:.0f}_us": efficiency for us, efficiency in points})
            above = point
        return Measure(points[-1][0], None, {f"at_{us:.0f}_us": efficiency for us, efficiency in points})


class Rows(ABC):
    """The six rows, for a program that says how it runs a graph; measured once for both rows of a pattern."""

    quick: bool
    _sweep: Sweep | None = None

    @abstractmethod
    def run_graph(self, pattern: str, size: int, count: int) -> None: ...

    def _metg(self, pattern: str, least: float) -> Measure:
        if self._sweep is None:
            self._sweep = Sweep(self.run_graph, CPUS, self.quick)
        return self._sweep.metg(pattern, least)

    def metg_50_independent(self) -> Measure:
        return self._metg("independent", 0.5)

    def metg_95_independent(self) -> Measure:
        return self._metg("independent", 0.95)

    def metg_50_stencil(self) -> Measure:
        return self._metg("stencil", 0.5)

    def metg_95_stencil(self) -> Measure:
        return self._metg("stencil", 0.95)

    def metg_50_tree(self) -> Measure:
        return self._metg("tree", 0.5)

    def metg_95_tree(self) -> Measure:
        return self._metg("tree", 0.95)
