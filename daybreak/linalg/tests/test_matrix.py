"""What a matrix is made of, its views, and numpy's face of it."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daybreak import linalg
from daybreak.base import errors
from daybreak.linalg import Matrix
from daybreak.linalg.tests.families import DTYPES, dtypes, random, seeds, tiles

many = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
slices = st.builds(
    slice,
    st.none() | st.integers(-30, 30),
    st.none() | st.integers(-30, 30),
    st.none() | st.integers(1, 4) | st.integers(-4, -1),
)


@many
@given(
    st.integers(0, 25),
    st.integers(0, 25),
    tiles,
    tiles,
    dtypes,
    seeds,
    slices,
    slices,
    slices,
    st.booleans(),
    st.booleans(),
)
def test_views_of_views_are_what_numpy_has(
    m: int,
    n: int,
    down: int,
    across: int,
    dtype: Any,
    seed: int,
    s1: slice,
    s2: slice,
    s3: slice,
    flip: bool,
    conj: bool,
) -> None:
    a = random(np.random.default_rng(seed), m, n, dtype)
    M = Matrix.from_array(a, tile=(down, across))
    assert np.array_equal(M, a)
    view, known = M[s1, s2], a[s1, s2]
    if flip:
        view, known = view.T, known.T
    if conj:
        view, known = view.H, known.conj().T
    view, known = view[s3], known[s3]
    assert view.shape == known.shape
    assert np.array_equal(view, known)
    assert np.array_equal(view.copy(tile=3), known)
    if known.size:
        assert (
            np.array_equal(view[-1], known[-1])
            and view[0, 0] == known[0, 0]
            and np.array_equal(view[:, 0], known[:, 0])
        )
        assert np.array_equal(view @ view.H, np.asarray(view.copy() @ view.H.copy()))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_factorization_of_a_view_is_that_of_its_copy(dtype: Any) -> None:
    a = random(np.random.default_rng(0), 50, 50, dtype)
    s = a @ a.conj().T + 60 * np.eye(50, dtype=dtype)
    for view, known in (
        (Matrix.from_array(s, tile=16)[3:40, 3:40], s[3:40, 3:40]),
        (Matrix.from_array(s, tile=16)[16:48, 16:48].H, s[16:48, 16:48]),
    ):
        lower = np.asarray(linalg.cholesky(view))
        np.testing.assert_allclose(lower, np.linalg.cholesky(known), atol=60 * np.finfo(dtype).eps * 50)
        np.testing.assert_allclose(
            np.asarray(linalg.solve(view.T, np.eye(len(known), dtype=dtype))), np.linalg.inv(known.T), atol=1e-4
        )


def test_whatever_numpy_takes_is_taken_or_refused_by_name() -> None:
    base = np.arange(12).reshape(3, 4)
    for array in (
        base,
        base.tolist(),
        base[::-1, ::2],
        np.asfortranarray(base),
        base.astype(">f8"),
        base.astype(np.uint8),
        base > 3,
        np.float32(base),
        memoryview(base.astype(float)),
        base.view(np.matrix) if hasattr(np, "matrix") else base,
    ):
        M = Matrix.from_array(array, tile=2)
        assert np.array_equal(M, np.asarray(array)), array
    assert Matrix.from_array(np.float32(base)).dtype == np.float32
    assert Matrix.from_array([1, 2, 3]).shape == (3, 1)
    for wrong in (
        np.array(["a"]),
        np.zeros((2, 2, 2)),
        np.float16([[1]]),
        np.array([[None]]),
        np.longdouble([[1]]),
        3.0,
        np.ma.masked_array([[1.0, 2.0]], [[0, 1]]),
        np.array([[np.datetime64("2020")]]),
    ):
        with pytest.raises(errors.InvalidArgumentError):
            Matrix.from_array(wrong)
    with pytest.raises(errors.InvalidArgumentError, match="imaginary"):
        Matrix.from_array([[1j]], dtype=np.float64)
    assert np.array_equal(Matrix.from_array(np.ma.masked_array([[1.0, 2.0]])), [[1, 2]])


def test_pandas_arrow_maps_and_torch_come_in(tmp_path: Path) -> None:
    import pandas as pd
    import pyarrow as pa

    a = np.random.default_rng(0).standard_normal((7, 3))
    assert np.array_equal(Matrix.from_array(pd.DataFrame(a), tile=2), a)
    assert np.array_equal(Matrix.from_array(pa.table({str(k): a[:, k] for k in range(3)}), tile=2), a)
    np.save(tmp_path / "a.npy", a)
    M = Matrix.from_array(np.load(tmp_path / "a.npy", mmap_mode="r"), tile=2)
    M.save_npy(tmp_path / "b.npy")
    assert np.array_equal(np.load(tmp_path / "b.npy"), a)
    torch = pytest.importorskip("torch")
    assert np.array_equal(Matrix.from_array(torch.tensor(a, requires_grad=True)), a)


def test_dask_and_zarr_arrays_come_in_tile_by_tile() -> None:
    """dask/dask #2388 and others: whole arrays were computed to take a part."""

    class Chunked:
        shape, dtype = (10, 6), np.dtype(float)
        asked: list[Any] = []

        def __getitem__(self, key: Any) -> Any:
            self.asked.append(key)
            return np.ones((10, 6))[key]

    Chunked.__module__ = "zarr.core"
    M = Matrix.from_array(Chunked(), tile=4)
    assert np.array_equal(M, np.ones((10, 6)))
    assert max((k[0].stop - k[0].start) * (k[1].stop - k[1].start) for k in Chunked.asked) == 16


