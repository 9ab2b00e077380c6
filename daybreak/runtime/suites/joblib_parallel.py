"""joblib's own tests of Parallel with our backend in the place of loky's, which is joblib's default."""

from __future__ import annotations

from typing import Any

import joblib._parallel_backends
import joblib.parallel
import pytest
from daybreak.util.joblib.ray_backend import RayBackend

PACKAGE = "joblib"
TESTS = ["-c", "/dev/null", "--rootdir=.", "--confcutdir=.", "test/test_parallel.py"]
SAMPLE = 12


class Tested(RayBackend):
    default_n_jobs = 1  # as loky's


Tested.__name__ = "LokyBackend"
joblib.parallel.BACKENDS["loky"] = Tested
joblib._parallel_backends.LokyBackend = Tested


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: Any, items: Any) -> None:
    """Without what has to do with other backends only."""
    others = ("threading", "multiprocessing", "spawn", "sequential")
    ours = [item for item in items if "loky" in item.nodeid or not any(name in item.nodeid for name in others)]
    config.hook.pytest_deselected(items=[item for item in items if item not in ours])
    items[:] = ours
