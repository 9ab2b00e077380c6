"""scipy, with the OpenBLAS of its wheel on all cores."""

import time

import numpy as np
import scipy.linalg

from bench.linalg import inputs
from bench.rows import Measure

REQUIREMENTS = ["scipy==1.17.1", "numpy==2.4.6"]
QUICK = False


def _timed(call):
    started = time.perf_counter()
    found = call()
    return time.perf_counter() - started, found


def cholesky_in_core():
    n = 2048 if QUICK else 8192
    a = inputs.positive(n)
    seconds, lower = _timed(lambda: scipy.linalg.cholesky(a, lower=True, check_finite=False))
    return Measure(n**3 / 3 / seconds / 1e9, check=round(float(lower.diagonal().sum()), 3))


def tsqr_in_core():
    a = inputs.tall(1 << (17 if QUICK else 20))
    seconds, (_, r) = _timed(lambda: scipy.linalg.qr(a, mode="economic", check_finite=False))
    return Measure(seconds, check=round(float(np.abs(r.diagonal()).sum()), 3))


def lu_in_core():
    n = 1024 if QUICK else 4096
    a = inputs.square(n)
    seconds, (lu, _) = _timed(lambda: scipy.linalg.lu_factor(a, check_finite=False))
    return Measure(2 * n**3 / 3 / seconds / 1e9, check=round(float(np.log(np.abs(lu.diagonal())).sum()), 3))
