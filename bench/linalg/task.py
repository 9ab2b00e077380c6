"""Linear algebra: products and factorizations in memory beside numpy, scipy and dask, and under a budget of memory beside
the bound that this machine's flops and disk set. Every side runs without OPENBLAS_CORETYPE, which would choose another
processor's kernels."""

from bench.rows import Row

_BOUND = (
    "seconds over max(flops at this machine's rate, bytes moved at its disk's rate), both measured in the row's process;"
    " info: peak MiB of the process, backward error over eps, the bound at the least traffic known"
)

ROWS = [
    Row(
        "gemm_in_core",
        "Gflop/s",
        "higher",
        "A B, n = 8,192 (quick: 2,048), float64, tiles made before",
        must=0.9,
        against="first",
        rounds=3,
    ),
    Row(
        "cholesky_in_core",
        "Gflop/s",
        "higher",
        "A = L L', n = 8,192 (quick: 2,048), float64",
        must=1.3,
        against="best",
        rounds=3,
    ),
    Row(
        "tsqr_in_core",
        "s",
        "lower",
        "thin QR with Q, 2^20 x 64 (quick: 2^17), float64",
        must=3,
        against="best",
        rounds=3,
    ),
    Row(
        "lu_in_core",
        "Gflop/s",
        "higher",
        "P A = L U with partial pivoting, n = 4,096 (quick: 1,024), float64",
        rounds=3,
    ),
    Row(
        "eigh_in_core",
        "s",
        "lower",
        "all eigenvalues and vectors, n = 4,096 (quick: 512), float64",
        rounds=1,
        long=True,
    ),
    Row(
        "svd_randomized",
        "s",
        "lower",
        "rank 50 of 65,536 x 4,096 (quick: 8,192 x 512), float64, 2 power steps",
        must=1,
        rounds=3,
    ),
    Row(
        "cholesky_out",
        "x",
        "lower",
        f"n = 32,768 under 1 GiB (quick: 4,096 under 192 MiB): {_BOUND}",
        must_value=1.25,
        rounds=1,
        long=True,
    ),
    Row(
        "gemm_out",
        "x",
        "lower",
        f"n = 16,384 under 512 MiB (quick: 3,072 under 192 MiB): {_BOUND}",
        must_value=1.25,
        rounds=1,
        long=True,
    ),
    Row(
        "tsqr_out",
        "x",
        "lower",
        f"R of 2^24 x 64 under 512 MiB (quick: 2^18 under 192 MiB): {_BOUND}",
        must_value=1.25,
        rounds=1,
        long=True,
    ),
]
PEERS = ["numpy", "scipy", "dask", "sklearn"]
