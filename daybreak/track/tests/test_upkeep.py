"""verify, gc, purge, export: what was recorded is kept whole, and what nobody needs goes."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from daybreak import cli, track
from daybreak.base import errors
from daybreak.track import upkeep

ROOT = Path(__file__).resolve().parents[3]
DAY = 86400.0


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    return Path(track.init(tmp_path / "track"))


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)


def make(name: str = "x", artifact: bytes | None = None) -> str:
    with track.run(name) as run:
        run.log_array("loss", np.arange(10_000.0))
        if artifact is not None:
            run.artifact("a", artifact)
    return run.id


# -- verify


def test_verify_reads_everything_and_finds_all_well(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(artifact=os.urandom(100_000))
    with track.run("running") as run:
        run.log("x", 1)
        report = track.verify()
    assert report and report.ok and report.damage == ()
    assert (report.runs, report.points, report.objects) == (2, 10_001, 1) and report.bytes == 100_000
    assert cli.main(["track", "verify", "--root", str(folder)]) == 0
    assert "all is well" in capsys.readouterr().out


@pytest.mark.parametrize("share", [0.001, 0.3, 0.6, 0.999])
@pytest.mark.parametrize("what", ["column", "log", "pack"])
def test_verify_finds_a_flipped_bit(folder: Path, what: str, share: float, capsys: pytest.CaptureFixture[str]) -> None:
    if what == "log":  # as a process leaves it that is killed
        code = """
            import os, signal, sys
            from daybreak import track
            track.init(sys.argv[1])
            run = track.run("killed")
            for step in range(1500):
                run.log("x", 1.5, step=step)
            run.sync()
            os.kill(os.getpid(), signal.SIGKILL)
        """
        command = [sys.executable, "-c", textwrap.dedent(code), str(folder)]
        subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL)
        file = min(folder.glob("runs/*/*.log"))
        # The header, an event, a point, the last point. Behind the last event of an open block nothing is kept, so that
        # nothing can be damaged there: it may be what a record in the making left.
        last = len(file.read_bytes().rstrip(b"\0")) - 1
        at = {0.001: 20, 0.3: 4096 + 60, 0.6: 4096 + 65_536 + 32 + 32 * 700, 0.999: last}[share]
    else:
        make(artifact=os.urandom(300_000))
        pattern = "runs/*/*.col" if what == "column" else "store/packs/*.pack"
        file = max(folder.glob(pattern), key=lambda path: path.stat().st_size)
        at = int(file.stat().st_size * share)
    assert track.verify().ok
    flip(file, at)
    report = track.verify()
    assert not report.ok and any(file.name in damage for damage in report.damage), report
    assert cli.main(["track", "verify", "--root", str(folder)]) == 1
    out = capsys.readouterr().out
    assert "DAMAGED" in out and file.name in out
    assert cli.main(["track", "verify", "--json", "--root", str(folder)]) == 1
    assert json.loads(capsys.readouterr().out)["damage"] == list(report.damage)


def test_verify_finds_an_artifact_that_is_gone(folder: Path) -> None:
    run = make(artifact=b"abc")
    shutil.rmtree(folder / "store")
    report = track.verify()
    assert len(report.damage) == 1 and run in report.damage[0] and "is not in the store" in report.damage[0]


# -- gc


def test_deleted_runs_are_purged_when_their_time_has_come(folder: Path) -> None:
    kept, gone = make(artifact=b"kept" * 100), make(artifact=b"gone" * 100)
    object_id = track.get(gone).artifact("a").id
    track.delete(gone)
    assert track.gc().purged == () and track.load(object_id) == b"gone" * 100
    track.restore(gone)
    assert track.gc(purge_deleted_after=0).purged == ()
    assert track.get(gone).artifact("a").id == object_id
    track.delete(gone)
    assert track.gc(purge_deleted_after=None).purged == ()
    report = track.gc(purge_deleted_after=datetime.timedelta(0))
    assert report.purged == (gone,) and (report.objects_removed, report.objects_kept) == (1, 1)
    assert [record.id for record in track.runs(deleted=None)] == [kept] and track.load(track.get(kept).artifact("a"))
    for call in (track.get, track.restore, lambda run: track.run(resume=run)):
        with pytest.raises(errors.NotFoundError):
            call(gone)
    with pytest.raises(errors.NotFoundError):
        track.load(object_id)
    assert not list(folder.rglob(f"*{gone}*")) and track.verify().ok
    with pytest.raises(errors.InvalidArgumentError):
        track.gc(purge_deleted_after=-1)


def test_the_time_counts_from_the_last_deletion(monkeypatch: pytest.MonkeyPatch) -> None:
    run = make()
    track.delete(run)
    now = upkeep.time.time_ns()
    monkeypatch.setattr(upkeep.time, "time_ns", lambda: now + int(29 * DAY * 1e9))
    assert track.gc().purged == ()
    monkeypatch.setattr(upkeep.time, "time_ns", lambda: now + int(31 * DAY * 1e9))
    assert track.gc().purged == (run,)


def test_a_parent_outlives_its_purged_child() -> None:
    with track.run("parent") as run, run.child("child") as child:
        pass
    track.delete(child)
    assert track.gc(purge_deleted_after=0).purged == (child.id,)
    assert track.get(run.id).children == []


def test_the_git_ref_of_a_purged_run_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "repository"
    root.mkdir()
    monkeypatch.chdir(root)
    subprocess.run(["git", "init", "-q"], check=True)
    (root / "a.py").write_text("x")
    with track.run("x", capture=True) as run:
        pass
    refs = ["git", "for-each-ref", "--format=%(refname)"]
    assert subprocess.check_output(refs, text=True).split() == [f"refs/daybreak/runs/{run.id}"]
    track.delete(run)
    monkeypatch.chdir(tmp_path)
    assert track.gc(purge_deleted_after=0).purged == (run.id,)
    assert subprocess.check_output(refs, text=True, cwd=root) == ""


def test_gc_never_takes_what_a_run_in_progress_holds(folder: Path) -> None:
    code = """
        import sys
        from daybreak import track
        track.init(sys.argv[1])
        with track.run("writer") as run:
            for i in range(60):
                run.artifact(f"a{i % 7}", f"{sys.argv[2]} {i}".encode() * 500)
            print(run.id, flush=True)
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), str(folder), str(n)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(2)
    ]
    stop = threading.Event()
    collections = 0
    failures: list[BaseException] = []

    def collect() -> None:
        nonlocal collections
        while not stop.is_set():
            try:
                track.gc()
                collections += 1
            except BaseException as error:
                failures.append(error)
                return

    collectors = [threading.Thread(target=collect) for _ in range(2)]
    for collector in collectors:
        collector.start()
    runs = [writer.communicate(timeout=120)[0].strip() for writer in writers]
    stop.set()
    for collector in collectors:
        collector.join()
    assert not failures and collections > 2
    there = set(upkeep.reading.store(str(folder)).objects())
    for n, run in enumerate(runs):
        kept = track.get(run).artifacts
        assert [i for i, artifact in enumerate(kept) if artifact.id not in there] == []
        assert [track.load(artifact) for artifact in kept] == [f"{n} {i}".encode() * 500 for i in range(60)]
    assert track.verify().ok


