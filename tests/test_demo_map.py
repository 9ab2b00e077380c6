"""`daybreak demo map --check` as a process, with its files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Output and folder of one run of the demo."""
    folder = tmp_path_factory.mktemp("demo")
    out = folder / "out"
    command = [sys.executable, "-m", "daybreak.cli", "demo", "map", "--check", "--out", str(out)]
    environment = {**os.environ, "DAYBREAK_MAP_DIR": str(folder / "kept")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, out


def test_each_step_is_a_line_and_none_fails(shown: tuple[str, Path]) -> None:
    lines = shown[0].splitlines()
    assert [line.startswith("ok ") for line in lines[:7]] == [True] * 7, shown[0]
    assert lines[-2].startswith("Shown: ") and lines[-1].startswith("Next: ")


def test_a_worker_was_killed_and_every_pipeline_was_fitted(shown: tuple[str, Path]) -> None:
    result = json.loads((shown[1] / "result.json").read_text())
    assert result["passed"] and result["attempts"] == 31 and result["accuracy"] >= 0.95


def test_the_pictures_are_there(shown: tuple[str, Path]) -> None:
    for name in ("accuracy.png", "timeline.png"):
        assert (shown[1] / name).read_bytes().startswith(b"\x89PNG")
    assert (shown[1] / "killed").exists()