@many
@given(st.integers(1, 20), st.integers(1, 20), tiles, seeds)
def test_elementwise_and_reductions_are_numpys(m: int, n: int, tile: int, seed: int) -> None:
    a = random(np.random.default_rng(seed), m, n, np.float64)
    M = Matrix.from_array(a, tile=tile)
    row, col = a[:1] + 1, a[:, :1] * 2
    for ours, known in (
        (M + 1, a + 1),
        (1 - M, 1 - a),
        (M * M, a * a),
        (M / 3, a / 3),
        (2.0**M, 2.0**a),
        (abs(M), abs(a)),
        (-M, -a),
        (np.exp(M), np.exp(a)),
        (M + row, a + row),
        (col * M, col * a),
        (M - Matrix.from_array(row), a - row),
        (M.T + a.T, a.T + a.T),
        (np.maximum(M, 0), np.maximum(a, 0)),
        (np.where(M > 0, M, row), np.where(a > 0, a, row)),
        (M > 0, a > 0),
        (np.sqrt(abs(M)), np.sqrt(abs(a))),
        (np.concatenate([M, M * 2]), np.concatenate([a, a * 2])),
        (np.hstack([M, col]), np.hstack([a, col])),
        (M[::-1] + row, a[::-1] + row),
    ):
        assert np.array_equal(ours, known)
    for name in ("sum", "mean", "min", "max", "prod", "any", "all"):
        for axis in (None, 0, 1, -1):
            for keep in (False, True):
                np.testing.assert_allclose(
                    getattr(M, name)(axis=axis, keepdims=keep),
                    getattr(a, name)(axis=axis, keepdims=keep),
                    rtol=1e-10,
                    atol=1e-12,
                )
    for order in (None, "fro", 1, -1, 2, -2, np.inf, -np.inf, "nuc"):
        np.testing.assert_allclose(np.linalg.norm(M, order), np.linalg.norm(a, order), rtol=1e-10)
    np.testing.assert_allclose(np.linalg.norm(M, axis=0), np.linalg.norm(a, axis=0))
    v = a[0]
    np.testing.assert_allclose(M @ v, a @ v, atol=1e-12)
    np.testing.assert_allclose(v @ M.T, v @ a.T, atol=1e-12)
    assert np.array_equal(M.diagonal(), a.diagonal()) and np.isclose(np.trace(M), a.trace())


def test_types_are_numpys() -> None:
    f, d = Matrix.from_array(np.float32([[1, 2]])), Matrix.from_array([[1.0, 2.0]])
    c = Matrix.from_array(np.complex64([[1j, 2]]))
    assert (f + 1.5).dtype == np.float32 and (f + d).dtype == np.float64 and (f + np.float64(1)).dtype == np.float64
    assert (f * c).dtype == np.complex64 and (d * c).dtype == np.complex128 and abs(c).dtype == np.float32
    assert (f @ d.T).dtype == np.float64 and c.real.dtype == np.float32 and (c.conj() + 0)[0, 0] == -1j
    assert np.array_equal(c.H, [[-1j], [2]])


