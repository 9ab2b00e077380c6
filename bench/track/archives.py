"""What is stored: checkpoints of a real training and versions of a table. Made once, from fixed seeds."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from bench.rows import Measure
from bench.track.workload import kept_folder
from daybreak import tensor

SEED = 7
TABLE_VERSIONS = ("append", "block_delete", "scattered", "column_added")


def checkpoints(quick: bool) -> list[Path]:
    """One file an epoch: 1.97 M parameters of an MLP classifier, and Adam's two moments of each."""
    epochs = 4 if quick else 20
    return sorted(kept_folder(f"checkpoints-{epochs}", lambda path: train(path, epochs)).iterdir())


def train(path: Path, epochs: int) -> None:
    rng = np.random.default_rng(SEED)
    samples, sizes, batch = 4096, [256, 1024, 1024, 640, 10], 128
    teacher = [rng.standard_normal((256, 64)) / 16, rng.standard_normal((64, 10))]
    inputs = rng.standard_normal((samples, 256)).astype(np.float32)
    labels = np.argmax(np.tanh(inputs @ teacher[0]) @ teacher[1], axis=1)
    params: dict[str, np.ndarray] = {}
    for i, (fan_in, fan_out) in enumerate(zip(sizes, sizes[1:], strict=False)):
        params[f"w{i}"] = (rng.standard_normal((fan_in, fan_out)) * np.sqrt(2 / fan_in)).astype(np.float32)
        params[f"b{i}"] = np.zeros(fan_out, np.float32)
    first = {name: np.zeros_like(value) for name, value in params.items()}
    second = {name: np.zeros_like(value) for name, value in params.items()}
    layers, step = len(sizes) - 1, 0
    for epoch in range(epochs):
        order = rng.permutation(samples)
        for begin in range(0, samples, batch):
            chosen = order[begin : begin + batch]
            active = [inputs[chosen]]
            for i in range(layers):
                out = active[-1] @ params[f"w{i}"] + params[f"b{i}"]
                active.append(np.maximum(out, 0) if i < layers - 1 else out)
            scores = np.exp(active[-1] - active[-1].max(axis=1, keepdims=True))
            slope = scores / scores.sum(axis=1, keepdims=True)
            slope[np.arange(batch), labels[chosen]] -= 1
            slope /= np.float32(batch)
            step += 1
            gradients = {}
            for i in reversed(range(layers)):
                gradients[f"w{i}"], gradients[f"b{i}"] = active[i].T @ slope, slope.sum(axis=0)
                slope = (slope @ params[f"w{i}"].T) * (active[i] > 0)
            for name, gradient in gradients.items():
                first[name] += np.float32(0.1) * (gradient - first[name])
                second[name] += np.float32(0.001) * (gradient * gradient - second[name])
                mean = first[name] / np.float32(1 - 0.9**step)
                root = np.sqrt(second[name] / np.float32(1 - 0.999**step))
                params[name] -= np.float32(1e-3) * mean / (root + np.float32(1e-8))
        arrays = {
            f"{part}.{n}": v
            for part, state in zip("pmv", (params, first, second), strict=True)
            for n, v in state.items()
        }
        (path / f"epoch-{epoch:02d}.safetensors").write_bytes(tensor.dumps(arrays))


def tables(quick: bool) -> Path:
    """base.csv and one file for each of TABLE_VERSIONS."""
    rows = 50_000 if quick else 1_000_000
    return kept_folder(f"tables-{rows}", lambda path: make_tables(path, rows))


def lines(rng: np.random.Generator, first: int, count: int) -> list[str]:
    columns = [
        np.arange(first, first + count).astype(str),
        np.char.mod("%.6f", rng.standard_normal(count)),
        np.char.mod("%.3f", rng.exponential(100, count)),
        rng.integers(0, 1000, count).astype(str),
        np.array(["red", "green", "blue", "black"])[rng.integers(0, 4, count)],
        np.char.mod("%d", 1_700_000_000 + np.cumsum(rng.integers(0, 5, count))),
    ]
    return [",".join(row) for row in zip(*columns, strict=True)]


def make_tables(path: Path, rows: int) -> None:
    rng = np.random.default_rng(SEED)
    head, base = "id,x,amount,code,colour,time", lines(rng, 0, rows)
    hundredth = rows // 100
    fresh = lines(rng, rows, hundredth)
    places = set(rng.choice(rows, hundredth, replace=False).tolist())
    score = np.char.mod("%.4f", rng.random(rows))

    def scattered() -> Iterator[str]:
        more = iter(fresh)
        for place, line in enumerate(base):
            if place in places:
                yield next(more)
            yield line

    versions = {
        "base": base,
        "append": base + fresh,
        "block_delete": base[: rows // 2] + base[rows // 2 + hundredth :],
        "scattered": list(scattered()),
        "column_added": [f"{line},{extra}" for line, extra in zip(base, score, strict=True)],
    }
    for name, content in versions.items():
        title = head + (",score" if name == "column_added" else "")
        (path / f"{name}.csv").write_text("\n".join([title, *content]) + "\n")


def bytes_under(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fresh_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="daybreak-bench-store-run-"))


def remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)


class Archive:
    """What a peer's file fills in: where versions of one file go. ``work`` is an empty folder that goes with it."""

    def __init__(self, work: Path) -> None:
        self.work = work

    def put(self, file: Path) -> None:
        raise NotImplementedError

    def finish(self) -> None:
        """Whatever makes it small."""

    def restore(self, out: Path) -> None:
        """The newest version into a new file."""
        raise NotImplementedError

    def size_bytes(self) -> int:
        raise NotImplementedError


_done: dict[str, dict[str, float | str]] = {}


def run(kind: Callable[[Path], Archive], name: str, files: list[Path]) -> dict[str, float | str]:
    """Stores all, restores the newest; once a process for each name."""
    if name not in _done:
        work = fresh_folder()
        for file in files:
            file.read_bytes()  # into the page cache, for all alike
        try:
            archive = kind(work)
            started = time.perf_counter()
            for file in files:
                archive.put(file)
            archive.finish()
            stored = time.perf_counter()
            archive.restore(work / "restored")
            restored = time.perf_counter()
            _done[name] = {
                "bytes": archive.size_bytes(),
                "store_s": stored - started,
                "restore_s": restored - stored,
                "check": sha256(work / "restored"),
                "logical": sum(file.stat().st_size for file in files),
            }
        finally:
            remove(work)
    return _done[name]


def rows_of(kind: Callable[[Path], Archive], quick: Callable[[], bool]) -> dict[str, Callable[[], Measure]]:
    """The functions of all rows, for a peer's module."""

    def measure(what: str, name: str, files: Callable[[], list[Path]]) -> Callable[[], Measure]:
        def row() -> Measure:
            done = run(kind, name, files())
            info = {key: float(done[key]) for key in ("bytes", "logical", "store_s", "restore_s")}
            scale = 1e6 if what == "bytes" else 1.0
            return Measure(float(done[what]) / scale, check=done["check"], info=info)

        return row

    def table(name: str) -> Callable[[], list[Path]]:
        return lambda: [tables(quick()) / "base.csv", tables(quick()) / f"{name}.csv"]

    functions = {
        "store_20_checkpoints": measure("bytes", "checkpoints", lambda: checkpoints(quick())),
        "store_20_checkpoints_seconds": measure("store_s", "checkpoints", lambda: checkpoints(quick())),
        "restore_newest_seconds": measure("restore_s", "checkpoints", lambda: checkpoints(quick())),
    }
    for name in TABLE_VERSIONS:
        functions[f"store_table_{name}"] = measure("bytes", f"table_{name}", table(name))
    return functions
