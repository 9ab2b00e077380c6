"""QR and what stands on it: least squares, singular values, eigenvalues."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from daybreak.base import numbers
from daybreak.base.errors import InvalidArgumentError, UnimplementedError

from . import programs
from .errors import BudgetError, LinAlgError, RankWarning, ShapeError
from .factor import _parent, folder_of, matmul, panels_of, ready, same_type, square_tiles
from .matrix import Matrix, as_matrix
from .running import BLAS_BYTES, Scratch, Settings, execute, is_planning, output, settings_of

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["LstsqResult", "eigh", "lstsq", "qr", "svd", "svd_randomized", "svdvals", "tsqr"]

_REFLECTOR_BLOCK = 32  # as in kernels.h
_DENSE_COPIES = 6  # of a square matrix that LAPACK's dense eigen and singular value routines hold, with their workspace


class _Reflectors(NamedTuple):
    x: Matrix
    d: Matrix
    t: Matrix
    steps: int


def _reflect(a: Matrix, settings: Settings) -> _Reflectors:
    a = ready(a, settings, square_tiles(a))
    side, (m, n) = a.tile[0], a.grid
    r = -(-min(a.shape) // side)
    x = output(a.shape, a.dtype, settings, tile=a.tile)
    d = output(a.shape, a.dtype, settings, tile=a.tile)
    nb = min(_REFLECTOR_BLOCK, side)
    t = output((max(m, 1) * nb, a.shape[1]), a.dtype, settings, tile=(nb, side))
    if r:
        panels = panels_of(settings, side**2 * a.dtype.itemsize, n, lambda j: m)
        tiles = {"X": x, "D": (d, (r,), (0, 0)), "T": (t, (m, n), (0, 1)), "A": a}
        execute(programs.qr, settings, tiles, ("X", "D", "T"), m=m, n=n, r=r, panels=panels)
    return _Reflectors(x, d, t, r)


def _apply(
    h: _Reflectors, b: Matrix | None, cols: int, settings: Settings, *, adjoint: bool, out: Any = None
) -> Matrix:
    """H B or H^H B; without b the first `cols` columns of H."""
    side = h.x.tile[0]
    if b is not None:
        b = ready(b, settings, (side, b.tile[1]))
    tile = (side, side) if b is None else b.tile
    made = output((h.x.shape[0], cols), h.x.dtype, settings, tile=tile, folder=out)
    m, n = h.x.grid
    if made.grid[0] * made.grid[1]:
        panels = panels_of(settings, tile[0] * tile[1] * h.x.dtype.itemsize, made.grid[1], lambda j: m)
        tiles = {
            "Q": made,
            "B": h.x if b is None else b,
            "X": h.x,
            "D": (h.d, (max(h.steps, 1),), (0, 0)),
            "T": (h.t, (m, n), (0, 1)),
        }
        values = {"m": m, "r": h.steps, "adjoint": int(adjoint), "eye": int(b is None), "panels": panels}
        execute(programs.apply_q, settings, tiles, ("Q",), ("X", "D", "T"), **values)
    return made


def _upper(h: _Reflectors, settings: Settings, out: Any = None) -> Matrix:
    rows, cols = min(h.x.shape), h.x.shape[1]
    made = output((rows, cols), h.x.dtype, settings, tile=h.x.tile, triangle="upper", folder=out)
    for i in range(made.grid[0]) if not is_planning() else ():
        for j in range(i, made.grid[1]):
            shape = made.tile_shape(i, j)
            tile = h.x.get_tile(i, j)[: shape[0], : shape[1]]
            made.set_tile(i, j, np.triu(tile) if i == j else tile)
    return made


def qr(a: Any, mode: str = "reduced", *, budget: Any = None, threads: Any = None, check: bool = True) -> Any:
    """(Q, R) with A = Q R, Q of m x k, R of k x n, k = min(m, n); mode "r" gives R alone, "complete" Q of m x m and R of m x n.

    Householder reflectors by tiles; R's diagonal has any sign, as LAPACK's has. Tall matrices of few columns: tsqr is faster.

    >>> import numpy as np
    >>> from daybreak import linalg
    >>> Q, R = linalg.qr(np.arange(6.0).reshape(3, 2))
    >>> bool(np.allclose(np.asarray(Q @ R), np.arange(6.0).reshape(3, 2))), Q.shape, R.shape
    (True, (3, 2), (2, 2))
    """
    if mode not in ("reduced", "r", "complete"):
        raise InvalidArgumentError(f"mode={mode!r}: reduced, complete or r")
    a = as_matrix(a)
    settings = settings_of([a], budget, threads, check=check)
    h = _reflect(a, settings)
    upper = _upper(h, settings)
    if mode == "r":
        return upper
    rows, cols = a.shape
    q = _apply(h, None, rows if mode == "complete" else min(rows, cols), settings, adjoint=False)
    if mode == "complete" and rows > cols and not is_planning():
        whole = Matrix.temporary((rows, cols), a.dtype, tile=upper.tile, beside=settings.beside)
        for i, j in whole.tiles():
            tile = np.zeros(whole.tile_shape(i, j), a.dtype)
            part = upper.read(
                *(
                    range(min(r.start, s), min(r.stop, s))
                    for r, s in zip(whole.tile_range(i, j), upper.shape, strict=True)
                )
            )
            tile[: part.shape[0], : part.shape[1]] = part
            whole.set_tile(i, j, tile)
        upper = whole
    return q, upper


def tsqr(
    a: Any,
    mode: str = "reduced",
    *,
    out: Any = None,
    budget: Any = None,
    threads: Any = None,
    resume: bool = False,
    check: bool = True,
) -> Any:
    """(Q, R) of a tall matrix by a tree over its row blocks, R with a diagonal that is not negative; mode "r": one pass, R alone.

    A's columns must fit into one tile (65,536 at most). A block whose columns are far from dependent is factored by Cholesky
    of its Gram
    matrix, twice, else by reflectors: Q is orthogonal to working precision either way (Demmel et al., 2012; Yamamoto et al., 2015).

    >>> import numpy as np
    >>> from daybreak import linalg
    >>> Q, R = linalg.tsqr(np.eye(4, 2) * 3)
    >>> np.asarray(R)
    array([[3., 0.],
           [0., 3.]])
    """
    if mode not in ("reduced", "r"):
        raise InvalidArgumentError(f"mode={mode!r}: reduced or r")
    a = as_matrix(a)
    rows, cols = a.shape
    if rows < cols:
        raise ShapeError(f"tsqr of {rows} x {cols}: at least as many rows as columns; use qr")
    if cols > 1 << 16:
        raise ShapeError(f"tsqr of {cols} columns: at most 65536; use qr")
    settings = settings_of([a], budget, threads, resume=resume, check=check, folder=_parent(out))
    tall = max(a.tile[0], cols) if a.tile[1] == cols else max(cols, (1 << 18) // max(cols, 1))
    a = ready(a, settings, (max(min(tall, rows), 1), max(cols, 1)))
    m = a.grid[0]
    r = output((cols, cols), a.dtype, settings, tile=(max(cols, 1), max(cols, 1)))
    if not rows * cols:
        return r if mode == "r" else (Matrix.create((rows, cols), a.dtype, tile=a.tile), r)
    levels = (m - 1).bit_length()
    square = ((cols, cols), (cols, cols), (-1, -1))
    tiles: dict[str, Any] = {
        "R": r,
        "A": a,
        "S": Scratch((levels + 1, m), *square),
        "C": Scratch((max(levels, 1), m), *square),
    }
    if mode == "r":
        execute(programs.tsqr_r, settings, tiles, ("R",), m=m, levels=levels)
        return r
    q = output(a.shape, a.dtype, settings, tile=a.tile, folder=folder_of(out))
    tiles |= {"Q": q, "U": Scratch((m,), a.shape, a.tile, (0, -1)), "G": Scratch((levels + 1, m), *square)}
    execute(programs.tsqr, settings, tiles, ("Q", "R"), m=m, levels=levels)
    return q, r


def _dense(a: Matrix, settings: Settings, what: str) -> npt.NDArray[Any]:
    """All of it as an array for LAPACK's dense routines, where the budget has room for what these hold."""
    need = _DENSE_COPIES * max(a.shape) ** 2 * a.dtype.itemsize + BLAS_BYTES
    if settings.budget is not None and need > settings.budget:
        raise BudgetError(
            f"{what} of {a.shape[0]} x {a.shape[1]} is computed whole and holds about {need} bytes, budget={settings.budget}:"
            f" use a budget of {need}, or svd_randomized for the largest"
        )
    found = np.asarray(a)
    if settings.check and not np.isfinite(found).all():
        from .errors import NotFiniteError

        place = np.argwhere(~np.isfinite(found))[0]
        raise NotFiniteError("A", (int(place[0]), int(place[1])))
    return found


