"""Modin with its Ray engine on our runtime, in an environment of its own: a program beside pandas, and some of its own tests."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from bench.peers import Peer, PeerError
from tools import suite

ROOT = Path(__file__).resolve().parents[3]


def modin() -> tuple[suite.Suite, str]:
    found = suite.Suite.of(suite.suites_of(ROOT)["modin_pandas"])
    try:
        return found, Peer.of(found.path).python()
    except PeerError as error:
        pytest.skip(f"Modin cannot be installed here: {error}")


@pytest.mark.timeout(600)
def test_modin_reads_groups_merges_applies_and_writes_as_pandas_does(tmp_path: Path) -> None:
    found, python = modin()
    (tmp_path / "daybreak-alone").mkdir()
    (tmp_path / "daybreak-alone" / "daybreak").symlink_to(ROOT / "daybreak")
    done = subprocess.run(
        [python, "-P", str(Path(__file__).with_name("programs") / "modin_frames.py"), str(tmp_path)],
        env={**os.environ, **Peer.of(found.path).environment, "PYTHONPATH": str(tmp_path / "daybreak-alone")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("the same as pandas\n")


@pytest.mark.timeout(900)
def test_modins_own_tests_pass_but_for_those_that_fail_on_ray_too() -> None:
    found, _ = modin()
    outcome = suite.run(found, whole=False, options=[])
    problems = outcome.problems(suite.read_list(found.failures), whole=False)
    assert not problems, "\n".join(problems)
    assert len(outcome.passed) > 20
