"""What the demo of map shows, step by step; every check is written down."""

from __future__ import annotations

import itertools
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daybreak import map as room
from daybreak.demo.steps import Reporter, Steps
from daybreak.linalg import demonstration

from .training import CHOICES, folds, scored

__all__ = ["Options", "run"]

FOLDS = 10
MIN_ACCURACY = 0.95  # of the best choice, on average over the folds
KILLED = 7  # this call's worker, in its first try
LINES, PARTS = 20_000, 12
N, BUDGET = 6144, 96 << 20  # the lower triangle alone has 144 MiB
MAX_ERROR = 60  # of |LL'x - Ax| in n eps |Ax|


@dataclass(frozen=True)
class Options:
    """What a person may choose."""

    out: Path = Path("out/demo-map")
    seed: int = 0


class Killed:
    """A function whose worker is killed (-9) at one call, once: the file says that it has been."""

    def __init__(self, function: Callable[[Any], Any], call: int, mark: str) -> None:
        self.function, self.call, self.mark = function, call, mark
        self.__name__ = function.__name__

    def __call__(self, numbered: tuple[int, Any]) -> Any:
        number, args = numbered
        if number == self.call and not os.path.exists(self.mark):
            Path(self.mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.function(args)


class Story:
    """One run of the demo, chapter by chapter."""

    def __init__(self, options: Options, reporter: Reporter) -> None:
        self.options, self.reporter = options, reporter
        self.steps = Steps(reporter)
        self.result: dict[str, Any] = {}

    def search(self, executor: room.Executor) -> None:
        """30 pipelines, one worker killed."""
        args = list(itertools.product(folds(FOLDS, self.options.seed), CHOICES))
        mark = self.options.out / "killed"
        mark.unlink(missing_ok=True)
        with self.steps.step(
            "map", f"fit {len(args)} pipelines of scikit-learn ({FOLDS} folds, {len(CHOICES)} choices) in the workers"
        ) as found:
            self.calls = executor.map(Killed(scored, KILLED, str(mark)), list(enumerate(args)))
            for number, _ in enumerate(room.as_completed(self.calls), start=1):
                self.reporter.progress(number / len(args), f"{number} of {len(args)} fitted")
            scores = executor.get_all_results(self.calls)
            found.passed = len(scores) == len(args) and all(0.5 < score <= 1 for score in scores)
            found.text = str(executor.summary(self.calls)).replace("\n", "; ")
        with self.steps.step("killed", f"the worker of call {KILLED} was killed (-9) in the middle of it") as found:
            attempts = [future.status["attempts"] for future in self.calls.futures()]
            found.passed = mark.exists() and attempts[KILLED] == 2 and sum(attempts) == len(args) + 1
            found.text = f"call {KILLED} was run again; {attempts.count(1)} of {len(args)} calls were run once"
        with self.steps.step("best", "which choice is best over the folds") as found:
            self.scores = {str(choice): scores[place :: len(CHOICES)] for place, choice in enumerate(CHOICES)}
            means = {name: sum(of) / len(of) for name, of in self.scores.items()}
            best = max(means, key=lambda name: means[name])
            found.passed = means[best] >= MIN_ACCURACY
            found.text = f"{best}: accuracy {means[best]:.3f} (at least {MIN_ACCURACY}); " + ", ".join(
                f"{name} {mean:.3f}" for name, mean in means.items()
            )
        self.result |= {"best": best, "accuracy": means[best], "attempts": sum(attempts)}

    def look(self, executor: room.Executor) -> None:
        """Pictures."""
        out = self.options.out
        with self.steps.step("pictures", "draw the accuracies and when each call ran") as found:
            box, timeline = out / "accuracy.png", out / "timeline.png"
            _box_plot(self.scores, box)
            executor.timeline(self.calls, timeline)
            sizes = [path.stat().st_size for path in (box, timeline)]
            found.passed = all(size > 5_000 for size in sizes)
            found.text = f"{box}, {timeline}: {', '.join(f'{size:,}' for size in sizes)} bytes"
        self.result["timeline"] = executor.timeline(self.calls)

    def count(self, executor: room.Executor) -> None:
        """A file in parts, whose edges are lines'."""
        file = self.options.out / "views.txt"
        titles = ["Main_Page", "Berkeley", "Wren", "Matrix"]
        rows = [(titles[(row * row) % len(titles)], row % 97) for row in range(LINES)]
        file.write_text("".join(f"en {title} {views}\n" for title, views in rows))
        with self.steps.step(
            "parts", f"count {LINES:,} lines of a file in {PARTS} parts, and add up in one more call"
        ) as found:
            parts = room.partition(file, count=PARTS)
            total = executor.map_reduce(_views, parts, _added).result()
            expected: dict[str, int] = {}
            for title, views in rows:
                expected[title] = expected.get(title, 0) + views
            found.passed = total == expected
            found.text = ", ".join(f"{title} {views:,}" for title, views in sorted(total.items()))

    def cancel(self, executor: room.Executor) -> None:
        """Calls that would take for ever."""
        with self.steps.step("cancelled", "begin a hundred calls that sleep for an hour, and cancel them") as found:
            calls = executor.map(time.sleep, [3600.0] * 100)
            began = time.monotonic()
            calls.cancel(force=True)
            room.wait(calls, timeout=30)
            took = time.monotonic() - began
            found.passed = all(future.exception() is not None for future in calls.futures())
            found.passed = found.passed and list(executor.map(abs, [-1])) == [1]
            found.text = f"all of them ended after {took:.1f} s, and the executor goes on"

    def factor(self, executor: room.Executor) -> None:
        """A matrix that is larger than the memory it may have."""
        lines: list[str] = []
        with (
            self.steps.step(
                "matrix",
                f"factor {N} x {N} numbers by Cholesky's method in {BUDGET >> 20} MiB: the plan, then the work",
            ) as found,
            tempfile.TemporaryDirectory(dir=self.options.out) as folder,
        ):
            got, lines = executor.call_async(_factored, folder).result()
            found.passed = got["matrix_bytes"] > BUDGET >= got["held_bytes"] and got["backward_error"] < MAX_ERROR
            found.text = "; ".join(line.strip() for text in lines for line in text.splitlines())
        self.result["matrix"] = got


def _factored(folder: str) -> tuple[dict[str, float], list[str]]:
    lines: list[str] = []
    return demonstration.larger_than_budget(folder, n=N, budget=BUDGET, say=lines.append), lines


def _views(part: room.Part) -> dict[str, int]:
    found: dict[str, int] = {}
    for line in part.text().splitlines():
        _, title, views = line.split(" ")
        found[title] = found.get(title, 0) + int(views)
    return found


def _added(counts: list[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for each in counts:
        for title, views in each.items():
            total[title] = total.get(title, 0) + views
    return total


def _box_plot(scores: dict[str, list[float]], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="tight")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.boxplot(list(scores.values()))
    axes.set_xticks(range(1, len(scores) + 1), list(scores))
    axes.set_ylabel("accuracy")
    figure.savefig(path)


def run(options: Options, reporter: Reporter) -> dict[str, Any]:
    """The whole story; its result is written to result.json, too."""
    story = Story(options, reporter)
    with room.executor(logs=True) as executor:
        for chapter in (story.search, story.look, story.count, story.cancel, story.factor):
            chapter(executor)
    result = {**story.result, "checks": story.steps.checks, "passed": all(c["passed"] for c in story.steps.checks)}
    (options.out / "result.json").write_text(json.dumps(result, indent=1))
    return result
