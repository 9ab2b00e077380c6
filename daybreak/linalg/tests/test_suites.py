"""A part of numpy's own tests of numpy.linalg over ours; `./dev test --suite=numpy_linalg --whole` runs all of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import suite

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.timeout(300)
def test_numpys_own_tests_pass_but_for_those_listed() -> None:
    found = suite.Suite.of(suite.suites_of(ROOT)["numpy_linalg"])
    outcome = suite.run(found, whole=False, options=[])
    problems = outcome.problems(suite.read_list(found.failures), whole=False)
    assert not problems, "\n".join(problems)
    assert len(outcome.passed) >= 100
