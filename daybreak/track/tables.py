"""Tables as named arrays and back: how the store keeps a data frame column by column.

A column of numbers is one array; strings are their UTF-8 bytes one after the other and the offsets between them; what may be
missing has a mask beside it (in a column of Python objects every missing string comes back as None). What cannot be kept is
refused, naming the column.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["changed_ranges", "changed_rows", "from_arrays", "is_table", "slice_rows", "to_arrays"]

Array = npt.NDArray[Any]
Rows = tuple[int, int] | None
Read = Callable[[str, Rows], Array]  # a tensor, or some of its rows


def is_table(value: object) -> bool:
    """Whether it is a pandas data frame or a pyarrow table; imports neither."""
    kind = type(value)
    return (kind.__module__.partition(".")[0], kind.__name__) in (("pandas", "DataFrame"), ("pyarrow", "Table"))


def to_arrays(table: Any) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays of a table, and the schema that :func:`from_arrays` needs. ``TypeError`` names a column that cannot be kept."""
    arrow = type(table).__module__.partition(".")[0] == "pyarrow"
    frame = table.to_pandas() if arrow else table
    arrays: dict[str, Array] = {}
    if frame.columns.nlevels > 1:
        raise TypeError("columns of several levels cannot be stored: flatten them")
    if not frame.columns.is_unique:
        raise TypeError(f"column names are not unique: {list(frame.columns[frame.columns.duplicated()])}")
    columns = []
    for label in frame.columns:
        if not isinstance(label, str | int):
            raise TypeError(f"column {label!r} is named by a {type(label).__name__}: use a string or an int")
        about = _encode(frame[label], f"{'i' if isinstance(label, int) else 's'}/{label}", arrays, f"column {label!r}")
        columns.append({"label": label, **about})
    return arrays, {"columns": columns, "rows": len(frame), "index": _encode_index(frame.index, arrays)}


def _encode_index(index: Any, arrays: dict[str, Array]) -> dict[str, Any]:
    if type(index).__name__ == "RangeIndex":
        return {"type": "range", "start": index.start, "stop": index.stop, "step": index.step, "name": index.name}
    if index.nlevels > 1:
        raise TypeError("an index of several levels cannot be stored: call reset_index() first")
    return {**_encode(index.to_series(), "index", arrays, "the index"), "name": index.name}


def _encode(series: Any, name: str, arrays: dict[str, Array], what: str) -> dict[str, Any]:
    """Adds the arrays of one column; gives its part of the schema."""
    dtype = series.dtype
    text = str(dtype)
    if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        arrays[name] = series.to_numpy()
        return {"type": "plain", "tensor": name}
    if isinstance(dtype, np.dtype) and dtype.kind in "mM":
        arrays[name] = series.to_numpy().view(np.int64)
        return {"type": "time", "dtype": text, "tensor": name}
    if text.startswith("datetime64[") and hasattr(dtype, "tz"):
        arrays[name] = np.asarray(series.dt.tz_convert("UTC").dt.tz_localize(None)).view(np.int64)
        return {"type": "zoned", "dtype": f"datetime64[{dtype.unit}]", "zone": str(dtype.tz), "tensor": name}
    if text == "category":
        arrays[name] = series.cat.codes.to_numpy()
        categories = _encode(series.cat.categories.to_series(), f"{name}/categories", arrays, what)
        size = len(series.cat.categories)
        return {
            "type": "category",
            "tensor": name,
            "categories": categories,
            "size": size,
            "ordered": bool(dtype.ordered),
        }
    if text[:1] in "IUFb" and hasattr(dtype, "numpy_dtype") and np.dtype(dtype.numpy_dtype).kind in "biuf":
        valid = ~np.asarray(series.isna())
        arrays[name] = series.to_numpy(dtype.numpy_dtype, na_value=0)
        arrays[f"{name}/valid"] = valid
        return {"type": "nullable", "dtype": text, "tensor": name}
    if text in ("object", "str") or text.startswith("string"):
        return {"dtype": text, **_encode_strings(list(series), name, arrays, what)}
    raise TypeError(f"{what} has dtype {text}, which cannot be stored: convert it to numbers, strings or times")


def _encode_strings(values: list[Any], name: str, arrays: dict[str, Array], what: str) -> dict[str, Any]:
    missing = [
        value is None or type(value).__name__ == "NAType" or (type(value) is float and value != value)
        for value in values
    ]
    for row, (value, gone) in enumerate(zip(values, missing, strict=True)):
        if not gone and not isinstance(value, str):
            raise TypeError(f"{what} holds a {type(value).__name__} in row {row}: only strings and None can be stored")
    parts = [b"" if gone else value.encode() for value, gone in zip(values, missing, strict=True)]
    arrays[f"{name}/bytes"] = np.frombuffer(b"".join(parts), np.uint8)
    arrays[f"{name}/offsets"] = np.cumsum([0, *map(len, parts)], dtype=np.int64)
    if any(missing):
        arrays[f"{name}/valid"] = ~np.asarray(missing, np.bool_)
    return {"type": "string", "tensor": name, "missing": any(missing)}


def from_arrays(arrays: Mapping[str, Array], schema: Mapping[str, Any]) -> Any:
    """The pandas data frame."""

    def read(name: str, rows: Rows) -> Array:
        return arrays[name] if rows is None else arrays[name][rows[0] : rows[1]]

    return slice_rows(read, schema, 0, schema["rows"])


def slice_rows(read: Read, schema: Mapping[str, Any], start: int, stop: int) -> Any:
    """Rows ``[start, stop)`` as a pandas data frame; ``read`` is asked only for what they need."""
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
        index = pd.Index(_decode(pd, read, about, (start, stop)), name=about["name"])
    labels = [about["label"] for about in schema["columns"]]
    series = [pd.Series(column, index=index, name=label) for column, label in zip(columns, labels, strict=True)]
    if not series:
        return pd.DataFrame(index=index)
    return pd.concat(series, axis=1)


def _decode(pd: Any, read: Read, about: Mapping[str, Any], rows: tuple[int, int]) -> Any:
    kind, name = about["type"], about["tensor"]
    if kind == "string":
        return pd.array(list(_strings(read, about, rows)), dtype=about["dtype"])
    values = np.array(read(name, rows))
    if kind == "plain":
        return values
    if kind == "time":
        return values.view(about["dtype"])
    if kind == "zoned":
        return pd.DatetimeIndex(values.view(about["dtype"])).tz_localize("UTC").tz_convert(about["zone"]).array
    if kind == "category":
        categories = _decode(pd, read, about["categories"], (0, about["size"]))
        return pd.Categorical.from_codes(values, pd.Index(categories), ordered=about["ordered"])
    array = pd.array(values, dtype=about["dtype"])
    array[~read(f"{name}/valid", rows)] = pd.NA
    return array


def _strings(read: Read, about: Mapping[str, Any], rows: tuple[int, int]) -> Iterator[str | None]:
    name = about["tensor"]
    offsets = read(f"{name}/offsets", (rows[0], rows[1] + 1))
    data = read(f"{name}/bytes", (int(offsets[0]), int(offsets[-1]))).tobytes()
    valid = read(f"{name}/valid", rows) if about["missing"] else None
    ends = (offsets - offsets[0]).tolist()
    for row, (begin, end) in enumerate(zip(ends, ends[1:], strict=False)):
        yield None if valid is not None and not valid[row] else data[begin:end].decode()


def changed_rows(a: Any, b: Any) -> list[tuple[int, int, int, int]]:
    """Ranges of rows, as ``[a_begin, a_end)`` became ``[b_begin, b_end)``, judged by the columns that both have."""
    import pandas as pd

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