def _real(a: Matrix, what: str) -> None:
    if a.dtype.kind == "c":
        raise UnimplementedError(f"{what} of {a.dtype}: real matrices only; numpy.linalg.{what} takes numpy.asarray(M)")


class LstsqResult(NamedTuple):
    """As numpy.linalg.lstsq gives it."""

    x: Any
    residuals: Any  # of each column the sum of squares; empty when the rank is not full or m <= n
    rank: int
    singular_values: Any


def lstsq(
    a: Any, b: Any, rcond: float | None = None, *, budget: Any = None, threads: Any = None, check: bool = True
) -> LstsqResult:
    """The x of least |A x - b|, of the shortest where many are; A of m x n, b of m or m x nrhs.

    QR of A with Q^H b accumulated, then singular values of R (in memory: n x n). Dependent columns (singular values below
    rcond times the largest; rcond=None: eps * max(m, n)) warn with RankWarning.

    >>> from daybreak import linalg
    >>> linalg.lstsq([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]], [1.0, 3.0, 5.0]).x.round(12)
    array([1., 2.])
    """
    a = as_matrix(a)
    rows, cols = a.shape
    vector = not isinstance(b, Matrix) and np.ndim(b) == 1
    rhs = as_matrix(np.asarray(b)[:, None] if vector else b, "b")
    if rhs.shape[0] != rows:
        raise ShapeError(f"lstsq: b has {rhs.shape[0]} rows, A {rows}")
    settings = settings_of([a, rhs], budget, threads, check=check)
    a, rhs = same_type(a, rhs, settings)
    if min(rows, cols) == 0:
        x = np.zeros((cols, rhs.shape[1]), a.dtype)
        return LstsqResult(x[:, 0] if vector else x, np.zeros(0, a.real_dtype), 0, np.zeros(0, a.real_dtype))
    h = _reflect(a, settings)
    turned = _apply(h, rhs, rhs.shape[1], settings, adjoint=True)
    r = _dense(_upper(h, settings), settings, "the triangle of lstsq")
    k = min(rows, cols)
    u, s, vh = np.linalg.svd(r, full_matrices=False)
    limit = (np.finfo(a.dtype).eps * max(rows, cols) if rcond is None else numbers.real(rcond, "rcond")) * s[0]
    rank = int((s > limit).sum())
    if rank < min(rows, cols):
        warnings.warn(
            RankWarning(
                f"lstsq: the rank is {rank} of {min(rows, cols)} to working precision; the shortest solution was taken"
            ),
            stacklevel=2,
        )
    top = turned.read(range(k), range(rhs.shape[1]))
    inverse = np.zeros_like(s)
    inverse[:rank] = 1 / s[:rank]
    x = vh.conj().T @ (inverse[:, None] * (u.conj().T @ top))
    residuals = np.zeros(0, s.dtype)
    if rank == cols < rows:
        residuals = np.zeros(rhs.shape[1], s.dtype)
        for first in range(k, rows, turned.tile[0]):
            part = turned.read(range(first, min(first + turned.tile[0], rows)), range(rhs.shape[1]))
            residuals += (np.abs(part) ** 2).sum(axis=0)
    return LstsqResult(x[:, 0].copy() if vector else x, residuals, rank, s)