def test_two_processes_collect_and_purge_at_once(folder: Path) -> None:
    doomed = [make(artifact=os.urandom(2000)) for _ in range(12)]
    kept = [make(artifact=os.urandom(2000)) for _ in range(3)]
    for run in doomed:
        track.delete(run)
    code = "import sys; from daybreak import track; track.init(sys.argv[1]); print(*track.gc(purge_deleted_after=0).purged)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    collectors = [
        subprocess.Popen([sys.executable, "-c", code, str(folder)], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    purged = [run for collector in collectors for run in collector.communicate(timeout=120)[0].split()]
    assert [collector.returncode for collector in collectors] == [0, 0, 0]
    assert sorted(purged) == sorted(doomed)
    assert sorted(record.id for record in track.runs(deleted=None)) == sorted(kept)
    assert all(len(track.load(track.get(run).artifact("a"))) == 2000 for run in kept) and track.verify().ok


def test_what_a_killed_purge_left_is_swept(folder: Path) -> None:
    (folder / "purged" / "01934a1c-9f7b-7c3e-8a5d-0123456789ab").mkdir(parents=True)
    (folder / "purged" / "01934a1c-9f7b-7c3e-8a5d-0123456789ab" / "x.col").write_bytes(b"x")
    track.gc()
    assert not (folder / "purged").exists()


def test_nothing_is_collected_while_a_run_is_damaged(folder: Path) -> None:
    run = make(artifact=b"x" * 1000)
    file = max((folder / "runs" / run).glob("*.col"), key=lambda path: path.stat().st_size)
    flip(file, file.stat().st_size - 3)
    (folder / "catalog.db").unlink()
    with pytest.raises(errors.DataLossError, match="damaged"):
        track.gc()
    assert len(list(folder.glob("store/packs/*.pack"))) == 1


def test_stats_count_what_is_there(folder: Path) -> None:
    make(artifact=b"x" * 1000)
    make(artifact=b"x" * 1000)
    track.delete(make())
    found = track.stats()
    assert (found.runs, found.deleted, found.points, found.artifacts, found.objects) == (2, 1, 30_000, 2, 1)
    assert found.by_status == {"finished": 2} and found.artifact_bytes == 1000
    assert 0 < found.stored_bytes and 30_000 * 16 < found.log_bytes and found.root == str(folder)


# -- export


def test_a_run_is_exported_with_all_that_it_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(os.urandom(100_000))
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    with track.run("x", params={"lr": float("nan")}, capture=True) as run:
        run.log_array("loss", [1.0, float("inf"), float("nan")])
        run.log("acc", 0.5, step=9)
        run.artifact("deep/er/file", tmp_path / "file")
        run.artifact("deep", b"a name that is a folder, too")
        run.artifact("w", np.arange(3))
        run.artifact("net", {"a": np.ones(2), "b": np.zeros(1)})
        run.artifact("table", frame)
        run.artifact("w", np.arange(4))
        print("hello")
    out = track.export(run, tmp_path / "out")
    names = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert names == [
        "artifacts/deep/er/file", "artifacts/deep~", "artifacts/net.npz", "artifacts/table.csv", "artifacts/w.npy",
        "metrics.csv", "output.txt", "run.json",
    ]  # fmt: skip
    assert (out / "artifacts/deep/er/file").read_bytes() == (tmp_path / "file").read_bytes()
    assert np.load(out / "artifacts/w.npy").tolist() == [0, 1, 2, 3]
    assert np.load(out / "artifacts/net.npz")["a"].tolist() == [1, 1]
    about = json.loads((out / "run.json").read_text())
    assert (
        about["params"] == {"lr": "NaN"}
        and about["files"]["deep"] == "artifacts/deep~"
        and len(about["artifacts"]) == 6
    )
    table = pd.read_csv(out / "metrics.csv")
    assert table["name"].tolist() == ["acc", "loss", "loss", "loss"] and table["value"].tolist()[:3] == [
        0.5,
        1.0,
        float("inf"),
    ]
    with pytest.raises(errors.AlreadyExistsError):
        track.export(run, out)
    with pytest.raises(errors.InvalidArgumentError):
        track.export(run, tmp_path / "other", format="excel")
    again = track.export(run, tmp_path / "parquet", format="parquet")
    assert len(pd.read_parquet(again / "metrics.parquet")) == 4
    assert pd.read_parquet(again / "artifacts/table.parquet")["a"].tolist() == [1, 2]


@pytest.mark.parametrize("name", ["../out", "/tmp/daybreak-export", "a/../../x", "..", "a\\..\\b", ""])
def test_an_export_never_leaves_its_folder(tmp_path: Path, name: str) -> None:
    with track.run("x") as run:
        kept = run.artifact("fine", b"x")
        run._event(0x28, name, kept.id, "1", "bytes", "{}")  # as someone who can write to the log may do
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(errors.InvalidArgumentError):
        track.export(run, tmp_path / "target" / "deep")
    assert [path for path in sorted(tmp_path.rglob("*")) if path not in before and "track" not in path.parts] == []


def test_a_large_file_goes_in_and_out_in_bounded_memory(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "large"
    with file.open("wb") as out:
        for i in range(24):
            out.write(np.random.default_rng(i).bytes(1 << 24))
    code = """
        import pathlib, sys
        from daybreak import track
        def peak():
            return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1024
        track.init(sys.argv[1])
        import numpy
        base = peak()
        with track.run("large") as run:
            run.artifact("large", pathlib.Path(sys.argv[2]))
        track.export(run, sys.argv[3])
        print(peak() - base)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(folder), str(file), str(tmp_path / "out")]
    used = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    assert float(used.stdout) < 160, f"{used.stdout} MiB for {file.stat().st_size >> 20} MiB"
    assert (tmp_path / "out" / "artifacts" / "large").stat().st_size == file.stat().st_size
