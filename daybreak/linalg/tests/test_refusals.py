"""What is wrong is found and named: definiteness, singularity, NaN, shapes, budgets, broken files, full disks, kills."""

import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daybreak import linalg
from daybreak.base import errors
from daybreak.linalg import Matrix
from daybreak.linalg.tests.families import DTYPES, dtypes, positive, random, seeds

MIB = 1 << 20


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1, 60), st.integers(1, 17), dtypes, seeds, st.integers(0, 10**6))
def test_the_row_of_a_breakdown_is_that_of_the_whole_matrix(
    n: int, tile: int, dtype: Any, seed: int, where: int
) -> None:
    row = where % n
    a = positive(np.random.default_rng(seed), n, dtype, 10)
    a[row, row] = -5
    for threads in (1, 2):
        with pytest.raises(linalg.NotPositiveDefiniteError, match=f"row {row} ") as found:
            linalg.cholesky(Matrix.from_array(a, tile=tile), threads=threads)
        assert found.value.index == row
        assert isinstance(found.value, np.linalg.LinAlgError) and isinstance(found.value, ValueError)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(1, 40),
    st.integers(1, 17),
    dtypes,
    seeds,
    st.sampled_from([np.nan, np.inf, -np.inf]),
    st.integers(0, 10**6),
)
def test_nan_is_found_where_it_is_unless_it_may_spread(
    n: int, tile: int, dtype: Any, seed: int, bad: float, where: int
) -> None:
    rng = np.random.default_rng(seed)
    a = random(rng, n, n, dtype) + 20 * n * np.eye(n, dtype=dtype)
    place = tuple(sorted((where % n, where // 7 % n), reverse=True))
    a[place] = bad
    M = Matrix.from_array(a, tile=tile)
    for call in (linalg.cholesky, linalg.lu, linalg.qr, linalg.inv, lambda x: linalg.matmul(x, x, check=True)):
        with pytest.raises(linalg.NotFiniteError) as found:
            call(M)
        assert found.value.place == place
    spread = np.asarray(linalg.matmul(M, M))
    assert not np.isfinite(spread[place[0]]).all()


def test_singular_matrices_are_named_by_their_row() -> None:
    a = np.diag([1.0, 2.0, 0.0, 4.0, 5.0])
    with pytest.raises(linalg.SingularMatrixError) as found:
        linalg.solve(Matrix.from_array(a, tile=2), np.ones(5))
    assert found.value.index == 2
    with pytest.raises(linalg.SingularMatrixError):
        linalg.inv(np.zeros((3, 3)))
    assert linalg.cond(np.zeros((3, 3))) == np.inf and linalg.cond(np.zeros((3, 3)), 1) == np.inf
    with pytest.warns(linalg.RankWarning, match="rank is 1 of 2"):
        found = linalg.lstsq(np.ones((4, 2)), np.ones(4))
    np.testing.assert_allclose(found.x, [0.5, 0.5])


@pytest.mark.parametrize("call", [
    lambda a: linalg.cholesky(a), lambda a: linalg.solve(a, np.ones(3)), lambda a: linalg.matmul(a, a), lambda a: linalg.eigh(a),
    lambda a: linalg.inv(a), lambda a: linalg.lstsq(a, np.ones(2)), lambda a: linalg.tsqr(a),
    lambda a: linalg.solve(np.eye(2), a.T),
])  # fmt: skip
def test_shapes_that_do_not_match_are_refused(call: Any) -> None:
    with pytest.raises(linalg.ShapeError):
        call(np.ones((3, 4)))
    if call is not None:
        with pytest.raises(ValueError):
            call(np.ones((3, 4)))


def test_a_budget_that_cannot_be_kept_is_refused_with_a_tile_size_that_fits(tmp_path: Path) -> None:
    a = positive(np.random.default_rng(0), 1024, np.float64)
    M = Matrix.from_array(a, tile=1024, folder=tmp_path / "a")
    budget = 52 * MIB
    with pytest.raises(linalg.BudgetError, match=r"use tiles of (\d+)") as found:
        linalg.cholesky(M, budget=budget, threads=2, out=tmp_path / "l")
    assert isinstance(found.value, MemoryError) and not (tmp_path / "l" / "0-0.tile").exists()
    tile = int(str(found.value).split("use tiles of ")[1].split()[0])
    fits = M.copy(tile=tile, folder=tmp_path / "b")
    lower = linalg.cholesky(fits, budget=budget, threads=2)
    assert np.abs(np.asarray(lower) @ np.asarray(lower).T - a).max() < 1e-12
    for wrong in (0, -5, "1G", 1.5, None, True):
        if wrong is not None:
            with pytest.raises(errors.InvalidArgumentError, match="budget"):
                linalg.cholesky(M, budget=wrong)


def test_a_plan_says_what_a_run_then_does(tmp_path: Path) -> None:
    a = positive(np.random.default_rng(0), 600, np.float64)
    M = Matrix.from_array(a, tile=50, folder=tmp_path / "a")
    budget = 48 * MIB + 45 * 50 * 50 * 8
    plan = linalg.plan(linalg.cholesky, M, budget=budget, threads=2)
    assert plan.seconds > 0 and "reads" in str(plan) and sorted(p.name for p in tmp_path.iterdir()) == ["a"]
    read = M._store.bytes_read
    lower = linalg.cholesky(M, budget=budget, threads=2, out=tmp_path / "l")
    moved = M._store.bytes_read - read + lower._store.bytes_read
    written = lower._store.bytes_written
    assert written <= plan.written_bytes <= 1.05 * written  # what is spilled is in the plan, too
    assert abs(moved - plan.read_bytes) <= 0.15 * plan.read_bytes
    assert moved > 1.3 * M.nbytes / 2  # it did not fit


MEASURED = """
    import sys, numpy as np
    from daybreak import linalg
    from daybreak.linalg import Matrix
    from daybreak.linalg.running import open_blas
    def status():
        # What is shared (mapped files, /dev/shm) is in VmHWM, too.
        return {l.split(":")[0]: int(l.split()[1]) << 10 for l in open("/proc/self/status") if l.startswith(("VmHWM", "VmRSS"))}
    folder, budget, operation = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    M = Matrix.open(folder + "/a")
    import scipy_openblas32, tempfile, json
    open("/proc/self/clear_refs", "w").write("5")
    before = status()["VmRSS"]
    if operation == "lu":
        linalg.lu(M, budget=budget)
    elif operation == "tsqr":
        linalg.tsqr(M, budget=budget)
    elif operation == "solve":
        linalg.solve(M, np.ones(M.shape[0]), budget=budget)
    elif operation == "matmul":
        linalg.matmul(M, M.T, budget=budget)
    else:
        getattr(linalg, operation)(M, budget=budget)
    print(status()["VmHWM"] - before)
"""


@pytest.mark.parametrize("operation", ["cholesky", "matmul", "lu", "qr", "tsqr", "solve"])
def test_the_most_that_a_process_holds_is_within_the_budget(operation: str, tmp_path: Path) -> None:
    n, tile = 2560, 128
    rng = np.random.default_rng(0)
    shape = (1 << 18, 64) if operation == "tsqr" else (n, n)
    M = Matrix.create(shape, tile=(4096, 64) if operation == "tsqr" else tile, folder=tmp_path / "a")
    for i, j in M.tiles():
        values = rng.standard_normal(M.tile_shape(i, j))
        M.set_tile(i, j, values + n * np.eye(*values.shape) if i == j and operation != "tsqr" else values)
    budget = 84 * MIB  # 36 of them for tiles; the matrix has 50 and more
    # `lu` and `solve` gather a column of tiles for each thread.
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MEASURED), str(tmp_path), str(budget), operation],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert 20 * MIB < int(done.stdout) <= budget


def test_altered_and_truncated_tiles_are_refused_by_name(tmp_path: Path) -> None:
    a = positive(np.random.default_rng(0), 40, np.float64)
    M = Matrix.from_array(a, tile=16, folder=tmp_path / "m")
    path = tmp_path / "m" / "1-0.tile"
    good = path.read_bytes()
    assert len(good) == 8192 and good[:8] == b"DBTILE\r\n"
    rng = np.random.default_rng(1)
    spots = [0, 8, 12, 16, 24, 32, 55, 4096, 4096 + 16 * 16 * 8 - 1, *rng.integers(4096, 4096 + 2048, 10)]
    for spot in spots:
        bad = bytearray(good)
        bad[spot] ^= 1
        path.write_bytes(bad)
        with pytest.raises(errors.Error, match="1-0.tile"):
            M.get_tile(1, 0)
        with pytest.raises(errors.Error, match="1-0.tile"):
            linalg.cholesky(M)
    for size in (0, 1, 4095, 4096, 8191, 8193):
        path.write_bytes((good + b"\0")[:size])
        with pytest.raises(errors.DataLossError, match="1-0.tile"):
            M.get_tile(1, 0)
    path.unlink()
    with pytest.raises(errors.NotFoundError, match="1-0.tile"):
        linalg.matmul(M, M)
    path.write_bytes(good)
    assert np.array_equal(M, a)
    (tmp_path / "m" / "0-1.tile").write_bytes((tmp_path / "m" / "2-2.tile").read_bytes())
    with pytest.raises(errors.DataLossError, match="8 x 8"):
        M.get_tile(0, 1)


def test_a_disk_that_is_full_ends_the_run_and_resume_goes_on(tmp_path: Path) -> None:
    """The limit on a file's size stands for the disk: it fails a write in the middle just so."""
    a = positive(np.random.default_rng(0), 400, np.float64)
    M = Matrix.from_array(a, tile=64, folder=tmp_path / "a")
    code = """
        import sys, resource, signal
        from daybreak import linalg
        from daybreak.linalg import Matrix
        from daybreak.base import errors
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
        try:
            linalg.cholesky(Matrix.open(sys.argv[1] + "/a"), out=sys.argv[1] + "/l", threads=1)
        except errors.Error as error:
            print(type(error).__name__, error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert ".tile" in done.stdout and done.returncode == 0, done.stderr
    left = [p.name for p in (tmp_path / "l").iterdir()]
    assert not [name for name in left if "tmp" in name], left
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".daybreak")]
    lower = linalg.cholesky(M, out=tmp_path / "l", resume=True)
    assert np.array_equal(lower, linalg.cholesky(Matrix.from_array(a, tile=64)))
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 20000


RESUMED = """
    import sys
    from daybreak import linalg
    from daybreak.linalg import Matrix
    M = Matrix.open(sys.argv[1] + "/a")
    budget = int(sys.argv[2])
    print("go", flush=True)
    inputs = [M] if sys.argv[3] == "cholesky" else [M, M]
    getattr(linalg, sys.argv[3])(*inputs, out=sys.argv[1] + "/l", budget=budget, resume=True)
    print("done", flush=True)
"""


@pytest.mark.parametrize("operation", ["cholesky", "matmul"])
def test_what_kill_9_leaves_is_gone_on_with_and_ends_in_the_same_bits(operation: str, tmp_path: Path) -> None:
    n, tile = 1024, 64
    a = positive(np.random.default_rng(0), n, np.float64)
    M = Matrix.from_array(a, tile=tile, folder=tmp_path / "a")
    budget = 48 * MIB + 60 * tile * tile * 8
    killed = 0
    for attempt in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(RESUMED), str(tmp_path), str(budget), operation],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None and process.stdout.readline() == "go\n"
        wanted = len(list((tmp_path / "l").glob("*.tile"))) + 12 if (tmp_path / "l").exists() else 12
        while process.poll() is None and len(list((tmp_path / "l").glob("*.tile"))) < wanted:
            time.sleep(0.001)
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed += 1
        if attempt >= 3:
            break
    assert killed >= 1
    call: Any = linalg.cholesky if operation == "cholesky" else lambda m, **k: linalg.matmul(m, m, **k)
    plan = linalg.plan(call, M, out=tmp_path / "l", budget=budget, resume=True)
    assert plan.stages[0].tasks > 0
    done = call(M, out=tmp_path / "l", budget=budget, resume=True)
    assert np.array_equal(done, call(Matrix.from_array(a, tile=tile)))
    assert not [p for p in (tmp_path / "l").iterdir() if "tmp" in p.name and p.stat().st_mtime > time.time()]


def test_resume_skips_what_is_there_and_makes_again_what_is_missing(tmp_path: Path) -> None:
    a = positive(np.random.default_rng(0), 300, np.float64)
    M = Matrix.from_array(a, tile=32, folder=tmp_path / "a")
    lower = linalg.cholesky(M, out=tmp_path / "l")
    known = np.asarray(lower).copy()
    written = lower._store.bytes_written
    again = linalg.cholesky(M, out=tmp_path / "l", resume=True)
    assert again._store.bytes_written == 0 and np.array_equal(again, known)
    rng = np.random.default_rng(2)
    files = sorted((tmp_path / "l").glob("*.tile"))
    for count in (1, 5, 20):
        for path in rng.choice(np.array(files, object), count, replace=False):
            path.unlink()
        again = linalg.cholesky(M, out=tmp_path / "l", resume=True)
        assert np.array_equal(again, known) and 0 < again._store.bytes_written < written
    with pytest.raises(errors.InvalidArgumentError, match="resume"):
        linalg.cholesky(M.copy(tile=16), out=tmp_path / "l", resume=True)
    with pytest.raises(errors.AlreadyExistsError):
        linalg.cholesky(M, out=tmp_path / "l")


def test_ctrl_c_ends_a_run_and_leaves_nothing_behind(tmp_path: Path) -> None:
    code = """
        import sys, os, signal, threading, numpy as np, time
        from daybreak import linalg
        from daybreak.linalg import Matrix
        signal.signal(signal.SIGINT, signal.default_int_handler)
        M = Matrix.from_array(np.ones((3000, 3000)), tile=100, folder=sys.argv[1] + "/a")
        linalg.matmul(M[:100, :100], M[:100, :100])
        before = len(os.listdir("/proc/self/task"))
        threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        try:
            for _ in range(1000):
                linalg.matmul(M, M)
        except KeyboardInterrupt:
            print("interrupted", len(os.listdir("/proc/self/task")) <= before + 1)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "interrupted True\n", done.stderr
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".daybreak-matrix")] == ["a"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_is_left_where_nothing_is(dtype: Any) -> None:
    for m, n in ((0, 0), (0, 3), (3, 0)):
        a = np.zeros((m, n), dtype)
        M = Matrix.from_array(a)
        assert np.asarray(M).shape == (m, n) and (M @ M.T).shape == (m, m) and (M + 1).shape == (m, n)
        q, r = linalg.qr(M)
        assert q.shape == (m, min(m, n)) and r.shape == (min(m, n), n)
    empty = Matrix.from_array(np.zeros((0, 0), dtype))
    assert linalg.cholesky(empty).shape == (0, 0) and linalg.inv(empty).shape == (0, 0)
    assert linalg.solve(empty, np.zeros(0, dtype)).shape == (0,) and os.path.exists("/proc")


def test_the_demonstration_keeps_to_its_budget_and_is_exact(tmp_path: Path) -> None:
    from daybreak.linalg.demonstration import larger_than_budget

    said: list[str] = []
    found = larger_than_budget(tmp_path, n=2048, tile=128, budget=54 * MIB, say=said.append)
    assert found["backward_error"] < 60 and found["held_bytes"] <= 54 * MIB
    assert found["read_bytes"] > found["matrix_bytes"] and "writes" in said[1]
