"""A part of CPython's tests of concurrent.futures and of joblib's of Parallel, over ours; `./dev test --suite=NAME --whole` runs
all. What fails and why is listed beside the suite."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from tools import suite

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("name", ["cpython_futures", "joblib_parallel"])
def test_other_peoples_tests_pass_but_for_those_listed(name: str) -> None:
    found = suite.Suite.of(suite.suites_of(ROOT)[name])
    if found.package == "test":
        [there] = importlib.util.find_spec("test").submodule_search_locations  # type: ignore[union-attr, misc]
        places = [Path(there), Path(f"/usr/lib/python{sys.version_info.major}.{sys.version_info.minor}/test")]
        if not any((place / found.tests[0]).exists() for place in places):
            pytest.skip("Python's own tests are not here; Debian 12 has them in libpython3.11-testsuite")
    outcome = suite.run(found, whole=False, options=["--timeout=120"])
    problems = outcome.problems(suite.read_list(found.failures), whole=False)
    assert not problems, "\n".join(problems)
    assert len(outcome.passed) > 5
