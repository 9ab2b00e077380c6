"""Where kernels stand in for what pandas calls at its bottom: inside of a method of ours, and nowhere else.

pandas decides everything as ever (names, types, order, errors); what is replaced has the same arguments and the same bits. Each
seam is a private name of pandas: tests/test_seams.py holds it against the pandas that is installed.
"""

from __future__ import annotations

import functools
import os
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas
from pandas.core import algorithms, frame, series, sorting
from pandas.core.array_algos import take
from pandas.core.groupby import ops
from pandas.core.indexes import base

from daybreak._core import frame as _native

from .explain import note

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LEAST_ROWS", "in_pandas", "inside", "least_rows"]

LEAST_ROWS = 20_000  # with fewer, a call of a kernel gains nothing
_MOST_ROWS = 2**32 - 2


_FOLDER = os.path.dirname(pandas.__file__)


def in_pandas(function: Any) -> Any:
    """pandas' warnings name the first line of the stack that is outside of its folder: ours in between is not where the user is."""
    code = function.__code__
    function.__code__ = code.replace(
        co_filename=os.path.join(_FOLDER, "daybreak_frame", os.path.basename(code.co_filename))
    )
    return function


_least = LEAST_ROWS


def least_rows(count: int) -> int:
    """From how many rows on kernels run; for tests. Returns what it was."""
    global _least
    before, _least = _least, count
    return before


def inside(method: Callable[..., Any]) -> Any:
    """The method, in which the seams are ours."""
    return _native.wrapped(method, True, None)


def _why_not(operation: str, values: Any) -> str:
    """Why a kernel does not take these; else empty."""
    if type(values) is not np.ndarray or values.dtype.kind not in "iuf" or not values.dtype.isnative:
        return f"{getattr(values, 'dtype', type(values).__name__)} values"
    if values.dtype.itemsize not in (1, 2, 4, 8) or values.dtype == np.float16:
        return f"{values.dtype} values"
    return ""


@in_pandas
def _factorize(values: Any, sort: bool = False, use_na_sentinel: bool = True, size_hint: int | None = None) -> Any:
    if not _native.depth() or len(values) < _least:
        return _factorize_inherited(values, sort, use_na_sentinel, size_hint)
    why = _why_not("factorize", values) or (
        "NaN as a group" if values.dtype.kind == "f" and not use_na_sentinel else ""
    )
    if not why and (values.ndim != 1 or len(values) > _MOST_ROWS or values.strides[0] % values.itemsize):
        why = "its shape"
    if why:
        note("factorize", len(values), why=why)
        return _factorize_inherited(values, sort, use_na_sentinel, size_hint)
    began = time.perf_counter()
    codes = np.empty(len(values), np.intp)
    rows = _native.factorize(values, sort, codes)
    uniques = values[np.asarray(rows, np.intp)]
    note("factorize", len(values), time.perf_counter() - began)
    return codes, uniques


_AGGREGATES = {"sum": "iuf", "prod": "iuf", "mean": "f", "min": "iuf", "max": "iuf", "var": "f", "std": "f"}


def _group(how: str, inherited: Callable[..., Any]) -> Any:
    """A function of pandas' group-by, over (rows, columns)."""

    @in_pandas
    def aggregate(
        out: Any, counts: Any, values: Any, labels: Any, min_count: int = -1, mask: Any = None, **rest: Any
    ) -> None:
        why = "missing values in a mask" if mask is not None else ""
        why = why or ("times" if rest.get("is_datetimelike") else "") or _why_not(how, values)
        if not why and (values.dtype.kind not in _AGGREGATES[how] or out.dtype != values.dtype or values.itemsize < 4):
            why = f"{values.dtype} values"
        if not why and values.dtype.kind in "iu" and values.itemsize < 8:
            why = f"{values.dtype} values"
        if not why and (not rest.get("skipna", True) or rest.get("initial", 0) != 0):
            why = "skipna=False"
        if not why and (labels.dtype != np.int64 or not labels.flags.c_contiguous):
            why = f"{labels.dtype} labels"
        if why:
            note(f"groupby.{how}", len(values), why=why)
            inherited(out, counts, values, labels, min_count=min_count, mask=mask, **rest)
            return
        began = time.perf_counter()
        _native.count_groups(labels, counts)
        _native.aggregate(how, out, labels, values, min_count, rest.get("ddof", 1))
        note(f"groupby.{how}", len(values), time.perf_counter() - began)

    return aggregate