def test_numpys_functions_are_ours_or_refused_by_name() -> None:
    a = np.random.default_rng(0).standard_normal((6, 6))
    M = Matrix.from_array(a @ a.T + np.eye(6), tile=4)
    s = np.asarray(M)
    assert isinstance(np.linalg.cholesky(M), Matrix) and np.allclose(np.linalg.cholesky(M), np.linalg.cholesky(s))
    assert np.allclose(np.linalg.solve(M, np.ones(6)), np.linalg.solve(s, np.ones(6)))
    assert np.allclose(np.linalg.eigh(M).eigenvalues, np.linalg.eigvalsh(s)) and np.allclose(
        np.linalg.svd(M).S, np.linalg.svd(s).S
    )
    q, r = np.linalg.qr(M)
    assert (
        np.allclose(q @ r, s)
        and np.isclose(np.linalg.cond(M), np.linalg.cond(s))
        and np.allclose(np.linalg.inv(M), np.linalg.inv(s))
    )
    assert (
        np.allclose(np.dot(M, M), s @ s)
        and np.sum(M) == pytest.approx(s.sum())
        and np.mean(M, axis=1) == pytest.approx(s.mean(1))
    )
    with pytest.raises(errors.UnimplementedError, match="median"):
        np.median(M)
    with pytest.raises(errors.UnimplementedError, match="left_shift"):
        np.left_shift(M, 1)
    with pytest.raises(errors.UnimplementedError, match="out"):
        np.add(M, 1, out=np.zeros((6, 6)))
    with pytest.raises(errors.UnimplementedError, match="complex"):
        linalg.eigh(np.eye(2) * 1j)
    with pytest.raises(errors.InvalidArgumentError, match="truth"):
        bool(M)
    xp = M.__array_namespace__()
    assert np.allclose(xp.exp(M), np.exp(s)) and xp.sum(M) == pytest.approx(s.sum())
    with pytest.raises(AttributeError, match="argsort"):
        xp.argsort  # noqa: B018
    with pytest.raises(TypeError):
        hash(M)


def test_a_matrix_in_a_folder_is_opened_again_and_never_overwritten(tmp_path: Path) -> None:
    a = np.arange(20.0).reshape(4, 5)
    M = Matrix.from_array(a, tile=3, folder=tmp_path / "m")
    again = Matrix.open(str(tmp_path / "m").encode())
    assert np.array_equal(again, a) and again.tile == (3, 3) and again.id == M.id
    assert np.array_equal(pickle.loads(pickle.dumps(M)), a) and np.array_equal(pickle.loads(pickle.dumps(M.T)), a.T)
    with pytest.raises(errors.AlreadyExistsError):
        Matrix.from_array(a, folder=tmp_path / "m")
    with pytest.raises(errors.NotFoundError):
        Matrix.open(tmp_path)
    (tmp_path / "m" / "matrix.json").write_text('{"format": 9}')
    with pytest.raises(errors.UnimplementedError, match="format 9"):
        Matrix.open(tmp_path / "m")
    for text in ("", "{", "[]", '{"format": 1}', '{"format": 1, "rows": -1}'):
        (tmp_path / "m" / "matrix.json").write_text(text)
        with pytest.raises(errors.DataLossError):
            Matrix.open(tmp_path / "m")


def test_temporary_results_go_with_their_last_user(tmp_path: Path) -> None:
    M = Matrix.from_array(np.eye(8), tile=4, folder=tmp_path / "m")
    lower = linalg.cholesky(M)
    view = lower.T
    assert lower.folder is not None and Path(lower.folder).is_dir()
    where = Path(lower.folder)
    del lower
    assert where.is_dir() and np.array_equal(view, np.eye(8))
    del view
    assert not where.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m"]


@pytest.mark.parametrize("bad", [0, -1, 1.5, "8", (1, 2, 3), 1 << 40, (1 << 20, 1 << 20)])
def test_tiles_that_are_none_are_refused(bad: Any) -> None:
    with pytest.raises(errors.InvalidArgumentError, match="tile"):
        Matrix.from_array(np.eye(2), tile=bad)


def test_numbers_of_any_kind_are_tiles_and_budgets() -> None:
    M = Matrix.from_array(np.eye(8), tile=np.int64(4))
    assert M.tile == (4, 4)
    assert np.array_equal(linalg.cholesky(M, budget=np.float64(1e9), threads=np.uint8(1)), np.eye(8))
