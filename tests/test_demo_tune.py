"""`daybreak demo tune --check` as a process, with its files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from daybreak import rl, track


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Output and folder of one run of the demo."""
    out = tmp_path_factory.mktemp("demo") / "out"
    command = [sys.executable, "-m", "daybreak.cli", "demo", "tune", "--check", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    logs = "".join(log.read_text()[-3000:] for log in out.glob("*.log"))
    assert done.returncode == 0, done.stdout + done.stderr + logs
    return done.stdout, out


def test_each_step_is_a_line_and_none_fails(shown: tuple[str, Path]) -> None:
    lines = shown[0].splitlines()
    assert len(lines) == 10 and all(line.startswith("ok ") for line in lines[:-2]), shown[0]
    assert lines[-2].startswith("Shown: ") and lines[-1].startswith("Next: ")


def test_the_search_was_killed_and_no_trial_was_lost_or_run_twice(shown: tuple[str, Path]) -> None:
    result = json.loads((shown[1] / "result.json").read_text())
    assert result["passed"] and result["trials"] == 12 and result["resumed"] >= 1 and result["copies"] >= 1
    assert result["mean_return"] >= 195


def test_the_best_policy_and_its_run_are_there_and_so_are_the_pictures(shown: tuple[str, Path]) -> None:
    out = shown[1]
    result = json.loads((out / "result.json").read_text())
    assert rl.Policy.load(out / "policy").compute_action([0.0, 0.0, 0.0, 0.0]) in (0, 1)
    track.init(out / "experiments" / "runs")
    run = track.find(result["run"])
    assert run.params["lr"] == result["best"]["lr"] and run.status == "finished"
    page = (out / "search.html").read_text()
    assert page.count("<svg") >= 10 and "Learning curves" in page and "Pareto" not in page
    assert (out / "search.png").read_bytes().startswith(b"\x89PNG")
