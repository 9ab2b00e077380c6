"""A Cholesky factorization larger than its budget, as a demo shows it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from .factor import cholesky, plan
from .matrix import Matrix

__all__ = ["larger_than_budget"]


def larger_than_budget(
    folder: str | os.PathLike[str],
    *,
    n: int = 4096,
    tile: int = 256,
    budget: int = 96 << 20,
    say: Callable[[str], Any] = print,
) -> dict[str, float]:
    """Makes an n x n matrix in a folder, says the plan, factors it within the budget and looks at the error by a random vector.

    Gives seconds, gflops, bytes of the matrix and of the budget, bytes read and written, the most that the process held more than
    before, and the backward error |L L'x - A x| / (n eps |A x|), which is below 60 where all is well.
    """
    place = os.fspath(folder)
    rng = np.random.default_rng(0)
    a = Matrix.create((n, n), tile=tile, folder=os.path.join(place, "a"))
    x, ax = rng.standard_normal(n), np.zeros(n)
    for i, j in ((i, j) for i, j in a.tiles() if i >= j):
        values = rng.standard_normal(a.tile_shape(i, j))
        if i == j:
            values = values + values.T + 4 * n * np.eye(len(values))
        a.set_tile(i, j, values)
        rows, cols = (slice(r.start, r.stop) for r in a.tile_range(i, j))
        ax[rows] += values @ x[cols]
        if i != j:
            ax[cols] += values.T @ x[rows]
    say(f"{a!r}: {n * n * 4 / 2**20:,.0f} MiB of its lower triangle, a budget of {budget / 2**20:,.0f} MiB")
    say(str(plan(cholesky, a, budget=budget)))
    read = a._store.bytes_read
    before, started = _status("VmRSS"), time.perf_counter()
    _forget_peak()
    lower = cholesky(a, budget=budget, out=os.path.join(place, "l"))
    seconds = time.perf_counter() - started
    held = _status("VmHWM") - before
    lx, llx = np.zeros(n), np.zeros(n)
    for turned in (True, False):
        for i, j in ((i, j) for i, j in lower.tiles() if i >= j):
            rows, cols = (slice(r.start, r.stop) for r in lower.tile_range(i, j))
            if turned:
                lx[cols] += lower.get_tile(i, j).T @ x[rows]
            else:
                llx[rows] += lower.get_tile(i, j) @ lx[cols]
    error = float(np.abs(llx - ax).max() / (n * np.finfo(float).eps * np.abs(ax).max()))
    say(
        f"{seconds:.1f} s, {n**3 / 3 / seconds / 1e9:.1f} Gflop/s, held {held / 2**20:,.0f} MiB, backward error {error:.2g} eps n"
    )
    return {
        "seconds": seconds,
        "gflops": n**3 / 3 / seconds / 1e9,
        "matrix_bytes": n * n * 4.0,
        "budget_bytes": float(budget),
        "read_bytes": float(a._store.bytes_read - read + lower._store.bytes_read),
        "written_bytes": float(lower._store.bytes_written),
        "held_bytes": float(held),
        "backward_error": error,
    }


def _status(name: str) -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith(name))


def _forget_peak() -> None:
    """VmHWM begins anew; where the kernel does not do that, it is the most of the whole process."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass
