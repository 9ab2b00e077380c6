"""From a tile program and matrices to a run: the budget, the plan, what is refused before anything begins."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from daybreak._core import linalg as _core
from daybreak.base import numbers
from daybreak.base.errors import InvalidArgumentError

from .dtypes import DTYPES
from .errors import BudgetError, LinAlgError, NotFiniteError, NotPositiveDefiniteError, SingularMatrixError
from .lambdapack import Program
from .matrix import Matrix

__all__ = ["Plan", "Scratch", "Settings", "execute", "is_planning", "planned", "run_program", "settings_of"]

# What BLAS takes for itself in each thread that calls it, touched for good (measured: 17 to 24 MiB with 0.3.34), and the
# stacks of our own threads.
BLAS_BYTES = 24 << 20
_INPUT, _OUTPUT, _SCRATCH = 0, 1, 2
_local = threading.local()
_open_lock = threading.Lock()


@dataclass(frozen=True)
class Scratch:
    """A matrix of intermediate tiles: what its tiles look like is taken from a matrix of ``shape``."""

    extents: tuple[int, ...]
    shape: tuple[int, int]
    tile: tuple[int, int]
    axes: tuple[int, int] = (0, 1)  # which index counts rows of tiles and which columns; -1: none


@dataclass(frozen=True)
class Settings:
    budget: int | None  # bytes, None: no limit
    threads: int
    resume: bool
    check: bool
    beside: str | None  # where temporary matrices and spilled tiles go; None: memory

    @property
    def limited(self) -> bool:
        return self.budget is not None

    def tile_bytes(self) -> int:
        """What is left of the budget for tiles."""
        assert self.budget is not None
        return max(self.budget - BLAS_BYTES * self.threads, 0)


@dataclass
class Stage:
    """One program of a plan."""

    name: str
    tasks: int
    skipped: int
    read_bytes: int
    written_bytes: int
    held_bytes: int
    least_bytes: int
    flops: float


@dataclass
class Plan:
    """What a computation will read, write and hold. ``str(plan)`` is a table; ``seconds`` is an estimate from rates that were
    measured now."""

    budget: int | None
    threads: int
    direct: bool | None = None
    stages: list[Stage] = field(default_factory=list)
    flop_rate: float = 0.0
    disk_rate: float = 0.0
    suggestion: int | None = None

    @property
    def read_bytes(self) -> int:
        return sum(s.read_bytes for s in self.stages)

    @property
    def written_bytes(self) -> int:
        return sum(s.written_bytes for s in self.stages)

    @property
    def held_bytes(self) -> int:
        return max((s.held_bytes for s in self.stages), default=0) + BLAS_BYTES * self.threads

    @property
    def flops(self) -> float:
        return sum(s.flops for s in self.stages)

    @property
    def seconds(self) -> float:
        total = 0.0
        for s in self.stages:
            moved = (s.read_bytes + s.written_bytes) / self.disk_rate if self.disk_rate else 0.0
            total += max(s.flops / self.flop_rate if self.flop_rate else 0.0, moved)
        return total

    def __str__(self) -> str:
        limit = "no budget" if self.budget is None else f"budget {self.budget / 2**20:,.0f} MiB"
        way = {True: "around the page cache", False: "through the page cache, dropped behind", None: "in memory"}[
            self.direct
        ]
        lines = [f"{limit}, {self.threads} threads, tiles {way}"]
        for s in self.stages:
            kept = f", {s.skipped} done before" if s.skipped else ""
            lines.append(
                f"  {s.name}: {s.tasks:,} tasks{kept}, {s.flops / 1e9:,.1f} Gflop, reads {s.read_bytes / 2**20:,.1f} MiB,"
                f" writes {s.written_bytes / 2**20:,.1f} MiB, holds {s.held_bytes / 2**20:,.1f} MiB"
            )
        lines.append(
            f"  in all: {self.flops / 1e9:,.1f} Gflop, reads {self.read_bytes / 2**20:,.1f} MiB, writes"
            f" {self.written_bytes / 2**20:,.1f} MiB, holds {self.held_bytes / 2**20:,.1f} MiB, about {self.seconds:,.1f} s"
        )
        return "\n".join(lines)


def open_blas() -> None:
    """Opens the library at first use. It would else start its threads when `daybreak` is imported, before a fork."""
    with _open_lock:
        if _core.blas_core():
            return
        import scipy_openblas32

        folder = scipy_openblas32.get_lib_dir()
        name = scipy_openblas32.get_library(fullname=True)
        # It has one thread: ours call it.
        before = os.environ.get("OPENBLAS_NUM_THREADS")
        os.environ["OPENBLAS_NUM_THREADS"] = "1"
        try:
            _core.open_blas(os.path.join(folder, name))
        finally:
            if before is None:
                del os.environ["OPENBLAS_NUM_THREADS"]
            else:
                os.environ["OPENBLAS_NUM_THREADS"] = before


def cores() -> int:
    return max(1, len(os.sched_getaffinity(0)))


def settings_of(
    matrices: list[Matrix],
    budget: Any,
    threads: Any,
    *,
    resume: bool = False,
    check: bool = True,
    folder: str | None = None,
) -> Settings:
    """The settings of a call. Without a budget, a matrix in a folder gets half of the memory that is available now."""
    count = cores() if threads is None else numbers.integer(threads, "threads", minimum=1, maximum=256)
    beside = folder
    for matrix in matrices:
        if beside is None and matrix.folder is not None:
            beside = os.path.dirname(matrix.folder)
    if budget is not None:
        limit: int | None = numbers.integer(budget, "budget", minimum=1)
        beside = beside or tempfile.gettempdir()
    else:
        limit = _available() // 2 if beside is not None else None
    return Settings(limit, count, resume, check, beside)


def _available() -> int:
    with open("/proc/meminfo") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 1 << 30


def is_planning() -> bool:
    return getattr(_local, "plan", None) is not None


@contextlib.contextmanager
def planned() -> Iterator[Plan]:
    """Within it programs are planned and not run."""
    _local.plan = Plan(None, 1)
    try:
        yield _local.plan
    finally:
        _local.plan = None


def output(
    shape: tuple[int, int],
    dtype: Any,
    settings: Settings,
    *,
    tile: Any,
    triangle: str | None = None,
    folder: Any = None,
) -> Matrix:
    """Where a result goes: into `folder`, or where its inputs are."""
    if is_planning():
        beside = folder or settings.beside
        kind = np.dtype(dtype)
        return Matrix._made(
            *shape, tile, kind, folder=None if beside is None else "/nonexistent/planned", triangle=triangle
        )
    if folder is not None:
        if settings.resume and os.path.exists(os.path.join(os.fspath(folder), "matrix.json")):
            return _resumed(folder, shape, dtype, tile)
        return Matrix.create(shape, dtype, tile=tile, folder=folder, triangle=triangle)
    return Matrix.temporary(shape, dtype, tile=tile, beside=settings.beside, triangle=triangle)


def _resumed(folder: Any, shape: tuple[int, int], dtype: Any, tile: tuple[int, int]) -> Matrix:
    found = Matrix.open(folder)
    if found.shape != shape or found.dtype != dtype or found.tile != tile:
        raise InvalidArgumentError(
            f"resume: {folder} holds {found!r}, not {shape[0]} x {shape[1]} of {dtype} in tiles of {tile}"
        )
    return found


def _slot(name: str, matrix: Matrix | Scratch, written: bool, check: bool) -> tuple[Any, ...]:
    if isinstance(matrix, Scratch):
        shape, tile = matrix.shape, matrix.tile
        return (name, _SCRATCH, None, list(matrix.extents), (*shape, *tile), matrix.axes, (False, False, False), (0, 0))
    base = matrix._base_tile()
    whole = matrix._whole()
    first = (matrix._rows.start // base[0] if matrix._rows else 0, matrix._cols.start // base[1] if matrix._cols else 0)
    role = _OUTPUT if written else _INPUT
    view = (matrix._swapped, matrix._conj, check and not written)
    return (name, role, matrix._store, list(matrix.grid), (*whole, *base), (0, 1), view, first)


def execute(
    program: Program,
    settings: Settings,
    tiles: dict[str, Any],
    outputs: tuple[str, ...],
    unchecked: tuple[str, ...] = (),
    **values: Any,
) -> dict[str, Any]:
    """Plans and runs a program. tiles: a Matrix, a Scratch or a tuple (matrix, extents, axes) for each of its names.

    BudgetError before anything is written when it cannot keep to the budget.
    """
    bound = program.bind(**values)
    slots = []
    dtype: np.dtype[Any] | None = None
    for name in program.matrices:
        given = tiles[name]
        matrix = given[0] if isinstance(given, tuple) else given
        slot = _slot(name, matrix, name in outputs, settings.check and name not in unchecked)
        if isinstance(given, tuple):
            slot = (*slot[:3], list(given[1]), slot[4], given[2], *slot[6:])
        slots.append(slot)
        if isinstance(matrix, Matrix):
            dtype = matrix.dtype if dtype is None else dtype
    assert dtype is not None
    schedule = _core.schedule(bound.core, slots, DTYPES.index(dtype), settings.resume)
    in_folder = any(slot[2] is not None and not slot[2].in_memory for slot in slots)
    budget = 0
    if settings.budget is not None:
        budget = settings.tile_bytes()
    forecast = schedule.forecast(budget - budget // 8 if budget else 0, settings.threads)
    stage = Stage(
        program.name,
        *(
            forecast[k]
            for k in ("tasks", "skipped", "read_bytes", "written_bytes", "held_bytes", "least_bytes", "flops")
        ),
    )
    if settings.budget is not None and stage.least_bytes > budget:
        _refuse(program, settings, stage, slots)
    if is_planning():
        plan = _local.plan
        plan.budget, plan.threads = settings.budget, settings.threads
        plan.stages.append(stage)
        plan.direct = (plan.direct is not False) if in_folder else plan.direct
        return {}
    open_blas()
    limited = settings.budget is not None and (in_folder or stage.held_bytes > budget or settings.beside is not None)
    # What is in memory and what the schedule takes is the budget's, too.
    kept = forecast["result_bytes"] + forecast["schedule_bytes"]
    spill = tempfile.mkdtemp(prefix=".daybreak-spill-", dir=settings.beside) if limited else ""
    try:
        report: dict[str, Any] = schedule.run(settings.threads, max(budget - kept, 1) if limited else 0, spill)
    finally:
        if spill:
            shutil.rmtree(spill, ignore_errors=True)
    _raise_fault(report)
    return report


def _refuse(program: Program, settings: Settings, stage: Stage, slots: list[Any]) -> None:
    widest = max((slot[4][2] * slot[4][3], slot[4][2], slot[4][3]) for slot in slots)
    assert settings.budget is not None
    left = settings.tile_bytes()
    side = max(widest[1], widest[2])
    fits = int(side * min(0.9, (left / max(stage.least_bytes, 1)) ** 0.5))
    fits -= fits % 32 if fits >= 64 else 0
    way = f"use tiles of {fits} (Matrix.copy(tile={fits})) or a budget of" if fits >= 8 else "use a budget of"
    least = stage.least_bytes + BLAS_BYTES * settings.threads
    raise BudgetError(
        f"{program.name} cannot keep to budget={settings.budget} bytes: with tiles of {widest[1]} x {widest[2]} and"
        f" {settings.threads} threads it holds {least} at least: {way} {least}"
    )


def _raise_fault(report: dict[str, Any]) -> None:
    kind, row = report["fault"], report["fault_row"]
    if kind == 1:
        raise NotPositiveDefiniteError(row)
    if kind == 2:
        raise SingularMatrixError(row)
    if kind == 3:
        raise NotFiniteError(report["fault_matrix"], (row, report["fault_col"]))
    if kind:
        raise LinAlgError(f"fault {kind}")


def run_program(
    program: Program,
    *,
    outputs: dict[str, Matrix],
    inputs: dict[str, Matrix],
    scratch: dict[str, Scratch] | None = None,
    budget: Any = None,
    threads: Any = None,
    resume: bool = False,
    check: bool = False,
    **values: Any,
) -> None:
    """Runs a tile program of one's own. Each of its matrices is an output, an input or a Scratch; all of one element type.

    Outputs are written tile by tile as the program assigns them; `values` are its numbers. Errors as those of the factorizations.

    >>> import numpy as np
    >>> from daybreak.linalg import Matrix, programs, run_program
    >>> A, C = Matrix.from_array(np.eye(4), tile=2), Matrix.create((4, 4), tile=2)
    >>> run_program(programs.matmul, outputs={"C": C}, inputs={"A": A, "B": A}, m=2, n=2, k=2, down=2, across=2)
    >>> bool((np.asarray(C) == np.eye(4)).all())
    True
    """
    tiles: dict[str, Any] = {**inputs, **outputs, **(scratch or {})}
    if set(tiles) != set(program.matrices):
        raise InvalidArgumentError(f"{program.name} has the matrices {program.matrices}: {sorted(tiles)} are given")
    matrices = [x for x in tiles.values() if isinstance(x, Matrix)]
    for name, matrix in tiles.items():
        if isinstance(matrix, Matrix) and matrix.dtype != matrices[0].dtype:
            raise InvalidArgumentError(f"{name} is {matrix.dtype}, another {matrices[0].dtype}: one type for all")
        if isinstance(matrix, Matrix) and not matrix.aligned():
            raise InvalidArgumentError(f"{name} is a view that cuts through tiles: give its copy()")
        if name in outputs and matrix.is_view:
            raise InvalidArgumentError(f"{name} is a view: an output is a matrix of its own")
    settings = settings_of(matrices, budget, threads, resume=resume, check=check)
    execute(program, settings, tiles, tuple(outputs), **values)
