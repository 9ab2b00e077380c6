"""What is kept comes back as it was, or is refused: frames, arrays and tables of every kind, at random and by name."""

from __future__ import annotations

import datetime
import os
import zoneinfo
from pathlib import Path
from typing import Any

import dateutil.tz
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from daybreak import track
from daybreak.store import Store

FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


def same(a: pd.DataFrame, b: pd.DataFrame, *, freq: bool = True) -> None:
    pd.testing.assert_frame_equal(
        a, b, check_exact=True, check_column_type="exact", check_index_type="exact", check_freq=freq, check_flags=True
    )
    assert a.attrs == b.attrs and list(a.columns) == list(b.columns)
    for x, y in zip(a.dtypes, b.dtypes, strict=True):
        assert x == y
    for column in range(a.shape[1]):  # what is missing is missing in the same way
        if str(a.dtypes.iloc[column]) == "object":
            left, right = a.iloc[:, column].tolist(), b.iloc[:, column].tolist()
            assert [type(value) for value in left] == [type(value) for value in right]


def kept(store: Store, frame: pd.DataFrame) -> bool:
    """Whether it was kept, and then as it was; False when it was refused, with words."""
    try:
        stored = store.put(frame)
    except (TypeError, ValueError) as refused:
        assert len(str(refused)) > 20
        return False
    same(frame, store.load(stored.id))
    half = len(frame) // 2
    same(frame.iloc[half:], store.rows(stored.id, half, len(frame)), freq=False)
    return True


LABELS = st.one_of(
    st.sampled_from(
        ["loss", "loss/valid", "text", "text/bytes", "text/offsets", "text/gone", "loss/categories", "loss%2Fvalid", "index", "s/x",
         "i/0", "/", "%", "", " ", "ü", "a.b", "__metadata__", "daybreak.x", "track.kind"]
    ),
    st.text(max_size=6),
    st.integers(-3, 3),
)  # fmt: skip
WORDS = st.one_of(
    st.text(st.characters(exclude_categories=()), max_size=5), st.sampled_from(["", "nan", "None", "\x00"])
)
ZONES = ["UTC", "Europe/Berlin", "America/St_Johns", "+05:30", datetime.UTC, zoneinfo.ZoneInfo("Asia/Tokyo"),
         datetime.timezone(datetime.timedelta(hours=-3)), dateutil.tz.gettz("Europe/Berlin"), dateutil.tz.tzutc(),
         dateutil.tz.tzoffset("x", 3600), dateutil.tz.tzlocal()]  # fmt: skip


