"""What linear algebra raises, and warns of: each is numpy's own class, too, where numpy has one."""

from __future__ import annotations

import numpy as np

from daybreak.base.errors import FailedPreconditionError, InvalidArgumentError, ResourceExhaustedError

__all__ = [
    "BudgetError",
    "LinAlgError",
    "NotFiniteError",
    "NotPositiveDefiniteError",
    "RankWarning",
    "ShapeError",
    "SingularMatrixError",
]


class LinAlgError(FailedPreconditionError, np.linalg.LinAlgError):
    """The matrix has no such factorization, or the method did not converge."""


class NotPositiveDefiniteError(LinAlgError):
    """The leading minor of order ``index + 1`` is not positive definite; ``index`` counts rows of the whole matrix from 0."""

    def __init__(self, index: int) -> None:
        super().__init__(
            f"the matrix is not positive definite: its leading minor of order {index + 1} is not (row {index} of the whole"
            " matrix); use lu or solve(assume_a='gen'), or add to the diagonal"
        )
        self.index = index


class SingularMatrixError(LinAlgError):
    """A diagonal element of a triangular factor is exactly zero, at row ``index`` of the whole matrix."""

    def __init__(self, index: int) -> None:
        super().__init__(
            f"the matrix is singular: the diagonal of its triangular factor is 0 at row {index}; use lstsq"
        )
        self.index = index


class NotFiniteError(LinAlgError):
    """An input has NaN or an infinity, the first that was met at ``place`` (row, column)."""

    def __init__(self, matrix: str, place: tuple[int, int]) -> None:
        super().__init__(f"{matrix} has NaN or an infinity at {place}: clean it, or give check=False to let it spread")
        self.place = place


class ShapeError(InvalidArgumentError, np.linalg.LinAlgError):
    """Shapes that do not go together."""


class BudgetError(ResourceExhaustedError, MemoryError):
    """A computation that cannot keep to its budget of memory. It has not begun; nothing was written."""


class RankWarning(UserWarning):
    """A least-squares problem whose columns are dependent to working precision: many solutions, the shortest was taken."""
