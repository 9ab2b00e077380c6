"""Artifacts by the SHA-256 of their bytes: versions of tensors and tables share what they have in common.

>>> import tempfile, numpy as np
>>> store = Store(tempfile.mkdtemp())
>>> first = store.put({"w": np.zeros((512, 512), np.float32)}, name="policy")
>>> weights = store.load(first.id)["w"].copy()
>>> weights[0, 0] = 1
>>> second = store.put({"w": weights}, name="policy", parent=first.id)
>>> second.size_bytes > 1_000_000 > 10_000 > second.stored_bytes
True
>>> [(d.name, d.change, d.max_abs) for d in store.diff(first.id, second.id).tensors]
[('w', 'changed', 1.0)]
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from daybreak import _core, tensor
from daybreak.base import errors, numbers, paths
from daybreak.store import tables

__all__ = [
    "Damage",
    "Diff",
    "GcReport",
    "Info",
    "RangeDiff",
    "Store",
    "Stored",
    "TensorDiff",
    "TensorInfo",
    "VerifyReport",
]

Array = npt.NDArray[Any]
_KIND = "track.kind"  # in a container's metadata, so that a dict and the file that holds the same tensors differ
_TURNED = "track.bigendian"  # the arrays, as JSON, whose numbers were in the other byte order than the file's
_ORDER = "track.order"  # of a dict that was not in the order of its names: for each array its name's place in that
_SAFETENSORS = {
    "BOOL": "|b1", "U8": "|u1", "I8": "|i1", "U16": "<u2", "I16": "<i2", "F16": "<f2", "U32": "<u4", "I32": "<i4",
    "F32": "<f4", "U64": "<u8", "I64": "<i8", "F64": "<f8", "BF16": "<u2",
}  # fmt: skip


@dataclass(frozen=True)
class Stored:
    """What :meth:`Store.put` did: the id, the kind that :meth:`Store.load` gives back, and the bytes that the store grew by."""

    id: str
    kind: str
    size_bytes: int
    stored_bytes: int


@dataclass(frozen=True)
class TensorInfo:
    """A tensor in an artifact. ``offset`` and ``size_bytes`` are those of its elements in the artifact's bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    size_bytes: int


@dataclass(frozen=True)
class Info:
    """An artifact without its bytes."""

    id: str
    kind: str
    name: str
    size_bytes: int
    stored_bytes: int
    parent: str | None
    tensors: tuple[TensorInfo, ...]


@dataclass(frozen=True)
class TensorDiff:
    """``change`` is ``equal``, ``changed``, ``added``, ``removed`` or ``retyped`` (another dtype or shape).

    ``elements`` of a changed one differ, by at most ``max_abs`` (infinity when a NaN became a number or the reverse).
    """

    name: str
    change: str
    max_abs: float
    elements: int


@dataclass(frozen=True)
class RangeDiff:
    """``[a_begin, a_end)`` of the one became ``[b_begin, b_end)`` of the other: bytes, or rows of a table."""

    a_begin: int
    a_end: int
    b_begin: int
    b_end: int


@dataclass(frozen=True)
class Diff:
    """What changed between two artifacts: tensors (columns of a table), ranges of bytes, or ranges of a table's rows."""

    equal: bool
    tensors: tuple[TensorDiff, ...] = ()
    bytes: tuple[RangeDiff, ...] = ()
    rows: tuple[RangeDiff, ...] = ()


@dataclass(frozen=True)
class Damage:
    """A place that cannot be read, and the ids that need it."""

    file: str
    offset: int
    what: str
    objects: tuple[str, ...]


@dataclass(frozen=True)
class VerifyReport:
    """What :meth:`Store.verify` found; ``damage`` is empty when all is well."""

    objects: int
    blocks: int
    bytes: int
    damage: tuple[Damage, ...] = field(default=())

    @property
    def ok(self) -> bool:
        return not self.damage


