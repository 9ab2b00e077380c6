"""The factorizations as tile programs. None of these functions is ever called: lambdapack.py reads their text.

Loops over ``panels`` go over columns of tiles that fit into memory together, left to right ("left-looking"): each finished
column is written once, and read again for each later panel. With one panel, which is what a matrix in memory has, the same
text is the
right-looking form. Each tile is updated in the same order whatever the panels are, so that results agree to the bit.
"""

from __future__ import annotations

from .kernels import (
    copy,
    fill,
    gemm,
    gemqrt,
    geqrt,
    herk,
    lu_panel,
    potrf,
    qr_leaf,
    qr_merge,
    r_leaf,
    swap,
    tpmqrt,
    tpqrt,
    trsm,
)
from .lambdapack import Pairs, Tiles, program

__all__ = [
    "apply_q",
    "cholesky",
    "cholesky_solve",
    "lu",
    "lu_factors",
    "lu_solve",
    "matmul",
    "qr",
    "retile",
    "triangular_solve",
    "tsqr",
    "tsqr_r",
]


@program
def matmul(C: Tiles, A: Tiles, B: Tiles, m: int, n: int, k: int, down: int, across: int) -> None:
    """C = A B: a block of C of down x across tiles stays in memory while A and B stream past it."""
    for p in range(0, m, down):
        for q in range(0, n, across):
            for i in range(p, min(p + down, m)):
                for j in range(q, min(q + across, n)):
                    C[i, j] = gemm(A[i, 0], B[0, j])
            for r in range(1, k):
                for i in range(p, min(p + down, m)):
                    for j in range(q, min(q + across, n)):
                        C[i, j] = gemm(C[i, j], A[i, r], B[r, j])


@program
def cholesky(L: Tiles, A: Tiles, n: int, panels: Pairs) -> None:
    """A = L L^H from the lower triangle of A. A breakdown is reported with the row of the whole matrix."""
    for a, b in panels:
        for j in range(a, b):
            for i in range(j, n):
                L[i, j] = copy(A[i, j], lower=True)
        for k in range(a):
            for j in range(a, b):
                L[j, j] = herk(L[j, j], L[j, k], alpha=-1)
                for i in range(j + 1, n):
                    L[i, j] = gemm(L[i, j], L[i, k], L[j, k], trans_b=True, conj=True, alpha=-1)
        for k in range(a, b):
            L[k, k] = potrf(L[k, k])
            for i in range(k + 1, n):
                L[i, k] = trsm(L[i, k], L[k, k], right=True, trans_a=True, conj=True)
            for j in range(k + 1, b):
                L[j, j] = herk(L[j, j], L[j, k], alpha=-1)
                for i in range(j + 1, n):
                    L[i, j] = gemm(L[i, j], L[i, k], L[j, k], trans_b=True, conj=True, alpha=-1)


@program
def lu(X: Tiles, P: Tiles, A: Tiles, m: int, n: int, r: int, panels: Pairs) -> None:
    """X holds L below and U on and above the diagonal, P the swaps of each column of tiles; partial pivoting.

    The rows of L's tiles stand as they did when their column was done: later swaps are applied when they are used.
    """
    for a, b in panels:
        for j in range(a, b):
            for i in range(m):
                X[i, j] = copy(A[i, j])
        for k in range(min(a, r)):
            for j in range(a, b):
                X[k:m, j] = swap(X[k:m, j], P[k])
                X[k, j] = trsm(X[k, j], X[k, k], lower=True, unit=True)
                for i in range(k + 1, m):
                    X[i, j] = gemm(X[i, j], X[i, k], X[k, j], alpha=-1)
        for k in range(a, min(b, r)):
            P[k], X[k:m, k] = lu_panel(X[k:m, k])
            for j in range(k + 1, b):
                X[k:m, j] = swap(X[k:m, j], P[k])
                X[k, j] = trsm(X[k, j], X[k, k], lower=True, unit=True)
                for i in range(k + 1, m):
                    X[i, j] = gemm(X[i, j], X[i, k], X[k, j], alpha=-1)


