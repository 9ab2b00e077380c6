"""What all peers log and search. Standard library only."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

RUNS, METRICS = 2000, 20
CHECK_POINTS = 200
ROWS = 1_000_000
FILE_POINTS = 10_000
VERSION = 1  # of what is made once and kept: a new number makes it anew


def kept_folder(name: str, make: Callable[[Path], None]) -> Path:
    """A folder in the temporary one that is made once and found there by later rounds."""
    path = Path(tempfile.gettempdir()) / f"daybreak-bench-track-{os.getuid()}-{VERSION}-{name}"
    if not path.exists():
        fresh = Path(tempfile.mkdtemp(prefix="daybreak-bench-track-"))
        make(fresh)
        fresh.rename(path)
    return path


def run_of(index: int) -> tuple[dict[str, str], dict[str, float]]:
    """Parameters and metrics of the index-th run; no two runs have equal metrics."""
    draw = random.Random(index)
    params = {"optimizer": draw.choice(["adam", "sgd"]), "depth": str(draw.randrange(8))}
    return params, {f"m{i}": draw.random() for i in range(METRICS)}


def check_points() -> list[tuple[int, float]]:
    draw = random.Random(7)
    return [(step, draw.gauss(0, 1)) for step in range(CHECK_POINTS)]


def expected_search() -> list[str]:
    """Names of the runs that the search finds, in order, by plain Python."""
    found = [(run_of(i), f"run-{i}") for i in range(RUNS)]
    kept = [(m["m7"], name) for (p, m), name in found if m["m3"] > 0.5 and p["optimizer"] == "adam"]
    return [name for _, name in sorted(kept, reverse=True)]
