"""Ours: tiles in memory, and under a budget with everything in a folder."""

import os
import shutil
import tempfile
import time

import numpy as np

from bench.linalg import inputs
from bench.rows import Measure
from daybreak import linalg
from daybreak.linalg import Matrix
from daybreak.linalg.running import cores

QUICK = False
MIB = 1 << 20


def _timed(call):
    started = time.perf_counter()
    found = call()
    return time.perf_counter() - started, found


def gemm_in_core():
    n = 2048 if QUICK else 8192
    a, b = Matrix.from_array(inputs.square(n)), Matrix.from_array(inputs.positive(n))
    linalg.matmul(a[:512], b)
    seconds, c = _timed(lambda: linalg.matmul(a, b))
    return Measure(2 * n**3 / seconds / 1e9, check=round(float(np.abs(c[0]).sum()), 3))


def cholesky_in_core():
    n = 2048 if QUICK else 8192
    a = Matrix.from_array(inputs.positive(n), tile=256 if QUICK else 384)
    linalg.cholesky(a[:256, :256])
    seconds, lower = _timed(lambda: linalg.cholesky(a))
    return Measure(n**3 / 3 / seconds / 1e9, check=round(float(lower.diagonal().sum()), 3))


def tsqr_in_core():
    a = Matrix.from_array(inputs.tall(1 << (17 if QUICK else 20)))
    linalg.tsqr(a[:4096])
    seconds, (_, r) = _timed(lambda: linalg.tsqr(a))
    return Measure(seconds, check=round(float(np.abs(r.diagonal()).sum()), 3))


def lu_in_core():
    n = 1024 if QUICK else 4096
    a = Matrix.from_array(inputs.square(n), tile=128 if QUICK else 256)
    linalg.lu_factor(a[:128, :128])
    seconds, found = _timed(lambda: linalg.lu_factor(a))
    return Measure(2 * n**3 / 3 / seconds / 1e9, check=round(float(np.log(np.abs(found.x.diagonal())).sum()), 3))


def eigh_in_core():
    a = Matrix.from_array(inputs.positive(512 if QUICK else 4096))
    seconds, (w, _) = _timed(lambda: linalg.eigh(a))
    return Measure(seconds, check=round(float(w.sum()), 2))


def svd_randomized():
    a = Matrix.from_array(inputs.low_rank(*((8192, 512) if QUICK else (65536, 4096))))
    linalg.svd_randomized(a[:1024], 20)
    seconds, (_, s, _) = _timed(lambda: linalg.svd_randomized(a, 50, oversample=10, power=2))
    return Measure(seconds, check=float(f"{s[0]:.6g}"))


# -- under a budget


def _scratch():
    """out/, which git does not look at."""
    os.makedirs("out", exist_ok=True)
    return "out"


class _Folder:
    def __enter__(self):
        self.path = tempfile.mkdtemp(
            prefix="daybreak-bench-", dir=os.environ.get("DAYBREAK_BENCH_FOLDER") or _scratch()
        )
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


def _status(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith(name))


def _stored(folder, name, shape, tile, diagonal):
    made = Matrix.create(shape, tile=tile, folder=f"{folder}/{name}")
    rng = np.random.default_rng(9)
    for i, j in made.tiles():
        if diagonal and i < j:
            continue  # Cholesky looks at the lower triangle
        values = rng.standard_normal(made.tile_shape(i, j))
        if diagonal and i == j:
            values = values + values.T + 4 * shape[0] * np.eye(len(values))
        made.set_tile(i, j, values)
    return made


def _flop_rate():
    """numpy's product on all cores, n = 4,096 (quick: 2,048): the second of two."""
    n = 2048 if QUICK else 4096
    a = np.random.default_rng(0).standard_normal((n, n))
    a @ a
    return 2 * n**3 / _timed(lambda: a @ a)[0]


def _disk_rate(folder):
    """Bytes a second of tiles written and read again by four threads, as a run has them: 512 MiB (quick: 64)."""
    from concurrent.futures import ThreadPoolExecutor

    rows = 8192 if QUICK else 65536
    probe = Matrix.create((rows, 1024), tile=512, folder=f"{folder}/probe")
    tile = np.asfortranarray(np.ones((512, 512)))
    with ThreadPoolExecutor(4) as pool:
        wrote, _ = _timed(lambda: list(pool.map(lambda at: probe.set_tile(*at, tile), probe.tiles())))
        read, _ = _timed(lambda: list(pool.map(lambda at: probe.get_tile(*at)[0, 0], probe.tiles())))
    shutil.rmtree(f"{folder}/probe")
    return 2 * probe.nbytes / (wrote + read)


