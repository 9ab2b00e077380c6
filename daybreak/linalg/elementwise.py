"""Functions of several matrices, tile by tile."""

from __future__ import annotations

from typing import Any

import numpy as np

from daybreak.base import numbers
from daybreak.base.errors import InvalidArgumentError

from .dtypes import checked_dtype
from .matrix import Matrix, as_matrix
from .protocol import beside, in_place, probe

__all__ = ["concatenate", "where"]


def where(condition: Any, x: Any, y: Any) -> Matrix:
    """Elements of x where the condition is not 0, else of y; all broadcast."""
    operands = [condition, x, y]
    first = next((v for v in operands if isinstance(v, Matrix)), None)
    if first is None:
        raise InvalidArgumentError("where without a matrix: numpy.where")
    probes = [np.empty((0, 0), v.dtype) if isinstance(v, Matrix) else probe(v) for v in (x, y)]
    kind = checked_dtype(np.result_type(*probes))
    at = next(n for n, v in enumerate(operands) if v is first)
    rest = [v for n, v in enumerate(operands) if n != at]

    def apply(tile: Any, *pieces: Any) -> Any:
        values = in_place(list(pieces), at, tile)
        return np.broadcast_to(np.where(np.asarray(values[0]) != 0, values[1], values[2]), _shape(values)).astype(kind)

    made: Matrix = first._each(apply, kind, *rest)
    return made


def _shape(values: list[Any]) -> tuple[int, ...]:
    return np.broadcast_shapes(*(np.shape(v) for v in values))


def concatenate(matrices: Any, axis: int = 0) -> Matrix:
    """Matrices (or arrays) one below the other (axis=0) or side by side (axis=1), in tiles of the first."""
    parts = [as_matrix(x) for x in matrices]
    along = numbers.integer(axis, "axis", minimum=-2, maximum=1) % 2
    if not parts:
        raise InvalidArgumentError("concatenate of nothing")
    other = 1 - along
    if len({p.shape[other] for p in parts}) != 1:
        raise InvalidArgumentError(
            f"concatenate along {along} of {', '.join(str(p.shape) for p in parts)}: the other sides differ"
        )
    kind = np.result_type(*(p.dtype for p in parts))
    shape = [parts[0].shape[0], parts[0].shape[1]]
    shape[along] = sum(p.shape[along] for p in parts)
    made = Matrix.temporary(tuple(shape), kind, tile=parts[0].tile, beside=beside(parts))
    for i, j in made.tiles():
        ranges = made.tile_range(i, j)
        pieces, first = [], 0
        for part in parts:
            begin, end = max(ranges[along].start - first, 0), min(ranges[along].stop - first, part.shape[along])
            if begin < end:
                cut = [ranges[0], ranges[1]]
                cut[along] = range(begin, end)
                pieces.append(part.read(*cut))
            first += part.shape[along]
        made.set_tile(i, j, np.concatenate(pieces, axis=along).astype(kind))
    return made
