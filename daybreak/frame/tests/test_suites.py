"""One in eight of pandas' own tests over ours; `./dev test --suite=pandas_own --whole` runs all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import suite

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.timeout(600)
def test_pandas_own_tests_pass_but_for_those_listed() -> None:
    found = suite.Suite.of(suite.suites_of(ROOT)["pandas_own"])
    outcome = suite.run(found, whole=False, options=[])
    problems = outcome.problems(suite.read_list(found.failures), whole=False)
    assert not problems, "\n".join(problems)
    assert len(outcome.passed) >= 8_000
