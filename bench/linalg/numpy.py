"""numpy, with the OpenBLAS of its wheel on all cores."""

import time

import numpy as np

from bench.linalg import inputs
from bench.rows import Measure

REQUIREMENTS: list[str] = []
ENV = {"OMP_NUM_THREADS": "", "OPENBLAS_NUM_THREADS": ""}
QUICK = False


def _timed(call):
    started = time.perf_counter()
    found = call()
    return time.perf_counter() - started, found


def gemm_in_core():
    n = 2048 if QUICK else 8192
    a, b = inputs.square(n), inputs.positive(n)
    a[:64] @ b
    seconds, c = _timed(lambda: a @ b)
    return Measure(2 * n**3 / seconds / 1e9, check=round(float(np.abs(c[0]).sum()), 3))


def cholesky_in_core():
    n = 2048 if QUICK else 8192
    a = inputs.positive(n)
    seconds, lower = _timed(lambda: np.linalg.cholesky(a))
    return Measure(n**3 / 3 / seconds / 1e9, check=round(float(lower.diagonal().sum()), 3))


def tsqr_in_core():
    a = inputs.tall(1 << (17 if QUICK else 20))
    seconds, (_, r) = _timed(lambda: np.linalg.qr(a))
    return Measure(seconds, check=round(float(np.abs(r.diagonal()).sum()), 3))


def eigh_in_core():
    a = inputs.positive(512 if QUICK else 4096)
    seconds, (w, _) = _timed(lambda: np.linalg.eigh(a))
    return Measure(seconds, check=round(float(w.sum()), 2))
