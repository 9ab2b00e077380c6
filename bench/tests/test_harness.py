"""The harness on a small task of two peers."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench import harness, peers
from bench.rows import Measure, Row, rate

OURS = """
import os, subprocess, time
from bench.rows import Measure, Skip

def fast(): return Measure(100.0, check=[1, 2.0])
def slow(): return Measure(5.0, check="same", info={"mean_return": 480.0})
def alone(): return 7.0
def differs(): return Measure(1.0, check=1)
def mute(): raise Skip("needs a moon")
def broken(): raise RuntimeError("ours is broken")
def leaves_daemon():
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    return Measure(1.0, info={"pid": child.pid})
def naps(): time.sleep(2)
def leaves_reader():
    child = subprocess.Popen(["cat"], start_new_session=True, stdout=subprocess.DEVNULL)
    return Measure(1.0)
def process(): return Measure(1.0, check=None, info={"pid": os.getpid()})
def process_again(): return process()
"""
THEIRS = """
ENV = {"SAMPLE": "set"}
import os
from bench.rows import Measure

print("noise on standard output")
def setup():
    assert os.environ["SAMPLE"] == "set"
def fast(): return Measure(50.0, check=[1, 2.0000001])
def slow(): return Measure(20.0, check="same")
def differs(): return Measure(1.0, check=2)
def broken(): return Measure(1.0)
def dies(): os._exit(3)
def after_death(): return 1.0
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ours.py").write_text(OURS)
    (tmp_path / "theirs.py").write_text(THEIRS)
    return tmp_path


def lines_of(folder: Path, *rows: Row) -> list[dict[str, object]]:
    both = [peers.Peer.of(folder / "ours.py"), peers.Peer.of(folder / "theirs.py")]
    return harness.results(list(rows), both, harness.measure(list(rows), both, quick=True, rounds=None))


def test_ratio_above_one_means_ahead_in_both_directions(folder: Path) -> None:
    fast, slow = lines_of(
        folder,
        Row("fast", "1/s", "higher", must=1.5, tolerance=1e-3),
        Row("slow", "s", "lower", must=5, floors={"mean_return": 475}),
    )
    assert (fast["ours"], fast["peer"], fast["theirs"], fast["ratio"], fast["reached"]) == (
        100.0,
        "theirs",
        50.0,
        2.0,
        True,
    )
    assert (slow["ratio"], slow["reached"]) == (4.0, False)


def test_no_ratio_when_results_differ(folder: Path) -> None:
    differs, fast = lines_of(folder, Row("differs", "1/s", "higher"), Row("fast", "1/s", "higher"))
    assert differs["ratio"] is None and "results differ: ours 1, theirs 2" in str(differs["problem"])
    assert fast["ratio"] is None, "2.0 and 2.0000001 are equal only within a tolerance"


def test_floors_are_part_of_the_bar(folder: Path) -> None:
    (low,) = lines_of(folder, Row("slow", "s", "lower", must=1, floors={"mean_return": 490}))
    assert low["reached"] is False


def test_a_row_without_a_peer_is_judged_by_its_value(folder: Path) -> None:
    (alone,) = lines_of(folder, Row("alone", "s", "lower", must_value=6))
    assert (alone["ours"], alone["peer"], alone["ratio"], alone["reached"]) == (7.0, None, None, False)


def test_skips_and_errors_are_told(folder: Path) -> None:
    mute, broken = lines_of(folder, Row("mute", "s", "lower"), Row("broken", "s", "lower"))
    assert mute["ours"] is None and mute["problem"] == "needs a moon"
    assert broken["ours"] is None and "ours is broken" in str(broken["problem"])


def test_a_peer_that_dies_loses_its_rows_and_not_ours(folder: Path) -> None:
    series = harness.measure(
        [Row("dies", "s", "lower"), Row("after_death", "s", "lower")],
        [peers.Peer.of(folder / "theirs.py")],
        quick=True,
        rounds=2,
    )
    assert "died in dies: exit status 3" in series["dies", "theirs"].problem
    assert series["dies", "theirs"].failed


def test_no_process_of_a_peer_is_left(folder: Path) -> None:
    (line,) = lines_of(folder, Row("leaves_daemon", "s", "lower"))
    pid = int(line["info"]["pid"])  # type: ignore[index]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_daemon_of_a_peer_that_reads_its_input_takes_no_request(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness, "ROW_TIMEOUT_S", 5.0)
    rows = [Row("leaves_reader", "1", "higher"), *[Row("alone", "1", "higher", fresh=False)] * 3]
    assert [line["ours"] for line in lines_of(folder, *rows)] == [1.0, 7.0, 7.0, 7.0]


def test_a_row_that_says_nothing_is_given_up(folder: Path) -> None:
    with peers.Run(peers.Peer.of(folder / "ours.py"), quick=True) as run:
        with pytest.raises(peers.PeerError, match="naps did not end in 0 s"):
            run.measure("naps", 0.2)


