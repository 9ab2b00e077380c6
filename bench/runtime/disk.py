"""A file of the same bytes, written and read as plainly as can be: what a disk gives."""

from __future__ import annotations

import os
import tempfile
import time
from typing import Any

from bench.rows import Measure

REQUIREMENTS = ["numpy"]
QUICK = False
BYTES = 512 << 20


def drop_cache(fd: int) -> None:
    """Of what is on disk already, nothing stays in memory."""
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def _write(fd: int, array: Any) -> float:
    left = memoryview(array).cast("B")
    started = time.perf_counter()
    while left:
        left = left[os.write(fd, left) :]
    os.fdatasync(fd)
    return time.perf_counter() - started


def _array() -> Any:
    import numpy as np

    return np.arange(BYTES // 8, dtype=np.int64)


def spill_gbps() -> Measure:
    array = _array()
    with tempfile.TemporaryFile() as file:
        took = _write(file.fileno(), array)
    return Measure(BYTES / took / 1e9, int(array[-1]))


def restore_gbps() -> Measure:
    array = _array()
    target = memoryview(array).cast("B")  # warm memory: only the read is timed
    with tempfile.TemporaryFile() as file:
        _write(file.fileno(), array)
        array[-1] = 0
        drop_cache(file.fileno())
        file.seek(0)
        started = time.perf_counter()
        at = 0
        while at < BYTES:
            at += os.readv(file.fileno(), [target[at : at + (1 << 30)]])
        took = time.perf_counter() - started
    return Measure(BYTES / took / 1e9, int(array[-1]))
