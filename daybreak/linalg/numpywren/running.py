"""matrix_init, binops, alg_wrappers and job_runner: numpywren's functions over BigMatrix, computed by this room's programs."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from daybreak.base.errors import UnimplementedError
from daybreak.linalg import factor, orthogonal
from daybreak.linalg.errors import ShapeError
from daybreak.linalg.matrix import Matrix

from .bigmatrix import BigMatrix, BigSymmetricMatrix, constant_zeros

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = [
    "LambdaPackProgram",
    "binop_gemm",
    "cholesky",
    "gemm",
    "lambdapack_run",
    "local_numpy_init",
    "qr",
    "reshard_down",
    "shard_matrix",
    "tsqr",
]

_STATUS = {"NOT_STARTED": 0, "RUNNING": 1, "SUCCESS": 2, "EXCEPTION": 3}


class LambdaPackProgram:
    """A program over BigMatrix: start, run by job_runner.lambdapack_run (by as many threads as call it), wait, free."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self.name = name
        self._work = work
        self._done = threading.Event()
        self._taken = threading.Lock()
        self._error: BaseException | None = None
        self._status = "NOT_STARTED"
        self.hash = hashlib.sha1(f"{name}{id(self)}{time.time()}".encode()).hexdigest()

    def start(self, parallel: bool = False) -> int:
        self._status = "RUNNING"
        return 0

    def program_status(self) -> str:
        return self._status

    def run(self) -> None:
        """Once, whoever calls first; later calls wait for it."""
        with self._taken:
            if self._done.is_set():
                return
            try:
                self._work()
                self._status = "SUCCESS"
            except BaseException as error:
                self._error, self._status = error, "EXCEPTION"
                raise
            finally:
                self._done.set()

    def wait(self, sleep_time: float = 1) -> None:
        """Until it has been run; raises what it raised."""
        self._done.wait()
        if self._error is not None:
            raise self._error

    def free(self) -> None:
        """Nothing of a run is kept."""


def lambdapack_run(
    program: LambdaPackProgram,
    pipeline_width: int = 5,
    msg_vis_timeout: int = 60,
    cache_size: int = 5,
    timeout: int = 200,
    idle_timeout: int = 5,
    msg_vis_timeout_jitter: int = 15,
    compute_threads: int = 1,
) -> dict[str, Any]:
    """Runs a program in this process, on all cores. Queues and leases have no counterpart: the other arguments have no effect."""
    started = time.time()
    program.run()
    return {"up_time": [started, time.time()], "exec_time": time.time() - started}


def _matrix(big: Any) -> Matrix:
    if len(big.shape) != 2:
        raise ShapeError(f"{big.key!r} has {len(big.shape)} axes: 2 are needed")
    made = Matrix.create(big.shape, big.dtype, tile=big.shard_sizes)
    for i, j in made.tiles():
        made.set_tile(i, j, big.get_block(i, j).reshape(made.tile_shape(i, j)))
    return made


def _put(matrix: Matrix, big: BigMatrix) -> None:
    for at, ends in zip(big.block_idxs, big.blocks, strict=True):
        big.put_block(matrix.read(*(range(*pair) for pair in ends)), *at)


def _named(name: str, shape: Any, shards: Any, like: Any, **options: Any) -> BigMatrix:
    return BigMatrix(
        name,
        shape=shape,
        shard_sizes=shards,
        bucket=getattr(like, "bucket", None),
        dtype=like.dtype,
        write_header=True,
        **options,
    )


def _program(name: str, work: Callable[[], None], outputs: list[BigMatrix]) -> tuple[LambdaPackProgram, dict[str, Any]]:
    return LambdaPackProgram(name, work), {"outputs": outputs, "intermediates": [], "compile_time": 0.0}


def cholesky(X: BigMatrix, truncate: int = 0) -> tuple[LambdaPackProgram, dict[str, Any]]:
    """outputs: [L], lower."""
    if truncate:
        raise UnimplementedError(f"cholesky(truncate={truncate}): the whole factorization only")
    out = _named(f"Cholesky({X.key})", X.shape, X.shard_sizes, X, parent_fn=constant_zeros)
    return _program("cholesky", lambda: _put(factor.cholesky(_matrix(X)), out), [out])