@program
def lu_factors(L: Tiles, U: Tiles, X: Tiles, P: Tiles, m: int, n: int, r: int) -> None:
    """L with all swaps applied and ones on the diagonal, and U."""
    for j in range(r):
        for i in range(j, m):
            L[i, j] = copy(X[i, j], lower=True, unit=True)
        for k in range(j + 1, r):
            L[k:m, j] = swap(L[k:m, j], P[k])
        for i in range(j + 1):
            U[i, j] = copy(X[i, j], upper=True)
    for j in range(r, n):
        for i in range(r):
            U[i, j] = copy(X[i, j], upper=True)


@program
def lu_solve(Y: Tiles, B: Tiles, X: Tiles, P: Tiles, n: int, rhs: int) -> None:
    """Y = A^-1 B from lu's X and P."""
    for j in range(rhs):
        for i in range(n):
            Y[i, j] = copy(B[i, j])
    for k in range(n):
        for j in range(rhs):
            Y[k:n, j] = swap(Y[k:n, j], P[k])
            Y[k, j] = trsm(Y[k, j], X[k, k], lower=True, unit=True)
        for i in range(k + 1, n):
            for j in range(rhs):
                Y[i, j] = gemm(Y[i, j], X[i, k], Y[k, j], alpha=-1)
    for k in range(n - 1, -1, -1):
        for j in range(rhs):
            Y[k, j] = trsm(Y[k, j], X[k, k], upper=True)
        for i in range(k):
            for j in range(rhs):
                Y[i, j] = gemm(Y[i, j], X[i, k], Y[k, j], alpha=-1)


@program
def cholesky_solve(Y: Tiles, B: Tiles, L: Tiles, n: int, rhs: int) -> None:
    """Y = (L L^H)^-1 B."""
    for j in range(rhs):
        for i in range(n):
            Y[i, j] = copy(B[i, j])
    for k in range(n):
        for j in range(rhs):
            Y[k, j] = trsm(Y[k, j], L[k, k], lower=True)
        for i in range(k + 1, n):
            for j in range(rhs):
                Y[i, j] = gemm(Y[i, j], L[i, k], Y[k, j], alpha=-1)
    for k in range(n - 1, -1, -1):
        for i in range(k + 1, n):
            for j in range(rhs):
                Y[k, j] = gemm(Y[k, j], L[i, k], Y[i, j], trans_a=True, conj=True, alpha=-1)
        for j in range(rhs):
            Y[k, j] = trsm(Y[k, j], L[k, k], lower=True, trans_a=True, conj=True)


@program
def triangular_solve(Y: Tiles, B: Tiles, T: Tiles, n: int, rhs: int, is_upper: int, is_unit: int) -> None:
    """Y = T^-1 B."""
    for j in range(rhs):
        for i in range(n):
            Y[i, j] = copy(B[i, j])
    if is_upper == 0:
        for k in range(n):
            for j in range(rhs):
                Y[k, j] = trsm(Y[k, j], T[k, k], lower=True, unit=is_unit)
            for i in range(k + 1, n):
                for j in range(rhs):
                    Y[i, j] = gemm(Y[i, j], T[i, k], Y[k, j], alpha=-1)
    else:
        for k in range(n - 1, -1, -1):
            for j in range(rhs):
                Y[k, j] = trsm(Y[k, j], T[k, k], upper=True, unit=is_unit)
            for i in range(k):
                for j in range(rhs):
                    Y[i, j] = gemm(Y[i, j], T[i, k], Y[k, j], alpha=-1)


@program
def qr(X: Tiles, D: Tiles, T: Tiles, A: Tiles, m: int, n: int, r: int, panels: Pairs) -> None:
    """Flat tile QR (Buttari et al., 2009): R on and above the diagonal of X, reflectors in D (of the diagonal tiles), in X
    below it, T."""
    for a, b in panels:
        for j in range(a, b):
            for i in range(m):
                X[i, j] = copy(A[i, j])
        for k in range(min(a, r)):
            for j in range(a, b):
                X[k, j] = gemqrt(X[k, j], D[k], T[k, k], trans_a=True)
            for i in range(k + 1, m):
                for j in range(a, b):
                    X[k, j], X[i, j] = tpmqrt(X[k, j], X[i, j], X[i, k], T[i, k], trans_a=True)
        for k in range(a, min(b, r)):
            D[k], X[k, k], T[k, k] = geqrt(X[k, k])
            for j in range(k + 1, b):
                X[k, j] = gemqrt(X[k, j], D[k], T[k, k], trans_a=True)
            for i in range(k + 1, m):
                X[k, k], X[i, k], T[i, k] = tpqrt(X[k, k], X[i, k])
                for j in range(k + 1, b):
                    X[k, j], X[i, j] = tpmqrt(X[k, j], X[i, j], X[i, k], T[i, k], trans_a=True)


