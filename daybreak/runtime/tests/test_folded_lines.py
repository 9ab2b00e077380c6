"""What several workers say at once is printed once and counted, at the latest when the program ends; nothing else is held back."""

from __future__ import annotations

import os
import re
import subprocess
import sys

PROGRAM = """
import daybreak
daybreak.init(num_cpus=0)
@daybreak.remote
class Member:
    def say(self, *lines):
        print(*lines, sep="\\n")
        return True
members = [Member.remote() for _ in range(3)]
assert all(daybreak.get([member.say.remote("loading", f"shard {i}") for i, member in enumerate(members)]))
assert all(daybreak.get([members[0].say.remote("tick") for _ in range(3)]))
"""


def said(**variables: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={**os.environ, **variables}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return [re.sub(r"pid=\d+", "pid=P", line) for line in done.stdout.splitlines()]


def test_equal_lines_of_three_actors_are_one_and_a_count() -> None:
    lines = said(RAY_DEDUP_LOGS_AGG_WINDOW_S="600")
    assert lines.count("(Member pid=P) loading") == 1
    assert lines.count("(Member) loading [repeated 2x by 2 other processes; RAY_DEDUP_LOGS=0 shows each]") == 1
    assert all(lines.count(f"(Member pid=P) shard {i}") == 1 for i in range(3))
    assert lines.count("(Member pid=P) tick") == 3 and len(lines) == 8


def test_each_is_shown_when_that_is_asked_for() -> None:
    lines = said(RAY_DEDUP_LOGS="0")
    assert lines.count("(Member pid=P) loading") == 3 and len(lines) == 9


def test_a_window_that_is_no_time_is_refused_by_name() -> None:
    program = "import daybreak\ntry: daybreak.init(num_cpus=1)\nexcept ValueError as error: print(error)"
    for window in ("0", "-1", "soon", "1e9"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "RAY_DEDUP_LOGS_AGG_WINDOW_S": window}, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert f"RAY_DEDUP_LOGS_AGG_WINDOW_S={window!r}" in done.stdout, done.stdout + done.stderr