@st.composite
def columns(draw: st.DrawFn, rows: int) -> Any:
    kind = draw(st.sampled_from(["numpy", "time", "zoned", "category", "masked", "object", "str", "string", "odd"]))
    if kind == "numpy":
        dtype = draw(
            st.one_of(hnp.boolean_dtypes(), hnp.integer_dtypes(), hnp.floating_dtypes(), hnp.complex_number_dtypes())
        )
        return pd.Series(draw(hnp.arrays(dtype, rows)))
    if kind == "time":
        unit, letter = draw(st.sampled_from(["s", "ms", "us", "ns"])), draw(st.sampled_from("mM"))
        return pd.Series(
            draw(hnp.arrays(np.int64, rows, elements=st.integers(-(2**40), 2**40))).view(f"{letter}8[{unit}]")
        )
    if kind == "zoned":
        moments = pd.DatetimeIndex(draw(hnp.arrays(np.int64, rows, elements=st.integers(0, 2**31))).view("M8[s]"))
        return pd.Series(moments.tz_localize("UTC").tz_convert(draw(st.sampled_from(ZONES))))
    if kind == "category":
        kinds = draw(
            st.sampled_from([["a", "b"], [1, 2, 3], [1.5, -0.0], [True, False], pd.to_datetime(["2020", "2021"])])
        )
        codes = draw(hnp.arrays(np.int8, rows, elements=st.integers(-1, len(kinds) - 1)))
        return pd.Series(pd.Categorical.from_codes(codes, kinds, ordered=draw(st.booleans())))
    if kind == "masked":
        name = draw(st.sampled_from(["Int8", "UInt64", "Int64", "Float32", "Float64", "boolean"]))
        values = draw(hnp.arrays({"boolean": "bool"}.get(name, name.lower()), rows))
        mask = draw(hnp.arrays(bool, rows))
        made = {
            "I": pd.arrays.IntegerArray,
            "U": pd.arrays.IntegerArray,
            "F": pd.arrays.FloatingArray,
            "b": pd.arrays.BooleanArray,
        }
        return pd.Series(made[name[0]](values, mask))
    if kind == "object":
        odd = st.sampled_from([None, np.nan, pd.NA, pd.NaT, 1, b"x", np.str_("x"), ("a",)])
        values = draw(
            st.lists(st.one_of(WORDS, WORDS, st.sampled_from([None, np.nan, pd.NA]), odd), min_size=rows, max_size=rows)
        )
        held = np.empty(rows, object)
        held[:] = values
        return pd.Series(held, dtype=object)
    if kind in ("str", "string"):
        words = st.one_of(st.text(max_size=5), st.none())
        return pd.Series(draw(st.lists(words, min_size=rows, max_size=rows)), dtype=kind)
    return pd.Series(
        draw(
            st.sampled_from(
                [
                    pd.period_range("2020", periods=rows, freq="D"),
                    pd.interval_range(0, rows) if rows else pd.Series([], dtype="interval[int64]"),
                    pd.array([1] * rows, dtype="int64[pyarrow]"),
                    pd.arrays.SparseArray([0.0] * rows),
                    np.zeros(rows, ">f8"),
                    np.zeros(rows, np.longdouble),
                ]
            )
        )
    )


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    rows = draw(st.integers(0, 4))
    labels = draw(st.lists(LABELS, max_size=4, unique=True))
    series = [draw(columns(rows)) for _ in labels]
    frame = pd.concat(series, axis=1, keys=range(len(series))) if series else pd.DataFrame(index=range(rows))
    if draw(st.booleans()) or not all(isinstance(label, int) for label in labels):
        frame.columns = pd.Index(labels, dtype=object) if draw(st.booleans()) else pd.Index(labels)
    index = draw(st.sampled_from(["range", "column", "dates", "levels", "named"]))
    if index == "column":
        try:
            frame.index = pd.Index(draw(columns(rows)), name=draw(st.sampled_from([None, "day", 3, ("a", "b")])))
        except NotImplementedError:  # float16
            frame.index = pd.Index([0.5] * rows, dtype=np.float32)
    elif index == "dates":
        frame.index = pd.date_range("2020-01-01", periods=rows, freq=draw(st.sampled_from(["D", "h", "MS", "B"])))
    elif index == "levels" and rows:
        frame.index = pd.MultiIndex.from_product([range(rows), ["x"]])
    elif index == "named":
        frame.index = pd.RangeIndex(5, 5 + 2 * rows, 2, name="n")
    if draw(st.booleans()):
        frame.attrs = draw(
            st.sampled_from([{}, {"unit": "m"}, {"a": (1, 2)}, {1: 2}, {"x": object()}, {"x": float("nan")}])
        )
    if draw(st.booleans()):
        frame.columns.name = draw(st.sampled_from(["metric", 7, ("a",), pd.Timestamp("2020")]))
    return frame


@FEW
@given(frame=frames())
def test_a_frame_comes_back_as_it_was_or_is_refused(store: Store, frame: pd.DataFrame) -> None:
    kept(store, frame)


@FEW
@given(
    array=hnp.arrays(
        st.one_of(hnp.scalar_dtypes(), hnp.array_dtypes(), hnp.unicode_string_dtypes(), hnp.byte_string_dtypes()),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3),
    ),
    order=st.sampled_from("CFT"),
    name=LABELS.filter(lambda label: isinstance(label, str)),
)
def test_an_array_comes_back_as_it_was_or_is_refused(store: Store, array: Any, order: str, name: str) -> None:
    given_array = array.T if order == "T" else np.asarray(array, order=order)
    for value in (given_array, {name: given_array, f"{name}/valid": np.arange(3)}):
        try:
            loaded = store.load(store.put(value).id)
        except (TypeError, ValueError) as refused:
            assert len(str(refused)) > 20
            continue
        found = loaded[name] if isinstance(value, dict) else loaded
        assert found.dtype == given_array.dtype and found.shape == given_array.shape
        assert np.array_equal(
            np.ascontiguousarray(found).view(np.uint8), np.ascontiguousarray(given_array).view(np.uint8)
        )
        assert not isinstance(value, dict) or list(sorted(loaded)) == sorted(value)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"loss": pd.array([1, None], dtype="Int64"), "loss/valid": [True, True]}),
        pd.DataFrame({"text": ["a", "b"], "text/bytes": np.array([1, 2], np.uint8), "text/offsets": [7, 8]}),
        pd.DataFrame({"a": pd.Categorical(["x", None]), "a/categories": [1, 2], "a/categories/bytes": [3, 4]}),
        pd.DataFrame({"a/b": [1], "a%2Fb": [2], "a%252Fb": [3]}),
        pd.DataFrame({"1": [1.0], 1: [2.0]}),
        pd.DataFrame(np.zeros((2, 3))),
        pd.DataFrame({"x": [1]}, index=pd.Index(["a"], dtype=object, name="index")),
    ],
)
def test_columns_whose_names_look_like_parts_of_others_keep_their_own_values(store: Store, frame: pd.DataFrame) -> None:
    assert kept(store, frame)


