"""scikit-learn's randomized_svd, in core."""

import time

from bench.linalg import inputs
from bench.rows import Measure

REQUIREMENTS = ["scikit-learn==1.9.1", "numpy==2.4.6", "scipy==1.17.1"]
QUICK = False


def svd_randomized():
    from sklearn.utils.extmath import randomized_svd

    a = inputs.low_rank(*((8192, 512) if QUICK else (65536, 4096)))
    started = time.perf_counter()
    _, s, _ = randomized_svd(a, 50, n_oversamples=10, n_iter=2, power_iteration_normalizer="QR", random_state=0)
    seconds = time.perf_counter() - started
    return Measure(seconds, check=float(f"{s[0]:.6g}"))
