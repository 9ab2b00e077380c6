"""Tables as named arrays and back: how the store keeps a data frame column by column (`arrow_tables.py`: one of Arrow).

A column of numbers is one array; strings are their UTF-8 bytes one after the other and the offsets between them; what may be
missing has a mask beside it. A frame comes back as it was, with the types and names of its columns, its index and its ``attrs``;
what cannot be kept so is refused, naming the column.

The arrays of a column are named after it: ``s/LABEL`` (``i/LABEL`` for a whole number), and ``s/LABEL/valid`` and so on for its
other parts. In a label ``%`` is ``%25`` and ``/`` is ``%2F``, so that no label is another one's part.
"""

from __future__ import annotations

import bisect
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from daybreak.store import arrow_tables

__all__ = ["changed_ranges", "changed_rows", "from_arrays", "is_table", "slice_rows", "to_arrays"]

Array = npt.NDArray[Any]
Rows = tuple[int, int] | None
Read = Callable[[str, Rows], Array]  # a tensor, or some of its rows

# pandas' types that hold a mask beside numpy's numbers, and the class that takes both as they are.
_MASKED = {f"{sign}Int{bits}": "IntegerArray" for sign in ("", "U") for bits in (8, 16, 32, 64)}
_MASKED |= {"Float32": "FloatingArray", "Float64": "FloatingArray", "boolean": "BooleanArray"}
_GONE = ("here", "None", "nan", "NA")  # what a missing string is; the place in it is the code in an array
_MAX_ATTRS_BYTES = 32 * 1024


def is_table(value: object) -> bool:
    """Whether it is a pandas data frame or a pyarrow table; imports neither."""
    kind = type(value)
    return (kind.__module__.partition(".")[0], kind.__name__) == ("pandas", "DataFrame") or arrow_tables.is_table(value)