@pytest.mark.parametrize("zone", ZONES, ids=repr)
def test_a_time_zone_that_is_kept_loads_again(store: Store, zone: Any) -> None:
    frame = pd.DataFrame({"t": pd.date_range("2020-03-28", periods=4, freq="12h", tz=zone)})
    assert kept(store, frame) == (type(zone).__name__ not in ("tzoffset", "tzlocal"))


def test_an_arrow_table_is_exported_as_it_is(tmp_path: Path) -> None:
    track.init(tmp_path / "track")
    table = pa.table({"i": pa.array([2**53 + 1, None]), "d": [datetime.date(2020, 1, 1), None]})
    with track.run("r", capture=False) as run:
        kept = run.artifact("t", table)
    assert track.load(kept).equals(table)
    assert (track.export(run.id, tmp_path / "csv") / "artifacts" / "t.csv").read_text().startswith("i,d\n")
    parquet = track.export(run.id, tmp_path / "parquet", format="parquet") / "artifacts" / "t.parquet"
    assert pyarrow.parquet.read_table(parquet).equals(table)


def test_a_masked_array_is_refused_and_not_kept_without_its_mask(store: Store) -> None:
    with pytest.raises(TypeError, match="masked"):
        store.put(np.ma.masked_array([1, 2], [True, False]))


@pytest.mark.parametrize(
    ("index", "header"),
    [
        (pd.RangeIndex(2), "a"),
        (pd.RangeIndex(1, 3), ",a"),
        (pd.RangeIndex(2, name="step"), "step,a"),
        (pd.Index(["x", "y"], name="key"), "key,a"),
        (pd.date_range("2020", periods=2, freq="D"), ",a"),
    ],
)
def test_a_csv_export_has_the_index(tmp_path: Path, index: pd.Index, header: str) -> None:
    track.init(tmp_path / "track")
    frame = pd.DataFrame({"a": ["one\r", 'two\nlines, "and" commas']}, index=index)
    with track.run("r", capture=False) as run:
        run.artifact("t", frame)
    path = track.export(run.id, tmp_path / "out") / "artifacts" / "t.csv"
    assert path.read_text().splitlines()[0].replace('"', "") == header
    again = pd.read_csv(path, index_col=None if header == "a" else 0, lineterminator="\n")
    assert again["a"].tolist() == frame["a"].tolist()
    assert [str(value)[:10] for value in again.index] == [str(value)[:10] for value in index]


