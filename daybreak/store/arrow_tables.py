"""Arrow tables as named arrays and back: the very table, its types, what is missing and its metadata.

The arrays of a column are named as those of a data frame (``tables.py``): ``s/LABEL``, ``s/LABEL/valid``, ``s/LABEL/bytes``,
``s/LABEL/offsets``, ``s/LABEL/categories``. What a column is, Arrow's own schema says, which is kept beside them. How a table is
cut into chunks is not kept; values that are missing have none.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from daybreak.base.errors import InvalidArgumentError

__all__ = ["is_table", "slice_rows", "to_arrays"]

Array = npt.NDArray[Any]
Rows = tuple[int, int] | None
Read = Callable[[str, Rows], Array]
Name = Callable[[str], str]  # of a column, as it begins the names of its arrays

_MAX_SCHEMA_BYTES = 256 * 1024


def is_table(value: object) -> bool:
    """Whether it is a pyarrow table; does not import pyarrow."""
    return type(value).__module__.partition(".")[0] == "pyarrow" and type(value).__name__ == "Table"


def to_arrays(table: Any, escaped: Name) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays and the schema that :func:`slice_rows` needs. ``TypeError`` names a column that cannot be kept."""
    if len(set(table.column_names)) < table.num_columns:
        raise TypeError(f"column names are not unique: {table.column_names}")
    about = table.schema.serialize().to_pybytes()
    if len(about) > _MAX_SCHEMA_BYTES:
        raise InvalidArgumentError(
            f"the table's schema with its metadata has {len(about):,} bytes, at most {_MAX_SCHEMA_BYTES:,} are kept: "
            "take out metadata (replace_schema_metadata)"
        )
    if table.num_rows and not table.num_columns:
        raise TypeError(f"the table has {table.num_rows} rows and no columns")
    arrays: dict[str, Array] = {}
    for label, column in zip(table.column_names, table.columns, strict=True):
        _encode(column, f"s/{escaped(label)}", arrays, f"column {label!r}")
    return arrays, {
        "arrow": base64.b64encode(about).decode(),
        "columns": [{"label": label} for label in table.column_names],
        "rows": table.num_rows,
        "valid": sorted(name for name in arrays if name.endswith("/valid")),
    }


def _fixed(kind: Any) -> Any:
    """The numpy type of values that have one width, and how Arrow calls it; None for others."""
    import pyarrow as pa

    if kind == pa.float16():
        return np.dtype(np.float16), kind
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return np.dtype(kind.to_pandas_dtype()), kind
    if pa.types.is_date32(kind) or pa.types.is_time32(kind):
        return np.dtype(np.int32), pa.int32()
    if any(of(kind) for of in (pa.types.is_timestamp, pa.types.is_duration, pa.types.is_date64, pa.types.is_time64)):
        return np.dtype(np.int64), pa.int64()
    return None


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    of = pa.types
    return any(f(kind) for f in (of.is_string, of.is_large_string, of.is_binary, of.is_large_binary))


def _large(kind: Any) -> Any:
    """The type with offsets of 64 bits, which is how texts are kept."""
    import pyarrow as pa

    return pa.large_string() if pa.types.is_string(kind) or pa.types.is_large_string(kind) else pa.large_binary()


def _whole(column: Any, kind: Any) -> Any:
    """One array of a chunked one."""
    import pyarrow as pa

    if not isinstance(column, pa.ChunkedArray):
        return column
    chunks = column.unify_dictionaries().chunks if pa.types.is_dictionary(kind) else column.chunks
    return pa.concat_arrays(chunks) if chunks else pa.array([], kind)


def _encode(column: Any, name: str, arrays: dict[str, Array], what: str) -> None:
    import pyarrow as pa

    kind = column.type
    fixed = _fixed(kind)
    if fixed is None and not _is_text(kind) and not pa.types.is_dictionary(kind):
        raise TypeError(
            f"{what} is of Arrow's type {kind}, which cannot be stored: cast it to numbers, strings, bytes or times, or keep the "
            "table as a file (pyarrow.feather, parquet)"
        )
    whole = _whole(column.cast(_large(kind)) if _is_text(kind) else column, kind)
    if whole.null_count:
        arrays[f"{name}/valid"] = np.asarray(whole.is_valid().to_numpy(zero_copy_only=False), np.bool_)
    if pa.types.is_dictionary(kind):
        _encode(whole.indices, name, arrays, what)
        _encode(whole.dictionary, f"{name}/categories", arrays, f"{what} (its dictionary)")
    elif fixed is not None:
        values = whole.view(fixed[1])
        if values.null_count:  # what lies there means nothing: always the same
            values = values.fill_null(False if kind == pa.bool_() else pa.scalar(fixed[0].type(0), fixed[1]))
        arrays[name] = np.ascontiguousarray(values.to_numpy(zero_copy_only=False), fixed[0])
    else:
        if whole.null_count:
            whole = whole.fill_null("" if whole.type == pa.large_string() else b"")
        _, places, data = whole.buffers()
        offsets = np.zeros(1, np.int64)
        if len(whole):
            offsets = np.frombuffer(places, np.int64)[whole.offset : whole.offset + len(whole) + 1]
        held = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(0, np.uint8)
        arrays[f"{name}/bytes"] = held[offsets[0] : offsets[-1]]
        arrays[f"{name}/offsets"] = offsets - offsets[0]


def slice_rows(read: Read, schema: Mapping[str, Any], rows: tuple[int, int], escaped: Name) -> Any:
    """Rows ``[rows[0], rows[1])`` as a pyarrow table; ``read`` is asked only for what they need."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise ImportError("an Arrow table is given back as one: pip install pyarrow") from error
    about = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(schema["arrow"])))
    masked = frozenset(schema["valid"])
    columns = [_decode(read, masked, field.type, f"s/{escaped(field.name)}", rows) for field in about]
    return pa.Table.from_arrays(columns, schema=about)


def _decode(read: Read, masked: frozenset[str], kind: Any, name: str, rows: Rows) -> Any:
    import pyarrow as pa

    valid = np.asarray(read(f"{name}/valid", rows), np.bool_) if f"{name}/valid" in masked else None
    if pa.types.is_dictionary(kind):
        indices = _decode(read, masked, kind.index_type, name, rows)
        dictionary = _decode(read, masked, kind.value_type, f"{name}/categories", None)
        return pa.DictionaryArray.from_arrays(indices, dictionary, ordered=kind.ordered)
    fixed = _fixed(kind)
    if fixed is not None:
        values = np.array(read(name, rows))
        return pa.array(values, fixed[1], mask=None if valid is None else ~valid, from_pandas=False).view(kind)
    offsets = np.array(read(f"{name}/offsets", None if rows is None else (rows[0], rows[1] + 1)))
    data = np.array(read(f"{name}/bytes", (int(offsets[0]), int(offsets[-1]))))
    bits = None if valid is None else pa.array(valid).buffers()[1]
    buffers = [bits, pa.py_buffer(offsets - offsets[0]), pa.py_buffer(data)]
    texts = pa.Array.from_buffers(_large(kind), len(offsets) - 1, buffers)
    texts.validate(full=True)
    return texts.cast(kind)