def _bounded(call, folder, cap, flops, least_bytes, stores):
    """The time over the bound; refused where the process held more than its cap."""
    rate, disk = _flop_rate(), _disk_rate(folder)
    open("/proc/self/clear_refs", "w").write("5")
    before = [s.bytes_read + s.bytes_written for s in stores]
    seconds, found = _timed(call)
    moved = sum(s.bytes_read + s.bytes_written for s in stores) - sum(before)
    result = found[0] if isinstance(found, tuple) else found
    if result.folder and result._store not in stores:
        moved += result._store.bytes_read + result._store.bytes_written
    peak = _status("VmHWM")
    assert peak <= cap, f"held {peak} bytes, the cap is {cap}"
    bound = max(flops / rate, moved / disk)
    info = {
        "seconds": seconds, "gflops": flops / seconds / 1e9, "rate_gflops": rate / 1e9, "disk_mb_s": disk / 1e6,
        "moved_mib": moved / MIB,
        "moved_over_least": moved / least_bytes, "bound_s": bound, "bound_least_s": max(flops / rate, least_bytes / disk),
        "peak_mib": peak / MIB, "cap_mib": cap / MIB, "threads": cores(), "direct": float(stores[0].direct),
    }  # fmt: skip
    return seconds / bound, info, result


def _probe(result, expected, scale, n):
    """A backward error over eps from one random vector: |(product - result) x| over its scale."""
    error = float(np.abs(result - expected).max() / (scale * n * np.finfo(float).eps))
    assert error <= 60, f"the backward error is {error} eps"
    return error


def cholesky_out():
    n, cap, tile = (4096, 192 * MIB, 256) if QUICK else (32768, 1024 * MIB, 512)
    with _Folder() as folder:
        a = _stored(folder, "a", (n, n), tile, True)
        budget = cap - _status("VmRSS") - 4 * MIB
        room = budget / 8
        least = 8 * (n**3 / (3 * 2**0.5 * room**0.5) + n * n / 2)
        value, info, lower = _bounded(
            lambda: linalg.cholesky(a, budget=budget, out=f"{folder}/l", check=False),
            folder,
            cap,
            n**3 / 3,
            least,
            [a._store],
        )
        x = np.random.default_rng(5).standard_normal(n)
        lx, ax, scale = np.zeros(n), np.zeros(n), 0.0
        for i, j in ((i, j) for i, j in lower.tiles() if i >= j):
            rows, cols = (slice(r.start, r.stop) for r in a.tile_range(i, j))
            lx[cols] += lower.get_tile(i, j).T @ x[rows]
            values = a.get_tile(i, j)
            values = np.tril(values) + np.tril(values, -1).T if i == j else values
            ax[rows] += values @ x[cols]
            ax[cols] += values.T @ x[rows] if i != j else 0
        llx = np.zeros(n)
        for i, j in ((i, j) for i, j in lower.tiles() if i >= j):
            rows, cols = (slice(r.start, r.stop) for r in a.tile_range(i, j))
            llx[rows] += lower.get_tile(i, j) @ lx[cols]
        scale = float(np.abs(ax).max())
        info["backward_error"] = _probe(llx, ax, scale, n)
        return Measure(value, info=info)


def gemm_out():
    n, cap, tile = (3072, 192 * MIB, 256) if QUICK else (16384, 512 * MIB, 512)
    with _Folder() as folder:
        a, b = _stored(folder, "a", (n, n), tile, False), _stored(folder, "b", (n, n), tile, False)
        budget = cap - _status("VmRSS") - 4 * MIB
        least = 8 * (2 * n**3 / (budget / 8) ** 0.5 + 2 * n * n)
        value, info, c = _bounded(
            lambda: linalg.matmul(a, b, budget=budget, out=f"{folder}/c"),
            folder,
            cap,
            2 * n**3,
            least,
            [a._store, b._store],
        )
        x = np.random.default_rng(5).standard_normal(n)

        def times(m, v):
            out = np.zeros(n)
            for i, j in m.tiles():
                rows, cols = m.tile_range(i, j)
                out[rows.start : rows.stop] += m.get_tile(i, j) @ v[cols.start : cols.stop]
            return out

        known = times(a, times(b, x))
        info["backward_error"] = _probe(times(c, x), known, float(np.abs(known).max()), n)
        return Measure(value, info=info)


def tsqr_out():
    rows, cap, tile = (1 << 18, 192 * MIB, 4096) if QUICK else (1 << 24, 512 * MIB, 8192)
    with _Folder() as folder:
        a = _stored(folder, "a", (rows, 64), (tile, 64), False)
        budget = cap - _status("VmRSS") - 4 * MIB
        value, info, r = _bounded(
            lambda: linalg.tsqr(a, "r", budget=budget, check=False),
            folder,
            cap,
            2 * rows * 64**2,
            8 * rows * 64,
            [a._store],
        )
        found = np.asarray(r)
        gram = np.zeros((64, 64))
        for i, _ in a.tiles():
            values = a.get_tile(i, 0)
            gram += values.T @ values
        info["backward_error"] = _probe(found.T @ found, gram, float(np.abs(gram).max()), 64)
        return Measure(value, info=info)
