"""Optuna's own tests over ours, whole, and a part of scikit-learn's, in environments of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.peers import PeerError
from tools import suite

ROOT = Path(__file__).resolve().parents[3]
LARGE = {"tune_lightning"}  # torch, which takes minutes to install: `./dev test --suite=tune_lightning`
SUITES = sorted({path.stem for path in (ROOT / "daybreak/tune/suites").glob("*.py")} - LARGE)

LEAST = {
    "optuna_samplers": 1500,
    "optuna_storages": 100,
    "sklearn_search": 25,
    "tune_tools": 7,
}  # passed, of what is run here


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SUITES)
def test_other_peoples_tests_pass_but_for_those_listed(name: str) -> None:
    found = suite.Suite.of(suite.suites_of(ROOT)[name])
    whole = found.sample == 1
    try:
        outcome = suite.run(found, whole=whole, options=[])
    except PeerError as error:
        pytest.skip(f"{name}: its packages cannot be installed here: {error}")
    problems = outcome.problems(suite.read_list(found.failures), whole=whole)
    assert not problems, "\n".join(problems)
    assert len(outcome.passed) >= LEAST.get(name, 1)
    print(f"{name}: {len(outcome.passed)} passed, {len(outcome.skipped)} skipped")
