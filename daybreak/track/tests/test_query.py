"""The search language, and the catalog behind it."""

from __future__ import annotations

import contextlib
import math
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from daybreak import track
from daybreak.base import errors
from daybreak.track.query import MAX_DEPTH, compile_order, compile_where

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    return Path(track.init(tmp_path / "track"))


def make(
    name: str, params: dict[str, object] | None = None, tags: dict[str, object] | None = None, **metrics: float
) -> str:
    with track.run(name, params=params, tags=tags) as run:
        if metrics:
            run.log(metrics)
    return run.id


def names(where: str | None = None, **options: object) -> list[str]:
    return [record.name for record in track.runs(where, **options)]  # type: ignore[arg-type]


@pytest.fixture
def zoo() -> None:
    make("a", {"lr": 0.001, "opt": "adam", "n": 10, "flag": True}, {"who": "ann"}, loss=3.0, acc=0.5)
    make("b", {"lr": 0.01, "opt": "sgd", "n": 9, "flag": False}, {"who": "bob's"}, loss=2.0, acc=0.7)
    make("c", {"lr": "0.01", "opt": "Adam", "n": 100}, {}, loss=math.nan, acc=0.6)
    with contextlib.suppress(RuntimeError), track.run("d", params={"lr": 1}) as run:
        run.goal("loss", "min")
        for value in (1.0, -4.0, 2.5):
            run.log({"loss": value, "x.best": 7.0, "eval/return-1": 8.0, "a b": 9.0})
        raise RuntimeError


@pytest.mark.usefixtures("zoo")
@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("", "abcd"),
        ("params.lr = 0.01", "b"),
        ("params.lr = '0.01'", "c"),
        ("params.lr > .001 and status = 'finished'", "b"),
        ("params.n > 9", "ac"),  # as numbers: 10 > 9, 100 > 9
        ("params.n >= 9 AND NOT params.n = 10", "bc"),
        ("params.opt = 'adam'", "a"),
        ("params.opt like 'ada%'", "a"),
        ("params.opt not like 'ada%'", "bc"),
        ("params.opt in ('adam', 'sgd')", "ab"),
        ("params.opt not in ('adam', 'sgd')", "c"),
        ("params.lr in (0.01, '0.01', 1)", "bcd"),
        ("params.flag = true", "a"),
        ("params.flag is null", "cd"),
        ("params.opt is not null", "abc"),
        ("tags.who = 'bob''s' or tags.who = \"ann\"", "ab"),
        ("metrics.loss < 3", "bd"),  # NaN is not
        ("not metrics.loss < 3", "a"),
        ("metrics.loss is null", "c"),
        ("metrics.loss.best = -4", "d"),
        ("metrics.loss.best = 3", "a"),
        (
            "metrics.loss.min = -4 and metrics.loss.max = 2.5 and metrics.loss.last = 2.5 and metrics.loss.count = 3",
            "d",
        ),
        ("metrics.`x.best` = 7", "d"),
        ("metrics.`x.best`.max = 7", "d"),
        ("metrics.eval/return-1 = 8 and metrics.`a b` = 9e0", "d"),
        ("name in ('a', 'b') and (status != 'finished' or metrics.acc > 0.6)", "b"),
        ("status = 'failed'", "d"),
        ("start > 1000000000 and end > '2020-01-01' and start < '2100-01-01T00:00:00+01:00'", "abcd"),
        ("start > '2100-01-01'", ""),
        ("parent is null and id is not null", "abcd"),
        ("params.lr > 1e400", ""),
        ("params.lr < 99999999999999999999999999", "abd"),
        ("params.nothing = 1", ""),
    ],
)
def test_where_selects(where: str, expected: str) -> None:
    assert "".join(sorted(names(where))) == expected


@pytest.mark.usefixtures("zoo")
def test_order_and_limit() -> None:
    assert names() == ["d", "c", "b", "a"]  # the newest first
    assert names(order_by="metrics.acc desc") == ["b", "c", "a", "d"]  # those without it last
    assert names(order_by="metrics.acc") == ["a", "c", "b", "d"]
    assert names(order_by=["status desc", "params.n"]) == ["b", "a", "c", "d"]
    assert names(order_by="start asc", limit=2) == ["a", "b"]
    assert names(limit=0) == []
    for limit in (-1, 10**9):
        with pytest.raises(errors.InvalidArgumentError):
            track.runs(limit=limit)


