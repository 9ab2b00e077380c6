"""numpy's own tests of numpy.linalg, with ours behind its functions where a matrix of the four types is given; other shapes
(stacks) and types stay numpy's. Tiles of three, so that every factorization has several."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from daybreak import linalg
from daybreak.linalg import Matrix

PACKAGE = "numpy"
TESTS = ["-c", "/dev/null", "--rootdir=.", "--confcutdir=.", "-W", "ignore", "linalg/tests/test_linalg.py"]
SAMPLE = 4  # all of it takes two minutes
ENV = {"OMP_NUM_THREADS": "1"}

_local = threading.local()
calls: dict[str, int] = {}


def _ours(*arrays: Any) -> bool:
    kinds = ("float32", "float64", "complex64", "complex128")
    return all(type(a) is np.ndarray and a.ndim == 2 and a.dtype.name in kinds for a in arrays)


def _matrix(a: Any) -> Matrix:
    return Matrix.from_array(a, tile=3)


def _replaced(name: str, ours: Callable[..., Any], takes: Callable[..., bool]) -> None:
    theirs = getattr(np.linalg, name)

    @functools.wraps(theirs)
    def either(*args: Any, **kwargs: Any) -> Any:
        if getattr(_local, "inside", False) or not takes(*args, **kwargs):
            return theirs(*args, **kwargs)
        _local.inside = True
        calls[name] = calls.get(name, 0) + 1
        try:
            return ours(*args, **kwargs)
        finally:
            _local.inside = False

    setattr(np.linalg, name, either)


def _one(a: Any, *args: Any, **kwargs: Any) -> bool:
    return not args and not kwargs and _ours(a)


_replaced("cholesky", lambda a: np.asarray(linalg.cholesky(_matrix(a))), _one)
_replaced(
    "inv",
    lambda a: np.asarray(linalg.inv(_matrix(a), check=False)),
    lambda a, *r, **k: _one(a, *r, **k) and a.shape[0] == a.shape[1],
)
_replaced(
    "solve",
    lambda a, b: np.asarray(linalg.solve(_matrix(a), b, check=False)),
    lambda a, b: (
        _ours(a) and a.shape[0] == a.shape[1] == np.shape(b)[0] and np.asarray(b).dtype == a.dtype and np.ndim(b) <= 2
    ),
)
_replaced(
    "norm",
    lambda a, ord=None: linalg.norm(_matrix(a), ord),
    lambda a, ord=None, **k: not k and _ours(a) and a.size and ord in _ORDERS,
)
_ORDERS = (None, "fro", 1, -1, np.inf, -np.inf)


def _qr(a: Any, mode: str = "reduced") -> Any:
    found = linalg.qr(_matrix(a), mode, check=False)
    return np.asarray(found) if mode == "r" else _QR(*(np.asarray(x) for x in found))


_QR = np.linalg._linalg.QRResult  # type: ignore[attr-defined]
_replaced("qr", _qr, lambda a, mode="reduced": _ours(a) and mode in ("reduced", "r", "complete"))
_replaced(
    "svd",
    lambda a, full_matrices=True, compute_uv=True: _svd(a, compute_uv),
    lambda a, full_matrices=True, compute_uv=True, **k: (
        not k
        and _ours(a)
        and a.dtype.kind == "f"
        and a.size
        and (not full_matrices or not compute_uv or a.shape[0] == a.shape[1])
    ),
)


def _svd(a: Any, compute_uv: bool) -> Any:
    found = linalg.svd(_matrix(a), False, compute_uv, check=False)
    return found if not compute_uv else np.linalg._linalg.SVDResult(*(np.asarray(x) for x in found))  # type: ignore[attr-defined]


def pytest_sessionfinish() -> None:
    print("\ncomputed by ours:", ", ".join(f"{name} {count}" for name, count in sorted(calls.items())))