def test_points_are_kept_as_they_are_or_refused_by_name(tmp_path: Path) -> None:
    track.init(tmp_path / "track")
    with track.run("r", capture=False) as run:
        for values, steps, word in [
            ([1.0], [0.5], "steps"), ([1.0, 2.0], [1, 1.5], "steps"), ([1.0], np.array([2**63], np.uint64), "steps"),
            ([1.0], [float("nan")], "steps"), ([1.0], [True], "steps"), ([1.0], ["1"], "steps"), ([1j], None, "values"),
            (np.array([1 + 2j]), None, "values"), (["1"], None, "values"), ([None], None, "values"), ([10**400], None, "values"),
            (np.ma.masked_array([1.0], [True]), None, "values"), ([1.0, 2.0], [1], "steps"), ([[1.0]], None, "dimension"),
        ]:  # fmt: skip
            with pytest.raises(ValueError, match=word):
                run.log_array("a", values, steps)
        for step in (0.5, "1", 2**63, np.uint64(2**63), float("inf"), 1j, np.array([1, 2])):
            with pytest.raises(ValueError, match="step"):
                run.log("b", 1.0, step=step)
        for value in (1j, np.complex64(1), np.ma.masked, np.array([1j])):
            with pytest.raises(ValueError, match="^c="):
                run.log({"c": value})
        assert not run.metrics
        run.log_array("a", np.array([1, 2], np.float16), [3.0, np.int8(4)])
        run.log_array("a", [np.float32(1), True, 2**60], np.array([5, 6, 2**62], np.uint64))
        assert run.history("a").steps.tolist() == [3, 4, 5, 6, 2**62]
        one = {"array": np.array([1.5]), "matrix": np.array([[1.5]]), "zero": np.array(1.5), "arrow": pa.scalar(1.5),
               "half": np.float16(1.5), "series": pd.Series([1.5]), "long": np.longdouble(1.5), "text": "1.5", "many": np.ones(2),
               "flag": np.bool_(True), "uint": np.uint64(2**63)}  # fmt: skip
        with pytest.warns(RuntimeWarning, match=r"'text' \(a str\), 'many' \(a numpy.ndarray\)"):
            run.log(one, step=np.array([9]))
        run.log("named", np.array([1.5]), 10.0)
        metrics = dict(run.metrics)
    assert metrics.pop("flag") == 1.0 and metrics.pop("uint") == 2.0**63 and metrics.pop("a") == 2.0**60
    assert metrics == dict.fromkeys(["array", "matrix", "zero", "arrow", "half", "series", "long", "named"], 1.5)


def test_parameters_of_every_kind_come_back_and_two_keys_never_fall_together(tmp_path: Path) -> None:
    track.init(tmp_path / "track")
    odd = os.fsdecode(b"data/caf\xe9.csv")
    params = {
        "hidden": np.array([64, 64]), "matrix": np.eye(2), "lr": np.float32(0.5), "seed": np.uint64(2**64 - 1),
        "on": np.bool_(True), "path": Path(odd), "text": odd, "nested": {"ids": np.arange(2), odd: [np.int8(1)]},
        "nan": float("nan"), "big": 2**80,
        "half": np.array(1.5, np.float16), "when": datetime.date(2026, 1, 2), "series": pd.Series([1, 2]), "arrow": pa.scalar(3),
    }  # fmt: skip
    with track.run("r", params=params, capture=False) as run:
        for bad in ({1: "a", "1": "b"}, [{True: 1, "true": 2}], {None: 1, "null": 2}, {"c": np.array([1j])}):
            with pytest.raises(ValueError, match="bad"):
                run.param("bad", bad)
        with pytest.raises(ValueError, match="Unicode"):
            run.tag("file", odd)
    kept = track.get(run.id).params
    assert np.isnan(kept.pop("nan"))
    assert kept == {
        "hidden": [64, 64], "matrix": [[1.0, 0.0], [0.0, 1.0]], "lr": 0.5, "seed": 2**64 - 1, "on": True, "path": odd, "text": odd,
        "nested": {"ids": [0, 1], odd: [1]}, "big": 2**80, "half": 1.5, "when": "2026-01-02", "series": [1, 2], "arrow": 3,
    }  # fmt: skip
    assert "text" in (track.export(run.id, tmp_path / "out") / "run.json").read_text()


def test_numbers_that_ask_are_taken_from_every_library_and_refused_by_name(tmp_path: Path) -> None:
    track.init(tmp_path / "track")
    with track.run("r", capture=False) as run:
        run.log_array("x", np.arange(50.0))
    record = track.get(run.id)
    store = Store(tmp_path / "store")
    kept = store.put(b"abcdef").id
    for two in (2, 2.0, np.int64(2), np.array(2), np.array([2.0])):
        assert len(track.runs(limit=two)) == 1 and len(record.history("x", last_step=two)) == 3
        assert store.read(kept, two, two) == b"cd"
    assert len(record.preview("x", points=np.float32(5))) == 5
    for bad in (2.5, "2", 2**70, 1j, True):
        for ask in (
            lambda value: track.runs(limit=value),
            lambda value: record.history("x", first_step=value),
            lambda value: record.preview("x", points=value),
            lambda value: store.read(kept, value),
        ):
            with pytest.raises(ValueError, match="limit|first_step|points|offset"):
                ask(bad)
    for bad in ("0", 1j, float("nan"), -1):
        with pytest.raises(ValueError, match="purge_deleted_after"):
            track.gc(purge_deleted_after=bad)
    for where in (b"name = 'r'", 5, ["name = 'r'"]):
        with pytest.raises(ValueError, match="where"):
            track.runs(where)
