"""numpywren's own tests, told again: its sizes, its names, its asserts (tests/test_indexing.py, test_cholesky.py, test_tsqr.py,
test_multiaxis.py, test_transpose.py, test_lambdav.py of Vaishaal/numpywren). Here because compat has only the table."""

import concurrent.futures
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from daybreak.base import errors
from daybreak.linalg.numpywren.bigmatrix import BigMatrix, BigSymmetricMatrix, constant_zeros
from daybreak.linalg.numpywren.running import (
    binop_gemm,
    cholesky,
    gemm,
    lambdapack_run,
    local_numpy_init,
    qr,
    reshard_down,
    shard_matrix,
    tsqr,
)


@pytest.fixture(autouse=True)
def _bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DAYBREAK_NUMPYWREN_FOLDER", str(tmp_path))
    yield


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape)


def test_blocks_are_got_and_put_by_views() -> None:
    X = random(128, 128)
    big = shard_matrix(BigMatrix("test_2", shape=X.shape, shard_sizes=[64, 64]), X)
    assert np.all(X[0:64, 0:64] == big.submatrix(0).get_block(0))
    assert np.all(X[64:128, 64:128] == big.submatrix(1, 1).get_block())
    assert np.all(X[0:64, 64:128] == big.submatrix(0, 1).get_block())
    assert np.all(X[64:128, 0:64] == big.submatrix(None, 0).get_block(1))
    whole = BigMatrix("test_1", shape=X.shape, shard_sizes=X.shape)
    whole.submatrix(0, 0).put_block(X)
    assert np.all(whole.numpy() == X)
    small = shard_matrix(BigMatrix("test_3", shape=X.shape, shard_sizes=[16, 16]), X)
    assert np.all(X[0:32] == small.submatrix([2]).numpy())
    assert np.all(X[64:128] == small.submatrix([4, None]).numpy())
    assert np.all(X[::32] == small.submatrix([None, None, 2]).numpy()[::16])
    assert np.all(X[:, 0:96:64] == small.submatrix(None, [0, 6, 4]).numpy()[:, ::16])
    Y = random(21, 67, 53)
    many = shard_matrix(BigMatrix("test_5", shape=Y.shape, shard_sizes=[21, 16, 11]), Y)
    assert np.all(Y[:, :16, :11] == many.submatrix(0, 0, 0).numpy())
    assert np.all(Y[:, 64:67, 44:53] == many.submatrix(0, 4, 4).numpy())
    assert np.all(many.T.numpy() == Y.T) and many.num_blocks(1) == 5


def test_headers_parents_and_freeing() -> None:
    X = random(200, 101)
    big = BigMatrix("kept", shape=X.shape, shard_sizes=(64, 50), write_header=True)
    with pytest.raises(errors.NotFoundError, match="no parent_fn"):
        big.get_block(0, 0)
    shard_matrix(big, X)
    again = BigMatrix("kept")
    assert np.all(again.numpy() == X) and again.block_idxs_not_exist == [] and len(again.blocks_exist) == 12
    again.delete_block(3, 2)
    assert again.block_idxs_not_exist == [(3, 2)] and again.blocks_not_exist == [((192, 200), (100, 101))]
    again.parent_fn = constant_zeros
    assert not again.get_block(3, 2).any() and again.get_block(3, 2).shape == (8, 1)
    again.free()
    assert again.block_idxs_exist == [] and BigMatrix("kept").shape == X.shape
    again.delete()
    with pytest.raises(errors.NotFoundError, match="no header"):
        BigMatrix("kept")
    shifted = local_numpy_init(np.zeros((4, 4)), (2, 2))
    shifted.lambdav = 3.0
    assert np.all(shifted.numpy() == 3 * np.eye(4))
    for wrong in ("..", "", "a\0b"):
        with pytest.raises(errors.InvalidArgumentError):
            BigMatrix(wrong, shape=(2, 2), shard_sizes=(1, 1))
    with pytest.raises(errors.InvalidArgumentError, match="not"):
        shifted.put_block(np.zeros((3, 3)), 0, 0)
    sym = local_numpy_init(np.array([[1.0, 2], [2, 5]]), (1, 1), symmetric=True)
    assert isinstance(sym, BigSymmetricMatrix) and np.all(sym.numpy() == [[1, 2], [2, 5]])


@pytest.mark.parametrize("shard", [8, 16, 64])
def test_cholesky_is_numpys(shard: int) -> None:
    X = random(64, 64)
    A = X @ X.T + np.eye(64)
    big = shard_matrix(BigMatrix("cholesky_test_A", shape=A.shape, shard_sizes=(shard, shard)), A)
    program, meta = cholesky(big)
    program.start()
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        runs = [
            executor.submit(lambdapack_run, program, pipeline_width=1, idle_timeout=5, timeout=60) for _ in range(2)
        ]
        program.wait()
        [run.result() for run in runs]
    program.free()
    assert program.program_status() == "SUCCESS"
    assert np.allclose(meta["outputs"][0].numpy(), np.linalg.cholesky(A))


def test_tsqr_gemm_qr_and_reshard() -> None:
    X = random(256, 16)
    big = shard_matrix(BigMatrix("tsqr_test_X", shape=X.shape, shard_sizes=(32, 16)), X)
    program, meta = tsqr(big)
    program.start()
    lambdapack_run(program)
    R, known = meta["outputs"][0].get_block(2, 0), np.linalg.qr(X, "r")
    assert np.allclose(np.abs(R), np.abs(known))
    A, B = local_numpy_init(random(40, 30), (16, 16)), local_numpy_init(random(30, 20), (16, 16))
    assert np.allclose(binop_gemm(None, A, B, None).numpy(), A.numpy() @ B.numpy())
    program, meta = gemm(A, B)
    lambdapack_run(program)
    assert np.allclose(meta["outputs"][0].numpy(), A.numpy() @ B.numpy())
    program, meta = qr(A)
    lambdapack_run(program)
    assert np.allclose(np.abs(meta["outputs"][0].numpy()), np.abs(np.linalg.qr(A.numpy(), "r")))
    down = reshard_down(A, (2, 4))
    assert down.shard_sizes == (8, 4) and np.all(down.numpy() == A.numpy())


def test_a_program_that_fails_says_so_to_all_who_wait() -> None:
    program, _ = cholesky(local_numpy_init(-np.eye(4), (2, 2)))
    program.start()
    with pytest.raises(np.linalg.LinAlgError):
        lambdapack_run(program)
    with pytest.raises(np.linalg.LinAlgError):
        program.wait()
    assert program.program_status() == "EXCEPTION"
