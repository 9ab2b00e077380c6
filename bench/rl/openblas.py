"""OpenBLAS on one thread: what a core can do."""

import ctypes
import os

import numpy as np
import scipy_openblas32

from bench.rows import Measure, rate

ENV = {"OPENBLAS_NUM_THREADS": "1"}
QUICK = False
N = 2048
ROW_MAJOR, NO_TRANSPOSE = 101, 111


def learner_flops() -> Measure:
    library = ctypes.CDLL(os.path.join(scipy_openblas32.get_lib_dir(), scipy_openblas32.get_library(fullname=True)))
    sgemm = library.scipy_cblas_sgemm
    one, zero = ctypes.c_float(1), ctypes.c_float(0)
    a, b = np.random.default_rng(0).random((2, N, N), dtype=np.float32)
    c = np.zeros((N, N), np.float32)
    pa, pb, pc = (ctypes.c_void_p(x.ctypes.data) for x in (a, b, c))

    def multiply() -> None:
        sgemm(ROW_MAJOR, NO_TRANSPOSE, NO_TRANSPOSE, N, N, N, one, pa, N, pb, N, zero, pc, N)

    return Measure(rate(multiply, 1.0 if QUICK else 3.0) * 2 * N**3 * 1e-9)
