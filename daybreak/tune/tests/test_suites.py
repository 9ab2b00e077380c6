"""Optuna's own tests over ours, whole, in an environment of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.peers import PeerError
from tools import suite

ROOT = Path(__file__).resolve().parents[3]
SUITES = sorted(path.stem for path in (ROOT / "daybreak/tune/suites").glob("*.py"))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SUITES)
def test_optunas_own_tests_pass_whole(name: str) -> None:
    found = suite.Suite.of(suite.suites_of(ROOT)[name])
    try:
        outcome = suite.run(found, whole=True, options=[])
    except PeerError as error:
        pytest.skip(f"Optuna cannot be installed here: {error}")
    problems = outcome.problems(suite.read_list(found.failures), whole=True)
    assert not problems, "\n".join(problems)
    assert len(outcome.passed) > 50
    print(f"{name}: {len(outcome.passed)} passed, {len(outcome.skipped)} skipped")