@dataclass(frozen=True)
class GcReport:
    """What :meth:`Store.gc` did. Bytes are those of all packs."""

    objects_removed: int
    objects_kept: int
    bytes_before: int
    bytes_after: int
    packs_rewritten: int
    packs_removed: int
    manifest_healed: bool


def _is_turned(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.byteorder == ">"


class Store:
    """A content store in a directory, which is made when there is none.

    Any number of processes and threads may use one at once. ``threads`` hash and compress, the caller among them; they sleep when
    there is nothing to do.
    """

    def __init__(self, path: str | bytes | os.PathLike[str], *, threads: int = 2, pin_grace_s: float = 3600.0) -> None:
        threads = numbers.integer(threads, "threads", minimum=0, maximum=1024)
        grace_s = numbers.real(pin_grace_s, "pin_grace_s", minimum=0, finite=True)
        self._native = _core.store.Store.open(paths.given(path, "Store"), threads, grace_s)

    @property
    def path(self) -> Path:
        return Path(self._native.path)

    def put(self, value: object, name: str = "", parent: str | None = None, kind: str = "auto") -> Stored:
        """Keeps a value and pins it: :meth:`gc` leaves it until :meth:`release`, or until an hour after this process died.

        ``value`` is bytes, a path as :class:`pathlib.Path` (the file's bytes, in bounded memory; of a pipe or a file of ``/proc``
        what can be read there, at most 1 GiB), a numpy array, a dict of arrays, a pandas
        data frame or a pyarrow table. ``parent`` is the id of the version before: tensors of the same name, dtype and shape become
        differences to it. ``kind="bytes"`` keeps bytes or a file without looking for tensors in it.

        ``FileNotFoundError`` where there is no such file, ``TypeError`` for another value, naming the column or array,
        ``ResourceExhaustedError`` when the disk is full: nothing of the value is there then.
        """
        if kind not in ("auto", "bytes"):
            raise errors.InvalidArgumentError(f"kind={kind!r}: 'auto' or 'bytes'")
        if not isinstance(name, str):
            raise errors.InvalidArgumentError(f"the artifact's name is a str, not {type(name).__name__}")
        try:
            name.encode()
        except UnicodeEncodeError:
            raise errors.InvalidArgumentError(
                f"the artifact's name {name!r} is no Unicode (a lone surrogate)"
            ) from None
        sniff = kind == "auto"
        if isinstance(value, os.PathLike):
            file = paths.given(value)
            try:
                return Stored(*self._native.put_file(file, "file", name, "", parent, sniff))
            except errors.NotFoundError as error:
                raise paths.MissingFileError(errno.ENOENT, str(error), file) from None
        if isinstance(value, bytes | bytearray | memoryview):
            if isinstance(value, memoryview) and not value.c_contiguous:
                value = value.tobytes()
            view = np.frombuffer(value, np.uint8)
            return Stored(*self._native.put_bytes(view, "bytes", name, "", parent, sniff))
        if kind == "bytes":
            raise TypeError(f"kind='bytes' needs bytes or a Path, not {type(value).__name__}")
        if isinstance(value, np.ndarray):
            return self._put_arrays({"array": value}, "array", "", name, parent)
        if isinstance(value, Mapping):
            return self._put_arrays(value, "dict", "", name, parent)
        if tables.is_table(value):
            arrays, schema = tables.to_arrays(value)
            return self._put_arrays(arrays, "table", json.dumps(schema, sort_keys=True), name, parent)
        if isinstance(value, str):
            raise TypeError("a str cannot be stored: give pathlib.Path(it) for a file, it.encode() for its text")
        raise TypeError(
            f"a {type(value).__name__} cannot be stored: give bytes, a Path, an array, a dict of arrays or a data frame"
        )

    def _put_arrays(
        self, arrays: Mapping[str, npt.ArrayLike], kind: str, meta: str, name: str, parent: str | None
    ) -> Stored:
        about = {_KIND: kind} | ({"track.table": meta} if meta else {})
        if kind != "table" and (turned := [key for key, value in arrays.items() if _is_turned(value)]):
            about[_TURNED] = json.dumps(sorted(turned))
        if kind == "dict" and list(arrays) != (names := sorted(arrays)):
            places = {key: place for place, key in enumerate(names)}
            about[_ORDER] = json.dumps([places[key] for key in arrays], separators=(",", ":"))
        data = np.frombuffer(tensor.dumps(arrays, about), np.uint8)
        return Stored(*self._native.put_bytes(data, kind, name, meta, parent, True))

    def release(self, id: str) -> None:
        """Undoes the pin of one :meth:`put`."""
        self._native.release(id)

    def load(self, id: str) -> Any:
        """The value in the kind in which it was put first: bytes (also of a file), array, dict of arrays, data frame, Arrow table.

        ``NotFoundError`` when there is none, ``DataLossError`` naming the file when bytes are damaged. A data frame needs pandas,
        an Arrow table pyarrow (one that an earlier version kept comes as a data frame).
        """
        info = self._native.info(id)
        if info["kind"] in ("bytes", "file"):
            return self.read(id)
        container = tensor.loads(self.read(id))
        if info["kind"] in ("array", "dict"):
            turned = json.loads(container.metadata.get(_TURNED, "[]"))
            arrays = {name: container[name] for name in container}
            arrays |= {name: arrays[name].astype(arrays[name].dtype.newbyteorder(">")) for name in turned}
            if order := json.loads(container.metadata.get(_ORDER, "[]")):
                names = sorted(arrays)
                arrays = {names[place]: arrays[names[place]] for place in order}
            return arrays["array"] if info["kind"] == "array" else arrays
        return tables.from_arrays(container, json.loads(info["meta"]))

    def read(self, id: str, offset: int = 0, size: int | None = None) -> bytes:
        """Bytes ``[offset, offset + size)``; to the end when ``size`` is None. Only the blocks that hold them are unpacked."""
        offset = numbers.integer(offset, "offset", maximum=2**63 - 1)
        if size is not None:
            size = numbers.integer(size, "size", maximum=2**63 - 1)
        else:
            size = max(self._native.info(id)["size_bytes"] - offset, 0)
        if offset < 0 or size < 0:
            raise errors.OutOfRangeError(f"offset={offset}, size={size}: neither may be negative")
        out = np.empty(size, np.uint8)
        self._native.read_into(id, offset, out)
        return out.tobytes()

    def write_to(self, id: str, path: str | bytes | os.PathLike[str]) -> None:
        """Writes the bytes to a file, whole or not at all, in bounded memory; into a pipe or a device as it is."""
        file = paths.given(path)
        try:
            self._native.write_to(id, file)
        except errors.NotFoundError as error:
            if not os.path.isdir(os.path.dirname(file)):
                raise paths.MissingFileError(errno.ENOENT, str(error), file) from None
            raise

    def info(self, id: str) -> Info:
        native = self._native.info(id)
        tensors = tuple(TensorInfo(*t) for t in native["tensors"])
        return Info(
            id=native["id"],
            kind=native["kind"],
            name=native["name"],
            size_bytes=native["size_bytes"],
            stored_bytes=native["stored_bytes"],
            parent=native["parent"],
            tensors=tensors,
        )

    def objects(self) -> list[str]:
        """All ids, ascending."""
        return list(self._native.objects())

    def tensors(self, id: str) -> tuple[TensorInfo, ...]:
        """The tensors in an artifact, by offset; empty when it has none."""
        return self.info(id).tensors

    def tensor(self, id: str, name: str) -> Array:
        """One tensor, without reading the others. BF16, which numpy lacks, comes as its bits in ``uint16``."""
        return self._tensor_rows(id, name, None)

    def _tensor_rows(self, id: str, name: str, rows: tuple[int, int] | None) -> Array:
        found = {t.name: t for t in self.tensors(id)}
        if name not in found:
            raise errors.NotFoundError(
                f"artifact {id} has no tensor {name!r}: it has {', '.join(sorted(found)[:20]) or 'none'}"
            )
        about = found[name]
        dtype = np.dtype(_SAFETENSORS.get(about.dtype, about.dtype))
        offset, shape = about.offset, about.shape
        if rows is not None:
            width = dtype.itemsize * int(np.prod(shape[1:], dtype=np.int64))
            offset, shape = offset + rows[0] * width, (rows[1] - rows[0], *shape[1:])
        out = np.empty(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize, np.uint8)
        self._native.read_into(id, offset, out)
        try:
            return out.view(dtype).reshape(shape)
        except ValueError as error:  # of a file from outside
            raise errors.InvalidArgumentError(
                f"tensor {name!r} of artifact {id} has the shape {shape}, of which numpy makes no array: {error}"
            ) from None

    def rows(self, id: str, start: int, stop: int) -> Any:
        """Rows ``[start, stop)`` of a table, as a data frame or an Arrow table; the others are not read."""
        info = self._native.info(id)
        if info["kind"] != "table":
            raise errors.InvalidArgumentError(f"artifact {id} is a {info['kind']}, not a table")
        schema = json.loads(info["meta"])
        start, stop = numbers.integer(start, "start"), numbers.integer(stop, "stop")
        if not 0 <= start <= stop <= schema["rows"]:
            raise errors.OutOfRangeError(f"rows {start} to {stop}: the table has {schema['rows']}")
        if not self.tensors(id):  # all of them are empty
            whole = tables.from_arrays(tensor.loads(self.read(id)), schema)
            return whole.slice(start, stop - start) if "arrow" in schema else whole.iloc[start:stop]
        return tables.slice_rows(lambda name, rows: self._tensor_rows(id, name, rows), schema, start, stop)

    def table_shape(self, id: str) -> tuple[int, list[str]]:
        """Of a table: how many rows, and the names of its columns. Nothing of it is read."""
        info = self._native.info(id)
        if info["kind"] != "table":
            raise errors.InvalidArgumentError(f"artifact {id} is a {info['kind']}, not a table")
        schema = json.loads(info["meta"])
        return schema["rows"], [str(column["label"]) for column in schema["columns"]]

    def diff(self, a: str, b: str) -> Diff:
        """What changed from ``a`` to ``b``: by tensor where both have some (and by rows for tables), else by ranges of bytes."""
        native = self._native.diff(a, b)
        tensors = tuple(TensorDiff(*t) for t in native["tensors"])
        ranges = tuple(RangeDiff(*r) for r in native["ranges"])
        rows: tuple[RangeDiff, ...] = ()
        if not native["equal"] and all(self._native.info(id)["kind"] == "table" for id in (a, b)):
            rows = tuple(RangeDiff(*r) for r in tables.changed_rows(self.load(a), self.load(b)))
        return Diff(native["equal"], tensors, ranges, rows)

    def verify(self) -> VerifyReport:
        """Unpacks and hashes everything; the report names the files and artifacts that are damaged."""
        native = self._native.verify()
        damage = tuple(Damage(file, offset, what, tuple(ids)) for file, offset, what, ids in native["damage"])
        return VerifyReport(native["objects"], native["blocks"], native["bytes"], damage)

    def gc(self, keep: Callable[[], Iterable[str]]) -> GcReport:
        """Removes what is neither pinned nor in ``keep()``, which is called when no put is under way and none can begin.

        What ``keep`` raises comes through, and nothing is removed. A second gc waits for the first.
        """
        return GcReport(**self._native.gc(lambda: list(keep())))

    def stats(self) -> dict[str, Any]:
        """Counts and bytes: logical (as put), raw (equal pieces once), stored (packed), by codec, and on the disk."""
        return dict(self._native.stats())