def gemm(A: BigMatrix, B: BigMatrix) -> tuple[LambdaPackProgram, dict[str, Any]]:
    """outputs: [C]."""
    if A.shape[1] != B.shape[0]:
        raise ShapeError(f"gemm of {A.shape} and {B.shape}")
    out = _named(f"Gemm({A.key},{B.key})", (A.shape[0], B.shape[1]), (A.shard_sizes[0], B.shard_sizes[1]), A)
    return _program("gemm", lambda: _put(factor.matmul(_matrix(A), _matrix(B)), out), [out])


def tsqr(X: BigMatrix, truncate: int = 0) -> tuple[LambdaPackProgram, dict[str, Any]]:
    """outputs: [R], whose block (levels - 1, 0) is R as numpywren places it. V and T are not kept: Q is daybreak.linalg.tsqr's."""
    if X.shard_sizes[1] != X.shape[1]:
        raise ShapeError(f"tsqr: blocks of {X.shard_sizes} must have all {X.shape[1]} columns")
    levels = max((X.num_blocks(0) - 1).bit_length(), 1)
    side = X.shape[1]
    out = _named(f"tsqr_R({X.key})", (levels * side, side), (side, side), X, parent_fn=constant_zeros)
    return _program("tsqr", lambda: out.put_block(np.asarray(orthogonal.tsqr(_matrix(X), "r")), levels - 1, 0), [out])


def qr(A: BigMatrix) -> tuple[LambdaPackProgram, dict[str, Any]]:
    """outputs: [R]. Reflectors are not kept: Q is daybreak.linalg.qr's."""
    out = _named(f"qr_R({A.key})", (min(A.shape), A.shape[1]), A.shard_sizes, A, parent_fn=constant_zeros)
    return _program("qr", lambda: _put(orthogonal.qr(_matrix(A), "r"), out), [out])


def shard_matrix(
    bigm: BigMatrix, X_local: Any, n_jobs: int = 1, executor: Any = None, overwrite: bool = True
) -> BigMatrix:
    """Writes an array into the blocks."""
    array = np.asarray(X_local)
    if array.shape != bigm.shape:
        raise ShapeError(f"shard_matrix: the array is {array.shape}, {bigm.key!r} {bigm.shape}")
    for at, ends in zip(bigm.block_idxs, bigm.blocks, strict=True):
        bigm.put_block(array[tuple(slice(*pair) for pair in ends)], *at)
    return bigm


def local_numpy_init(X_local: Any, shard_sizes: Any, n_jobs: int = 1, symmetric: bool = False) -> BigMatrix:
    """A BigMatrix of an array, under a key made of its contents."""
    array: npt.NDArray[Any] = np.ascontiguousarray(X_local)
    key = hashlib.sha1(array.tobytes() + str((array.shape, array.dtype)).encode()).hexdigest()
    kind = BigSymmetricMatrix if symmetric else BigMatrix
    return shard_matrix(
        kind(key, shape=array.shape, shard_sizes=shard_sizes, dtype=array.dtype, write_header=True), array
    )


def reshard_down(bigm: BigMatrix, breakdowns: Any, pwex: Any = None) -> BigMatrix:
    """The same values in blocks that are smaller by the given factors."""
    shards = [max(size // int(by), 1) for size, by in zip(bigm.shard_sizes, breakdowns, strict=True)]
    out = _named(f"reshard({bigm.key},{shards})", bigm.shape, shards, bigm)
    return shard_matrix(out, bigm.numpy())


def binop_gemm(pwex: Any, X: BigMatrix, Y: BigMatrix, out_bucket: Any = None, *args: Any, **options: Any) -> BigMatrix:
    """X Y at once; the executor and the options of it have no effect."""
    program, meta = gemm(X, Y)
    program.run()
    found: BigMatrix = meta["outputs"][0]
    return found