def test_fresh_rows_have_a_process_of_their_own(folder: Path) -> None:
    ours = [peers.Peer.of(folder / "ours.py")]

    def pids(fresh: bool) -> set[float]:
        rows = [Row("process", "s", "lower"), Row("process_again", "s", "lower", fresh=fresh)]
        series = harness.measure(rows, ours, quick=True, rounds=1)
        return {entry.info["pid"] for entry in series.values()}

    assert len(pids(fresh=False)) == 1
    assert len(pids(fresh=True)) == 2


def test_best_of_theirs_is_the_hardest_peer() -> None:
    assert harness.their_value(Row("x", "s", "lower", theirs="best"), [3.0, 1.0, 2.0]) == 1.0
    assert harness.their_value(Row("x", "1/s", "higher", theirs="best"), [3.0, 1.0, 2.0]) == 3.0
    assert harness.their_value(Row("x", "1/s", "higher"), [3.0, 1.0, 2.0]) == 2.0


def test_a_row_held_against_the_best_of_the_peers_is_judged_beside_the_hardest(folder: Path) -> None:
    (folder / "easy.py").write_text("def fast(): return 10.0\ndef slow(): return 50.0\n")
    (folder / "absent.py").write_text("def fast(): raise RuntimeError('not today')\n")

    def judged(row: Row, *names: str) -> dict[str, object]:
        asked = [peers.Peer.of(folder / f"{name}.py") for name in ("ours", *names)]
        lines = harness.results([row], asked, harness.measure([row], asked, quick=True, rounds=None))
        return {str(line["peer"]): line["reached"] for line in lines}

    best = Row("fast", "1/s", "higher", must=3, tolerance=1e-3, against="best")
    assert judged(best, "easy", "theirs") == {"easy": None, "theirs": False}
    assert judged(replace(best, against="first"), "easy", "theirs") == {"easy": True, "theirs": None}
    assert judged(replace(best, must=2), "easy", "theirs") == {"easy": None, "theirs": True}
    assert judged(Row("slow", "s", "lower", must=5, against="best"), "easy", "theirs") == {
        "easy": None,
        "theirs": False,
    }
    # Who could not be measured may be the best of them.
    assert judged(replace(best, must=2), "theirs", "absent") == {"theirs": None, "absent": None}
    assert judged(best, "theirs", "absent") == {"theirs": False, "absent": None}


def test_table_and_json_hold_every_line(folder: Path) -> None:
    lines = lines_of(folder, Row("fast", "1/s", "higher", must=3, tolerance=1e-3), Row("alone", "s", "lower"))
    text = harness.table(lines)
    assert "MISSED" in text and "alone" in text and len({len(line) > 0 for line in text.splitlines()}) == 1
    json.dumps(lines)


def test_rate_counts_batches() -> None:
    assert rate(lambda: None, seconds=0.01, batch=1000) > 1000
    assert Measure(1.0).info == {}


def test_an_unknown_task_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.harness", "no-such"], capture_output=True, text=True, cwd=harness.ROOT
    )
    assert done.returncode == 2 and "no task 'no-such'" in done.stderr


def test_a_bar_is_judged_by_the_worse_end_of_the_interval() -> None:
    row = Row("r", "1/s", "higher", must=2)
    steady, noisy = [4.0, 4.1, 3.9, 4.0, 4.0], [4.0, 1.0, 9.0, 4.0, 1.1]
    theirs = [1.0, 1.0, 1.01, 0.99, 1.0]
    low, high = harness.interval(row, steady, theirs)
    assert 3.8 < low <= 4 <= high < 4.2
    low, high = harness.interval(row, noisy, theirs)
    assert low < 2 < 4 < high, "the median's ratio is 4, and yet it may be below 2"
    assert harness.interval(row, noisy, theirs) == (low, high), "the same rounds have the same interval"
    lower = Row("r", "s", "lower", must=2)
    low, high = harness.interval(lower, [1.0, 2.0, 1.5], [6.0, 6.0, 6.0])
    assert (low, high) == (3.0, 6.0)


def test_own_values_are_judged_by_their_worse_end(folder: Path) -> None:
    series = harness.Series(values=[10.0, 10.0, 30.0])
    assert harness.judge(Row("r", "us", "lower", must_value=20), series, 10.0, None) is False
    assert harness.judge(Row("r", "us", "lower", must_value=30), series, 10.0, None) is True


def test_a_row_of_less_than_a_second_has_ten_rounds(folder: Path) -> None:
    (folder / "ours.py").write_text("import time\ndef fast(): return 1.0\ndef slow(): time.sleep(1.1); return 1.0\n")
    (folder / "theirs.py").write_text("def fast(): return 2.0\ndef slow(): return 2.0\n")
    both = [peers.Peer.of(folder / "ours.py"), peers.Peer.of(folder / "theirs.py")]
    rows = [Row("fast", "s", "lower", rounds=2), Row("slow", "s", "lower", rounds=2)]
    series = harness.measure(rows, both, quick=False, rounds=None)
    assert [len(series["fast", peer.name].values) for peer in both] == [10, 10]
    assert [len(series["slow", peer.name].values) for peer in both] == [2, 2]
    assert len(harness.measure(rows[:1], both, quick=False, rounds=3)["fast", peers.OURS].values) == 3, "as was asked"