def svd(
    a: Any,
    full_matrices: bool = False,
    compute_uv: bool = True,
    *,
    budget: Any = None,
    threads: Any = None,
    check: bool = True,
) -> Any:
    """(U, s, Vh) thin: A = U diag(s) Vh, U of m x k, Vh of k x n, k = min(m, n), s falling; s alone without compute_uv.

    Tall or wide ones by QR and the singular values of R; the square part is computed whole, in memory. Real matrices.

    >>> from daybreak import linalg
    >>> linalg.svd([[3.0, 0.0], [0.0, 4.0]], compute_uv=False)
    array([4., 3.])
    """
    a = as_matrix(a)
    _real(a, "svd")
    if full_matrices:
        raise UnimplementedError("svd(full_matrices=True): only the thin form; the rest of U is qr(U, 'complete')")
    settings = settings_of([a], budget, threads, check=check)
    rows, cols = a.shape
    if rows < cols:
        found: Any = svd(a.T, False, compute_uv, budget=budget, threads=threads, check=check)
        return found if not compute_uv else (found[2].T, found[1], found[0].T)
    if cols == 0:
        return np.zeros(0, a.dtype)
    small = cols <= 4096 and rows >= 2 * cols
    q, r = (None, a)
    if small:
        q, r = (
            (tsqr(a, budget=budget, threads=threads, check=check))
            if compute_uv
            else (None, tsqr(a, "r", budget=budget, threads=threads, check=check))
        )
    elif rows > cols:
        q, r = qr(a, budget=budget, threads=threads, check=check)
    dense = _dense(r, settings, "svd")
    try:
        found = np.linalg.svd(dense, False) if compute_uv else np.linalg.svd(dense, False, False)
    except np.linalg.LinAlgError as error:
        raise LinAlgError(f"svd: {error}") from None
    if not compute_uv:
        return found
    u, s, vh = found
    inner = Matrix.from_array(u, tile=(r.tile[1], r.tile[1]))
    left = inner if q is None else matmul(q, inner, budget=budget, threads=threads)
    return left, s, Matrix.from_array(vh, tile=r.tile)


