"""Matrices in tiles, in memory or in a folder, and their factorizations under a budget of memory.

>>> import numpy as np
>>> from daybreak import linalg
>>> M = linalg.Matrix.from_array(np.eye(4) * 4.0, tile=2)
>>> np.asarray(np.linalg.cholesky(M)).diagonal()
array([2., 2., 2., 2.])
"""

from . import functions as functions  # numpy's functions and operators of a matrix
from . import lambdapack, programs
from .elementwise import concatenate, where
from .errors import (
    BudgetError,
    LinAlgError,
    NotFiniteError,
    NotPositiveDefiniteError,
    RankWarning,
    ShapeError,
    SingularMatrixError,
)
from .factor import LU, cholesky, lu, lu_factor, lu_solve, matmul, plan, solve, solve_triangular
from .iterative import CGResult, cg, cond, inv, norm
from .matrix import Matrix
from .orthogonal import LstsqResult, eigh, lstsq, qr, svd, svd_randomized, svdvals, tsqr
from .running import Plan, Scratch, run_program

__all__ = [
    "LU",
    "BudgetError",
    "CGResult",
    "LinAlgError",
    "LstsqResult",
    "Matrix",
    "NotFiniteError",
    "NotPositiveDefiniteError",
    "Plan",
    "RankWarning",
    "Scratch",
    "ShapeError",
    "SingularMatrixError",
    "cg",
    "cholesky",
    "concatenate",
    "cond",
    "eigh",
    "inv",
    "lambdapack",
    "lstsq",
    "lu",
    "lu_factor",
    "lu_solve",
    "matmul",
    "norm",
    "plan",
    "programs",
    "qr",
    "run_program",
    "solve",
    "solve_triangular",
    "svd",
    "svd_randomized",
    "svdvals",
    "tsqr",
    "where",
]
