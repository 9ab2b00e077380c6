"""The kernels that tile programs may call, by name. They are read, not called: these functions are what editors and linters see.

Tiles are the arguments; options are keywords. A kernel that changes a tile takes its old value as an argument: ``X[i, j] =
gemm(X[i, j],
A[i, k], B[k, j])`` updates, ``C[i, j] = gemm(A[i, k], B[k, j])`` makes anew, ``Y[i, j] = gemm(X[i, j], ...)`` goes on from a copy.
"""

from __future__ import annotations

from typing import Any

from daybreak.base.errors import FailedPreconditionError

__all__ = [
    "copy",
    "fill",
    "gemm",
    "gemqrt",
    "geqrt",
    "herk",
    "lu_panel",
    "potrf",
    "qr_leaf",
    "qr_merge",
    "r_leaf",
    "swap",
    "tpmqrt",
    "tpqrt",
    "trsm",
]


def _read(*tiles: Any, **options: Any) -> Any:
    raise FailedPreconditionError("a kernel stands in a function under @program, which is read and not called")


class _Kernel:
    def __init__(self, doc: str) -> None:
        self.__doc__ = doc

    def __call__(self, *tiles: Any, **options: Any) -> Any:
        return _read(*tiles, **options)


copy = _Kernel("X = A; lower, upper: one triangle of the whole matrix, the rest 0; unit: its diagonal is 1.")
fill = _Kernel("X = alpha everywhere; unit: alpha on the diagonal of the whole matrix, else 0.")
gemm = _Kernel("C = C + alpha A B; trans_a, trans_b: of the transposes, conj: conjugated.")
herk = _Kernel("C = C + alpha A A^H in the lower triangle, upper: in the upper; trans_a: A^H A.")
trsm = _Kernel("B = alpha T^-1 B; right: B T^-1; upper or lower, unit, trans_a, conj: what T is.")
potrf = _Kernel("A = L with A = L L^H, zeros above. A breakdown ends the run with its row.")
lu_panel = _Kernel("P, X[k:m, k] = lu_panel(X[k:m, k]): partial pivoting over a column of tiles.")
swap = _Kernel("X[k:m, j] = swap(X[k:m, j], P): the row swaps of lu_panel; backward undoes them.")
geqrt = _Kernel("D, X, T = geqrt(X): R in X, reflectors in D with their block factors T.")
gemqrt = _Kernel("C = gemqrt(C, D, T): H C; trans_a: H^H C.")
tpqrt = _Kernel("R, X, T = tpqrt(R, X): QR of R above X; reflectors in X.")
tpmqrt = _Kernel("C1, C2 = tpmqrt(C1, C2, X, T): H [C1; C2]; trans_a: H^H.")
qr_leaf = _Kernel("Q, R = qr_leaf(A): thin QR of a tall tile, diag(R) >= 0.")
qr_merge = _Kernel("Q1, Q2, R = qr_merge(R1, R2): QR of R1 above R2, Q in two tiles.")
r_leaf = _Kernel("R = r_leaf(A): qr_leaf without Q.")
