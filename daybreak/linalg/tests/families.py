"""Matrices that tests are held against, and the formulas that say how exact a factorization has to be."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

DTYPES = [np.float32, np.float64, np.complex64, np.complex128]
FAMILIES = ["random", "graded", "hilbert", "wilkinson", "singular_leading", "rank_deficient", "scaled"]


def random(rng: np.random.Generator, rows: int, cols: int, dtype: Any) -> np.ndarray:
    a = rng.standard_normal((rows, cols))
    if np.dtype(dtype).kind == "c":
        a = a + 1j * rng.standard_normal((rows, cols))
    return a.astype(dtype)


def family(name: str, rng: np.random.Generator, rows: int, cols: int, dtype: Any) -> np.ndarray:
    a = random(rng, rows, cols, dtype)
    i, j = np.arange(rows)[:, None], np.arange(cols)[None, :]
    if name == "graded":
        a = a * (10.0 ** (-8 * j / max(cols, 1))) * (10.0 ** (-4 * i / max(rows, 1)))
    elif name == "hilbert":
        a = 1.0 / (i + j + 1)
    elif name == "wilkinson":  # growth of elements in partial pivoting
        a = np.where(i > j, -1.0, 0.0) + np.where(i == j, 1.0, 0.0) + np.where(j == cols - 1, 1.0, 0.0) * (i != j)
    elif name == "singular_leading":
        a[: rows // 2, : cols // 2] = 0
    elif name == "rank_deficient":
        k = max(min(rows, cols) // 2, 0)
        a = random(rng, rows, k, dtype) @ random(rng, k, cols, dtype)
    elif name == "scaled":
        a = a * 1e-12
    return np.asarray(a).astype(dtype)


def positive(rng: np.random.Generator, n: int, dtype: Any, condition: float = 1e3) -> np.ndarray:
    wide = np.complex128 if np.dtype(dtype).kind == "c" else np.float64
    q, _ = np.linalg.qr(random(rng, n, n, wide)) if n else (np.zeros((0, 0), wide), None)
    values = np.geomspace(1, 1 / condition, n)
    a = (q * values) @ q.conj().T
    return ((a + a.conj().T) / 2).astype(dtype)


def eps(dtype: Any) -> float:
    return float(np.finfo(dtype).eps)


def norm1(a: np.ndarray) -> float:
    return float(np.abs(a).sum(axis=0).max()) if a.size else 0.0


def ratio(error: np.ndarray, *scales: float, dtype: Any) -> float:
    """|error|_1 over the scales, in eps / 2: at most 50 (SLATE's testers); what is NaN fails."""
    scale = float(np.prod(scales))
    if error.size == 0:
        return 0.0
    found = norm1(error.astype(np.complex128))
    assert np.isfinite(found)
    return 0.0 if found == 0 else found / (scale * eps(dtype) / 2 or np.finfo(float).tiny)


sides = st.integers(0, 40)
tiles = st.integers(1, 17)
dtypes = st.sampled_from(DTYPES)
seeds = st.integers(0, 2**32 - 1)
names = st.sampled_from(FAMILIES)
