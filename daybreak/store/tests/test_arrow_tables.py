"""Arrow tables come back as they were, or are refused: every type, at random and by name."""

from __future__ import annotations

import decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daybreak.base import errors
from daybreak.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


ARROW_TYPES = [
    *(getattr(pa, f"{sign}int{bits}")() for sign in ("", "u") for bits in (8, 16, 32, 64)),
    *(pa.bool_(), pa.float16(), pa.float32(), pa.float64()),
    *(pa.string(), pa.large_string(), pa.binary(), pa.large_binary()),
    *(
        pa.timestamp(unit, zone)
        for unit in ("s", "ms", "us", "ns")
        for zone in (None, "UTC", "Europe/Berlin", "+02:00")
    ),
    *(pa.duration("us"), pa.date32(), pa.date64(), pa.time32("ms"), pa.time64("ns")),
    *(pa.dictionary(pa.int8(), pa.string()), pa.dictionary(pa.int32(), pa.int64(), ordered=True)),
]


def arrow_values(kind: pa.DataType, rows: int) -> st.SearchStrategy[pa.Array]:
    if pa.types.is_dictionary(kind):
        values = st.one_of(st.none(), st.integers(0, 2))
        dictionary = pa.array(["a", "", "\0ä"] if kind.value_type == pa.string() else [7, 7 << 40, -1], kind.value_type)
        return st.lists(values, min_size=rows, max_size=rows).map(
            lambda codes: pa.DictionaryArray.from_arrays(
                pa.array(codes, kind.index_type), dictionary, ordered=kind.ordered
            )
        )
    if pa.types.is_boolean(kind):
        some: st.SearchStrategy[Any] = st.booleans()
    elif pa.types.is_floating(kind):
        some = st.floats(width=kind.bit_width)
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        some = st.text(max_size=5)
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        some = st.binary(max_size=5)
    else:  # a number of so many bits, whatever it stands for
        low, high = (
            (0, 2**kind.bit_width - 1)
            if str(kind).startswith("u")
            else (-(2 ** (kind.bit_width - 1)), 2 ** (kind.bit_width - 1) - 1)
        )
        if pa.types.is_date64(kind):
            return st.lists(st.one_of(st.none(), st.integers(-(10**5), 10**5)), min_size=rows, max_size=rows).map(
                lambda days: pa.array([None if day is None else day * 86_400_000 for day in days], pa.int64()).view(
                    kind
                )
            )
        if pa.types.is_time(kind):
            low, high = 0, 86_399_999
        plain = {8: pa.int8(), 16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[kind.bit_width]
        raw = kind if pa.types.is_integer(kind) else plain
        return st.lists(st.one_of(st.none(), st.integers(low, high)), min_size=rows, max_size=rows).map(
            lambda values: pa.array(values, raw).view(kind)
        )
    if pa.types.is_float16(kind):
        some = some.map(np.float16)
    return st.lists(st.one_of(st.none(), some), min_size=rows, max_size=rows).map(lambda values: pa.array(values, kind))


@st.composite
def arrow_tables(draw: st.DrawFn) -> pa.Table:
    rows = draw(st.integers(0, 6))
    names = draw(st.lists(NAMES_OF_COLUMNS, unique=True, min_size=1, max_size=4))
    kinds = draw(st.lists(st.sampled_from(ARROW_TYPES), min_size=len(names), max_size=len(names)))
    arrays = [draw(arrow_values(kind, rows)) for kind in kinds]
    about = draw(st.one_of(st.none(), st.dictionaries(st.binary(max_size=4), st.binary(max_size=4), max_size=2)))
    fields = [
        pa.field(name, kind, nullable=array.null_count > 0 or draw(st.booleans()), metadata=about)
        for name, kind, array in zip(names, kinds, arrays, strict=True)
    ]
    table = pa.table(arrays, pa.schema(fields, about))
    cut = draw(st.integers(0, rows))
    return draw(st.sampled_from([table, table.slice(cut), pa.concat_tables([table, table.slice(cut)])]))


NAMES_OF_COLUMNS = st.one_of(
    st.sampled_from(["a", "a/valid", "a/bytes", "a%2Fvalid", "", "ä", "i"]), st.text(max_size=4)
)
NAMES_OF_COLUMNS = NAMES_OF_COLUMNS.filter(lambda name: not any("\ud800" <= letter <= "\udfff" for letter in name))


def the_same_table(ours: pa.Table, theirs: pa.Table) -> None:
    assert ours.schema.equals(theirs.schema, check_metadata=True)
    ours.validate(full=True)
    for name in range(theirs.num_columns):
        a, b = ours.column(name), theirs.column(name)
        if pa.types.is_dictionary(a.type):
            a, b = a.cast(a.type.value_type), b.cast(b.type.value_type)
        if pa.types.is_floating(a.type):  # NaN, which equals nothing, by its bits
            bits = {2: pa.int16(), 4: pa.int32(), 8: pa.int64()}[a.type.bit_width // 8]
            a, b = (pa.chunked_array([chunk.view(bits) for chunk in column.chunks], bits) for column in (a, b))
        assert a.equals(b)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrow_tables(), st.data())
def test_an_arrow_table_comes_back_with_its_types_its_gaps_and_its_metadata(
    store: Store, table: pa.Table, data: st.DataObject
) -> None:
    id = store.put(table).id
    the_same_table(store.load(id), table)
    first = data.draw(st.integers(0, table.num_rows))
    last = data.draw(st.integers(first, table.num_rows))
    the_same_table(store.rows(id, first, last), table.slice(first, last - first))
    assert store.table_shape(id) == (table.num_rows, table.column_names)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([[1]]),
        pa.array([{"a": 1}]),
        pa.array([decimal.Decimal("1.5")]),
        pa.array([None]),
        pa.array([b"ab"], pa.binary(2)),
        pa.array(["a"], pa.string_view()),
    ],
    ids=lambda column: str(column.type),
)
def test_a_column_of_arrow_that_cannot_be_kept_is_refused_by_name(store: Store, column: pa.Array) -> None:
    with pytest.raises(TypeError, match=r"column 'x' is of Arrow's type .*, which cannot be stored: cast it"):
        store.put(pa.table({"a": [1], "x": column}))


def test_an_arrow_table_that_cannot_be_kept_as_it_is_is_refused(store: Store) -> None:
    with pytest.raises(TypeError, match="not unique"):
        store.put(pa.table([[1], [2]], ["a", "a"]))
    with pytest.raises(TypeError, match="3 rows and no columns"):
        store.put(pa.table({"a": [1, 2, 3]}).select([]))
    with pytest.raises(errors.InvalidArgumentError, match="at most 262,144 are kept: take out metadata"):
        store.put(pa.table({"a": [1]}).replace_schema_metadata({"k": "v" * 300_000}))
    assert store.load(store.put(pa.table({})).id).equals(pa.table({}))
