"""The whole way that a newcomer goes: `daybreak demo pong --check`, as a process, with its files."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from daybreak import rl
from daybreak.demo import games

DEMO = [sys.executable, "-m", "daybreak.cli", "demo", "pong"]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Output and folder of one run of the demo."""
    out = tmp_path_factory.mktemp("demo") / "out"
    done = subprocess.run([*DEMO, "--check", "--out", str(out)], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, out


def test_check_says_a_line_a_step_and_two_at_the_end(shown: tuple[str, Path]) -> None:
    output, out = shown
    lines = output.splitlines()
    assert len(lines) == 9, output
    assert all(line.startswith("ok ") for line in lines[:-2])
    assert lines[-2].startswith("Shown: ") and lines[-1].startswith("Next: ")
    assert str(out / "match.gif") in lines[-1]


def test_result_holds_what_was_asked_for_and_found(shown: tuple[str, Path]) -> None:
    result = json.loads((shown[1] / "result.json").read_text())
    assert result["passed"] is True
    assert result["episodes"] == 200 and result["workers"] == 2
    assert result["trained_mean"] >= 10 * result["random_mean"]
    assert 40 < result["random_mean"] < 80
    assert 0.6 <= result["win_rate"] <= 1
    assert 0 < result["train_seconds"] < 240
    assert 100_000 < result["policy_steps"] <= result["steps"] <= 5_100_000
    checks = {check["name"]: check for check in result["checks"]}
    assert {"train", "policy_file", "mean_return", "win_rate", "pictures"} <= set(checks)
    assert all(check["passed"] is True and check["seconds"] >= 0 for check in checks.values())


def test_pictures_can_be_seen_and_are_small(shown: tuple[str, Path]) -> None:
    with Image.open(shown[1] / "match.gif") as gif:
        assert gif.n_frames >= 60 and gif.width >= 400
    with Image.open(shown[1] / "learning_curve.png") as png:
        assert png.width >= 800
    for name in ("match.gif", "learning_curve.png"):
        assert 10_000 < (shown[1] / name).stat().st_size < 1_000_000


def test_the_policy_file_plays_as_well_as_the_result_says(shown: tuple[str, Path]) -> None:
    policy = rl.Policy.load(shown[1] / "policy.safetensors")
    result = json.loads((shown[1] / "result.json").read_text())
    played = games.play_policy(policy, 200, seed=1_000_000)
    assert played.mean == result["trained_mean"] and played.win_rate == result["win_rate"]
    assert policy.compute_action(np.full(8, 0.5, np.float32)) in (0, 1, 2)


def test_too_little_training_fails_the_check_and_says_so(tmp_path: Path) -> None:
    command = [*DEMO, "--check", "--out", str(tmp_path), "--max-steps", "16384", "--episodes", "20"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAIL" in done.stdout and "Not reached: train, " in done.stdout
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["passed"] is False and result["steps"] == 16384


def test_ctrl_c_ends_it_cleanly_on_a_terminal(tmp_path: Path) -> None:
    """On a terminal of its own: the bar is shown, Ctrl-C ends it with 130, and no process of it is left."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [*DEMO, "--out", str(tmp_path)],
        stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )  # fmt: skip
    os.close(terminal)
    shown = b""
    interrupted = False
    while True:
        try:
            part = os.read(controller, 65536)
        except OSError:  # the terminal's other side is closed
            break
        if not part:
            break
        shown += part
        if not interrupted and b"steps/s" in shown:
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
            interrupted = True
    assert process.wait(timeout=60) == 130, shown.decode(errors="replace")
    assert interrupted and b"stopped" in shown and b"Traceback" not in shown
    assert not (tmp_path / "result.json").exists()
    assert _group_is_empty(process.pid), "processes of the demo are left"
    os.close(controller)


def _group_is_empty(group: int, seconds: float = 10) -> bool:
    """Zombies and all, processes of the group are gone within `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False
