"""dask.array on its threads, chunks of 1,024; one thread of BLAS for each, which is what its manual advises."""

import time

import numpy as np

from bench.linalg import inputs
from bench.rows import Measure

REQUIREMENTS = ["dask[array]==2026.8.0", "scipy==1.17.1", "numpy==2.4.6"]
ENV = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
QUICK = False


def _timed(call):
    started = time.perf_counter()
    found = call()
    return time.perf_counter() - started, found


def _side(n):
    return min(1024, n // 4)


def gemm_in_core():
    import dask.array as da

    n = 2048 if QUICK else 8192
    a, b = (da.from_array(x, chunks=_side(n)) for x in (inputs.square(n), inputs.positive(n)))
    seconds, c = _timed(lambda: (a @ b).compute())
    return Measure(2 * n**3 / seconds / 1e9, check=round(float(np.abs(c[0]).sum()), 3))


def cholesky_in_core():
    import dask.array as da

    n = 2048 if QUICK else 8192
    a = da.from_array(inputs.positive(n), chunks=_side(n))
    seconds, lower = _timed(lambda: da.linalg.cholesky(a, lower=True).compute())
    return Measure(n**3 / 3 / seconds / 1e9, check=round(float(lower.diagonal().sum()), 3))


def tsqr_in_core():
    import dask
    import dask.array as da

    rows = 1 << (17 if QUICK else 20)
    a = da.from_array(inputs.tall(rows), chunks=(rows // 16, 64))
    seconds, (_, r) = _timed(lambda: dask.compute(*da.linalg.tsqr(a)))
    return Measure(seconds, check=round(float(np.abs(r.diagonal()).sum()), 3))
