"""The acceptance formulas of SLATE and DPLASMA over generated families of matrices, in memory and out of core."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from daybreak import linalg
from daybreak.linalg import Matrix
from daybreak.linalg.tests.families import (
    DTYPES,
    dtypes,
    family,
    names,
    norm1,
    positive,
    random,
    ratio,
    seeds,
    sides,
    tiles,
)

LIMIT = 50.0
many = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@many
@given(sides, sides, sides, tiles, tiles, dtypes, seeds)
def test_a_product_is_exact_to_rounding(m: int, n: int, k: int, tile: int, other: int, dtype: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = random(rng, m, k, dtype), random(rng, k, n, dtype)
    c = np.asarray(linalg.matmul(Matrix.from_array(a, tile=(tile, other)), Matrix.from_array(b, tile=tile)))
    assert c.dtype == dtype and c.shape == (m, n)
    x = random(rng, n, 1, dtype)
    if m * n * k:
        assert ratio(c @ x - a @ (b @ x), k * norm1(a), norm1(b), norm1(x), dtype=dtype) <= LIMIT
    else:
        assert not c.any()


@many
@given(sides, tiles, dtypes, seeds)
def test_cholesky_gives_the_matrix_back(n: int, tile: int, dtype: Any, seed: int) -> None:
    a = positive(np.random.default_rng(seed), n, dtype)
    lower = np.asarray(linalg.cholesky(Matrix.from_array(a, tile=tile)))
    assert not np.triu(lower, 1).any()
    assert ratio(lower @ lower.conj().T - a, n or 1, norm1(a) or 1, dtype=dtype) <= LIMIT
    assert (np.diag(lower).real > 0).all()


@many
@given(sides, sides, tiles, dtypes, names, seeds)
def test_lu_gives_the_permuted_matrix_back(m: int, n: int, tile: int, dtype: Any, name: str, seed: int) -> None:
    a = family(name, np.random.default_rng(seed), m, n, dtype)
    perm, lower, upper = linalg.lu(Matrix.from_array(a, tile=tile))
    low, up = np.asarray(lower), np.asarray(upper)
    assert sorted(perm) == list(range(m))
    assert np.abs(low).max(initial=0) <= 1.4143  # partial pivoting; of complex numbers by the sum of their parts
    assert not np.tril(up, -1).any() and not np.triu(low, 1).any() and (np.diag(low) == 1).all()
    # Wilkinson's matrix lets elements grow: the error is relative to the factors.
    scale = max(norm1(a), norm1(np.abs(low) @ np.abs(up)), 1e-30)
    assert ratio(low @ up - a[perm], max(m, n, 1), scale, dtype=dtype) <= LIMIT


@many
@given(sides, sides, tiles, dtypes, names, seeds)
def test_qr_is_orthogonal_and_gives_the_matrix_back(
    m: int, n: int, tile: int, dtype: Any, name: str, seed: int
) -> None:
    a = family(name, np.random.default_rng(seed), m, n, dtype)
    for q, r in [linalg.qr(Matrix.from_array(a, tile=tile))] + (
        [linalg.tsqr(Matrix.from_array(a, tile=(tile + n, max(n, 1))))] if m >= n else []
    ):
        q, r = np.asarray(q), np.asarray(r)
        assert not np.tril(r, -1).any()
        assert ratio(q @ r - a, max(m, 1), max(norm1(a), 1e-30), dtype=dtype) <= LIMIT
        assert (
            ratio(q.conj().T @ q - np.eye(q.shape[1]), max(m, n, 1), 1.0, dtype=dtype) <= LIMIT
            or name == "rank_deficient"
        )


@many
@given(sides, tiles, dtypes, seeds)
def test_tsqr_has_a_diagonal_that_is_not_negative(n: int, tile: int, dtype: Any, seed: int) -> None:
    a = random(np.random.default_rng(seed), 3 * n, n, dtype)
    r = np.asarray(linalg.tsqr(Matrix.from_array(a, tile=(n + tile, max(n, 1))), "r"))
    assert (np.diag(r).real >= 0).all() and not np.diag(r).imag.any()
    assert ratio(np.abs(r) - np.abs(np.linalg.qr(a, "r")), 100 * max(n, 1), max(norm1(a), 1e-30), dtype=dtype) <= LIMIT


@many
@given(sides, tiles, dtypes, seeds)
def test_solve_leaves_a_small_residual(n: int, tile: int, dtype: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for a, kind in ((random(rng, n, n, dtype), "gen"), (positive(rng, n, dtype), "pos")):
        b = random(rng, n, 3, dtype)
        x = np.asarray(linalg.solve(Matrix.from_array(a, tile=tile), b, assume_a=kind))
        scale = max(norm1(a) * norm1(x), 1e-30)
        assert ratio(b - a @ x, max(n, 1), scale, dtype=dtype) <= LIMIT


@many
@given(sides, sides, tiles, dtypes, seeds)
def test_lstsq_leaves_a_residual_that_is_orthogonal_to_the_columns(
    m: int, n: int, tile: int, dtype: Any, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    a, b = random(rng, m, n, dtype), random(rng, m, 2, dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", linalg.RankWarning)
        found = linalg.lstsq(Matrix.from_array(a, tile=tile), b)
    if m * n == 0:
        assert found.x.shape == (n, 2) and found.rank == 0
        return
    rest = b - a @ found.x
    assert (
        ratio(a.conj().T @ rest, max(m, n, 2), norm1(a), max(norm1(b), norm1(a) * norm1(found.x)), dtype=dtype) <= LIMIT
    )
    known = np.linalg.lstsq(a, b, rcond=None)
    assert found.rank == known[2]
    np.testing.assert_allclose(found.singular_values, known[3], rtol=0, atol=100 * np.finfo(dtype).eps * known[3][0])


@many
@given(sides, sides, tiles, seeds)
def test_singular_and_eigenvalues_give_the_matrix_back(m: int, n: int, tile: int, seed: int) -> None:
    a = random(np.random.default_rng(seed), m, n, np.float64)
    u, s, vh = (
        linalg.svd(Matrix.from_array(a, tile=tile)) if m * n else (np.zeros((m, 0)), np.zeros(0), np.zeros((0, n)))
    )
    u, vh = np.asarray(u), np.asarray(vh)
    assert (np.diff(s) <= 0).all()
    assert ratio((u * s) @ vh - a, max(m, n, 1), max(norm1(a), 1e-30), dtype=np.float64) <= LIMIT
    sym = a.T @ a
    w, v = linalg.eigh(Matrix.from_array(sym, tile=tile))
    v = np.asarray(v)
    assert (np.diff(w) >= 0).all()
    assert ratio((v * w) @ v.T - sym, max(n, 1), max(norm1(sym), 1e-30), dtype=np.float64) <= LIMIT


@pytest.mark.parametrize("dtype", DTYPES)
def test_out_of_core_and_in_memory_agree_to_the_bit_with_any_number_of_threads(dtype: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    n, tile = 500, 64
    a = positive(rng, n, dtype)
    b = random(rng, n, n, dtype)
    small = 2 * (24 << 20) + 40 * tile * tile * np.dtype(dtype).itemsize
    on_disk = Matrix.from_array(a, tile=tile, folder=tmp_path / "a")
    other = Matrix.from_array(b, tile=tile, folder=tmp_path / "b")
    for threads in (1, 2):
        held = dict(threads=threads, budget=small)
        assert np.array_equal(
            linalg.cholesky(on_disk, **held), linalg.cholesky(Matrix.from_array(a, tile=tile), threads=3)
        )
        assert np.array_equal(
            linalg.matmul(on_disk, other, **held),
            linalg.matmul(Matrix.from_array(a, tile=tile), Matrix.from_array(b, tile=tile)),
        )
        for x, y in zip(linalg.lu(other, **held), linalg.lu(Matrix.from_array(b, tile=tile)), strict=True):
            assert np.array_equal(x, y)
        for x, y in zip(linalg.qr(other, **held), linalg.qr(Matrix.from_array(b, tile=tile)), strict=True):
            assert np.array_equal(x, y)


def test_randomized_singular_values_are_those_of_a_matrix_that_falls_off() -> None:
    rng = np.random.default_rng(3)
    u, _ = np.linalg.qr(rng.standard_normal((300, 30)))
    v, _ = np.linalg.qr(rng.standard_normal((120, 30)))
    s = 2.0 ** -np.arange(30)
    a = (u * s) @ v.T
    for view in (Matrix.from_array(a, tile=64), Matrix.from_array(a.T.copy(), tile=50).T):
        left, found, right = linalg.svd_randomized(view, 8, seed=1)
        np.testing.assert_allclose(found, s[:8], rtol=1e-9)
        assert np.abs((np.asarray(left) * found) @ np.asarray(right) - a).max() < 2 * s[8]
    first, again = (np.asarray(linalg.svd_randomized(Matrix.from_array(a), 4, seed=5)[0]) for _ in range(2))
    assert np.array_equal(first, again)


def test_conjugate_gradients_end_at_the_solution_and_say_when_they_do_not() -> None:
    rng = np.random.default_rng(5)
    a = positive(rng, 80, np.float64, 1e4)
    b = rng.standard_normal(80)
    found = linalg.cg(Matrix.from_array(a, tile=32), b, rtol=1e-10)
    assert found.converged and np.linalg.norm(b - a @ found.x) <= 1e-9 * np.linalg.norm(b)
    early = linalg.cg(Matrix.from_array(a, tile=32), b, max_iterations=1, precondition=False)
    assert not early.converged and early.iterations == 1 and early.residual > 1e-8
    with pytest.raises(linalg.LinAlgError, match="not positive definite"):
        linalg.cg(-np.eye(3), np.ones(3))