@program
def apply_q(
    Q: Tiles, B: Tiles, X: Tiles, D: Tiles, T: Tiles, m: int, r: int, adjoint: int, eye: int, panels: Pairs
) -> None:
    """Q = H B, or H^H B (adjoint), of qr's reflectors H; eye: B is the identity, whose zeros are left out."""
    for a, b in panels:
        for j in range(a, b):
            for i in range(m):
                if eye == 1:
                    Q[i, j] = fill(unit=True)
                else:
                    Q[i, j] = copy(B[i, j])
        if adjoint == 1:
            for k in range(r):
                for j in range(a, b):
                    Q[k, j] = gemqrt(Q[k, j], D[k], T[k, k], trans_a=True)
                for i in range(k + 1, m):
                    for j in range(a, b):
                        Q[k, j], Q[i, j] = tpmqrt(Q[k, j], Q[i, j], X[i, k], T[i, k], trans_a=True)
        else:
            for k in range(r - 1, -1, -1):
                for i in range(m - 1, k, -1):
                    for j in range(max(a, k * eye), b):
                        Q[k, j], Q[i, j] = tpmqrt(Q[k, j], Q[i, j], X[i, k], T[i, k])
                for j in range(max(a, k * eye), b):
                    Q[k, j] = gemqrt(Q[k, j], D[k], T[k, k])


@program
def tsqr(Q: Tiles, R: Tiles, A: Tiles, U: Tiles, S: Tiles, C: Tiles, G: Tiles, m: int, levels: int) -> None:
    """QR of one column of tall tiles: each its own, then pairs of triangles up a binary tree, then Q back down it."""
    for i in range(m):
        U[i], S[0, i] = qr_leaf(A[i, 0])
    for s in range(levels):
        for i in range(0, m, 2 ** (s + 1)):
            if i + 2**s < m:
                C[s, i], C[s, i + 2**s], S[s + 1, i] = qr_merge(S[s, i], S[s, i + 2**s])
            else:
                S[s + 1, i] = copy(S[s, i])
    R[0, 0] = copy(S[levels, 0])
    G[levels, 0] = fill(unit=True)
    for s in range(levels - 1, -1, -1):
        for i in range(0, m, 2 ** (s + 1)):
            if i + 2**s < m:
                G[s, i] = gemm(C[s, i], G[s + 1, i])
                G[s, i + 2**s] = gemm(C[s, i + 2**s], G[s + 1, i])
            else:
                G[s, i] = copy(G[s + 1, i])
    for i in range(m):
        Q[i, 0] = gemm(U[i], G[0, i])


@program
def tsqr_r(R: Tiles, A: Tiles, S: Tiles, C: Tiles, m: int, levels: int) -> None:
    """tsqr without Q: one pass over A."""
    for i in range(m):
        S[0, i] = r_leaf(A[i, 0])
    for s in range(levels):
        for i in range(0, m, 2 ** (s + 1)):
            if i + 2**s < m:
                C[s, i], C[s, i + 2**s], S[s + 1, i] = qr_merge(S[s, i], S[s, i + 2**s])
            else:
                S[s + 1, i] = copy(S[s, i])
    R[0, 0] = copy(S[levels, 0])


@program
def retile(B: Tiles, A: Tiles, m: int, n: int, upper: int, lower: int, unit: int) -> None:
    """A tile by tile, perhaps one triangle of it."""
    for i in range(m):
        for j in range(n):
            B[i, j] = copy(A[i, j], upper=upper, lower=lower, unit=unit)
