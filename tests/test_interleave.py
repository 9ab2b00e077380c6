"""The interleaver's own tools: what it plants is where it says, and a run replays exactly."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "build" / "dev" / "daybreak" / "runtime" / "daybreak_runtime_interleave"


def tool():
    spec = importlib.util.spec_from_file_location("interleave_tool", ROOT / "tools" / "interleave.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_bug_to_plant_is_where_it_says():
    bugs = tool().planted_bugs()
    assert len(bugs) >= 12
    assert tool().misplaced(bugs) == []


def test_a_run_replays_exactly():
    if not PROGRAM.exists():
        pytest.skip("the interleaver is built by ./dev test --interleave")
    command = [str(PROGRAM), "--replay=objects-killed:pct:c11:4:77"]
    first, second = (subprocess.run(command, capture_output=True, text=True, timeout=60) for _ in range(2))
    assert first.returncode == 0, first.stdout
    assert "steps" in first.stdout and first.stdout == second.stdout


def test_a_broken_protocol_is_noticed():
    if not PROGRAM.exists():
        pytest.skip("the interleaver is built by ./dev test --interleave")
    place = next(
        n
        for n, line in enumerate((ROOT / "daybreak/runtime/queue.cc").read_text().splitlines(), 1)
        if "seen, item_of(index, generation" in line
    )
    command = [str(PROGRAM), "--program=queue", "--seconds=20", f"--mutate=tear:queue.cc:{place}:0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 3, done.stdout
