"""What test_modin.py runs in an environment that has Modin: each result beside pandas's own."""

import sys
from pathlib import Path
from typing import Any

from daybreak.compat import ray as alias

alias.install()

import modin.config  # noqa: E402
import modin.pandas as pd  # noqa: E402
import numpy as np  # noqa: E402
import pandas  # noqa: E402
import ray  # noqa: E402

from daybreak import is_initialized  # noqa: E402


def frame(rows: int) -> pandas.DataFrame:
    draw = np.random.default_rng(7)
    return pandas.DataFrame(
        {
            "key": draw.integers(0, 11, rows),
            "x": draw.normal(size=rows),
            "when": pandas.date_range("2020-01-01", periods=rows, freq="min"),
            "kind": pandas.Categorical.from_codes(draw.integers(0, 3, rows), ["a", "b", "c"]),
            "text": [f"wörd {i % 13}" if i % 17 else None for i in range(rows)],
        }
    )


def same(ours: Any, theirs: Any) -> None:
    ours = ours._to_pandas() if hasattr(ours, "_to_pandas") else ours
    check = (
        pandas.testing.assert_series_equal if isinstance(theirs, pandas.Series) else pandas.testing.assert_frame_equal
    )
    check(ours, theirs)


def main(folder: Path) -> None:
    modin.config.NPartitions.put(6)
    expected = frame(2000)
    expected.to_csv(folder / "a.csv", index=False)
    expected.to_parquet(folder / "a.parquet")
    same(pd.read_csv(folder / "a.csv"), pandas.read_csv(folder / "a.csv"))
    same(pd.read_parquet(folder / "a.parquet"), pandas.read_parquet(folder / "a.parquet"))
    made = pd.DataFrame(expected)
    assert made._query_compiler._modin_frame._partitions.shape[0] > 1
    same(made.groupby("key")["x"].sum(), expected.groupby("key")["x"].sum())
    statistics = {"x": ["mean", "max", "count"]}
    same(
        made.groupby(["key", "kind"], observed=True).agg(statistics),
        expected.groupby(["key", "kind"], observed=True).agg(statistics),
    )
    right = pandas.DataFrame({"key": range(0, 11, 2), "weight": range(6)})
    for how in ("inner", "left"):
        same(made.merge(pd.DataFrame(right), on="key", how=how), expected.merge(right, on="key", how=how))
    same(
        made.apply(lambda row: row["x"] * row["key"], axis=1), expected.apply(lambda row: row["x"] * row["key"], axis=1)
    )
    same(made.sort_values(["key", "x"]), expected.sort_values(["key", "x"]))
    same(made[made.x > 0].describe(), expected[expected.x > 0].describe())
    same(pd.concat([made, made]).reset_index(drop=True), pandas.concat([expected, expected]).reset_index(drop=True))
    same(made.pivot_table("x", "key", "kind", observed=False), expected.pivot_table("x", "key", "kind", observed=False))
    same(made.text.str.upper(), expected.text.str.upper())
    made.to_csv(folder / "b.csv", index=False)
    assert (folder / "b.csv").read_bytes() == (folder / "a.csv").read_bytes()
    try:
        made.apply(lambda row: 1 // (row["key"] - 3), axis=1)._to_pandas()
    except ZeroDivisionError as error:
        assert isinstance(error, ray.exceptions.RayTaskError)
    else:
        raise AssertionError("a row's error did not arrive")
    try:
        made.modin.to_ray()
    except RuntimeError as error:
        assert str(error).startswith("Daybreak has no ray.data.from_pandas_refs: ")
    else:
        raise AssertionError("there is no ray.data")
    assert is_initialized()  # it was us
    print("the same as pandas")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
