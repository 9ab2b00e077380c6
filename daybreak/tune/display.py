"""What a person sees while an experiment goes on: a live table in a terminal, elsewhere a line when something has changed."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Any

from daybreak.base.printable import clean

from .callbacks import ProgressReporter
from .session import number_of
from .variants import flattened, shown

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

__all__ = ["LineReporter", "LiveReporter", "Standing", "default_reporter"]

_ROWS = 12
_FAILED = 3
_SHOWN = {"RUNNING": "cyan", "PAUSED": "magenta", "PENDING": "dim", "TERMINATED": "green", "ERROR": "red"}


class Standing:
    """How an experiment stands. What has ended is looked at once."""

    def __init__(self, metric: str | None, mode: str | None) -> None:
        self.metric, self.sign = metric, -1.0 if mode == "min" else 1.0
        self.counts: dict[str, int] = {}
        self.best: tuple[float, Any] | None = None
        self.failed: list[Any] = []
        self._ended: set[int] = set()
        self._best_ended: tuple[float, Any] | None = None

    def look(self, trials: list[Any]) -> None:
        counts: dict[str, int] = {}
        alive: list[tuple[float, Any]] = []
        for number, trial in enumerate(trials):
            if number in self._ended:
                continue
            status, value = trial.status, self.value(trial)
            if status in ("TERMINATED", "ERROR"):
                self._ended.add(number)
                if status == "ERROR":
                    self.failed.append(trial)
                if value is not None:
                    self._best_ended = self._better(self._best_ended, (value, trial))
                continue
            counts[status] = counts.get(status, 0) + 1
            if value is not None:
                alive.append((value, trial))
        best = self._best_ended
        for one in alive:
            best = self._better(best, one)
        self.best = best
        if self._ended:
            counts["TERMINATED"] = len(self._ended) - len(self.failed)
            counts["ERROR"] = len(self.failed)
        self.counts = {status: count for status, count in sorted(counts.items()) if count}

    def _better(self, best: tuple[float, Any] | None, one: tuple[float, Any]) -> tuple[float, Any]:
        return one if best is None or self.sign * one[0] > self.sign * best[0] else best

    def value(self, trial: Any) -> float | None:
        """The metric's last number; None without one, and for NaN."""
        if self.metric is None or not trial.last_result:
            return None
        result = trial.last_result
        value = number_of(result[self.metric] if self.metric in result else flattened(result).get(self.metric))
        return None if value is None or math.isnan(value) else value

    def states(self) -> str:
        return ", ".join(f"{count:,} {status.lower()}" for status, count in self.counts.items()) or "no trials yet"

    def best_text(self) -> str:
        if self.best is None:
            return ""
        value, trial = self.best
        chosen = ", ".join(f"{clean(name)}={clean(shown(v))}" for name, v in sorted(trial.evaluated_params.items()))
        return f"best {clean(self.metric)}={value:.6g} ({clean(trial.trial_id)}{': ' if chosen else ''}{chosen})"


class _Reporter(ProgressReporter):
    """``every_s`` apart at least."""

    def __init__(self, every_s: float) -> None:
        self._every, self._last, self._began = every_s, -math.inf, time.monotonic()
        self._standing = Standing(None, None)

    def setup(self, metric: str | None = None, mode: str | None = None, **info: Any) -> None:
        self._standing = Standing(metric, mode)
        self._began = time.monotonic()

    def should_report(self, trials: list[Any], done: bool = False) -> bool:
        now = time.monotonic()
        if not done and now - self._last < self._every:
            return False
        self._last = now
        return True


class LineReporter(_Reporter):
    """For pipes and logs: at most a line a second, and none when nothing has changed."""

    def __init__(self, every_s: float = 1.0, out: Any = None) -> None:
        super().__init__(every_s)
        self._out, self._said = out, ""

    def report(self, trials: list[Any], done: bool, *sys_info: str) -> None:
        self._standing.look(trials)
        parts = [self._standing.states(), self._standing.best_text(), *(_brief(info) for info in sys_info)]
        text = "; ".join(part for part in parts if part)
        if text == self._said and not done:
            return
        self._said = text
        print(f"tune: {time.monotonic() - self._began:.0f} s: {text}", file=self._out or sys.stdout, flush=True)


def _brief(info: str) -> str:
    """Of several lines that a scheduler says the first; where the results lie is said elsewhere."""
    return "" if info.startswith("Result logdir") else clean(info.splitlines()[0]) if info else ""


class LiveReporter(_Reporter):
    """A table that stays where it is: best so far, trials, what the scheduler says, resources, failures."""

    def __init__(self, every_s: float = 0.25, console: Any = None) -> None:
        super().__init__(every_s)
        self._console = console
        self._live: Live | None = None

    def report(self, trials: list[Any], done: bool, *sys_info: str) -> None:
        from rich.live import Live

        self._standing.look(trials)
        drawn = self.drawn(trials, *sys_info)
        if self._live is None:
            self._live = Live(drawn, console=self._console, auto_refresh=False, transient=False)
            self._live.start()
        self._live.update(drawn, refresh=True)
        if done:
            self._live.stop()
            self._live = None

    def drawn(self, trials: list[Any], *sys_info: str) -> Any:
        from rich.console import Group
        from rich.text import Text

        head = Text(f"{time.monotonic() - self._began:5.0f} s  ", style="dim")
        head.append(self._standing.states(), style="bold")
        lines: list[Any] = [head]
        if text := self._standing.best_text():
            lines.append(Text(text, style="green"))
        lines += [Text("\n".join(clean(line) for line in info.splitlines()), style="dim") for info in sys_info if info]
        lines.append(self._table(trials))
        for trial in self._standing.failed[-_FAILED:]:
            lines.append(Text(f"failed: {clean(str(trial))}, see {clean(trial.logdir)}/error.txt", style="red"))
        return Group(*lines)

    def _table(self, trials: list[Any]) -> Table:
        from rich.table import Table
        from rich.text import Text

        order = {status: place for place, status in enumerate(("RUNNING", "PAUSED", "PENDING"))}
        alive = [trial for trial in trials if trial.status in order]
        rows = sorted(alive, key=lambda trial: order[trial.status])[:_ROWS]
        if self._standing.best is not None and self._standing.best[1] not in rows:
            rows.insert(0, self._standing.best[1])
        parameters = sorted({name for trial in rows for name in trial.evaluated_params})[:6]
        made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        metric = self._standing.metric
        for name in ("trial", "status", "iteration", *([metric] if metric else []), *parameters):
            made.add_column(Text(clean(name)), no_wrap=True, overflow="ellipsis")
        for trial in rows:
            status, result = trial.status, trial.last_result or {}
            cells: list[Any] = [clean(trial.trial_id), Text(status.lower(), style=_SHOWN.get(status, ""))]
            cells.append(str(result.get("training_iteration", "")))
            if metric:
                value = self._standing.value(trial)
                cells.append("" if value is None else f"{value:.6g}")
            cells += [clean(shown(trial.evaluated_params.get(name, ""))) for name in parameters]
            made.add_row(*cells)
        if len(alive) > _ROWS:
            made.add_row(f"... {len(alive) - _ROWS:,} more")
        return made


def default_reporter() -> ProgressReporter:
    """A live table where there is a terminal, lines elsewhere."""
    if not (sys.stdout is not None and sys.stdout.isatty()):
        return LineReporter()
    try:
        from rich.console import Console
    except ModuleNotFoundError:  # on a node that has Daybreak's files alone
        return LineReporter()
    console = Console()
    return LiveReporter(console=console) if console.is_terminal and not console.is_dumb_terminal else LineReporter()