@pytest.mark.parametrize(
    ("where", "position"),
    [
        ("params.lr >", 11),
        ("params.lr > > 1", 12),
        ("lr > 1", 0),
        ("params.lr", 9),
        ("params. > 1", 0),
        ("(params.lr > 1", 14),
        ("params.lr > 1)", 13),
        ("params.lr > 1 and", 17),
        ("name = 'x' name = 'y'", 11),
        ("name = 'x", 7),
        ("name = x", 7),
        ("name > 3", 7),
        ("metrics.x = 'a'", 12),
        ("metrics.x like 'a'", 15),
        ("tags.x = 3", 9),
        ("name in ()", 9),
        ("name in 'a'", 8),
        ("name is 'a'", 8),
        ("name not = 'a'", 9),
        ("metrics.`x`.mean = 1", 8),
        ("params.`x`.best = 1", 7),
        ("start > 'yesterday'", 8),
        ("name = 'a'; drop table runs", 10),
        ("name = 'a' -- ", 11),
        ("name = 'a\ud800'", 7),
        ("params.x = 1 union select 1", 13),
        ("\x00", 0),
        ("name = 0x10", 7),
    ],
)
def test_errors_point_at_the_position(where: str, position: int) -> None:
    with pytest.raises(errors.InvalidArgumentError, match=rf"where, position {position}: "):
        track.runs(where)


def test_hostile_text_is_data() -> None:
    bad = "x'); DROP TABLE runs; --"
    make(bad, {bad: bad}, {bad: bad}, **{bad: 1.0})
    quoted = bad.replace("'", "''")
    assert names(f"name = '{quoted}' and params.`{bad}` = '{quoted}' and metrics.`{bad}` = 1") == [bad]
    assert names(order_by=f"metrics.`{bad}` desc, tags.`{bad}`") == [bad]
    assert names("name = '%'") == [] and names("name like '%''); DROP%'") == [bad]
    for text in (f"metrics.`{bad}", f"order by 1; {bad}"):
        with pytest.raises(errors.InvalidArgumentError):
            track.runs(order_by=text)


def test_depth_length_and_number_of_terms_are_bounded() -> None:
    compile_where("(" * MAX_DEPTH + "name = 'a'" + ")" * MAX_DEPTH)
    for text in (
        "(" * (MAX_DEPTH + 1) + "name = 'a'" + ")" * (MAX_DEPTH + 1),
        "not " * 5000 + "name = 'a'",
        " and ".join(["name = 'a'"] * 201),
        "name in (" + ", ".join(["'a'"] * 1001) + ")",
        "name = '" + "a" * 20_000 + "'",
    ):
        with pytest.raises(errors.InvalidArgumentError):
            compile_where(text)
    make("deep")
    assert names("(" * MAX_DEPTH + "name = 'deep'" + ")" * MAX_DEPTH) == ["deep"]
    assert names(" or ".join(["name = 'deep'"] * 200)) == ["deep"]


def test_random_text_is_answered_or_refused() -> None:
    words = ["params.a", "metrics.b.best", "tags.`c d`", "name", "start", "=", "<", "in", "like", "is", "not", "null", "and", "or",
             "(", ")", ",", "'x'", '"', "1.5", "-3", "true", "`", ";", "--", "\n", "desc"]  # fmt: skip
    draw = random.Random(20261124)
    database = sqlite3.connect(":memory:")
    database.executescript(__import__("daybreak.track.catalog", fromlist=["_TABLES"])._TABLES)
    accepted = 0
    for _ in range(20_000):
        text = " ".join(draw.choices(words, k=draw.randrange(1, 9)))
        for compile_text, sql in (
            (compile_where, "SELECT * FROM runs r WHERE {}"),
            (compile_order, "SELECT * FROM runs r ORDER BY {}"),
        ):
            try:
                compiled, values = compile_text(text)
            except errors.InvalidArgumentError:
                continue
            accepted += 1
            database.execute(sql.format(compiled), values).fetchall()
    assert accepted > 100


def described(**options: object) -> list[dict[str, object]]:
    return [record._describe() for record in track.runs(deleted=None, **options)]  # type: ignore[arg-type]


@pytest.mark.usefixtures("zoo")
def test_a_deleted_catalog_is_rebuilt_and_gives_the_same_answers(folder: Path) -> None:
    with track.run("open") as running:
        running.log("x", 1)
        track.delete(track.runs("name = 'b'")[0].id)
        before = described()
        for damage in ("deleted", "garbage", "version"):
            if damage == "version":
                with contextlib.closing(sqlite3.connect(folder / "catalog.db")) as database:
                    database.execute("PRAGMA user_version = 99")
            else:
                for file in folder.glob("catalog.db*"):
                    file.unlink()
                if damage == "garbage":
                    (folder / "catalog.db").write_bytes(b"not a database at all" * 100)
            assert repr(described()) == repr(before), damage
    assert len(before) == 5


