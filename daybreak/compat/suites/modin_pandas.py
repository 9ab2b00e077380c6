"""Modin's own tests of its pandas API with its Ray engine, where `import ray` is Daybreak.

With DAYBREAK_MODIN_ON=ray they run on Ray itself: what fails there, too, is no fault of ours. Left out is what needs a server of
S3 or of a database, and what the package does not bring (files beside its repository).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

REQUIREMENTS = [
    "modin==0.37.1",
    "pandas==2.3.3",
    "ray==2.60.0",
    "cloudpickle==3.1.3",
    "numpy==2.4.6",
    "pytest==9.2.0",
    "pytest-timeout==2.4.0",
    "fastparquet==2026.9.0",
    "lxml==6.1.3",
    "matplotlib==3.11.2",
    "openpyxl==3.1.5",
    "pyarrow==26.0.1",
    "scipy==1.17.1",
    "SQLAlchemy==2.1.9",
    "tables==3.11.1",
    "xlrd==2.0.2",
]
PACKAGE = "modin"
TESTS = [
    "-c",
    "/dev/null",
    "--rootdir=.",
    "--confcutdir=.",
    "--timeout=120",
    "tests/pandas/test_groupby.py",
    "tests/pandas/test_general.py",
    "tests/pandas/test_io.py",
    "tests/pandas/dataframe",
    "tests/pandas/test_series.py",
    "tests/core",
]
SAMPLE = 1200  # the list is of one in 400, which holds these
# Of a sample these alone: half a minute goes into collecting the others, more than a hundred thousand cases.
SAMPLED_OF_DATAFRAME = ("test_indexing.py", "test_join_sort.py", "test_map_metadata.py")
ENV = {"MODIN_ENGINE": "ray", "MODIN_CPUS": "2", "MODIN_NPARTITIONS": "2", "OMP_NUM_THREADS": "1"}

for name in ("boto3", "s3fs"):  # their conftest imports them; the tests that use them want a server
    sys.modules.setdefault(name, ModuleType(name))

if os.environ.get("DAYBREAK_MODIN_ON", "daybreak") != "ray":
    import daybreak.compat.ray

    daybreak.compat.ray.install()


def pytest_ignore_collect(collection_path: Path, config: Any) -> bool | None:
    is_sample = os.environ.get("DAYBREAK_SUITE_SAMPLE") == str(SAMPLE)
    if is_sample and collection_path.parent.name == "dataframe" and collection_path.name.startswith("test_"):
        return collection_path.name not in SAMPLED_OF_DATAFRAME or None
    return None


def pytest_collection_modifyitems(config: Any, items: Any) -> None:
    ours = [item for item in items if not {"s3_resource", "s3_storage_options"} & set(item.fixturenames)]
    config.hook.pytest_deselected(items=[item for item in items if item not in ours])
    items[:] = ours