def to_arrays(table: Any) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays of a table, and the schema that :func:`from_arrays` needs. ``TypeError`` names a column that cannot be kept."""
    if arrow_tables.is_table(table):
        return arrow_tables.to_arrays(table, _escaped)
    frame = table
    arrays: dict[str, Array] = {}
    if frame.columns.nlevels > 1:
        raise TypeError("columns of several levels cannot be stored: flatten them")
    if not frame.columns.is_unique:
        raise TypeError(f"column names are not unique: {list(frame.columns[frame.columns.duplicated()])}")
    columns = []
    for place, label in enumerate(frame.columns):
        if type(label) not in (str, int):
            raise TypeError(f"column {label!r} is named by a {type(label).__name__}: use a string or an int")
        name = f"{'i' if isinstance(label, int) else 's'}/{_escaped(label)}"
        about = _encode(frame.iloc[:, place], name, arrays, f"column {label!r}")
        columns.append({"label": label, **about})
    schema = {"columns": columns, "rows": len(frame), "index": _encode_index(frame.index, arrays)}
    return arrays, schema | _encode_header(frame)


def _escaped(label: str | int) -> str:
    try:
        str(label).encode()
    except UnicodeEncodeError:
        raise TypeError(f"column {label!r} has a name that is no Unicode (a lone surrogate): rename it") from None
    return str(label).replace("%", "%25").replace("/", "%2F")


def _encode_header(frame: Any) -> dict[str, Any]:
    """What a frame has beside its columns and its index, where it is not what it would be by itself."""
    header: dict[str, Any] = {}
    columns = frame.columns
    dtype = str(columns.dtype)
    if type(columns).__name__ == "RangeIndex":
        header["labels"] = {"type": "range", "start": columns.start, "step": columns.step}
    elif type(columns).__name__ != "Index" or dtype not in ("object", "str", "string", "int64"):
        raise TypeError(f"the columns' names are a {type(columns).__name__} of {dtype}: make them strings")
    else:
        header["labels"] = {"type": "plain", "dtype": dtype}
    header["labels"]["name"] = _index_name(columns, "the columns' names have")
    if frame.attrs:
        try:
            text = json.dumps(frame.attrs)
        except (TypeError, ValueError, RecursionError) as error:
            raise TypeError(f"the frame's attrs cannot be stored ({error}): take out what is no JSON") from None
        if json.loads(text) != frame.attrs or len(text) > _MAX_ATTRS_BYTES:
            raise TypeError(f"the frame's attrs cannot be stored: JSON of at most {_MAX_ATTRS_BYTES:,} bytes is kept")
        header["attrs"] = json.loads(text)
    if not frame.flags.allows_duplicate_labels:
        header["unique"] = True
    return header


def _index_name(index: Any, what: str) -> Any:
    name = index.name
    if name is not None and type(name) not in (str, int):
        raise TypeError(f"{what} the name {name!r}, a {type(name).__name__}: use a string or an int")
    if isinstance(name, str):
        _escaped(name)
    return name


def _encode_index(index: Any, arrays: dict[str, Array]) -> dict[str, Any]:
    if index.nlevels > 1:
        raise TypeError("an index of several levels cannot be stored: call reset_index() first")
    name = _index_name(index, "the index has")
    if type(index).__name__ == "RangeIndex":
        return {"type": "range", "start": index.start, "stop": index.stop, "step": index.step, "name": name}
    about = {**_encode(_series(index), "index", arrays, "the index"), "name": name}
    return about | _frequency(index, "the index")


def _frequency(index: Any, what: str) -> dict[str, str]:
    """The step of dates or times, where its name says all of it."""
    frequency = getattr(index, "freq", None)
    if frequency is None:
        return {}
    import pandas as pd

    try:
        found = pd.tseries.frequencies.to_offset(frequency.freqstr)
    except ValueError:
        found = None
    if found != frequency:
        raise TypeError(
            f"{what} has the frequency {frequency!r}, which has no name to be found by: set its freq to None"
        )
    return {"freq": frequency.freqstr}


def _series(index: Any) -> Any:
    import pandas as pd

    return pd.Series(index, dtype=index.dtype)  # to_series() may take another type


def _encode(series: Any, name: str, arrays: dict[str, Array], what: str) -> dict[str, Any]:
    """Adds the arrays of one column; gives its part of the schema."""
    dtype = series.dtype
    text = str(dtype)
    if isinstance(dtype, np.dtype) and dtype.kind in "biuf" and dtype.itemsize <= 8:
        arrays[name] = series.to_numpy()
        return {"type": "plain", "tensor": name} | ({} if dtype.isnative else {"dtype": dtype.str})
    if isinstance(dtype, np.dtype) and dtype.kind in "mM":
        arrays[name] = series.to_numpy().view(np.int64)
        return {"type": "time", "dtype": text, "tensor": name}
    if text.startswith("datetime64[") and hasattr(dtype, "tz"):
        zone = _zone(dtype, what)
        arrays[name] = np.asarray(series.dt.tz_convert("UTC").dt.tz_localize(None)).view(np.int64)
        return {"type": "zoned", "dtype": f"datetime64[{dtype.unit}]", "zone": zone, "tensor": name}
    if text == "category":
        arrays[name] = series.cat.codes.to_numpy()
        kinds = series.cat.categories
        if type(kinds).__name__ == "RangeIndex":
            kinds = kinds.astype(np.int64)
        categories = _encode(_series(kinds), f"{name}/categories", arrays, f"{what} (its categories)")
        return {
            "type": "category",
            "tensor": name,
            "categories": categories
            | {"name": _index_name(kinds, f"the categories of {what} have")}
            | _frequency(kinds, f"the categories of {what}"),
            "size": len(kinds),
            "ordered": bool(dtype.ordered),
        }
    if text in _MASKED:
        arrays[name] = series.array._data
        arrays[f"{name}/valid"] = ~np.asarray(series.array._mask)
        return {"type": "nullable", "dtype": text, "tensor": name}
    if text == "object":
        return {"dtype": text, **_encode_strings(list(series), name, arrays, what)}
    if type(dtype).__name__ == "StringDtype":
        about = {"storage": str(dtype.storage), "na": "NA" if type(dtype.na_value).__name__ == "NAType" else "nan"}
        return {"dtype": text, **about, **_encode_strings(list(series), name, arrays, what)}
    raise TypeError(f"{what} has dtype {text}, which cannot be stored: convert it to numbers, strings or times")


def _zone(dtype: Any, what: str) -> str:
    """A name by which pandas finds the very zone again."""
    import pandas as pd

    zone = dtype.tz
    file = str(getattr(zone, "_filename", "")).rpartition("zoneinfo/")[2]  # of dateutil
    names = [str(zone), getattr(zone, "key", None), f"dateutil/{file or 'UTC'}"]
    for name in names if type(zone).__name__ != "tzlocal" else ():  # that one is another elsewhere
        try:
            if name and pd.DatetimeTZDtype(dtype.unit, name) == dtype and _same_zone(pd, name, zone):
                return name
        except Exception:  # pytz, zoneinfo and dateutil each have errors of their own for a name that is none
            continue
    raise TypeError(
        f"{what} has the time zone {zone!r}, which has no name to be found by: tz_convert() it to one that has"
    )


def _same_zone(pd: Any, name: str, zone: Any) -> bool:
    moments = pd.DatetimeIndex(["1950-01-01", "1995-07-01", "2024-01-15", "2024-07-15", "2060-07-01"], tz="UTC")
    ours, theirs = moments.tz_convert(name), moments.tz_convert(zone)
    return [t.utcoffset() for t in ours] == [t.utcoffset() for t in theirs]


def _gone(value: Any) -> int:
    """The code of what is missing in a column of strings, 0 for what is not."""
    if value is None:
        return 1
    if type(value) is float and value != value:
        return 2
    return 3 if type(value).__name__ == "NAType" else 0


def _encode_strings(values: list[Any], name: str, arrays: dict[str, Array], what: str) -> dict[str, Any]:
    gone = [_gone(value) for value in values]
    for row, (value, code) in enumerate(zip(values, gone, strict=True)):
        if not code and type(value) is not str:
            raise TypeError(f"{what} holds a {type(value).__name__} in row {row}: only strings and None can be stored")
    parts = [b"" if code else value.encode("utf-8", "surrogatepass") for value, code in zip(values, gone, strict=True)]
    arrays[f"{name}/bytes"] = np.frombuffer(b"".join(parts), np.uint8)
    arrays[f"{name}/offsets"] = np.cumsum([0, *map(len, parts)], dtype=np.int64)
    about = {"type": "string", "tensor": name, "missing": any(gone)}
    kinds = set(gone) - {0}
    if kinds:
        arrays[f"{name}/valid"] = np.asarray(gone, np.uint8) == 0
    if len(kinds) > 1:
        arrays[f"{name}/gone"] = np.asarray(gone, np.uint8)
    if kinds:
        about["gone"] = "mixed" if len(kinds) > 1 else _GONE[kinds.pop()]
    return about


def from_arrays(arrays: Mapping[str, Array], schema: Mapping[str, Any]) -> Any:
    """The pandas data frame, or the pyarrow table where that was kept."""

    def read(name: str, rows: Rows) -> Array:
        return arrays[name] if rows is None else arrays[name][rows[0] : rows[1]]

    return slice_rows(read, schema, 0, schema["rows"])


def slice_rows(read: Read, schema: Mapping[str, Any], start: int, stop: int) -> Any:
    """Rows ``[start, stop)`` of what was kept, in its kind; ``read`` is asked only for what they need."""
    if "arrow" in schema:
        return arrow_tables.slice_rows(read, schema, (start, stop), _escaped)
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("a table is given back as a pandas data frame: pip install pandas") from error
    columns = [_decode(pd, read, about, (start, stop)) for about in schema["columns"]]
    about = schema["index"]
    if about["type"] == "range":
        step = about["step"]
        index = pd.RangeIndex(about["start"] + start * step, about["start"] + stop * step, step, name=about["name"])
    else:
        index = _as_index(pd, _decode(pd, read, about, (start, stop)), about)
    series = [pd.Series(column, index=index, dtype=_own_dtype(column)) for column in columns]
    frame = pd.concat(series, axis=1, keys=range(len(series))) if series else pd.DataFrame(index=index)
    frame.columns = _labels(pd, schema)
    frame.attrs = json.loads(json.dumps(schema.get("attrs", {})))
    return frame.set_flags(allows_duplicate_labels=False) if schema.get("unique") else frame


def _labels(pd: Any, schema: Mapping[str, Any]) -> Any:
    labels = [about["label"] for about in schema["columns"]]
    about = schema.get("labels")
    if about is None:  # it was kept by a version that did not say
        return pd.Index(labels)
    if about["type"] == "range":
        start, step = about["start"], about["step"]
        return pd.RangeIndex(start, start + len(labels) * step, step, name=about["name"])
    return pd.Index(labels, dtype=about["dtype"], name=about["name"])


def _own_dtype(values: Any) -> Any:
    """Of arrays of objects: pandas would look at them and take another type."""
    return object if values.dtype == object else None


def _as_index(pd: Any, values: Any, about: Mapping[str, Any]) -> Any:
    index = pd.Index(values, dtype=_own_dtype(values), name=about.get("name"))
    if "freq" in about:
        index.freq = about["freq"]
    return index


def _decode(pd: Any, read: Read, about: Mapping[str, Any], rows: tuple[int, int]) -> Any:
    kind, name = about["type"], about["tensor"]
    if kind == "string":
        texts = list(_strings(pd, read, about, rows))
        if about["dtype"] == "object":
            held = np.empty(len(texts), object)
            held[:] = texts
            return held
        return pd.array(texts, dtype=_string_dtype(pd, about))
    values = np.array(read(name, rows))
    if kind == "plain":
        return values.astype(about["dtype"]) if "dtype" in about else values
    if kind == "time":
        return values.view(about["dtype"])
    if kind == "zoned":
        return pd.DatetimeIndex(values.view(about["dtype"])).tz_localize("UTC").tz_convert(about["zone"]).array
    if kind == "category":
        categories = _as_index(pd, _decode(pd, read, about["categories"], (0, about["size"])), about["categories"])
        return pd.Categorical.from_codes(values, categories, ordered=about["ordered"])
    gone = ~np.array(read(f"{name}/valid", rows))
    return getattr(pd.arrays, _MASKED[about["dtype"]])(values, gone)


def _string_dtype(pd: Any, about: Mapping[str, Any]) -> Any:
    if "storage" not in about:
        return about["dtype"]
    missing = pd.NA if about["na"] == "NA" else np.nan
    try:
        return pd.StringDtype(about["storage"], na_value=missing)
    except ImportError:  # it was kept where pyarrow is
        return pd.StringDtype("python", na_value=missing)


def _strings(pd: Any, read: Read, about: Mapping[str, Any], rows: tuple[int, int]) -> Iterator[Any]:
    name = about["tensor"]
    offsets = read(f"{name}/offsets", (rows[0], rows[1] + 1))
    data = read(f"{name}/bytes", (int(offsets[0]), int(offsets[-1]))).tobytes()
    codes = [0] * (rows[1] - rows[0])
    how = about.get("gone", "None")  # a version that did not say it had None alone
    if about["missing"] and how == "mixed":
        codes = read(f"{name}/gone", rows).tolist()
    elif about["missing"]:
        codes = [0 if valid else _GONE.index(how) for valid in read(f"{name}/valid", rows).tolist()]
    instead = ("", None, np.nan, pd.NA)
    ends = (offsets - offsets[0]).tolist()
    for code, begin, end in zip(codes, ends, ends[1:], strict=False):
        yield instead[code] if code else data[begin:end].decode("utf-8", "surrogatepass")


def changed_rows(a: Any, b: Any) -> list[tuple[int, int, int, int]]:
    """Ranges of rows, as ``[a_begin, a_end)`` became ``[b_begin, b_end)``, judged by the columns that both have."""
    import pandas as pd

    a, b = (table.to_pandas(ignore_metadata=True) if arrow_tables.is_table(table) else table for table in (a, b))
    shared = [column for column in a.columns if column in set(b.columns) and a[column].dtype == b[column].dtype]
    if not shared:
        return [(0, len(a), 0, len(b))] if len(a) or len(b) else []
    left = pd.util.hash_pandas_object(a[shared], index=False).to_numpy()
    right = pd.util.hash_pandas_object(b[shared], index=False).to_numpy()
    return list(changed_ranges(left, right))


def changed_ranges(left: Array, right: Array) -> Iterator[tuple[int, int, int, int]]:
    """Greedily: at a difference, the next row of ``right`` that ``left`` still has ahead is the next fixed point."""
    places: dict[int, list[int]] = {}
    for row, value in enumerate(left.tolist()):
        places.setdefault(value, []).append(row)
    begin_a = begin_b = 0  # of the open difference
    row_a = 0
    for row_b, value in enumerate(right.tolist()):
        if row_a < len(left) and left[row_a] == value:
            found = row_a
        else:
            ahead = places.get(value, [])
            place = bisect.bisect_left(ahead, row_a)
            if place == len(ahead):
                continue
            found = ahead[place]
        if found > begin_a or row_b > begin_b:
            yield begin_a, found, begin_b, row_b
        begin_a, begin_b = found + 1, row_b + 1
        row_a = found + 1
    if begin_a < len(left) or begin_b < len(right):
        yield begin_a, len(left), begin_b, len(right)
