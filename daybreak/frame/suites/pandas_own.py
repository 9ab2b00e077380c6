"""pandas' own tests, from its wheel, with our classes and functions in the place of its own.

DAYBREAK_FRAME_FORCED=1: kernels run from the first row on, 3 rows at a time in 2 threads."""

from __future__ import annotations

import os

import pandas
import pandas._testing
import pandas.io.parsers

from daybreak._core import frame as native
from daybreak.frame import bridge, seams

PACKAGE = "pandas"
TESTS = [
    "-c",
    "/dev/null",
    "--rootdir=.",
    "--confcutdir=.",
    "-W",
    "ignore",
    "--no-strict-data-files",  # the wheel lacks them
    "-m",
    "not slow and not single_cpu and not db and not network",
    "tests/reshape/merge",
    "tests/groupby",
    "tests/frame/methods",
    "tests/series/methods",
    "tests/io/parser",
    "tests/window",
    "tests/strings",
    "tests/copy_view",
    "tests/indexing",
    "tests/tools",
    "tests/resample",
    "tests/reductions",
]
SAMPLE = 8  # all of it takes a quarter of an hour
ENV = {"OMP_NUM_THREADS": "1"}

bridge.take_names()
pandas._testing.DataFrame = pandas.DataFrame  # type: ignore[attr-defined]  # which its fixtures compare by `is`
for _name in ("read_csv", "read_fwf", "read_table"):
    setattr(pandas.io.parsers, _name, getattr(pandas, _name))  # where some of its tests take them from
if os.environ.get("DAYBREAK_FRAME_FORCED") == "1":
    seams.least_rows(0)
    native.deal(2, 3)