def _cython_function(cls: Any, kind: str, how: str, dtype: Any, is_numeric: bool) -> Any:
    found = _cython_inherited(kind, how, dtype, is_numeric)
    return (
        _group(how, found) if _native.depth() and kind == "aggregate" and how in _AGGREGATES and is_numeric else found
    )


@in_pandas
def _aggregated(self: Any, values: Any, **kwargs: Any) -> Any:
    """Small ones are pandas' own, also inside."""
    if not _native.depth() or values.shape[-1] >= _least:
        return _call_inherited(self, values, **kwargs)
    depth = _native.set_depth(0)
    try:
        return _call_inherited(self, values, **kwargs)
    finally:
        _native.set_depth(depth)


@in_pandas
def _nargsort(
    items: Any,
    kind: str = "quicksort",
    ascending: bool = True,
    na_position: str = "last",
    key: Any = None,
    mask: Any = None,
) -> Any:
    if not _native.depth() or key is not None or len(items) < _least or na_position not in ("first", "last"):
        return _nargsort_inherited(items, kind, ascending, na_position, key, mask)
    values = items if type(items) is np.ndarray else getattr(items, "_values", items)
    why = ("a mask" if mask is not None else "") or _why_not("sort", values)
    if not why and (values.ndim != 1 or values.strides[0] % values.itemsize):
        why = "its shape"
    if why:
        note("sort", len(items), why=why)
        return _nargsort_inherited(items, kind, ascending, na_position, key, mask)
    began = time.perf_counter()
    rows = np.empty(len(values), np.intp)
    _native.argsort(values, not ascending, na_position == "first", rows)
    note("sort", len(values), time.perf_counter() - began)
    return rows


@in_pandas
def _take(arr: Any, indexer: Any, axis: int, fill_value: Any, allow_fill: bool) -> Any:
    if (
        not _native.depth()
        or indexer is None
        or len(indexer) < _least
        or arr.dtype.kind not in "iufbmM"
        or arr.dtype.itemsize not in (1, 2, 4, 8)
        or not (arr.ndim == 1 or (arr.ndim == 2 and axis == 1 and arr.flags.c_contiguous))
        or arr.strides[-1] % arr.itemsize
        or getattr(indexer, "dtype", None) != np.intp
        or indexer.ndim != 1
        or not indexer.flags.c_contiguous
    ):
        return _take_inherited(arr, indexer, axis, fill_value, allow_fill)
    began = time.perf_counter()
    out = np.empty((*arr.shape[:-1], len(indexer)), arr.dtype)
    bits = f"u{arr.itemsize}"
    two = (arr.view(bits), out.view(bits)) if arr.ndim == 2 else (arr.view(bits)[None, :], out.view(bits)[None, :])
    if not _native.gather(two[0], indexer, two[1]):  # -1: nothing is there, which changes the dtype
        return _take_inherited(arr, indexer, axis, fill_value, allow_fill)
    note("take", len(indexer) * (arr.shape[0] if arr.ndim == 2 else 1), time.perf_counter() - began)
    return out


_factorize_inherited = algorithms.factorize
_cython_inherited = ops.WrappedCythonOp._get_cython_function
_call_inherited = ops.WrappedCythonOp._call_cython_op

_nargsort_inherited = sorting.nargsort
_take_inherited = take._take_nd_ndarray

for _module in (sorting, frame, series, base):  # each has the name by itself
    _module.nargsort = functools.wraps(_nargsort_inherited)(_nargsort)
take._take_nd_ndarray = _take
algorithms.factorize = functools.wraps(_factorize_inherited)(_factorize)
ops.WrappedCythonOp._get_cython_function = classmethod(_cython_function)
ops.WrappedCythonOp._call_cython_op = _aggregated
