"""pandas' own tests, from its wheel, with our classes and functions in the place of its own."""

from __future__ import annotations

import pandas
import pandas._testing
import pandas.io.parsers

from daybreak.frame import bridge

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
