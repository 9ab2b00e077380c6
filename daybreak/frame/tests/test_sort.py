"""Sorting and taking rows: what pandas' stable sort gives, whatever the dtype, the threads and the chunks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import daybreak.frame as pd
from daybreak._core import frame as native
from daybreak.frame.tests.test_group import frames, same

pytestmark = pytest.mark.usefixtures("always_native")


@settings(max_examples=150, deadline=None)
@given(
    frames(), st.sampled_from("kjvw"), st.booleans(), st.sampled_from(["first", "last"]), st.sampled_from([1, 2, 3]),
    st.sampled_from([3, 1 << 16]),
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_frames_and_series_are_sorted_as_pandas_sorts_stably(
    data: dict[str, Any], by: str, ascending: bool, na_position: Any, threads: int, rows: int
) -> None:
    native.deal(threads, rows)
    options: dict[str, Any] = {"ascending": ascending, "na_position": na_position, "kind": "stable"}
    results = []
    for kind in (pandas, pd):
        frame = kind.DataFrame(data)
        try:
            results.append([frame.sort_values(by, **options), frame[by].sort_values(**options)])
        except TypeError as error:
            results.append([str(error)])
    for theirs, ours in zip(*results, strict=True):
        if isinstance(theirs, str):
            assert ours == theirs
        else:
            same(ours, theirs)


@settings(max_examples=100, deadline=None)
@given(frames(), st.data())
@pytest.mark.filterwarnings("ignore")
def test_rows_are_taken_as_pandas_takes_them(data: dict[str, Any], more: Any) -> None:
    plain, ours = pandas.DataFrame(data), pd.DataFrame(data)
    mask = np.array(more.draw(st.lists(st.booleans(), min_size=len(plain), max_size=len(plain))), dtype=bool)
    same(ours[mask], plain[mask])
    same(ours["v"][mask], plain["v"][mask])
    if len(plain):
        places = more.draw(st.lists(st.integers(-len(plain), len(plain) - 1), max_size=50))
        same(ours.take(places), plain.take(places))
        labels = more.draw(st.lists(st.integers(-3, len(plain) + 3), max_size=50))
        same(ours.reindex(labels), plain.reindex(labels))  # what is not there is NaN, and changes the dtype


@pytest.mark.parametrize("rows", [0, 1, 4095, 4096, 50_000])
def test_long_columns_of_all_kinds(rows: int) -> None:
    rng = np.random.default_rng(rows)
    values = {
        "few": rng.integers(0, 3, rows),
        "wide": rng.integers(-(2**63), 2**63 - 1, rows),
        "ends": rng.choice([-(2**63), 2**63 - 1, 0, -1], rows),
        "big": rng.choice(np.array([0, 2**64 - 1, 2**63, 2**63 - 1], dtype="u8"), rows),
        "real": np.where(rng.random(rows) < 0.1, np.nan, rng.normal(size=rows)),
        "odd": rng.choice([0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, -1e308], rows),
        "single": rng.normal(size=rows).astype("f4"),
        "sorted": np.arange(rows),
        "same": np.zeros(rows),
    }
    for name, column in values.items():
        for ascending in (True, False):
            data = {"k": column, "n": np.arange(rows)}
            same(
                pd.DataFrame(data).sort_values("k", ascending=ascending, kind="stable"),
                pandas.DataFrame(data).sort_values("k", ascending=ascending, kind="stable"),
            )
        assert name


def test_equal_values_stay_in_their_order_also_without_being_asked() -> None:
    frame = pd.DataFrame({"k": np.zeros(1000), "n": np.arange(1000)})
    assert frame.sort_values("k")["n"].tolist() == list(range(1000))
    assert frame.sort_values("k", ascending=False)["n"].tolist() == list(range(1000))


def test_what_was_sorted_and_taken_is_said() -> None:
    pd.reset()
    frame = pd.DataFrame({"k": [3, 1, 2], "s": ["c", "a", "b"]})
    frame.sort_values("k")
    frame.sort_values("s")
    said = pd.explain()
    assert said.native["sort"].rows == 3 and said.native["take"].calls >= 1 and ("sort", "str values") in said.inherited
