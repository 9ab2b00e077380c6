"""Which of numpy's functions have one of ours for a tiled matrix."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from daybreak.base.errors import UnimplementedError

from . import elementwise, factor, iterative, namespace, orthogonal
from .protocol import HOOKS

__all__ = ["table"]

_np: Any = np


class _QR(NamedTuple):
    Q: Any
    R: Any


class _SVD(NamedTuple):
    U: Any
    S: Any
    Vh: Any


class _Eigh(NamedTuple):
    eigenvalues: Any
    eigenvectors: Any


@cache
def table() -> dict[Any, Callable[..., Any]]:
    def qr(a: Any, mode: str = "reduced") -> Any:
        found = orthogonal.qr(a, mode)
        return found if mode == "r" else _QR(*found)

    def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
        if full_matrices and compute_uv and a.shape[0] != a.shape[1]:
            raise UnimplementedError("numpy.linalg.svd of a tiled matrix: full_matrices=False")
        found = orthogonal.svd(a, False, compute_uv)
        return _SVD(*found) if compute_uv else found

    def eigh(a: Any, UPLO: str = "L") -> Any:
        return _Eigh(*orthogonal.eigh(a if UPLO.upper() == "L" else a.T))

    def det_free(name: str) -> Callable[..., Any]:
        return lambda m, *args, **kwargs: getattr(m, name)(*args, **kwargs)

    return {
        _np.linalg.cholesky: lambda a, upper=False: factor.cholesky(a, upper=upper),
        _np.linalg.qr: qr,
        _np.linalg.svd: svd,
        _np.linalg.svdvals: orthogonal.svdvals,
        _np.linalg.eigh: eigh,
        _np.linalg.eigvalsh: lambda a, UPLO="L": orthogonal.eigh(a if UPLO.upper() == "L" else a.T, eigvals_only=True),
        _np.linalg.solve: factor.solve,
        _np.linalg.lstsq: lambda a, b, rcond=None: tuple(orthogonal.lstsq(a, b, rcond)),
        _np.linalg.inv: iterative.inv,
        _np.linalg.norm: iterative.norm,
        _np.linalg.cond: iterative.cond,
        _np.linalg.matmul: _np.matmul,
        _np.linalg.matrix_transpose: lambda x: x.T,
        _np.linalg.trace: lambda x: x.trace(),
        np.dot: _np.matmul,
        np.where: elementwise.where,
        np.concatenate: elementwise.concatenate,
        np.vstack: lambda tup: elementwise.concatenate(tup, 0),
        np.hstack: lambda tup: elementwise.concatenate(tup, 1),
        np.transpose: lambda a, axes=None: a.transpose(*(() if axes is None else axes)),
        np.matrix_transpose: lambda x: x.T,
        np.real: lambda val: val.real,
        np.imag: lambda val: val.imag,
        np.shape: lambda a: a.shape,
        np.ndim: lambda a: 2,
        np.size: lambda a, axis=None: a.size if axis is None else a.shape[axis],
        np.copy: lambda a, order="K", subok=False: a.copy(),
        np.array_equal: lambda a1, a2, equal_nan=False: np.array_equal(np.asarray(a1), np.asarray(a2), equal_nan),
        np.allclose: lambda a, b, *args, **kwargs: np.allclose(np.asarray(a), np.asarray(b), *args, **kwargs),
        **{
            getattr(np, name): det_free(name)
            for name in ("sum", "prod", "mean", "min", "max", "any", "all", "trace", "diagonal")
        },
    }


HOOKS.update(matmul=factor.matmul, functions=table, namespace=namespace)
