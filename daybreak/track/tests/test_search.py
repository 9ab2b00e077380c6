"""Searching goes on whatever lies in the root, and finds exactly what was asked for."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pytest

from daybreak import track
from daybreak.base import errors

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DAYBREAK_TRACK_CAPTURE", "0")
    return Path(track.init(tmp_path / "track"))


def made(**params: object) -> str:
    with track.run("r", params=params) as run:
        run.log("x", 1)
    return run.id


def found(where: str) -> list[object]:
    return sorted(record.params["n"] for record in track.runs(where))


SEEDS = [12345678901234567, 12345678901234568,
         2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**64 + 1, -(2**63) - 1, 10**400,
         10**400 + 1, -(10**400), 1e20, 10**20 + 1, float("inf"), 0, -1, 0.5]  # fmt: skip


def test_whole_numbers_are_found_exactly_and_their_neighbours_are_not() -> None:
    for n, seed in enumerate(SEEDS):
        made(n=n, seed=seed)
    made(n=-1, seed=np.uint64(12345678901234567))
    made(n=-2, seed="12345678901234567")
    for seed in SEEDS:
        if seed == float("inf"):
            continue
        value = int(seed) if isinstance(seed, int) or seed.is_integer() else seed
        text = str(value)
        for operator, holds in {
            "=": lambda a, b: a == b, "!=": lambda a, b: a != b, "<": lambda a, b: a < b, "<=": lambda a, b: a <= b,
            ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
        }.items():  # fmt: skip
            expected = {n for n, other in enumerate(SEEDS) if holds(other, value)}
            got = set(found(f"params.seed {operator} {text}")) - {-1}
            assert got == expected, (operator, text[:30])
        assert set(found(f"params.seed in (7, {text})")) - {-1} == {
            n for n, other in enumerate(SEEDS) if other == value
        }
        assert set(found(f"params.seed not in (7, {text})")) - {-1} == {
            n for n, other in enumerate(SEEDS) if other != value
        }
    assert found("params.seed = 12345678901234567") == [-1, 0] and found("params.seed = '12345678901234567'") == [-2]
    ordered = [
        record.params["seed"]
        for record in track.runs(order_by="params.seed")
        if not isinstance(record.params["seed"], str)
    ]
    assert ordered == sorted(ordered)


def test_sql_compares_whole_numbers_exactly_too() -> None:
    pytest.importorskip("duckdb")
    for n, seed in enumerate(SEEDS[:10]):
        made(n=n, seed=seed)
    names = track.sql("select run from params where name = 'seed' and integer = 12345678901234567")
    assert [track.get(run).params["n"] for run in names["run"]] == [0]
    assert len(track.sql("select run from params where name = 'seed' and integer = 18446744073709551616")) == 1


@pytest.mark.parametrize(
    ("where", "matches"),
    [
        ("start < '9999-12-31'", True),
        ("start <= '9999-12-31T23:59:59.999999-12:00'", True),
        ("start > '0001-01-01'", True),
        ("start > '0001-01-01T00:00:00+14:00'", True),
        ("start < '2262-04-12'", True),
        ("start > '2262-04-12'", False),
        ("start < '1677-01-01'", False),
        ("start < 1e300", True),
        ("start > -1e300", True),
        ("end < 99999999999999999999999999", True),
        ("end > 1e400", False),
        ("start in ('9999-12-31')", False),
    ],
)
def test_far_dates_are_only_far(where: str, matches: bool) -> None:
    made(n=1)
    assert len(track.runs(where)) == matches


def test_a_time_is_exact_to_the_microsecond() -> None:
    run = track.get(made(n=1))
    assert run.start is not None
    text = run.start.isoformat(timespec="microseconds")
    assert len(track.runs(f"start >= '{text}'")) == 1 and len(track.runs(f"start < '{text}'")) == 0


def damaged_catalogs(path: Path) -> dict[str, object]:
    def garbage() -> None:
        path.write_bytes(os.urandom(50_000))

    def cut() -> None:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    def middle() -> None:
        data = bytearray(path.read_bytes())
        for page in range(1, len(data) // 4096):
            data[page * 4096 : page * 4096 + 64] = b"\xff" * 64
        path.write_bytes(bytes(data))

    def dropped() -> None:
        import sqlite3

        database = sqlite3.connect(path)
        database.execute("DROP TABLE params")
        database.commit()
        database.close()

    def other_version() -> None:
        import sqlite3

        database = sqlite3.connect(path)
        database.execute("PRAGMA user_version=77")
        database.close()

    def folder() -> None:
        path.unlink()
        path.mkdir()
        (path / "x").write_text("")

    def empty() -> None:
        path.write_bytes(b"")

    def dangling() -> None:
        path.unlink()
        path.symlink_to("/nowhere/at/all")

    return {f.__name__: f for f in (garbage, cut, middle, dropped, other_version, folder, empty, dangling)}


@pytest.mark.parametrize("damage", sorted(damaged_catalogs(Path())))
def test_a_damaged_catalog_is_rebuilt_and_every_question_answered(folder: Path, damage: str) -> None:
    ids = {made(n=n, text="t" * 500) for n in range(40)}
    assert len(track.runs()) == 40
    for suffix in ("-wal", "-shm"):
        (folder / f"catalog.db{suffix}").unlink(missing_ok=True)
    damaged_catalogs(folder / "catalog.db")[damage]()  # type: ignore[operator]
    assert {record.id for record in track.runs("params.n >= 0 and params.text like 't%'")} == ids
    assert track.get(next(iter(ids))).params["text"] == "t" * 500
    assert track.stats().runs == 40 and track.find(next(iter(ids))[-12:]).name == "r"


def test_a_catalog_with_flipped_bytes_never_stops_a_search(folder: Path) -> None:
    ids = {made(n=n) for n in range(20)}
    good = (track.runs(), (folder / "catalog.db").read_bytes())[1]
    rng = random.Random(7)
    for _ in range(40):
        data = bytearray(good)
        for _ in range(rng.choice([1, 50])):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        for suffix in ("-wal", "-shm"):
            (folder / f"catalog.db{suffix}").unlink(missing_ok=True)
        (folder / "catalog.db").write_bytes(bytes(data))
        records = track.runs()
        assert all(record.id in ids and record.params["n"] in range(20) for record in records)
    (folder / "catalog.db").unlink()
    assert {record.id for record in track.runs()} == ids


def test_what_lies_in_the_root_and_is_no_run_is_passed_over(folder: Path) -> None:
    run = made(n=1)
    for where in ("runs", "open"):
        (folder / where / ".DS_Store").write_text("")
        (folder / where / "lost+found").mkdir()
        (folder / where / "01a21dea-0000-7000-8000-000000000000").symlink_to("/nowhere")
    (folder / "runs" / "01a21dea-1111-7000-8000-000000000000").write_text("a file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert [record.id for record in track.runs()] == [run]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_users_run_is_left_out_with_a_word_and_nothing_is_collected(folder: Path, tmp_path: Path) -> None:
    mine, theirs = made(n=1), made(n=2)
    with track.run("kept") as run:
        run.artifact("a", b"x" * 1000)
    for path in (folder.parent, *folder.parent.rglob("*")):
        os.chown(path, 12345, 12345)
    for name in (theirs, run.id):
        os.chown(folder / "runs" / name, 0, 0)
        os.chmod(folder / "runs" / name, 0o700)
    (folder / "catalog.db").unlink(missing_ok=True)
    for parent in folder.parents:
        if parent != Path("/") and parent != Path("/tmp"):
            os.chmod(parent, 0o755)
    code = """
        import os, sys, warnings
        from daybreak import track
        from daybreak.base import errors
        track.init(sys.argv[3])  # what is loaded late is loaded now: the interpreter may be root's alone
        track.run("x").finish()
        track.gc()
        os.setgid(12345); os.setuid(12345)
        track.init(sys.argv[1])
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            print([record.id for record in track.runs()], flush=True)
        assert len(told) == 2 and "is left out" in str(told[0].message), told
        try:
            track.get(sys.argv[2])
        except PermissionError:
            print("refused", flush=True)
        try:
            track.gc()
        except errors.DataLossError:
            print("kept", flush=True)
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": "/nonexistent"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(folder), theirs, str(tmp_path / "mine")],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.stdout.splitlines() == [str([mine]), "refused", "kept"], done.stderr
    for name in (theirs, run.id):
        os.chown(folder / "runs" / name, 12345, 12345)
    assert len(track.runs()) == 3


def test_a_run_that_cannot_be_read_is_named_once_and_tried_again(folder: Path) -> None:
    good, bad = made(n=1), made(n=2)
    shutil.move(folder / "runs" / bad, folder / "away")
    (folder / "runs" / bad).symlink_to(folder / "runs" / bad)  # a loop
    with pytest.warns(RuntimeWarning, match=f"run {bad} is left out"):
        assert [record.id for record in track.runs()] == [good]
    with pytest.raises(errors.DataLossError):
        track.gc()
    (folder / "runs" / bad).unlink()
    shutil.move(folder / "away", folder / "runs" / bad)
    assert {record.id for record in track.runs()} == {good, bad}
