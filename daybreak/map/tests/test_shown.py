"""What a person sees of a map: progress, summary, timeline, logs, commands."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from daybreak import map as room
from daybreak.base.errors import FailedPreconditionError
from daybreak.cli import main
from daybreak.map import records, timelines
from daybreak.map.progress import Meter, watch
from daybreak.map.summaries import Span

from .conftest import eventually


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("DAYBREAK_MAP_DIR", str(tmp_path / "kept"))
    yield tmp_path / "kept"


def say(x: int) -> int:
    print(f"line of {x}")
    if x == 3:
        raise ValueError("three")
    return x


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_rate_is_of_the_last_seconds() -> None:
    meter = Meter("f", 1000, 0.0)
    for second in range(1, 31):
        meter.at(float(second), 10 * second, 0)
    for second in range(31, 51):
        meter.at(float(second), 300 + second - 30, 0)
    assert meter.rate == pytest.approx(1.0)
    assert "11 min 20 s left" in meter.line(200)


def test_a_map_without_calls_has_no_rate_and_no_end_of_it() -> None:
    meter = Meter("f", 0, 0.0)
    assert "0/0" in meter.line() and meter.end(0.0) == "f: 0 calls in 0.0 s"
    unknown = Meter("f\x1b[31m", None, 0.0)
    unknown.at(1.0, 5, 0)
    assert "\x1b[31m" not in unknown.line() and "left" not in unknown.line()


@pytest.mark.parametrize("live", [True, False])
def test_progress_is_a_bar_or_one_line(executor: room.Executor, live: bool) -> None:
    out = Terminal() if live else io.StringIO()
    calls = executor.map(say, range(8), logs=True)
    watch(calls, out)
    room.wait(calls)
    assert eventually(lambda: "say: 8 calls in" in out.getvalue())
    assert "1 failed" in out.getvalue()
    assert out.getvalue().count("\n") == 1
    assert live or "\r" not in out.getvalue()


def test_a_summary_counts_and_times(executor: room.Executor) -> None:
    calls = executor.map(lambda x: time.sleep(x), [0.01, 0.02, 0.05, "bad"], logs=True)
    room.wait(calls)
    found = executor.summary(calls)
    assert (found.calls, found.done, found.failed, found.timed) == (4, 4, 1, 4)
    assert found.longest_s >= 0.05 and found.shortest_s <= found.median_s <= found.p90_s <= found.longest_s
    assert "4 calls: 4 done, 1 failed" in str(found) and "at once" in str(found)
    plain = executor.map(abs, range(3))
    room.wait(plain)
    assert "not kept" in str(room.summary(plain))
    assert room.summary([]).calls == 0


def test_a_timeline_in_the_terminal() -> None:
    spans = [
        Span("s", 0, 11, 0.0, 0.0, 5.0, False),
        Span("s", 1, 12, 0.0, 5.0, 10.0, True),
        Span("s", 2, 11, 0.0, 7.5, 10.0, False),
    ]
    lines = timelines.text(spans, 20, ascii=True).splitlines()
    assert lines[0] == f"{11:>8} {'#' * 10}     {'#' * 5} 2".replace("-", "")
    assert lines[1].startswith(f"{12:>8}           #########!") and lines[1].endswith(" 1")
    assert "10 s" in lines[2]
    with pytest.raises(FailedPreconditionError, match="logs=True"):
        timelines.text([])


def test_a_timeline_as_a_picture(executor: room.Executor, tmp_path: Path) -> None:
    calls = executor.map(say, range(6), logs=True)
    room.wait(calls)
    place = executor.timeline(calls, tmp_path / "calls.png")
    assert Path(place).read_bytes().startswith(b"\x89PNG")
    assert len(executor.timeline(calls).splitlines()) >= 2


def test_logs_are_those_of_each_call(executor: room.Executor) -> None:
    futures = executor.map(say, range(5), logs=True).futures()
    room.wait(futures)
    assert executor.logs(futures) == {future: f"line of {future.index}\n" for future in futures}


# ---- what is kept, and the commands


def test_records_are_kept_for_the_commands(
    executor: room.Executor, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = executor.map(say, range(5), logs=True)
    room.wait(calls)
    assert eventually(lambda: records.latest() is not None)
    assert main(["map", "print-latest-logs"]) == 0
    said = capsys.readouterr().out
    assert "say, 5 done, 1 failed" in said and "  line of 4" in said and "ValueError" in said
    assert main(["map", "print_latest_logs", calls.callset_id[:-1], "--json"]) in (0, 1)
    capsys.readouterr()
    assert main(["map", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["callset"] == calls.callset_id
    assert main(["map", "list"]) == 0 and calls.callset_id in capsys.readouterr().out
    assert main(["map", "timeline"]) == 0 and "worker" in capsys.readouterr().out
    assert main(["map", "timeline", "--out", str(kept / "t.png")]) == 0
    assert (kept / "t.png").read_bytes().startswith(b"\x89PNG")


def test_only_the_newest_records_stay(executor: room.Executor, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_RECORDS", 3)
    for _ in range(5):
        room.wait(executor.map(say, [1], logs=True))
    assert eventually(lambda: len(list(kept.glob("*.json"))) == 3)
    (kept / "torn.json").write_text('{"callset": ')
    assert len(records.read_all()) == 3


def test_a_large_record_is_cut(executor: room.Executor, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_RECORD_BYTES", 5000)
    room.wait(executor.map(lambda x: print("x" * 1000), range(20), logs=True))
    assert eventually(lambda: list(kept.glob("*.json")))
    found = records.latest()
    assert found is not None and found["done"] == 20 and 0 < len(found["calls"]) < 20


def test_what_a_call_printed_cannot_steer_the_terminal(
    executor: room.Executor, capsys: pytest.CaptureFixture[str]
) -> None:
    room.wait(executor.map(lambda x: print("\x1b]0;title\x07"), [1], logs=True))
    assert eventually(lambda: records.latest() is not None)
    assert main(["map", "print-latest-logs"]) == 0
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["test-function", "test_function"])
def test_a_function_is_tried(executor: room.Executor, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["map", name]) == 0
    assert capsys.readouterr().out == "function returned: Hello world\n"


def test_commands_say_what_is_missing(kept: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["map", "print-latest-logs"]) == 1
    assert "no call set is kept" in capsys.readouterr().err
    assert main(["map", "list"]) == 0 and "no call sets in" in capsys.readouterr().out
    assert main(["map", "deploy_lambda"]) == 1
    assert "backend='lithops'" in capsys.readouterr().err
    place = tmp_path / "config"
    assert main(["map", "create-config", str(place), "--bucket", "mine"]) == 0
    assert main(["map", "create-config", str(place)]) == 1
    assert "--force" in capsys.readouterr().err
