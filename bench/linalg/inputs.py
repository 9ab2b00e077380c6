"""The same numbers for all sides, by fixed seeds."""

import os

import numpy as np

os.environ.pop("OPENBLAS_CORETYPE", None)


def square(n: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((n, n))


def positive(n: int) -> np.ndarray:
    """Diagonally dominant and symmetric: made in n^2 steps."""
    a = np.random.default_rng(2).standard_normal((n, n))
    a += a.T
    a[np.diag_indices(n)] += 4 * n
    return a


def tall(rows: int, cols: int = 64) -> np.ndarray:
    return np.random.default_rng(3).standard_normal((rows, cols))


def low_rank(rows: int, cols: int) -> np.ndarray:
    """Singular values that fall like 1 / k, and noise."""
    rng = np.random.default_rng(4)
    k = 100
    left = rng.standard_normal((rows, k)) / np.arange(1, k + 1)
    return left @ rng.standard_normal((k, cols)) + 1e-3 * rng.standard_normal((rows, cols))
