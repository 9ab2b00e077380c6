"""For all tests: Ctrl-C reaches what they start, also where SIGINT is ignored (a background job, some CI): a process begins with
what its parent ignores, and takes no handler of it. Runs do not write the code of this repository down (a private ref each)
unless a test asks for it, and no module leaves the runtime running for the next one."""

import os
import signal
import sys
from collections.abc import Iterator

import pytest

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.setdefault("DAYBREAK_TRACK_CAPTURE", "0")
collect_ignore_glob = [
    "daybreak/tune/optuna/*",  # needs optuna: a suite of its own runs its tests
    "daybreak/tune/integration/*",  # need xgboost, MLflow and others: as well
    "daybreak/map/lithops_backend/*",  # needs Lithops
    "daybreak/map/tests/clouds/*",  # and servers
    "daybreak/*/suites/*",
    "daybreak/*/tests/programs/*",
]  # for environments of their own (tools/suite.py)


@pytest.fixture(autouse=True, scope="module")
def _runtime_ends_with_its_module() -> Iterator[None]:
    yield
    daybreak = sys.modules.get("daybreak")
    if daybreak is not None and "daybreak.runtime.session" in sys.modules and daybreak.is_initialized():
        daybreak.shutdown()