def test_finished_runs_are_not_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from daybreak.track import catalog

    ids = [make("done", x=float(i)) for i in range(20)]
    read: list[str] = []
    original = catalog.Catalog._read
    monkeypatch.setattr(catalog.Catalog, "_read", lambda self, run: (read.append(run), original(self, run))[1])
    with track.run("open") as running:
        track.runs()
        assert sorted(read) == sorted([*ids, running.id])
        read.clear()
        running.log("x", 5)
        assert track.runs("metrics.x = 5 and status = 'running'")[0].id == running.id
        assert read == [running.id]
    read.clear()
    assert track.runs(limit=1)[0].status == "finished"
    assert read == [running.id]
    read.clear()
    track.runs()
    assert read == []
    with track.run(resume=ids[3]) as again:
        again.tag("late", "yes")
    track.delete(ids[4])
    assert [record.id for record in track.runs("tags.late = 'yes'")] == [ids[3]]
    assert len(track.runs()) == 20
    assert sorted(read) == sorted([ids[3], ids[4]])
    assert os.listdir(folder / "open") == []


def test_a_catalog_that_many_refresh_at_once_is_right(folder: Path) -> None:
    stop = threading.Event()
    failures: list[BaseException] = []

    def search() -> None:
        while not stop.is_set():
            try:
                track.runs("metrics.x >= 0")
            except BaseException as error:
                failures.append(error)
                return

    searchers = [threading.Thread(target=search) for _ in range(3)]
    for searcher in searchers:
        searcher.start()
    for i in range(40):
        make("many", x=float(i))
    stop.set()
    for searcher in searchers:
        searcher.join()
    assert not failures, failures
    found = described(order_by="metrics.x")
    for file in folder.glob("catalog.db*"):
        file.unlink()
    assert found == described(order_by="metrics.x") and len(found) == 40


def test_a_catalog_that_many_make_at_once_is_made_once_and_nobody_is_refused(folder: Path) -> None:
    make("first", x=1.0)
    for _ in range(20):
        for file in folder.glob("catalog.db*"):
            file.unlink()
        barrier, found, failures = threading.Barrier(8), [], []

        def search(barrier=barrier, found=found, failures=failures) -> None:
            barrier.wait()
            try:
                found.append(len(track.runs("metrics.x = 1")))
            except BaseException as error:
                failures.append(error)

        searchers = [threading.Thread(target=search) for _ in range(8)]
        for searcher in searchers:
            searcher.start()
        for searcher in searchers:
            searcher.join()
        assert (failures, found) == ([], [1] * 8)


def test_a_catalog_that_another_keeps_is_waited_for_and_then_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from daybreak.track import catalog

    make("first", x=1.0)
    track.runs()
    keeper = sqlite3.connect(folder / "catalog.db", isolation_level=None)
    keeper.execute("BEGIN IMMEDIATE")
    make("second", x=2.0)
    monkeypatch.setattr(catalog, "BUSY_SECONDS", 0.2)
    with pytest.raises(errors.UnavailableError, match=r"catalog\.db: database is locked: others have kept it"):
        track.runs()
    monkeypatch.setattr(catalog, "BUSY_SECONDS", 30.0)
    keeper.execute("COMMIT")
    keeper.close()
    assert len(track.runs()) == 2


def test_a_run_is_seen_running_and_then_killed_without_anyones_help(folder: Path) -> None:
    code = (
        "import sys; from daybreak import track; track.init(sys.argv[1]); run = track.run('victim'); run.log('x', 3)\n"
        "print(run.id, flush=True); sys.stdin.read()"
    )
    victim = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert victim.stdout is not None
    run = victim.stdout.readline().strip()
    assert track.get(run).status == "running"
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    assert track.get(run).status == "killed"
    assert names("status = 'killed' and metrics.x = 3") == ["victim"]
    victim.communicate()


def test_live_objects_are_those_of_all_runs_that_are_there() -> None:
    from daybreak._core import track as core

    with track.run("holder") as run:
        run._event(0x28, "policy", "ab" * 32, "10", "bytes", "{}")
        assert track.live_objects() == {"ab" * 32}
    track.delete(run.id)
    assert track.live_objects() == {"ab" * 32}
    assert [a.name for a in track.get(run.id).artifacts] == ["policy"]
    assert core.RunFiles.open(track.root(), run.id).state()["artifacts"][0][2] == 10


def test_a_root_that_we_may_only_read_is_searched(folder: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    make("kept", x=1.0)
    for path in (folder, folder / "open", folder / "runs"):
        path.chmod(0o500)
    try:
        assert names("metrics.x = 1") == ["kept"]
    finally:
        for path in (folder, folder / "open", folder / "runs"):
            path.chmod(0o700)
