"""A sample of Lithops' own tests on our engine. Ours against real servers: `./dev test --suite=map_clouds`, and map_workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.peers import PeerError
from tools import suite

ROOT = Path(__file__).resolve().parents[3]
LEAST = {"lithops": 30}  # passed, of what is run here


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", sorted(LEAST))
def test_other_peoples_tests_pass_but_for_those_listed(name: str) -> None:
    found = suite.Suite.of(suite.suites_of(ROOT)[name])
    whole = found.sample == 1
    try:
        outcome = suite.run(found, whole=whole, options=[])
    except PeerError as error:
        pytest.skip(f"{name}: its packages cannot be installed here: {error}")
    problems = outcome.problems(suite.read_list(found.failures), whole=whole)
    assert not problems, "\n".join(problems)
    assert len(outcome.passed) >= LEAST[name]
    print(f"{name}: {len(outcome.passed)} passed, {len(outcome.skipped)} skipped")
