"""What all sides run: the functions, and how memory and time are taken."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

CPUS = 2
CHUNK1_CALLS = 20_000
CHUNKED_CALLS = 100_000
ARRAYS = 1_000
JOBLIB_CALLS = 5_000
SUBMITS = 10_000
PENDING = 1_000_000


def noop(x: Any) -> None:
    return None


def magnitude(x: int) -> int:
    return abs(x)


def negative(array: Any) -> Any:
    return -array


def inputs_of_1mb(count: int) -> Any:
    """Arrays of 1 MB, each made when it is taken."""
    import numpy as np

    return (np.full(125_000, float(i)) for i in range(count))


def wait_for(path: str) -> None:
    """Until the file is there."""
    while not os.path.exists(path):
        time.sleep(0.05)


def us_each(run: Callable[[], Any], calls: int) -> float:
    started = time.perf_counter()
    run()
    return (time.perf_counter() - started) / calls * 1e6


def own_bytes() -> int:
    """Memory that only this process has (RssAnon)."""
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no RssAnon")
