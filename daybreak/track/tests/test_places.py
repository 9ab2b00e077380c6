"""Roots, files and names as people have them: relative, in the home, without UTF-8, long, pipes and devices."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from daybreak import tensor, track
from daybreak.base import errors
from daybreak.store import Store

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DAYBREAK_TRACK_CAPTURE", "0")
    for name in ("home", "here", "there"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "there"


@pytest.mark.parametrize("given", ["~/runs", b"~/runs", pathlib.Path("~/runs")])
def test_a_root_in_the_home_is_there_and_no_folder_of_that_name(tmp_path: Path, given: str) -> None:
    assert track.init(given) == str(tmp_path / "home" / "runs")
    assert not (tmp_path / "here" / "~").exists()


@pytest.mark.parametrize("given", ["", "s3://bucket/x", "file:///tmp/x", "sqlite:///x.db", "a\0b"])
def test_a_root_that_is_no_place_on_this_machine_is_refused(tmp_path: Path, given: str) -> None:
    with pytest.raises(errors.InvalidArgumentError):
        track.init(given)
    assert not any((tmp_path / "here").iterdir())


def test_a_root_that_is_a_file_is_refused_and_one_behind_a_link_is_made(tmp_path: Path) -> None:
    Path("file").write_text("mine")
    with pytest.raises(errors.FailedPreconditionError, match="no directory"):
        track.init("file")
    Path("link").symlink_to(tmp_path / "there" / "runs")
    assert track.init("link") == str(tmp_path / "here" / "link")
    track.run("r").finish()
    assert (tmp_path / "there" / "runs" / "format").exists() and len(track.runs()) == 1


def test_a_relative_root_a_store_and_a_handle_are_found_after_chdir(elsewhere: Path) -> None:
    track.init("runs")
    store = Store("store")
    with track.run("r") as run:
        os.chdir(elsewhere)
        run.log("x", 1)
        run.param("p", 1)
        run.artifact("a", np.arange(3))
        child = run.child("c")
        child.finish()
    assert [record.name for record in track.runs("params.p = 1")] == ["r"]
    assert store.load(store.put(b"x").id) == b"x"
    assert not any(elsewhere.iterdir())


@pytest.mark.parametrize("variable", ["runs", None, "~/runs"])
def test_the_default_root_stays_where_it_was_first_needed(
    tmp_path: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, variable: str | None
) -> None:
    from daybreak.track import roots

    monkeypatch.setattr(roots, "_chosen", None)
    monkeypatch.setattr(roots, "_defaults", {})
    if variable is None:
        monkeypatch.delenv("DAYBREAK_TRACK_DIR", raising=False)
    else:
        monkeypatch.setenv("DAYBREAK_TRACK_DIR", variable)
    run = track.run("r")
    os.chdir(elsewhere)
    run.finish()
    assert [record.id for record in track.runs()] == [run.id]
    assert not any(elsewhere.iterdir()) and not (tmp_path / "here" / "~").exists()


@pytest.mark.parametrize("name", [b"caf\xe9 \xff", b"n" * 255, "ü".encode() * 127, b" a\nb"])
def test_a_root_and_a_file_of_any_name_work(tmp_path: Path, name: bytes) -> None:
    folder, file = tmp_path / os.fsdecode(name), tmp_path / "home" / os.fsdecode(name)
    assert track.init(folder) == str(folder)
    file.write_bytes(b"kept")
    with track.run("r") as run:
        run.log("x", 1)
        run.param("p", 1)
        run.artifact("a", file)
    assert track.load(track.get(run.id).artifact("a")) == b"kept"
    store = Store(folder / "store")
    out = tmp_path / "home" / os.fsdecode(name[:-1] + b"o")
    store.write_to(run.artifacts[0].id, os.fsencode(out))
    assert out.read_bytes() == b"kept" and str(store.path) == str(folder / "store")
    assert track.verify()


def test_what_has_no_size_is_kept_whole_and_what_is_no_file_is_refused(tmp_path: Path) -> None:
    track.init("runs")
    os.mkfifo("pipe")
    with track.run("r") as run:
        run.artifact("status", Path("/proc/self/status"))
        run.artifact("sys", Path("/sys/kernel/mm/transparent_hugepage/enabled"))
        run.artifact("nothing", Path("/dev/null"))
        writer = threading.Thread(target=lambda: Path("pipe").write_bytes(b"x" * 100_000))
        writer.start()
        run.artifact("pipe", Path("pipe"))
        writer.join()
        with pytest.raises(errors.FailedPreconditionError, match="is a device"):
            run.artifact("zero", Path("/dev/zero"))
        with pytest.raises(errors.InvalidArgumentError, match="is a folder"):
            run.artifact("folder", Path("."))
        with pytest.raises(errors.NotFoundError):
            run.artifact("missing", Path("missing"))
    kept = {artifact.name: track.load(artifact) for artifact in track.get(run.id).artifacts}
    assert (
        kept["status"].startswith(b"Name:")
        and kept["sys"] == Path("/sys/kernel/mm/transparent_hugepage/enabled").read_bytes()
    )
    assert kept["nothing"] == b"" and kept["pipe"] == b"x" * 100_000


def test_an_output_is_written_through_a_link_and_into_a_pipe(tmp_path: Path) -> None:
    track.init("runs")
    store = Store("store")
    kept = store.put(b"kept").id
    Path("link").symlink_to("target")
    store.write_to(kept, "link")
    assert Path("link").is_symlink() and Path("target").read_bytes() == b"kept"
    store.write_to(kept, "/dev/null")
    os.mkfifo("pipe")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(Path("pipe").read_bytes()))
    reader.start()
    store.write_to(kept, "pipe")
    reader.join()
    assert read == [b"kept"] and Path("pipe").is_fifo()
    tensor.save("link", {"a": np.arange(3)})
    assert Path("link").is_symlink() and tensor.load("target")["a"].tolist() == [0, 1, 2]
    Path("target").chmod(0o444)
    for write in (lambda: store.write_to(kept, "link"), lambda: tensor.save("target", {"a": np.arange(2)})):
        with pytest.raises(PermissionError, match="read-only"):
            write()
    with pytest.raises(FileNotFoundError):
        tensor.load("missing")


def test_an_export_of_names_as_long_as_they_may_be_has_every_file(tmp_path: Path) -> None:
    track.init("runs")
    names = ["n" * 250, "n" * 249 + "m", "ü" * 125]
    with track.run("r") as run:
        for i, name in enumerate(names):
            run.artifact(name, np.arange(i + 1))
    folder = track.export(run.id, "~/out")
    assert folder == tmp_path / "home" / "out"
    files = sorted((folder / "artifacts").iterdir())
    assert len(files) == 3 and all(file.name.endswith(".npy") for file in files)
    assert sorted(len(np.load(file)) for file in files) == [1, 2, 3]


def test_the_commands_take_the_home_where_the_shell_leaves_it(tmp_path: Path) -> None:
    track.init("~/runs")
    with track.run("r") as run:
        run.log("x", 1)
    command = [sys.executable, "-m", "daybreak.cli", "runs", "list", "--root=~/runs"]
    shown = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True
    )
    assert run.id[-8:] in shown.stdout
