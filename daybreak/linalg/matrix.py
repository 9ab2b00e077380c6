"""A matrix in tiles: in memory, or in a folder as files that are read and written around the page cache."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import uuid
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from daybreak._core import linalg as _core
from daybreak.base import numbers, paths
from daybreak.base.errors import (
    AlreadyExistsError,
    DataLossError,
    InvalidArgumentError,
    NotFoundError,
    OutOfRangeError,
    UnimplementedError,
)

from .dtypes import DTYPES, checked_dtype
from .protocol import ArrayFace
from .sources import source_of

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["MAX_SIDE", "Matrix", "as_matrix"]

MAX_SIDE = 1 << 40  # rows or columns of a matrix
_MAX_TILE = 1 << 24  # rows or columns of a tile: BLAS counts elements of one in 32 bits
_FORMAT = 1
_META = "matrix.json"
_TRIANGLES = {None: 0, "lower": 1, "upper": 2}


def _tile(tile: Any, rows: int, cols: int) -> tuple[int, int]:
    if tile is None:
        if cols <= 256 < rows:  # tall: one column of tiles of two megabytes or so
            return min(rows, max(1024, (1 << 18) // max(cols, 1))), max(cols, 1)
        return min(512, max(rows, 1)), min(512, max(cols, 1))
    pair = tile if isinstance(tile, (tuple, list)) else (tile, tile)
    if len(pair) != 2:
        raise InvalidArgumentError(f"tile={tile!r}: one number, or rows and columns")
    down, across = (numbers.integer(x, "tile", minimum=1, maximum=_MAX_TILE) for x in pair)
    if down * across > 2**31 - 1:
        raise InvalidArgumentError(f"tile={down} x {across} has more than 2**31 - 1 elements: use a smaller one")
    return down, across


class Matrix(ArrayFace):
    """A two-dimensional array in tiles, or a view of one.

    Made by ``from_array``, ``zeros``, ``open``, ``create``; results of functions are matrices, too. ``shape`` counts rows and
    columns,
    ``tile`` rows and columns of a tile, ``dtype`` is float32, float64, complex64 or complex128. ``M.T``, ``M.H`` and slices
    are views that copy nothing; ``numpy.asarray(M)`` gives all of it.

    >>> import numpy as np
    >>> from daybreak.linalg import Matrix
    >>> M = Matrix.from_array(np.arange(6.0).reshape(2, 3), tile=2)
    >>> M
    Matrix(2 x 3, float64, tiles of 2 x 2, in memory)
    >>> np.asarray(M.T @ M)[0]
    array([ 9., 12., 15.])
    """

    __slots__ = (
        "__weakref__",
        "_cols",
        "_conj",
        "_folder",
        "_keeper",
        "_rows",
        "_store",
        "_swapped",
        "dtype",
        "id",
        "tile",
        "triangle",
    )

    dtype: np.dtype[Any]
    tile: tuple[int, int]  # rows and columns of a tile
    triangle: str | None  # "lower" or "upper": what lies outside is zero
    id: str  # of the values, as long as they are in this store
    _store: _core.TileStore
    _folder: str | None
    _keeper: Any  # of a view the matrix that it is of; of a temporary one what removes its folder
    _rows: range  # of the store
    _cols: range
    _swapped: bool
    _conj: bool

    def __init__(self) -> None:
        raise TypeError("a Matrix is made by Matrix.from_array, Matrix.zeros, Matrix.create or Matrix.open")

    # -- making

    @classmethod
    def _made(
        cls,
        rows: int,
        cols: int,
        tile: tuple[int, int],
        dtype: np.dtype[Any],
        *,
        folder: str | None = None,
        triangle: str | None = None,
        identity: str | None = None,
    ) -> Matrix:
        self = cls.__new__(cls)
        self.dtype, self.tile, self.triangle = dtype, tile, triangle
        self.id = identity or uuid.uuid4().hex
        self._folder, self._keeper = folder, None
        self._rows, self._cols, self._swapped, self._conj = range(rows), range(cols), False, False
        scalar = DTYPES.index(dtype)
        if folder is None:
            self._store = _core.memory_store(rows, cols, *tile, scalar)
        else:
            self._store = _core.folder_store(rows, cols, *tile, scalar, folder, _TRIANGLES[triangle])
        return self

    @classmethod
    def create(
        cls, shape: Any, dtype: Any = np.float64, *, tile: Any = None, folder: Any = None, triangle: str | None = None
    ) -> Matrix:
        """A matrix without values: in memory its tiles are zeros, in a folder reading a tile before it is written is an error.

        shape: rows and columns. folder: a new or empty one; None is memory. triangle: "lower" or "upper": tiles outside are zero.
        AlreadyExistsError when the folder holds a matrix.
        """
        if not isinstance(shape, (tuple, list)) or len(shape) != 2:
            raise InvalidArgumentError(f"shape={shape!r}: rows and columns; a matrix has two dimensions")
        rows, cols = (numbers.integer(x, "shape", minimum=0, maximum=MAX_SIDE) for x in shape)
        kind, chosen = checked_dtype(dtype), _tile(tile, rows, cols)
        if triangle not in _TRIANGLES:
            raise InvalidArgumentError(f"triangle={triangle!r}: 'lower', 'upper' or None")
        if folder is None:
            return cls._made(rows, cols, chosen, kind, triangle=triangle)
        path = paths.given(folder, "folder")
        os.makedirs(path, mode=0o700, exist_ok=True)
        if os.path.exists(os.path.join(path, _META)):
            raise AlreadyExistsError(f"{path} holds a matrix: open it, or choose another folder")
        meta: dict[str, Any] = {
            "format": _FORMAT,
            "rows": rows,
            "cols": cols,
            "tile": list(chosen),
            "dtype": kind.name,
            "triangle": triangle,
            "id": uuid.uuid4().hex,
        }
        paths.write(os.path.join(path, _META), (json.dumps(meta) + "\n").encode())
        return cls._made(rows, cols, chosen, kind, folder=path, triangle=triangle, identity=str(meta["id"]))

    @classmethod
    def open(cls, folder: Any) -> Matrix:
        """The matrix in a folder. NotFoundError when there is none, DataLossError when its description is broken."""
        path = paths.given(folder, "folder")
        name = os.path.join(path, _META)
        if not os.path.exists(name):
            raise NotFoundError(f"{path} holds no matrix: it has no {_META}")
        try:
            meta = json.loads(paths.read(name, 1 << 16))
            if meta["format"] != _FORMAT:
                raise UnimplementedError(f"{name} is of format {meta['format']}: this Daybreak reads {_FORMAT}")
            rows, cols = (numbers.integer(meta[x], x, minimum=0, maximum=MAX_SIDE) for x in ("rows", "cols"))
            made = cls._made(
                rows,
                cols,
                _tile(meta["tile"], rows, cols),
                DTYPES[[x.name for x in DTYPES].index(meta["dtype"])],
                folder=path,
                triangle=meta["triangle"],
                identity=str(meta["id"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise DataLossError(f"{name} does not describe a matrix: {error}") from error
        return made

    @classmethod
    def temporary(cls, shape: Any, dtype: Any, *, tile: Any, beside: str | None, triangle: str | None = None) -> Matrix:
        """A matrix that goes with its last user: in memory, or in a new folder inside of ``beside``."""
        if beside is None:
            return cls.create(shape, dtype, tile=tile, triangle=triangle)
        os.makedirs(beside, mode=0o700, exist_ok=True)
        path = tempfile.mkdtemp(prefix=".daybreak-matrix-", dir=beside)
        made = cls.create(shape, dtype, tile=tile, folder=path, triangle=triangle)
        made._keeper = weakref.finalize(made, shutil.rmtree, path, True)
        return made

    @classmethod
    def temporary_from(cls, array: Any, tile: Any, beside: str | None) -> Matrix:
        made = cls.temporary(array.shape, array.dtype, tile=tile, beside=beside)
        for i, j in made.tiles():
            rows, cols = made.tile_range(i, j)
            made.set_tile(i, j, array[rows.start : rows.stop, cols.start : cols.stop])
        return made

    @classmethod
    def zeros(cls, shape: Any, dtype: Any = np.float64, *, tile: Any = None, folder: Any = None) -> Matrix:
        made = cls.create(shape, dtype, tile=tile, folder=folder)
        if folder is not None:
            for i, j in made.tiles():
                made._store.put(i, j, np.zeros(made.tile_shape(i, j), made.dtype, order="F"))
        return made

    @classmethod
    def from_array(cls, array: Any, *, tile: Any = None, folder: Any = None, dtype: Any = None) -> Matrix:
        """A copy of an array, tile by tile: numpy of any order and of the four types (integers and booleans become float64),
        ``.npy``
        maps, torch tensors, pandas frames, dask and zarr arrays (read in pieces). One dimension becomes one column.

        >>> Matrix.from_array([[1, 2], [3, 4]]).dtype
        dtype('float64')
        """
        source = source_of(array, dtype)
        made = cls.create(source.shape, source.dtype, tile=tile, folder=folder)
        for i, j in made.tiles():
            rows, cols = made.tile_range(i, j)
            made.set_tile(i, j, source.read(rows, cols))
        return made

    # -- what it is

    @property
    def shape(self) -> tuple[int, int]:
        down, across = len(self._rows), len(self._cols)
        return (across, down) if self._swapped else (down, across)

    ndim = 2

    @property
    def size(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def folder(self) -> str | None:
        """Where it lies; None in memory."""
        return self._folder

    @property
    def is_view(self) -> bool:
        whole = self._keeper is None or not isinstance(self._keeper, Matrix)
        return self._swapped or self._conj or not whole

    def __repr__(self) -> str:
        kind = "a view, " if self.is_view else ""
        place = "in memory" if self._folder is None else f"in {self._folder}"
        tiles = f"{kind}tiles of {self.tile[0]} x {self.tile[1]}"
        return f"Matrix({self.shape[0]} x {self.shape[1]}, {self.dtype}, {tiles}, {place})"

    def __len__(self) -> int:
        return self.shape[0]

    def __reduce__(self) -> Any:
        if self._folder is None or self.is_view or isinstance(self._keeper, weakref.finalize):
            return (_rebuilt, (np.asarray(self), self.tile))
        return (Matrix.open, (self._folder,))

    # -- tiles

    @property
    def grid(self) -> tuple[int, int]:
        """Tiles down and across."""
        return -(-self.shape[0] // self.tile[0]), -(-self.shape[1] // self.tile[1])

    def tiles(self) -> Iterator[tuple[int, int]]:
        down, across = self.grid
        return ((i, j) for i in range(down) for j in range(across))

    def tile_range(self, i: int, j: int) -> tuple[range, range]:
        """The rows and columns of a tile."""
        a, b = i * self.tile[0], j * self.tile[1]
        return range(a, min(a + self.tile[0], self.shape[0])), range(b, min(b + self.tile[1], self.shape[1]))

    def tile_shape(self, i: int, j: int) -> tuple[int, int]:
        rows, cols = self.tile_range(i, j)
        return len(rows), len(cols)

    def get_tile(self, i: int, j: int) -> npt.NDArray[Any]:
        """A tile as an array that must not be changed: of a matrix in memory it may be its memory."""
        down, across = self.grid
        if not (0 <= i < down and 0 <= j < across):
            raise OutOfRangeError(f"tile ({i}, {j}): there are {down} x {across}")
        return self.read(*self.tile_range(i, j))

    def set_tile(self, i: int, j: int, values: Any) -> None:
        """Writes a tile: whole or not at all. Of a view or with another shape it is refused."""
        if self.is_view:
            raise UnimplementedError("a view is not written: write the matrix that it is of")
        array = np.asarray(values)
        if array.shape != self.tile_shape(i, j):
            raise InvalidArgumentError(f"tile ({i}, {j}) is {self.tile_shape(i, j)}, the array {array.shape}")
        self._store.put(i, j, np.asfortranarray(array, dtype=self.dtype))

    def read(self, rows: range, cols: range) -> npt.NDArray[Any]:
        """Some rows and columns as an array: only the tiles that they lie in are read. The ranges are of this matrix or view."""
        if self._swapped:
            found = self._read(_within(self._rows, cols), _within(self._cols, rows)).T
        else:
            found = self._read(_within(self._rows, rows), _within(self._cols, cols))
        return found.conj() if self._conj else found

    def _read(self, rows: range, cols: range) -> npt.NDArray[Any]:
        down, across = self._base_tile()
        if rows and cols:
            i, j = rows[0] // down, cols[0] // across
            if rows[-1] // down == i and cols[-1] // across == j:
                return np.asarray(self._store.get(i, j))[_cut(rows, i * down), _cut(cols, j * across)]
        out: Any = _core.empty_tile(len(rows), len(cols), DTYPES.index(self.dtype))
        for row_part, row_at in _parts(rows, down):
            for col_part, col_at in _parts(cols, across):
                i, j = row_part[0] // down, col_part[0] // across
                found: Any = self._store.get(i, j)
                found = found[_cut(row_part, i * down), _cut(col_part, j * across)]
                out[row_at : row_at + len(row_part), col_at : col_at + len(col_part)] = found
        return np.asarray(out)

    # -- views

    def _view(self, rows: range, cols: range, swapped: bool, conj: bool) -> Matrix:
        made = Matrix.__new__(Matrix)
        made.dtype, made._folder, made._store, made.id = self.dtype, self._folder, self._store, self.id
        base = self._base_tile()
        made.tile = (base[1], base[0]) if swapped else base
        made.triangle, made._keeper = None, self
        made._rows, made._cols, made._swapped, made._conj = rows, cols, swapped, conj
        return made

    def _base_tile(self) -> tuple[int, int]:
        return (self.tile[1], self.tile[0]) if self._swapped else self.tile

    @property
    def T(self) -> Matrix:
        return self._view(self._rows, self._cols, not self._swapped, self._conj)

    mT = T

    @property
    def H(self) -> Matrix:
        """The conjugate transpose, a view."""
        return self._view(self._rows, self._cols, not self._swapped, self._conj != (self.dtype.kind == "c"))

    def conj(self) -> Matrix:
        return self._view(self._rows, self._cols, self._swapped, self._conj != (self.dtype.kind == "c"))

    def transpose(self, *axes: Any) -> Matrix:
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        if order in ((), None) or tuple(x % 2 for x in order) == (1, 0):
            return self.T
        if tuple(x % 2 for x in order) == (0, 1):
            return self
        raise InvalidArgumentError(f"transpose{tuple(order)}: a matrix has the axes 0 and 1")

    def __getitem__(self, key: Any) -> Any:
        """Slices give views; a whole number gives a row, a column or an element as numpy has it."""
        parts = list(key) if isinstance(key, tuple) else [key]
        if Ellipsis in [x for x in parts if x is Ellipsis]:
            at = [x is Ellipsis for x in parts].index(True)
            parts[at : at + 1] = [slice(None)] * (3 - len(parts))
        parts += [slice(None)] * (2 - len(parts))
        if len(parts) != 2:
            raise OutOfRangeError(f"{len(parts)} indices: a matrix has two")
        ranges: list[range] = []
        single = []
        for axis, part in enumerate(parts):
            if isinstance(part, slice):
                ranges.append(range(self.shape[axis])[part])
                single.append(False)
                continue
            if part is None or isinstance(part, (list, np.ndarray)) and np.ndim(part) > 0:
                raise UnimplementedError("a matrix is sliced by numbers and slices: use numpy.asarray(M)[...] for more")
            at = numbers.integer(part, "index")
            if not -self.shape[axis] <= at < self.shape[axis]:
                raise OutOfRangeError(f"index {at} of axis {axis}, which has {self.shape[axis]}")
            at %= self.shape[axis]
            ranges.append(range(at, at + 1))
            single.append(True)
        if any(single):
            found = self.read(*ranges).reshape([len(r) for r, one in zip(ranges, single, strict=True) if not one])
            return found.copy() if found.ndim else found[()]
        inner = ranges[::-1] if self._swapped else ranges
        return self._view(_within(self._rows, inner[0]), _within(self._cols, inner[1]), self._swapped, self._conj)

    def aligned(self) -> bool:
        """Whether its tiles are tiles of what it is a view of."""
        for part, side, tile in zip((self._rows, self._cols), self._whole(), self._base_tile(), strict=True):
            if part.step != 1 or (len(part) and (part.start % tile or (part.stop % tile and part.stop != side))):
                return False
        return True

    def _whole(self) -> tuple[int, int]:
        base: Any = self
        while isinstance(base._keeper, Matrix):
            base = base._keeper
        return len(base._rows), len(base._cols)

    # -- other forms

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError("a tiled matrix becomes an array by a copy: copy=False cannot be kept")
        out: npt.NDArray[Any] = np.empty(self.shape, self.dtype)
        for i, j in self.tiles():
            rows, cols = self.tile_range(i, j)
            out[rows.start : rows.stop, cols.start : cols.stop] = self.read(rows, cols)
        return out if dtype is None else out.astype(dtype, copy=False)

    def numpy(self) -> npt.NDArray[Any]:
        """All of it as an array of numpy, row-major."""
        return np.asarray(self)

    def copy(self, *, folder: Any = None, tile: Any = None) -> Matrix:
        """The same values in a matrix of its own, perhaps with other tiles or in a folder."""
        made = Matrix.create(self.shape, self.dtype, tile=self.tile if tile is None else tile, folder=folder)
        for i, j in made.tiles():
            made.set_tile(i, j, self.read(*made.tile_range(i, j)))
        return made

    def astype(self, dtype: Any) -> Matrix:
        kind = checked_dtype(dtype)
        if self.dtype.kind == "c" and kind.kind != "c":
            raise InvalidArgumentError(f"{self.dtype} to {kind} loses the imaginary part: take M.real first")
        made: Matrix = self._each(lambda x: x.astype(kind), kind)
        return made

    def save_npy(self, path: Any) -> None:
        """Writes a ``.npy`` file, tile by tile."""
        out = np.lib.format.open_memmap(paths.given(path), mode="w+", dtype=self.dtype, shape=self.shape)
        for i, j in self.tiles():
            rows, cols = self.tile_range(i, j)
            out[rows.start : rows.stop, cols.start : cols.stop] = self.read(rows, cols)
        out.flush()


def _within(base: range, part: range) -> range:
    """The numbers of a range that another range counts."""
    return base[part.start : None if part.stop < 0 else part.stop : part.step] if part else base[:0]


def _cut(part: range, offset: int) -> slice:
    if not part:
        return slice(0, 0)
    last = part[-1] - offset + (1 if part.step > 0 else -1)
    return slice(part[0] - offset, None if last < 0 else last, part.step)


def _parts(part: range, tile: int) -> Iterator[tuple[range, int]]:
    """A range cut where tiles end, and where each piece begins in it."""
    at = 0
    while at < len(part):
        number = part[at] // tile
        edge = (number + 1) * tile - 1 if part.step > 0 else number * tile
        count = min((edge - part[at]) // part.step + 1, len(part) - at)
        yield part[at : at + count], at
        at += count


def _rebuilt(array: npt.NDArray[Any], tile: tuple[int, int]) -> Matrix:
    return Matrix.from_array(array, tile=tile)


def as_matrix(value: Any, name: str = "a", *, tile: Any = None) -> Matrix:
    """A matrix, or an array as one."""
    if isinstance(value, Matrix):
        return value
    try:
        return Matrix.from_array(value, tile=tile)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"{name}: {error}") from None
