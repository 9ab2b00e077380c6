"""``daybreak runs`` and ``daybreak track`` as a person meets them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from daybreak import cli, track
from daybreak.base import errors
from daybreak.track import plotting


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    return Path(track.init(tmp_path / "track"))


class Screen:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str, status: int = 0) -> str:
        """What it printed; on standard error when it failed."""
        assert cli.main(list(arguments)) == status, self._capsys.readouterr()
        shown = self._capsys.readouterr()
        return shown.out if status == 0 else shown.err


@pytest.fixture
def daybreak(capsys: pytest.CaptureFixture[str]) -> Screen:
    return Screen(capsys)


@pytest.fixture
def runs() -> list[str]:
    ids = []
    for lr in (0.1, 0.2):
        with track.run("pong", params={"lr": lr, "evil": "a\x1b[31m\nb"}, tags={"who": "Zoë"}) as run:
            for step in range(50):
                run.log({"return": step * lr, "loss": math.nan}, step=step)
            run.artifact("policy", f"lr\n{lr}\n".encode())
        ids.append(run.id)
    with track.run("empty") as run:
        pass
    return [*ids, run.id]


def test_list_shows_names_states_and_values(daybreak: Screen, runs: list[str]) -> None:
    lines = daybreak("runs", "list").splitlines()
    assert lines == daybreak("runs").splitlines()
    assert lines[0].split()[:5] == ["run", "name", "status", "started", "took"]
    assert "params.lr" in lines[0] and "metrics.return" in lines[0]
    assert [line.split()[1] for line in lines[1:]] == ["empty", "pong", "pong"]
    assert lines[2].startswith(runs[1][-8:]) and " 9.8 " in f"{lines[2]} " and " nan " in lines[2]
    assert "\x1b" not in "".join(lines)


def test_list_filters_orders_and_prints_json(daybreak: Screen, runs: list[str]) -> None:
    found = json.loads(daybreak("runs", "list", "--where", "name = 'pong'", "--order-by", "params.lr", "--json"))
    assert [item["id"] for item in found] == runs[:2] and found[0]["metrics"]["loss"] == "NaN"
    limited = json.loads(daybreak("runs", "list", "--limit", "1", "--json"))
    assert [item["id"] for item in limited] == [runs[2]]
    shown = daybreak("runs", "list", "-c", "params.lr", "-c", "tags.who", "-c", "metrics.nothing")
    assert shown.splitlines()[0].split()[5:] == ["params.lr", "tags.who", "metrics.nothing"] and "Zoë" in shown
    assert "no runs that match in" in daybreak("runs", "list", "--where", "params.lr > 5")
    assert "position 10" in daybreak("runs", "list", "--where", "params.lr ~ 5", status=1)


def test_show_says_all_about_a_run(daybreak: Screen, runs: list[str]) -> None:
    with track.run(resume=runs[0], capture=True):
        print("hello \x1b[2J")
    daybreak("runs", "list")
    shown = daybreak("runs", "show", runs[0])
    for text in (runs[0], "finished", "lr", "0.1", "Zoë", "return", "4.9", "▁", "policy", "bytes", "python", "host"):
        assert text in shown, text
    assert "\x1b" not in shown
    assert daybreak("runs", "show", runs[0], "--output") == "hello \n"
    about = json.loads(daybreak("runs", "show", runs[0], "--json"))
    assert about["artifacts"][0]["name"] == "policy" and about["captured"]["python"]["packages"]["numpy"]
    assert "finished" in daybreak("runs", "show", runs[2])  # with nothing in it


def test_a_part_of_an_id_is_enough_when_it_is_unique(daybreak: Screen, runs: list[str]) -> None:
    for part in (runs[0][-8:], runs[0][:-1], runs[0], runs[0].upper()):
        assert runs[0] in daybreak("runs", "show", part)
    assert "is a part of several ids" in daybreak("runs", "show", runs[0][:6], status=1)
    assert "no run 'ffffffff'" in daybreak("runs", "show", "ffffffff", status=1)
    assert "neither a run's id nor a part of one" in daybreak("runs", "show", "../etc", status=1)
    with pytest.raises(errors.InvalidArgumentError):
        track.find("%")


def test_diff_of_two_runs(daybreak: Screen, runs: list[str]) -> None:
    shown = daybreak("runs", "diff", runs[0], runs[1])
    assert "lr: 0.1 -> 0.2" in shown and "policy: 1 row changed at line 2 of 2" in shown and "\x1b" not in shown
    found = json.loads(daybreak("runs", "diff", runs[0], runs[1], "--json"))
    assert found["params"] == {"lr": [0.1, 0.2]} and found["artifacts"]["policy"]["rows_changed"] == 1
    assert "was not captured" in daybreak("runs", "diff", runs[0], runs[1], "--code")


def test_plots_in_the_terminal_and_as_png(daybreak: Screen, runs: list[str], tmp_path: Path) -> None:
    one = daybreak("runs", "plot", "return", "--run", runs[0])
    assert "⣀" in one or "⠔" in one or "⡠" in one
    assert one.splitlines()[0].strip().startswith("4.9") and "49" in one
    assert runs[1][-8:] in daybreak("runs", "plot", "return")  # the newest that has it
    both = daybreak("runs", "plot", "return", "--where", "name = 'pong'", "--width", "40", "--height", "8")
    assert "o return, pong" in both and "x return, pong" in both
    assert "no finite values" in daybreak("runs", "plot", "loss", "-r", runs[0])
    target = tmp_path / "plot.png"
    assert "2 lines" in daybreak("runs", "plot", "return", "-r", runs[0], "-r", runs[1], "--png", str(target))
    assert target.read_bytes().startswith(b"\x89PNG") and target.stat().st_size > 5000
    assert "did you mean 'return'" in daybreak("runs", "plot", "retrun", "-r", runs[0], status=1)
    assert "No such file" in daybreak("runs", "plot", "return", "--png", str(tmp_path / "no" / "x.png"), status=1)
    daybreak("runs", "plot", "return", "-r", runs[0], "--where", "name = 'x'", status=2)


def test_export_delete_and_restore(daybreak: Screen, runs: list[str], tmp_path: Path) -> None:
    target = tmp_path / "out"
    assert "1 artifact" in daybreak("runs", "export", runs[0][-8:], str(target))
    assert (target / "artifacts" / "policy").read_bytes() == b"lr\n0.1\n"
    assert "not an empty folder" in daybreak("runs", "export", runs[0], str(target), status=1)
    (tmp_path / "file").touch()
    assert "Not a directory" in daybreak("runs", "export", runs[0], str(tmp_path / "file" / "x"), status=1)
    assert runs[0] in daybreak("runs", "delete", runs[0][-8:], runs[2])
    assert [item["id"] for item in json.loads(daybreak("runs", "list", "--json"))] == [runs[1]]
    assert len(json.loads(daybreak("runs", "list", "--deleted", "--json"))) == 2
    assert runs[0] in daybreak("runs", "restore", runs[0])
    with track.run("open") as run:
        assert "still runs" in daybreak("runs", "delete", run.id, status=1)


def test_gc_and_stats(daybreak: Screen, runs: list[str]) -> None:
    daybreak("runs", "delete", runs[0])
    assert "0 artifacts removed" in daybreak("track", "gc")
    assert f"purged run {runs[0]}" in daybreak("track", "gc", "--purge-deleted-after", "0s")
    assert json.loads(daybreak("track", "gc", "--purge-deleted-after", "never", "--json"))["objects_kept"] == 1
    assert json.loads(daybreak("track", "stats", "--json"))["runs"] == 2
    assert "2 (2 finished), 0 deleted" in daybreak("track", "stats")


@pytest.mark.parametrize(
    "arguments",
    [
        ["runs", "lits"], ["runs", "show"], ["runs", "list", "--limit", "-1"], ["runs", "list", "-c", "lr"],
        ["runs", "plot"], ["track", "gc", "--purge-deleted-after", "soon"], ["track", "sweep"], ["runs", "diff", "a"],
        ["runs", "list", "--no-such"],
    ],
)  # fmt: skip
def test_wrong_usage_is_2(daybreak: Screen, runs: list[str], arguments: list[str]) -> None:
    daybreak(*arguments, status=2)


def test_to_look_makes_no_root(daybreak: Screen, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    for command in (["runs", "list"], ["track", "verify"], ["track", "gc"], ["runs", "show", "abc"]):
        assert "no tracking root in" in daybreak(*command, "--root", str(nowhere), status=1)
    assert not nowhere.exists()
    empty = tmp_path / "empty"
    track.init(empty)
    assert daybreak("runs", "list", "--root", str(empty)).startswith("no runs in")
    assert "no runs in" in daybreak("runs", "plot", "x", "--root", str(empty), status=1)


# -- plots by themselves


def test_sparklines_leave_out_what_is_not_finite() -> None:
    assert plotting.sparkline([]) == plotting.sparkline([math.nan, math.inf]) == ""
    assert plotting.sparkline([5.0] * 3) == "▁▁▁"
    assert plotting.sparkline([0.0, math.nan, 1.0]) == "▁█"
    assert len(plotting.sparkline(list(range(1000)), 24)) == 24
    assert plotting.sparkline([-1.7e308, 1.7e308]) == "▁█"


def test_a_line_is_where_its_points_are() -> None:
    rows = plotting.text_plot([plotting.Line("up", [0, 1], [0.0, 1.0])], 20, 4).split("\n")
    cells = [row.split("│")[1] for row in rows[:4]]
    assert cells[0].rstrip() and not cells[0][:10].strip() and cells[3][0] != " " and rows[-1].strip() == "up"
    flat = plotting.text_plot([plotting.Line("flat", [3], [2.0])], 20, 4)
    assert flat.count("\n") == 6
    extreme = plotting.text_plot([plotting.Line("e", [0, 1], [-1.7e308, 1.7e308])], 20, 4)
    assert "1.7e+308" in extreme
    with pytest.raises(errors.InvalidArgumentError):
        plotting.text_plot([plotting.Line("x", [], [])] * 11)
