"""Norms, condition, inverse, and conjugate gradients: what is asked of a matrix without factoring it whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from daybreak.base import numbers
from daybreak.base.errors import InvalidArgumentError, UnimplementedError

from .errors import LinAlgError, ShapeError
from .factor import _square, lu_factor, lu_solve, matmul
from .matrix import Matrix, as_matrix
from .orthogonal import svdvals
from .running import output, settings_of

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["CGResult", "cg", "cond", "inv", "norm"]


def norm(a: Any, ord: Any = None, axis: Any = None, keepdims: bool = False, **options: Any) -> Any:
    """A norm of a matrix, or with axis=0 or 1 of each of its columns or rows. One pass, but for ord=2, -2 and "nuc" (by svd).

    ord: None or "fro", 1, -1, inf, -inf, 2, -2, "nuc"; with an axis None or 2, 1, inf. Sums of squares are scaled tile by
    tile, so that they neither overflow nor underflow.

    >>> from daybreak import linalg
    >>> print(linalg.norm([[3.0, 4.0]]), linalg.norm([[3.0, 4.0]], 1))
    5.0 4.0
    """
    a = as_matrix(a)
    if axis is not None and axis not in ((0, 1), (-2, -1)):
        return _norm_along(a, ord, numbers.integer(axis, "axis", minimum=-2, maximum=1) % 2, keepdims)
    if ord in (2, -2, "nuc"):
        s = svdvals(a, **options)
        found = s.sum() if ord == "nuc" else (s.max() if ord == 2 else s.min()) if s.size else 0.0
    elif ord is None or ord == "fro":
        scale, total = 0.0, 1.0
        for i, j in a.tiles():
            tile = a.get_tile(i, j)
            scale, total = _added(scale, total, tile)
        found = scale * np.sqrt(total)
    elif ord in (1, -1, np.inf, -np.inf):
        sums = a._reduced(lambda x, at: np.abs(x).sum(axis=at), np.add, 0 if abs(ord) == 1 else 1)
        found = (sums.max() if ord > 0 else sums.min()) if sums.size else 0.0
    else:
        raise InvalidArgumentError(f"ord={ord!r}: None, 'fro', 'nuc', 1, -1, 2, -2, inf or -inf")
    found = a.real_dtype.type(found)
    return np.full((1, 1), found) if keepdims else found


def _added(scale: float, total: float, tile: npt.NDArray[Any]) -> tuple[float, float]:
    """scale**2 * total with a tile's squares added (LAPACK's lassq)."""
    largest = float(np.abs(tile).max()) if tile.size else 0.0
    if largest == 0:
        return scale, total
    if not np.isfinite(largest):
        return largest, 1.0
    part = float((np.abs(tile.astype(np.result_type(tile.dtype, np.float64)) / largest) ** 2).sum())
    if scale == 0:
        return largest, part
    if largest > scale:
        return largest, total * (scale / largest) ** 2 + part
    return scale, total + part * (largest / scale) ** 2


def _norm_along(a: Matrix, ord: Any, axis: int, keepdims: bool) -> Any:
    if ord is None or ord == 2:
        found = np.sqrt(a._reduced(lambda x, at: (np.abs(x) ** 2).sum(axis=at), np.add, axis))
    elif ord == 1:
        found = a._reduced(lambda x, at: np.abs(x).sum(axis=at), np.add, axis)
    elif ord == np.inf:
        found = a._reduced(lambda x, at: np.abs(x).max(axis=at), np.maximum, axis)
    else:
        raise UnimplementedError(f"norm(ord={ord!r}, axis={axis}): 1, 2 or inf along an axis")
    return np.expand_dims(found, axis) if keepdims else found


def inv(a: Any, *, budget: Any = None, threads: Any = None, check: bool = True) -> Matrix:
    """The inverse by LU. SingularMatrixError. To solve, use solve: it is faster and more exact.

    >>> import numpy as np
    >>> from daybreak import linalg
    >>> np.asarray(linalg.inv([[2.0, 0.0], [0.0, 4.0]]))
    array([[0.5 , 0.  ],
           [0.  , 0.25]])
    """
    a = as_matrix(a)
    n = _square(a, "inv")
    settings = settings_of([a], budget, threads, check=check)
    factors = lu_factor(a, budget=budget, threads=threads, check=check)
    side = factors.x.tile[0]
    eye = output((n, n), a.dtype, settings, tile=(side, side))
    for i, j in eye.tiles():
        if eye.folder != "/nonexistent/planned":
            eye.set_tile(
                i,
                j,
                np.eye(*eye.tile_shape(i, j), dtype=a.dtype) if i == j else np.zeros(eye.tile_shape(i, j), a.dtype),
            )
    found: Matrix = lu_solve(factors, eye, budget=budget, threads=threads, check=check)
    return found


def cond(a: Any, p: Any = None, **options: Any) -> float:
    """The condition number |A| |A^-1| in the norm p: None or 2 (by singular values), "fro", 1, inf. Singular: infinite."""
    a = as_matrix(a)
    if p is None or p == 2:
        s = svdvals(a, **options)
        return float(s[0] / s[-1]) if s.size and s[-1] else float("inf")
    try:
        return float(norm(a, p) * norm(inv(a, **options), p))
    except LinAlgError:
        return float("inf")


class CGResult(NamedTuple):
    x: npt.NDArray[Any]
    converged: bool
    iterations: int
    residual: float  # |b - A x| / |b|, computed anew at the end


def cg(
    a: Any,
    b: Any,
    *,
    rtol: float = 1e-8,
    max_iterations: Any = None,
    x0: Any = None,
    precondition: bool = True,
    **options: Any,
) -> CGResult:
    """x with A x = b of a symmetric positive definite A, one pass over A an iteration; preconditioned by its diagonal tiles.

    Stops at |b - A x| <= rtol |b|, or after max_iterations (10 n): then converged is False, and x is the best so far. Real
    matrices.

    >>> from daybreak import linalg
    >>> linalg.cg([[4.0, 1.0], [1.0, 3.0]], [1.0, 2.0]).x.round(6)
    array([0.090909, 0.636364])
    """
    a = as_matrix(a)
    n = _square(a, "cg")
    if a.dtype.kind == "c":
        raise UnimplementedError(f"cg of {a.dtype}: real matrices only")
    right = np.asarray(b, a.dtype)
    if right.shape != (n,):
        raise ShapeError(f"cg: b of {right.shape}, {n} numbers are needed")
    limit = 10 * n if max_iterations is None else numbers.integer(max_iterations, "max_iterations", minimum=0)
    tolerance = numbers.real(rtol, "rtol", minimum=0.0, finite=True)
    solve_blocks = _blocks(a) if precondition else lambda r: r

    def times(v: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.asarray(matmul(a, Matrix.from_array(v, tile=(a.tile[1], 1)), **options))[:, 0]

    x = np.zeros(n, a.dtype) if x0 is None else np.array(x0, a.dtype)
    r = right - times(x) if x0 is not None else right.copy()
    size = float(np.linalg.norm(right))
    z = solve_blocks(r)
    p, rz, done = z, float(r @ z), 0
    while done < limit and float(np.linalg.norm(r)) > tolerance * size:
        ap = times(p)
        curvature = float(p @ ap)
        if not curvature > 0:
            raise LinAlgError(
                f"cg: the matrix is not positive definite: p'Ap = {curvature} in iteration {done}; use solve"
            )
        step = rz / curvature
        x = x + step * p
        r = r - step * ap
        z = solve_blocks(r)
        rz, before = float(r @ z), rz
        p = z + (rz / before) * p
        done += 1
    left = float(np.linalg.norm(right - times(x))) / size if size else 0.0
    return CGResult(x, left <= 2 * tolerance or size == 0, done, left)


def _blocks(a: Matrix) -> Any:
    """r -> M^-1 r with M the diagonal tiles, factored once."""
    side = min(min(a.tile), 512)
    factors = []
    for first in range(0, a.shape[0], side):
        part = range(first, min(first + side, a.shape[0]))
        try:
            factors.append((part, np.linalg.inv(a.read(part, part))))
        except np.linalg.LinAlgError:
            factors.append((part, np.eye(len(part), dtype=a.dtype)))

    def applied(r: npt.NDArray[Any]) -> npt.NDArray[Any]:
        out = np.empty_like(r)
        for part, inverse in factors:
            out[part.start : part.stop] = inverse @ r[part.start : part.stop]
        return out

    return applied