def svdvals(a: Any, **options: Any) -> npt.NDArray[Any]:
    """The singular values, falling."""
    found: npt.NDArray[Any] = svd(a, compute_uv=False, **options)
    return found


def svd_randomized(
    a: Any,
    k: Any,
    *,
    oversample: int = 10,
    power: int = 2,
    seed: int = 0,
    budget: Any = None,
    threads: Any = None,
    check: bool = True,
) -> tuple[Matrix, npt.NDArray[Any], Matrix]:
    """The k largest singular values with their vectors: (U, s, Vh), U of m x k, Vh of k x n.

    A random block of k + oversample (20 at least) columns, `power` rounds of A and A' with QR after every half (Halko,
    Martinsson and
    Tropp, 2011, algorithms 4.4 and 5.1): 2 power + 2 passes over A. The same seed gives the same bits. Real matrices.
    """
    a = as_matrix(a)
    _real(a, "svd")
    rows, cols = a.shape
    count = numbers.integer(k, "k", minimum=1, maximum=min(rows, cols))
    rounds = numbers.integer(power, "power", minimum=0, maximum=16)
    width = min(max(count + numbers.integer(oversample, "oversample", minimum=0), 20), rows, cols)
    options = {"budget": budget, "threads": threads}
    rng = np.random.default_rng(numbers.integer(seed, "seed", minimum=0))
    if rows < cols:
        u, s, vh = svd_randomized(
            a.T, count, oversample=oversample, power=power, seed=seed, budget=budget, threads=threads, check=check
        )
        return vh.T, s, u.T
    start = Matrix.from_array(rng.standard_normal((cols, width)).astype(a.dtype), tile=(a.tile[1], width))
    q = _basis(matmul(a, start, check=check, **options), options)
    for _ in range(rounds):
        z = _basis(matmul(a.T, q, **options), options)
        q = _basis(matmul(a, z, **options), options)
    small = np.asarray(matmul(a.T, q, **options)).T  # width x n
    inner, s, rows_of = np.linalg.svd(small, full_matrices=False)
    left = matmul(q, Matrix.from_array(inner[:, :count], tile=(width, count)), **options)
    return left, s[:count], Matrix.from_array(rows_of[:count], tile=(count, a.tile[1]))


def _basis(y: Matrix, options: dict[str, Any]) -> Matrix:
    found: Matrix = tsqr(y, check=False, **options)[0]
    return found


def eigh(a: Any, *, eigvals_only: bool = False, budget: Any = None, threads: Any = None, check: bool = True) -> Any:
    """(w, V) of a symmetric A from its lower triangle: A V = V diag(w), w rising; w alone with eigvals_only.

    Computed whole, in memory, by LAPACK's divide and conquer: BudgetError where the budget has no room for it. Real matrices.

    >>> from daybreak import linalg
    >>> linalg.eigh([[2.0, 0.0], [0.0, 1.0]], eigvals_only=True)
    array([1., 2.])
    """
    a = as_matrix(a)
    _real(a, "eigh")
    if a.shape[0] != a.shape[1]:
        raise ShapeError(f"eigh of {a.shape[0]} x {a.shape[1]}: a square matrix is needed")
    settings = settings_of([a], budget, threads, check=check)
    dense = _dense(a, settings, "eigh")
    try:
        if eigvals_only:
            return np.linalg.eigvalsh(dense)
        w, v = np.linalg.eigh(dense)
    except np.linalg.LinAlgError as error:
        raise LinAlgError(f"eigh: {error}") from None
    return w, Matrix.temporary_from(v, a.tile, settings.beside)
