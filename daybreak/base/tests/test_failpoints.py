"""Failpoints of Python and of the core, in one registry."""

from __future__ import annotations

import subprocess
import sys

import pytest

from daybreak.base import failpoints

SCRIPT = """
import sys
from daybreak.base import failpoints
failpoints.arm(sys.argv[1], int(sys.argv[2]))
for name in ("a.one", "b.two", "a.three"):
    failpoints.failpoint(name)
    print(name, flush=True)
"""


@pytest.mark.parametrize(
    ("prefix", "countdown", "passed"),
    [("a.", 1, []), ("a.", 2, ["a.one", "b.two"]), ("", 2, ["a.one"]), ("c.", 1, ["a.one", "b.two", "a.three"])],
)
def test_an_armed_process_is_killed_at_that_point(prefix: str, countdown: int, passed: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, prefix, str(countdown)], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.stdout.split() == passed
    assert ended.returncode == (0 if len(passed) == 3 else -9), ended.stderr


def test_points_are_watched_inside_the_block_only() -> None:
    failpoints.failpoint("a.before")
    with failpoints.watched("a.") as passed:
        failpoints.failpoint("a.one")
        failpoints.failpoint("b.two")
    failpoints.failpoint("a.after")
    assert passed == ["a.one"]
    with pytest.raises(ValueError, match="broken"), failpoints.watched() as passed:
        failpoints.failpoint("b.two")
        raise ValueError("broken")
    assert passed == ["b.two"]
