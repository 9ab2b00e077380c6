"""Lithops' own tests (its wheel has them) with Daybreak as their compute back end, monitoring and storage.

Left out: the tests of its other back ends, of its command line and of classes that never meet a back end.
"""

from __future__ import annotations

import os
import tempfile

from daybreak.map import lithops_backend

REQUIREMENTS = [
    "lithops==3.8.0",
    "pytest==9.2.0",
    "pytest-timeout==2.4.0",
    "numpy==2.4.6",
    "cloudpickle==3.1.2",
]
PACKAGE = "lithops"
TESTS = [
    "-c",
    "/dev/null",
    "--rootdir=.",
    "-W",
    "ignore",
    "--timeout=120",
    "--backend=daybreak",
    "--storage=daybreak",
    "tests/test_call_async.py",
    "tests/test_map.py",
    "tests/test_map_reduce.py",
    "tests/test_retries.py",
    "tests/test_concurrent_futures.py",
    "tests/test_storage.py",
]
SAMPLE = 1
ENV = {"OMP_NUM_THREADS": "1"}

os.environ["HOME"] = tempfile.mkdtemp(prefix="daybreak-lithops-")  # no configuration of whoever runs this counts
lithops_backend.install()
