"""Products, factorizations and what is solved with them: in memory and under a budget by the same calls."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from daybreak.base import paths
from daybreak.base.errors import InvalidArgumentError

from . import programs
from .errors import ShapeError
from .matrix import Matrix, as_matrix
from .running import Plan, Settings, cores, execute, is_planning, output, planned, settings_of

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = [
    "LU",
    "cholesky",
    "lu",
    "lu_factor",
    "lu_solve",
    "matmul",
    "measured_rates",
    "plan",
    "solve",
    "solve_triangular",
]

_TASK_BYTES = 120  # of the schedule, with the task's operands and successors
_AHEAD = 6  # tiles that a panel leaves for what streams past it


def ready(matrix: Matrix, settings: Settings, tile: tuple[int, int] | None = None) -> Matrix:
    """The matrix, or a copy of it where its tiles are not tiles of what it is a view of, or not `tile`."""
    wanted = tile or matrix.tile
    if matrix.aligned() and matrix.tile == wanted:
        return matrix
    if is_planning():
        return output(matrix.shape, matrix.dtype, settings, tile=wanted)
    made = Matrix.temporary(matrix.shape, matrix.dtype, tile=wanted, beside=settings.beside)
    for i, j in made.tiles():
        made.set_tile(i, j, matrix.read(*made.tile_range(i, j)))
    return made


def square_tiles(matrix: Matrix) -> tuple[int, int]:
    side = min(max(matrix.tile), 2048) if matrix.tile[0] != matrix.tile[1] else matrix.tile[0]
    return side, side


def folder_of(out: Any) -> str | None:
    if out is None:
        return None
    return paths.given(out, "out")


def panels_of(
    settings: Settings, tile_bytes: int, columns: int, rows_at: Callable[[int], int]
) -> list[tuple[int, int]]:
    """Panels from left to right, each as wide as memory allows. rows_at: tiles that a column of tiles has to hold."""
    if not settings.limited:
        return [(0, columns)] if columns else []
    schedule = columns * columns * rows_at(0) // 4 * _TASK_BYTES
    room = max((settings.tile_bytes() * 7 // 8 - schedule) // max(tile_bytes, 1) - _AHEAD * settings.threads, 1)
    found, at = [], 0
    while at < columns:
        end, held = at, 0
        while end < columns and (end == at or held + rows_at(end) <= room):
            held += rows_at(end)
            end += 1
        found.append((at, end))
        at = end
    return found


def same_type(a: Matrix, b: Matrix, settings: Settings) -> tuple[Matrix, Matrix]:
    kind = np.result_type(a.dtype, b.dtype)
    return (a if a.dtype == kind else a.astype(kind)), (b if b.dtype == kind else b.astype(kind))


def matmul(
    a: Any,
    b: Any,
    *,
    out: Any = None,
    budget: Any = None,
    threads: Any = None,
    resume: bool = False,
    check: bool = False,
) -> Matrix:
    """A B of an m x k and a k x n matrix (or array): m x n.

    out: a folder for the result; without one it goes where the inputs are. budget: bytes that the computation may hold, results in
    memory included. resume: goes on where an earlier call with the same ``out`` was ended. check: refuse NaN and infinity
    instead of letting them spread. ShapeError, BudgetError, NotFiniteError.

    >>> import numpy as np
    >>> from daybreak import linalg
    >>> np.asarray(linalg.matmul(np.eye(2), [[1.0, 2.0], [3.0, 4.0]]))
    array([[1., 2.],
           [3., 4.]])
    """
    a, b = as_matrix(a, "a"), as_matrix(b, "b")
    if a.shape[1] != b.shape[0]:
        raise ShapeError(f"matmul of {a.shape} and {b.shape}: {a.shape[1]} columns and {b.shape[0]} rows differ")
    settings = settings_of([a, b], budget, threads, resume=resume, check=check, folder=_parent(out))
    a, b = same_type(a, b, settings)
    if a.tile[1] != b.tile[0]:
        b = ready(b, settings, (a.tile[1], b.tile[1]))
    a, b = ready(a, settings), ready(b, settings)
    tile = (a.tile[0], b.tile[1])
    c = output((a.shape[0], b.shape[1]), a.dtype, settings, tile=tile, folder=folder_of(out))
    (m, k), n = a.grid, b.grid[1]
    if m * n == 0:
        return c
    if k == 0:
        for i, j in c.tiles():
            c.set_tile(i, j, np.zeros(c.tile_shape(i, j), c.dtype))
        return c
    down, across = m, n
    if settings.limited:
        room = max((settings.tile_bytes() * 7 // 8) // (tile[0] * tile[1] * a.dtype.itemsize), 1)
        # A square of C, and of A and B one column and one row beside it, twice.
        side = max(int((room + 4.0) ** 0.5) - 2, 1)
        down = min(m, side)
        across = min(n, max(1, (room - 2 * down) // (down + 2)))
        down = min(m, max(1, (room - 2 * across) // (across + 2)))
    execute(programs.matmul, settings, {"C": c, "A": a, "B": b}, ("C",), m=m, n=n, k=k, down=down, across=across)
    return c


def _parent(out: Any) -> str | None:
    return None if out is None else os.path.dirname(paths.given(out, "out"))


def _square(a: Matrix, what: str) -> int:
    if a.shape[0] != a.shape[1]:
        raise ShapeError(f"{what} of a matrix of {a.shape[0]} x {a.shape[1]}: a square one is needed")
    return a.shape[0]


def cholesky(
    a: Any,
    *,
    out: Any = None,
    budget: Any = None,
    threads: Any = None,
    resume: bool = False,
    check: bool = True,
    upper: bool = False,
) -> Matrix:
    """L with A = L L^H from the lower triangle of a Hermitian positive definite A; a view of it, L^H, with upper.

    Left-looking by columns under a budget: each tile of L is written once. NotPositiveDefiniteError has the row of the whole
    matrix.

    >>> import numpy as np
    >>> from daybreak import linalg
    >>> np.asarray(linalg.cholesky([[4.0, 2.0], [2.0, 5.0]]))
    array([[2., 0.],
           [1., 2.]])
    """
    a = as_matrix(a)
    _square(a, "cholesky")
    settings = settings_of([a], budget, threads, resume=resume, check=check, folder=_parent(out))
    a = ready(a, settings, square_tiles(a))
    made = output(a.shape, a.dtype, settings, tile=a.tile, triangle="lower", folder=folder_of(out))
    n = a.grid[0]
    if n:
        panels = panels_of(settings, a.tile[0] ** 2 * a.dtype.itemsize, n, lambda j: n - j)
        execute(programs.cholesky, settings, {"L": made, "A": a}, ("L",), n=n, panels=panels)
    return made.H if upper else made


class LU(NamedTuple):
    """lu_factor's result: X and the swaps P as matrices of tiles. solve takes it; `lu` gives its parts apart."""

    x: Matrix
    p: Matrix
    shape: tuple[int, int]


