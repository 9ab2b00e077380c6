from typing import Annotated

import numpy
from numpy.typing import NDArray


def wrapped(method: object, inside: bool, adopters: object | None) -> object:
    """
    The method, in which kernels stand in, or whose results become those of the classes beside theirs, or both.
    """

def depth() -> int:
    """How many wrapped methods with kernels this thread is in."""

def set_depth(wanted: int) -> int:
    """Returns what it was."""

def factorize(values: Annotated[NDArray, dict(shape=(None,), device='cpu', writable=False)], sorted: bool, codes: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu')]) -> list[int]:
    """
    Fills codes (-1: NaN) and returns a row of each distinct value, in the order of codes.
    """

def count_groups(ids: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], counts: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu')]) -> None:
    """Adds to counts the rows of each id; those below 0 are none's."""

def aggregate(how: str, out: Annotated[NDArray, dict(shape=(None, None), device='cpu')], ids: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], values: Annotated[NDArray, dict(shape=(None, None), device='cpu', writable=False)], min_count: int, ddof: int) -> None:
    """
    Columns of values (rows, columns) by the ids of rows, into out (groups, columns).
    """

def argsort(values: Annotated[NDArray, dict(shape=(None,), device='cpu', writable=False)], descending: bool, nan_first: bool, rows: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu')]) -> None:
    """
    Fills rows: which row comes first, second, ...; equal values stay in their order.
    """

def gather(values: Annotated[NDArray, dict(shape=(None, None), device='cpu', writable=False)], rows: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], out: Annotated[NDArray, dict(shape=(None, None), device='cpu')]) -> bool:
    """
    Columns of values (columns, rows) by numbers of rows, into out. False, and nothing done, when one is none.
    """

def deal(threads: int, rows: int) -> None:
    """How many threads (0: all) and rows at a time kernels work with."""
