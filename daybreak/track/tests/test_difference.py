"""track.diff: what it finds, at the level of content."""

from __future__ import annotations

import math
import random
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from daybreak import track
from daybreak.base import errors
from daybreak.track import difference


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    return Path(track.init(tmp_path / "track"))


def pair(a: object, b: object) -> track.ArtifactDiff:
    ids = []
    for value in (a, b):
        with track.run("x") as run:
            run.artifact("it", value)
        ids.append(run.id)
    return track.diff(*ids).artifacts["it"]


def git(root: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout


def test_params_tags_and_metrics_that_differ() -> None:
    with track.run("x", params={"lr": 0.1, "same": [1, 2], "flag": True}, tags={"who": "ann"}) as a:
        a.log({"loss": math.nan, "same": math.nan, "acc": 0.5, "only": 1})
    with track.run("x", params={"lr": 0.2, "same": [1, 2], "flag": 1, "new": None}) as b:
        b.log({"loss": 1.0, "same": math.nan, "acc": 0.5})
    found = track.diff(a, track.get(b.id))
    assert found.params == {"lr": (0.1, 0.2), "flag": (True, 1)}
    assert found.tags == {"who": ("ann", None)}
    assert set(found.metrics) == {"loss", "only"} and found.metrics["only"] == (1.0, None)
    assert math.isnan(found.metrics["loss"][0] or 0.0) and found.metrics["loss"][1] == 1.0
    assert found and "lr: 0.1 -> 0.2" in str(found) and found.summary == str(found)


def test_a_run_does_not_differ_from_itself_and_unknown_runs_are_errors() -> None:
    with track.run("x", params={"lr": math.nan}) as run:
        run.log("loss", math.nan)
        run.artifact("a", b"x")
    found = track.diff(run, run.id)
    assert not found and "nothing differs" in str(found) and found.artifacts["a"].change == "equal"
    with pytest.raises(errors.NotFoundError):
        track.diff(run, "01934a1c-9f7b-7c3e-8a5d-0123456789ab")
    with pytest.raises(errors.InvalidArgumentError, match="int"):
        track.diff(run, 3)  # type: ignore[arg-type]


def test_the_code_of_two_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "repository"
    root.mkdir()
    monkeypatch.chdir(root)
    git(root, "init", "-q")
    (root / "train.py").write_text("lr = 1\n")
    (root / "old.py").write_text("x\n")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    with track.run("x", capture=True) as a:
        pass
    with track.run("x", capture=True) as same:
        pass
    (root / "train.py").write_text("lr = 2\n")
    (root / "old.py").unlink()
    (root / "neü.py").write_text("y\n")
    with track.run("x", capture=True) as b:
        pass
    assert track.diff(a, same).code == [] and track.diff(a, same).code_text() == "" and not track.diff(a, same)
    found = track.diff(a, b)
    assert sorted(found.code) == [("neü.py", "added"), ("old.py", "deleted"), ("train.py", "changed")]
    assert "-lr = 1\n+lr = 2\n" in found.code_text() and found.notes == []
    assert len(found.code_text(20)) < 80 and "bytes more" in found.code_text(20)
    with track.run("x") as c:
        pass
    without = track.diff(a, c)
    assert (
        without.code == []
        and without.code_text() == f"The code cannot be compared: the code of run {c.id} was not captured."
    )
    assert len(without.notes) == 2
    monkeypatch.chdir(tmp_path)
    (root / ".git").rename(tmp_path / "gone")
    assert "is not in the repository" in track.diff(a, b).code_text() and track.diff(a, b).code == []


def test_the_environment_of_two_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    from daybreak.track import capture, writing

    runs = []
    for version in ("1.0", "2.0"):
        monkeypatch.setattr(writing, "_unchanging", {})
        packages = {"numpy": version, "same": "1", f"only-{version}": "3"}
        monkeypatch.setattr(capture, "capture_python", lambda packages=packages: {"version": "3", "packages": packages})
        with track.run("x", capture=True) as run:
            pass
        runs.append(run)
    assert track.diff(*runs).environment == {"numpy": ("1.0", "2.0"), "only-1.0": ("3", None), "only-2.0": (None, "3")}


def test_tensors_that_changed_are_named_with_the_greatest_difference() -> None:
    rng = np.random.default_rng(1)
    before = {"w": rng.standard_normal((64, 64)), "b": np.zeros(3), "gone": np.ones(2), "cast": np.ones(2)}
    after = {"w": before["w"].copy(), "b": before["b"], "new": np.ones(1), "cast": np.ones(2, np.float32)}
    after["w"][3, 4] += 0.25
    found = pair(before, after)
    assert [(t.name, t.change) for t in found.tensors] == [
        ("cast", "retyped"), ("gone", "removed"), ("new", "added"), ("w", "changed"),
    ]  # fmt: skip
    assert found.tensors[3].max_abs == 0.25 and found.tensors[3].elements == 1
    assert found.change == "changed" and found.summary.startswith("it: 1 of 5 tensors changed, by at most 0.25 (w); ")


def test_rows_of_data_frames() -> None:
    frame = pd.DataFrame({"u": range(100), "v": [f"s{i}" for i in range(100)]})
    more = pd.concat(
        [frame.iloc[:50], pd.DataFrame({"u": [-1, -2], "v": ["x", "y"]}), frame.iloc[50:]], ignore_index=True
    )
    found = pair(frame, more)
    assert (found.rows_added, found.rows_removed, found.rows_changed) == (2, 0, 0)
    assert found.summary == "it: 2 rows added at row 50 of 102"
    other = frame.copy()
    other.loc[7, "u"] = 1000
    assert pair(frame, other).summary == "it: 1 row changed at row 7 of 100"
    assert pair(frame, frame.assign(w=1.0)).summary == "it: 1 column added (w)"


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("h\n1\n2\n", "h\n1\n2\n3\n", "1 row added at line 4 of 4"),
        ("h\n1\n2", "h\n1\n2\n3", "1 row added at line 4 of 4"),
        ("h\n1\n2\n3\n", "h\n3\n", "2 rows removed at line 2 of 4"),
        ("h\n1\n2\n", "h\nX\n2\n", "1 row changed at line 2 of 3"),
        ("aab\n", "aabaab\n", "1 row changed at line 1 of 1"),
        ("", "a\nb\n", "2 rows added at line 1 of 2"),
        ("a\n", "a", "the same rows, other bytes around them"),
        ("a\r\nb\r\n", "a\r\nc\r\n", "1 row changed at line 2 of 2"),
    ],
)
def test_lines_of_texts(a: str, b: str, expected: str) -> None:
    assert pair(a.encode(), b.encode()).summary == f"it: {expected}"


