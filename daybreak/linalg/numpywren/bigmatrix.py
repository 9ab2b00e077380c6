"""BigMatrix: an array of any number of dimensions in blocks, kept under a key."""

from __future__ import annotations

import io
import itertools
import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from daybreak.base import numbers, paths
from daybreak.base.errors import DataLossError, InvalidArgumentError, NotFoundError

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["BigMatrix", "BigMatrixView", "BigSymmetricMatrix", "constant_zeros", "folder"]

Pair = tuple[int, int]


def folder() -> str:
    """Where buckets are folders."""
    return paths.given(os.environ.get("DAYBREAK_NUMPYWREN_FOLDER") or "~/.local/state/daybreak/numpywren")


def constant_zeros(bigm: Any, *block_idx: int) -> npt.NDArray[Any]:
    """A parent_fn: blocks that nobody has written are zero."""
    return np.zeros(bigm._extent(block_idx), bigm.dtype)


class _Blocks:
    """What a matrix and a view of one have alike."""

    shape: tuple[int, ...]
    shard_sizes: tuple[int, ...]
    dtype: np.dtype[Any]
    key: str

    def get_block(self, *block_idx: Any) -> npt.NDArray[Any]:
        raise NotImplementedError

    def _blocks(self, axis: int | None = None) -> list[Any]:
        axes = [
            [(at, min(at + shard, side)) for at in range(0, side, shard)]
            for side, shard in zip(self.shape, self.shard_sizes, strict=True)
        ]
        return list(itertools.product(*axes)) if axis is None else axes[axis]

    def _block_idxs(self, axis: int | None = None) -> list[Any]:
        axes = [list(range(-(-side // shard))) for side, shard in zip(self.shape, self.shard_sizes, strict=True)]
        return list(itertools.product(*axes)) if axis is None else axes[axis]

    @property
    def blocks(self) -> list[tuple[Pair, ...]]:
        """The first and the end of each block along each axis."""
        return self._blocks()

    @property
    def block_idxs(self) -> list[tuple[int, ...]]:
        return self._block_idxs()

    def num_blocks(self, axis: int = 0) -> int:
        return len(self._block_idxs(axis))

    def _extent(self, block_idx: Any) -> tuple[int, ...]:
        if len(block_idx) != len(self.shape):
            raise InvalidArgumentError(f"block {tuple(block_idx)}: {len(self.shape)} indices are needed")
        found = []
        for at, side, shard in zip(block_idx, self.shape, self.shard_sizes, strict=True):
            place = numbers.integer(at, "block index", minimum=0, maximum=max(-(-side // shard) - 1, 0))
            found.append(min(shard, side - place * shard))
        return tuple(found)

    def numpy(self, workers: Any = None) -> npt.NDArray[Any]:
        """All of it as an array."""
        out = np.zeros(self.shape, self.dtype)
        for at, ends in zip(self.block_idxs, self.blocks, strict=True):
            out[tuple(slice(*pair) for pair in ends)] = self.get_block(*at)
        return out

    def submatrix(self, *block_slices: Any) -> BigMatrixView:
        """A view by blocks; of each axis None (all), a number (one block), [stop], [start, stop] or [start, stop, step]."""
        return BigMatrixView(self, block_slices)

    @property
    def T(self) -> BigMatrixView:
        return BigMatrixView(self, (), transposed=True)


class BigMatrix(_Blocks):
    """As numpywren has it. A block is written whole or not at all; ``safe`` and ``region`` are taken and have no effect here."""

    def __init__(
        self,
        key: str,
        shape: Any = None,
        shard_sizes: Any = None,
        bucket: str | None = None,
        prefix: str = "numpywren.objects/",
        dtype: Any = np.float64,
        parent_fn: Callable[..., Any] | None = None,
        write_header: bool = False,
        autosqueeze: bool = True,
        lambdav: float = 0.0,
        region: str = "",
        safe: bool = True,
    ) -> None:
        self.key, self.bucket, self.prefix = key, bucket or "local", prefix
        self.parent_fn, self.autosqueeze = parent_fn, autosqueeze
        self.lambdav = numbers.real(lambdav, "lambdav")
        self._folder = os.path.join(folder(), *(_named(part) for part in (self.bucket, prefix, key)))
        self.dtype = np.dtype(dtype)
        if shape is None:
            shape, shard_sizes, self.dtype = self._header()
        if shard_sizes is None or len(shape) != len(shard_sizes):
            raise InvalidArgumentError(f"shard_sizes={shard_sizes!r}: one for each of the {len(shape)} axes")
        self.shape = tuple(numbers.integer(x, "shape", minimum=0) for x in shape)
        self.shard_sizes = tuple(numbers.integer(x, "shard_sizes", minimum=1) for x in shard_sizes)
        if write_header:
            text = json.dumps({"shape": self.shape, "shard_sizes": self.shard_sizes, "dtype": self.dtype.str})
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            paths.write(os.path.join(self._folder, "header"), text.encode())

    def _header(self) -> tuple[Any, Any, np.dtype[Any]]:
        name = os.path.join(self._folder, "header")
        try:
            found = json.loads(paths.read(name, 1 << 20))
            return found["shape"], found["shard_sizes"], np.dtype(found["dtype"])
        except FileNotFoundError:
            raise NotFoundError(f"BigMatrix {self.key!r} has no header: give its shape and shard_sizes") from None
        except (ValueError, KeyError, TypeError) as error:
            raise DataLossError(f"{name} is no header of a BigMatrix: {error}") from error

    def _path(self, block_idx: Any) -> str:
        return os.path.join(self._folder, "_".join(str(int(x)) for x in block_idx) + ".npy")

    def get_block(self, *block_idx: Any) -> npt.NDArray[Any]:
        """A block; of one that is not there what ``parent_fn(matrix, *block_idx)`` gives. ``lambdav`` is added on the diagonal."""
        extent = self._extent(block_idx)
        try:
            data = paths.read(self._path(block_idx))
        except FileNotFoundError:
            if self.parent_fn is None:
                raise NotFoundError(
                    f"block {tuple(block_idx)} of {self.key!r} was not written, and there is no parent_fn"
                ) from None
            found = np.asarray(self.parent_fn(self, *block_idx))
        else:
            try:
                found = np.load(io.BytesIO(data), allow_pickle=False)
            except ValueError as error:
                raise DataLossError(f"{self._path(block_idx)} is no array: {error}") from error
            if found.shape != extent:
                raise DataLossError(f"{self._path(block_idx)} holds {found.shape}, not {extent}")
        found = found.astype(self.dtype)
        if self.lambdav and len(set(block_idx)) == 1 and found.ndim == 2:
            found[np.diag_indices(min(found.shape))] += self.lambdav
        return found

    def put_block(self, block: Any, *block_idx: Any) -> None:
        array = np.asarray(block)
        if array.shape != self._extent(block_idx):
            raise InvalidArgumentError(
                f"block {tuple(block_idx)} of {self.key!r} is {self._extent(block_idx)}, not {array.shape}"
            )
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        out = io.BytesIO()
        np.save(out, array.astype(self.dtype), allow_pickle=False)
        paths.write(self._path(block_idx), out.getvalue())

    def delete_block(self, *block_idx: Any) -> None:
        self._extent(block_idx)
        if os.path.exists(self._path(block_idx)):
            os.remove(self._path(block_idx))

    def free(self) -> int:
        """Removes the blocks; the header stays."""
        for at in self.block_idxs_exist:
            self.delete_block(*at)
        return 0

    def delete(self) -> int:
        self.free()
        name = os.path.join(self._folder, "header")
        if os.path.exists(name):
            os.remove(name)
        return 0

    @property
    def block_idxs_exist(self) -> list[tuple[int, ...]]:
        return [at for at in self.block_idxs if os.path.exists(self._path(at))]

    @property
    def block_idxs_not_exist(self) -> list[tuple[int, ...]]:
        return [at for at in self.block_idxs if not os.path.exists(self._path(at))]

    @property
    def blocks_exist(self) -> list[tuple[Pair, ...]]:
        return [ends for at, ends in zip(self.block_idxs, self.blocks, strict=True) if os.path.exists(self._path(at))]

    @property
    def blocks_not_exist(self) -> list[tuple[Pair, ...]]:
        return [
            ends for at, ends in zip(self.block_idxs, self.blocks, strict=True) if not os.path.exists(self._path(at))
        ]

    def __repr__(self) -> str:
        return f"BigMatrix({self.key!r}, {self.shape}, blocks of {self.shard_sizes}, {self.dtype})"


class BigSymmetricMatrix(BigMatrix):
    """One block of each pair is stored: (i, j) with i < j is the transpose of (j, i)."""

    def get_block(self, *block_idx: Any) -> npt.NDArray[Any]:
        if len(block_idx) == 2 and block_idx[0] < block_idx[1]:
            return super().get_block(block_idx[1], block_idx[0]).T
        return super().get_block(*block_idx)

    def put_block(self, block: Any, *block_idx: Any) -> None:
        if len(block_idx) == 2 and block_idx[0] < block_idx[1]:
            super().put_block(np.asarray(block).T, block_idx[1], block_idx[0])
        else:
            super().put_block(block, *block_idx)


class BigMatrixView(_Blocks):
    """Some blocks of a matrix, perhaps transposed; reading and writing a block is the matrix's own."""

    def __init__(self, parent: _Blocks, block_slices: Any, transposed: bool = False) -> None:
        self.parent, self.transposed = parent, transposed
        self.key, self.dtype = f"{parent.key}.view", parent.dtype
        given = [*block_slices, *[None] * (len(parent.shape) - len(block_slices))]
        if len(given) != len(parent.shape):
            raise InvalidArgumentError(
                f"submatrix of {len(block_slices)} slices: the matrix has {len(parent.shape)} axes"
            )
        self._picked: list[range | int] = []
        shape, shards = [], []
        for axis, part in enumerate(given):
            blocks = range(parent.num_blocks(axis))
            if part is not None and not isinstance(part, (list, tuple, slice)):
                self._picked.append(numbers.integer(part, "submatrix", minimum=0, maximum=len(blocks) - 1))
                shape.append(parent._extent([0] * axis + [part] + [0] * (len(given) - axis - 1))[axis])
                shards.append(max(shape[-1], 1))
                continue
            if isinstance(part, (list, tuple)) and not 1 <= len(part) <= 3:
                raise InvalidArgumentError(
                    f"submatrix: {part!r} is neither [stop], [start, stop] nor [start, stop, step]"
                )
            cut = part if isinstance(part, slice) else slice(*(part or (None,)))
            chosen = blocks[cut]
            self._picked.append(chosen)
            ends = parent._blocks(axis)
            shape.append(sum(ends[at][1] - ends[at][0] for at in chosen))
            shards.append(parent.shard_sizes[axis])
        order = slice(None, None, -1) if transposed else slice(None)
        self.shape, self.shard_sizes = tuple(shape[order]), tuple(shards[order])

    def _of_parent(self, block_idx: Any) -> list[int]:
        given = list(block_idx)[::-1] if self.transposed else list(block_idx)
        free = sum(isinstance(part, range) for part in self._picked)
        if len(given) == len(self._picked) and len(given) != free:  # with the axes that one block was taken of
            given = [at for at, part in zip(given, self._picked, strict=True) if isinstance(part, range)]
        if len(given) != free:
            raise InvalidArgumentError(f"block {tuple(block_idx)} of a view: {free} indices are needed")
        rest = iter(given)
        found = []
        for part in self._picked:
            if isinstance(part, range):
                found.append(part[numbers.integer(next(rest), "block index", minimum=0, maximum=len(part) - 1)])
            else:
                found.append(part)
        return found

    def get_block(self, *block_idx: Any) -> npt.NDArray[Any]:
        found = self.parent.get_block(*self._of_parent(block_idx))
        return found.T if self.transposed else found

    def put_block(self, block: Any, *block_idx: Any) -> None:
        put: Any = self.parent
        put.put_block(np.asarray(block).T if self.transposed else block, *self._of_parent(block_idx))


def _named(part: str) -> str:
    """A key as a name of a file: slashes would lead elsewhere."""
    clean = part.strip("/").replace("/", "+")
    if clean in ("", ".", "..") or "\0" in clean:
        raise InvalidArgumentError(f"key, bucket or prefix {part!r} is no name")
    return clean
