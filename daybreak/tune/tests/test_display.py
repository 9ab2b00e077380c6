"""What is said while an experiment goes on."""

from __future__ import annotations

import io
import math
import subprocess
import sys
from typing import Any

from rich.console import Console

from daybreak.tune.display import LineReporter, LiveReporter, Standing


class Trial:
    def __init__(self, number: int, status: str, **result: Any) -> None:
        self.trial_id, self.status, self.last_result = f"t{number}", status, result
        self.evaluated_params = {"lr": 0.1 * number}
        self.logdir = f"/x/t{number}"

    def __str__(self) -> str:
        return self.trial_id


def test_the_best_so_far_stays_when_a_trial_falls_back_only_if_it_has_ended_and_nan_is_never_best() -> None:
    standing = Standing("score", "max")
    trials = [Trial(0, "RUNNING", score=5.0), Trial(1, "TERMINATED", score=3.0), Trial(2, "TERMINATED", score=math.nan)]
    standing.look(trials)
    assert standing.best is not None and standing.best[0] == 5.0
    trials[0].last_result = {"score": 1.0}
    standing.look(trials)
    assert standing.best == (3.0, trials[1])
    assert standing.states() == "1 running, 2 terminated"


def test_lines_come_when_something_has_changed_and_not_oftener_than_asked() -> None:
    out = io.StringIO()
    reporter = LineReporter(every_s=3600, out=out)
    reporter.setup(metric="score", mode="min")
    trials = [Trial(0, "RUNNING", score=5.0)]
    assert reporter.should_report(trials)
    reporter.report(trials, False, "", "Resources requested: 1/2 CPUs", "Result logdir: /x")
    assert not reporter.should_report(trials)
    assert reporter.should_report(trials, done=True)
    reporter.report(trials, False, "", "Resources requested: 1/2 CPUs", "Result logdir: /x")
    lines = out.getvalue().splitlines()
    assert len(lines) == 1, "the same is not said twice"
    assert lines[0].endswith("1 running; best score=5 (t0: lr=0); Resources requested: 1/2 CPUs")
    reporter.report([*trials, Trial(1, "ERROR")], True)
    assert "1 error, 1 running" in out.getvalue().splitlines()[1]


def test_the_live_table_shows_who_runs_the_best_and_what_failed_and_no_name_moves_the_cursor() -> None:
    shown = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)
    reporter = LiveReporter(console=shown)
    reporter.setup(metric="score", mode="max")
    trials = [Trial(i, "RUNNING", score=float(i), training_iteration=i) for i in range(20)]
    trials += [Trial(20, "ERROR"), Trial(21, "TERMINATED", score=99.0)]
    trials[0].evaluated_params = {"lr": "\x1b[2J"}
    reporter.report(trials, False, "Using FIFO", "Resources requested: 2/2 CPUs")
    reporter.report(trials, True, "Using FIFO", "Resources requested: 2/2 CPUs")
    text = shown.file.getvalue()  # type: ignore[attr-defined]
    assert "20 running" in text and "best score=99 (t21" in text and "failed: t20, see /x/t20/error.txt" in text
    assert "... 8 more" in text and "\x1b[2J" not in text


def test_an_experiment_loads_no_command_line_library() -> None:
    code = "import sys; from daybreak import tune; tune.Tuner; assert not {'typer', 'rich'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
