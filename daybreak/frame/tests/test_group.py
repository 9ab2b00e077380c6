"""Group-by: the same bits as pandas, whatever the dtype, the threads and the chunks; and what ran is said."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import daybreak.frame as pd
from daybreak._core import frame as native
from daybreak.frame import seams

pytestmark = pytest.mark.usefixtures("always_native")


def same(ours: Any, theirs: Any) -> None:
    """Bits, dtypes, order, index, names."""
    assert type(ours) in (pd.DataFrame, pd.Series)
    theirs = type(ours)(theirs)
    (pandas.testing.assert_frame_equal if ours.ndim == 2 else pandas.testing.assert_series_equal)(
        ours, theirs, check_exact=True, check_index_type=True
    )
    for mine, other in zip(np.asarray(ours).ravel(), np.asarray(theirs).ravel(), strict=True):
        if isinstance(mine, float | np.floating):
            assert np.float64(mine).tobytes() == np.float64(other).tobytes() or (mine != mine and other != other)


FLOATS = st.one_of(
    st.floats(width=64),
    st.sampled_from([0.0, -0.0, float("nan"), float("inf"), -float("inf"), 1e308, 1e-320, 0.1, 0.3]),
)
INTS = {kind: (np.iinfo(kind).min, np.iinfo(kind).max) for kind in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")}


@st.composite
def columns(draw: Any, rows: int, narrow: bool) -> Any:
    kind = draw(st.sampled_from([*INTS, "f4", "f8", "?"] + ([] if narrow else ["M8[us]", "O"])))
    if kind == "O":
        return np.array(draw(st.lists(st.sampled_from(["a", "b", None]), min_size=rows, max_size=rows)), dtype=object)
    if kind == "?":
        return np.array(draw(st.lists(st.booleans(), min_size=rows, max_size=rows)))
    if kind.startswith("f"):
        return np.array(draw(st.lists(FLOATS, min_size=rows, max_size=rows)), dtype="f8").astype(kind)
    low, high = (0, 5) if kind.startswith("M8") or draw(st.booleans()) else INTS[kind]
    return np.array(draw(st.lists(st.integers(low, high), min_size=rows, max_size=rows)), dtype=kind)


@st.composite
def frames(draw: Any) -> dict[str, Any]:
    rows = draw(st.integers(0, 40))
    made = {"k": draw(columns(rows, narrow=False)), "j": draw(columns(rows, narrow=True))}
    for name in "vw":
        made[name] = draw(columns(rows, narrow=True))
    return made


@settings(max_examples=150, deadline=None)
@given(
    frames(),
    st.sampled_from(["sum", "prod", "mean", "min", "max", "var", "std", "count", "size", "first", "last"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([["k"], ["j"], ["k", "j"]]),
    st.sampled_from([1, 2, 3]),
    st.sampled_from([3, 1 << 16]),
)
@pytest.mark.filterwarnings("ignore")
def test_aggregates_are_pandas_to_the_bit(
    data: dict[str, Any], how: str, sort: bool, dropna: bool, keys: list[str], threads: int, rows: int
) -> None:
    native.deal(threads, rows)
    results = []
    for kind in (pandas, pd):
        groups = kind.DataFrame(data).groupby(keys, sort=sort, dropna=dropna)
        try:
            results.append(getattr(groups if how == "size" else groups[["v", "w"]], how)())
        except (TypeError, OverflowError, FloatingPointError) as error:
            results.append(f"{type(error).__name__}: {error}")
    if isinstance(results[0], str):
        assert results[1] == results[0]
    else:
        same(results[1], results[0])


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("step", [1, -1, 3])
def test_columns_lie_anyhow_in_memory(order: Any, step: int) -> None:
    block = np.asarray(np.random.default_rng(1).integers(0, 9, (3, 500)), order=order)[:, ::step]
    for sort in (True, False):
        theirs = pandas.DataFrame(block.T, columns=list("abc"), copy=False).groupby("a", sort=sort).sum()
        same(pd.DataFrame(block.T, columns=list("abc"), copy=False).groupby("a", sort=sort).sum(), theirs)


def test_keys_are_few_many_far_apart_and_at_the_ends() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=30_000)
    for keys in (
        rng.integers(0, 3, 30_000),
        rng.integers(-(2**62), 2**62, 30_000),
        rng.integers(0, 25_000, 30_000) * 1_000_003,
        rng.choice([-(2**63), 2**63 - 1, 0], 30_000),
        rng.choice(np.array([0, 2**64 - 1, 2**63], dtype="u8"), 30_000),
        rng.integers(-(2**63), -(2**63) + 60_000, 30_000),
        rng.integers(0, 20_000, 30_000) / 7,
    ):
        for sort in (True, False):
            for threads in (1, 2):
                native.deal(threads, 1000)
                data = {"k": keys, "v": values}
                same(
                    pd.DataFrame(data).groupby("k", sort=sort)["v"].sum(),
                    pandas.DataFrame(data).groupby("k", sort=sort)["v"].sum(),
                )


def test_what_ran_is_said() -> None:
    pd.reset()
    frame = pd.DataFrame({"k": [1, 2, 1], "s": ["a", "b", "a"], "v": [1.0, 2.0, 3.0]})
    frame.groupby("k")["v"].sum()
    frame.groupby("s")["v"].mean()
    said = pd.explain()
    assert said.native["groupby.sum"].rows == 3 and said.native["factorize"].calls >= 1
    assert ("factorize", "str values") in said.inherited
    assert "native" in str(said) and "pandas: str values" in str(said)


def test_plain_frames_are_left_alone() -> None:
    pd.reset()
    pandas.DataFrame({"k": [1, 2, 1], "v": [1.0, 2.0, 3.0]}).groupby("k")["v"].sum()
    assert not pd.explain().native and not pd.explain().inherited


def test_small_frames_are_pandas_own() -> None:
    seams.least_rows(seams.LEAST_ROWS)
    pd.reset()
    pd.DataFrame({"k": [1, 2, 1], "v": [1.0, 2.0, 3.0]}).groupby("k")["v"].sum()
    assert not pd.explain().native


def test_the_seams_have_the_arguments_that_pandas_gives() -> None:
    def names(function: Any) -> list[str]:
        return list(inspect.signature(function).parameters)

    assert names(seams._factorize_inherited) == ["values", "sort", "use_na_sentinel", "size_hint"]
    assert names(seams._cython_inherited) == ["kind", "how", "dtype", "is_numeric"]
    wanted = ["self", "values", "min_count", "ngroups", "comp_ids", "mask", "result_mask", "initial", "kwargs"]
    assert names(seams._call_inherited) == wanted