def test_what_is_no_text_is_compared_by_bytes() -> None:
    assert pair(b"\0" * 100, b"\0" * 50 + b"x" + b"\0" * 49).summary == "it: 1 bytes differ in 1 place"
    assert "100 bytes became 90" in pair(b"\0" * 100, b"\0" * 90).summary
    assert pair(b"text", np.zeros(3)).change == "changed"


def test_counts_of_lines_agree_with_a_plain_comparison() -> None:
    for seed in range(30):
        rng = random.Random(seed)
        before = [f"{rng.random()}" + "x" * rng.randrange(40) for _ in range(rng.randrange(1, 3000))]
        after = list(before)
        removed = changed = added = 0
        for _ in range(rng.randrange(1, 6)):
            at = rng.randrange(len(after) + 1)
            kind = rng.choice(["add", "remove", "change"])
            if kind == "add":
                new = [f"new {rng.random()}" for _ in range(rng.randrange(1, 5))]
                after[at:at] = new
                added += len(new)
            elif kind == "remove" and at < len(after) and not after[at].startswith(("new", "changed")):
                del after[at]
                removed += 1
            elif kind == "change" and at < len(after) and not after[at].startswith(("new", "changed")):
                after[at] = f"changed {rng.random()}"
                changed += 1
        a, b = ("".join(f"{line}\n" for line in lines).encode() for lines in (before, after))
        if a == b:
            continue
        found = pair(a, b)
        # A removal beside an addition is a change: what must agree are the lines that left and those that came.
        left, came = removed + changed, added + changed
        assert (found.rows_removed + found.rows_changed, found.rows_added + found.rows_changed) == (left, came), seed


def test_ranges_that_end_within_lines_become_whole_lines() -> None:
    a, b = b"aa\nbb\ncc\n", b"aa\nbXb\ncc\n"
    assert difference._lines(a, b, [(4, 4, 4, 5)]) == [(1, 2, 1, 2)]
    assert difference._lines(b"x\nfoo\n", b"yfoo\n", [(0, 2, 0, 1)]) == [(0, 2, 0, 1)]


def test_artifacts_that_only_one_has() -> None:
    with track.run("x") as a:
        a.artifact("gone", b"1234")
    with track.run("x") as b:
        b.artifact("new", b"12")
    found = track.diff(a, b).artifacts
    assert {name: item.change for name, item in found.items()} == {"gone": "removed", "new": "added"}
    assert found["new"].summary == "new: added (2 bytes)"