def lu_factor(a: Any, *, budget: Any = None, threads: Any = None, check: bool = True) -> LU:
    """P A = L U by partial pivoting over whole columns, kept as it is used by lu_solve."""
    a = as_matrix(a)
    settings = settings_of([a], budget, threads, check=check)
    return _lu(a, settings)


def _lu(a: Matrix, settings: Settings) -> LU:
    a = ready(a, settings, square_tiles(a))
    x = output(a.shape, a.dtype, settings, tile=a.tile)
    (m, n), side = a.grid, a.tile[0]
    r = -(-min(a.shape) // side)
    p = output((max(r, 1) * side, 1), a.dtype, settings, tile=(side, 1))
    if r:
        panels = panels_of(settings, side**2 * a.dtype.itemsize, n, lambda j: m)
        tiles = {"X": x, "P": (p, (r,), (0, -1)), "A": a}
        execute(programs.lu, settings, tiles, ("X", "P"), m=m, n=n, r=r, panels=panels)
    return LU(x, p, a.shape)


def lu(
    a: Any, *, budget: Any = None, threads: Any = None, check: bool = True
) -> tuple[npt.NDArray[np.int64], Matrix, Matrix]:
    """(perm, L, U): A[perm] = L U with L unit lower trapezoidal, U upper; perm as in scipy.linalg.lu(p_indices=True) is its
    inverse.

    >>> import numpy as np
    >>> from daybreak import linalg
    >>> perm, L, U = linalg.lu([[1.0, 2.0], [3.0, 4.0]])
    >>> perm, bool(np.allclose(np.asarray(L) @ np.asarray(U), [[3.0, 4.0], [1.0, 2.0]]))
    (array([1, 0]), True)
    """
    a = as_matrix(a)
    settings = settings_of([a], budget, threads, check=check)
    x, p, (rows, cols) = _lu(a, settings)
    side, k = x.tile[0], min(rows, cols)
    r = -(-k // side)
    lower = output((rows, k), x.dtype, settings, tile=x.tile, triangle="lower")
    upper = output((k, cols), x.dtype, settings, tile=x.tile, triangle="upper")
    if r:
        tiles = {"L": lower, "U": upper, "X": x, "P": (p, (r,), (0, -1))}
        execute(programs.lu_factors, settings, tiles, ("L", "U"), ("X", "P"), m=x.grid[0], n=x.grid[1], r=r)
    return (np.arange(rows) if is_planning() else _permutation(p, rows, k, side)), lower, upper


def _permutation(p: Matrix, rows: int, k: int, side: int) -> npt.NDArray[np.int64]:
    perm = np.arange(rows)
    for first in range(0, k, side):
        swaps = np.ascontiguousarray(p.get_tile(first // side, 0)[:, 0])
        found = swaps.view(np.int32)[:: p.dtype.itemsize // 4]
        for at in range(min(side, k - first)):
            i, j = first + at, first + int(found[at])
            perm[[i, j]] = perm[[j, i]]
    return perm


def _rhs(b: Any, rows: int, dtype: np.dtype[Any], tile: int) -> tuple[Matrix, bool]:
    vector = not isinstance(b, Matrix) and np.ndim(b) == 1
    matrix = as_matrix(np.asarray(b)[:, None] if vector else b, "b", tile=(tile, 512))
    if matrix.shape[0] != rows:
        raise ShapeError(f"b has {matrix.shape[0]} rows, the matrix {rows}")
    return matrix, vector


def lu_solve(factors: LU, b: Any, *, budget: Any = None, threads: Any = None, check: bool = True) -> Any:
    """X with A X = B from lu_factor's result; an array of one dimension for one."""
    rows = factors.shape[0]
    if factors.shape[0] != factors.shape[1]:
        raise ShapeError(f"the factored matrix is {factors.shape[0]} x {factors.shape[1]}: a square one is needed")
    side = factors.x.tile[0]
    rhs, vector = _rhs(b, rows, factors.x.dtype, side)
    settings = settings_of([factors.x, rhs], budget, threads, check=check)
    if rhs.dtype != factors.x.dtype:
        rhs = rhs.astype(factors.x.dtype) if np.can_cast(rhs.dtype, factors.x.dtype) else _differ(rhs, factors.x)
    rhs = ready(rhs, settings, (side, rhs.tile[1]))
    made = output(rhs.shape, rhs.dtype, settings, tile=rhs.tile)
    n, count = rhs.grid
    if n * count:
        tiles = {"Y": made, "B": rhs, "X": factors.x, "P": (factors.p, (n,), (0, -1))}
        execute(programs.lu_solve, settings, tiles, ("Y",), ("X", "P"), n=n, rhs=count)
    return _vector(made, vector)


def _differ(b: Matrix, a: Matrix) -> Matrix:
    raise InvalidArgumentError(f"b is {b.dtype}, the matrix {a.dtype}: convert the matrix with astype({b.dtype}) first")


def _vector(made: Matrix, vector: bool) -> Any:
    return made if is_planning() or not vector else np.asarray(made)[:, 0]


def solve(a: Any, b: Any, *, assume_a: str = "gen", budget: Any = None, threads: Any = None, check: bool = True) -> Any:
    """X with A X = B. assume_a: "gen" (LU), "pos" (Cholesky of the lower triangle), "lower triangular" or "upper triangular".

    B of one dimension gives an array of one. SingularMatrixError, NotPositiveDefiniteError; a badly conditioned matrix is not
    refused.

    >>> from daybreak import linalg
    >>> linalg.solve([[2.0, 0.0], [0.0, 4.0]], [2.0, 2.0])
    array([1. , 0.5])
    """
    a = as_matrix(a)
    rows = _square(a, "solve")
    kinds = ("gen", "pos", "lower triangular", "upper triangular")
    if assume_a not in kinds:
        raise InvalidArgumentError(f"assume_a={assume_a!r}: one of {', '.join(kinds)}")
    if assume_a.endswith("triangular"):
        return solve_triangular(a, b, lower=assume_a.startswith("lower"), budget=budget, threads=threads, check=check)
    rhs, vector = _rhs(b, rows, a.dtype, a.tile[0])
    settings = settings_of([a, rhs], budget, threads, check=check)
    a, rhs = same_type(a, rhs, settings)
    if assume_a == "gen":
        factors = _lu(a, settings)
        made = lu_solve(factors, rhs, budget=budget, threads=threads, check=check)
        return _vector(made, vector)
    lower = cholesky(a, budget=budget, threads=threads, check=check)
    rhs = ready(rhs, settings, (lower.tile[0], rhs.tile[1]))
    made = output(rhs.shape, rhs.dtype, settings, tile=rhs.tile)
    n, count = rhs.grid
    if n * count:
        tiles = {"Y": made, "B": rhs, "L": lower}
        execute(programs.cholesky_solve, settings, tiles, ("Y",), ("L",), n=n, rhs=count)
    return _vector(made, vector)


def solve_triangular(
    t: Any,
    b: Any,
    *,
    lower: bool = False,
    unit_diagonal: bool = False,
    budget: Any = None,
    threads: Any = None,
    check: bool = True,
) -> Any:
    """X with T X = B of a triangular T, whose other triangle is not looked at."""
    t = as_matrix(t, "t")
    rows = _square(t, "solve_triangular")
    rhs, vector = _rhs(b, rows, t.dtype, t.tile[0])
    settings = settings_of([t, rhs], budget, threads, check=check)
    t, rhs = same_type(t, rhs, settings)
    t = ready(t, settings, square_tiles(t))
    if t._swapped or t._conj:
        t = t.copy() if not is_planning() else output(t.shape, t.dtype, settings, tile=t.tile)
    rhs = ready(rhs, settings, (t.tile[0], rhs.tile[1]))
    made = output(rhs.shape, rhs.dtype, settings, tile=rhs.tile)
    n, count = rhs.grid
    if n * count:
        tiles = {"Y": made, "B": rhs, "T": t}
        execute(
            programs.triangular_solve,
            settings,
            tiles,
            ("Y",),
            ("T",),
            n=n,
            rhs=count,
            is_upper=int(not lower),
            is_unit=int(unit_diagonal),
        )
    return _vector(made, vector)


def plan(function: Callable[..., Any], *args: Any, **options: Any) -> Plan:
    """What a call would read, write and hold, and about how long it would take; nothing is run or written.

    Of functions that run fixed programs (matmul, cholesky, lu, solve, qr, tsqr, inv, ...); BudgetError as the call would raise it.

    >>> import numpy as np
    >>> from daybreak import linalg
    >>> linalg.plan(linalg.cholesky, linalg.Matrix.from_array(np.eye(8), tile=4)).stages[0].tasks
    7
    """
    with planned() as made:
        function(*args, **options)
    folder = next((x.folder for x in args if isinstance(x, Matrix) and x.folder), None)
    made.flop_rate, made.disk_rate = measured_rates(
        None if folder is None else os.path.dirname(folder), min(made.threads, cores())
    )
    return made


def measured_rates(folder: str | None, threads: int) -> tuple[float, float]:
    """Flops a second of a product in memory, bytes a second of files in a folder: a quarter of a second for both."""
    n = 512 * max(1, threads)
    a = Matrix.from_array(np.ones((n, 512)), tile=512)
    b = Matrix.from_array(np.ones((512, 512)), tile=512)
    matmul(a, b, threads=threads)
    started = time.perf_counter()
    matmul(a, b, threads=threads)
    flops = 2 * n * 512 * 512 / (time.perf_counter() - started)
    if folder is None:
        return flops, 0.0
    probe = Matrix.temporary((2048, 1024), np.float64, tile=512, beside=folder)
    tile = np.asfortranarray(np.ones((512, 512)))
    started = time.perf_counter()
    for i, j in probe.tiles():
        probe.set_tile(i, j, tile)
    for i, j in probe.tiles():
        probe.get_tile(i, j)
    return flops, 2 * probe.nbytes / (time.perf_counter() - started)
