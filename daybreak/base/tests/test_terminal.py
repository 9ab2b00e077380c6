"""What commands print, on a terminal, in a pipe and on a narrow screen."""

from __future__ import annotations

import io
import json
import sys
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.text import Text

from daybreak.base import terminal

EVIL = "a\x1b[31m\nb\tc\r"


def drawn(width: int, rows: list[tuple[str | Text, ...]], heads: tuple[str, ...] = (), wrap: bool = True) -> list[str]:
    out = io.StringIO()
    terminal.table(rows, heads, wrap=wrap, to=Console(file=out, width=width, highlight=False))
    return out.getvalue().splitlines()


def test_text_from_elsewhere_moves_no_cursor_and_breaks_no_line() -> None:
    assert terminal.clean(EVIL) == "a\ufffd[31m\ufffdb\ufffdc\ufffd"
    assert terminal.clean_lines("a\tb\nc\x1b") == "a       b\nc\ufffd"
    lines = drawn(80, [(EVIL, Text("styled"))], ("name\x1b", "x"))
    assert len(lines) == 2 and "\x1b" not in "".join(lines) and "styled" in lines[1]


def test_a_table_in_a_pipe_is_wide_whatever_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    terminal.table([("x" * 90, "y" * 90)])
    assert capsys.readouterr().out.split() == ["x" * 90, "y" * 90]
    assert terminal.console().width == terminal.PIPED_WIDTH


def test_on_a_narrow_screen_cells_go_on_below_or_end_in_an_ellipsis_and_the_first_is_whole() -> None:
    rows: list[tuple[str | Text, ...]] = [("0123456789", "a long text of many words", "more")]
    wrapped = drawn(24, rows)
    assert len(wrapped) > 1 and all(len(line) <= 24 for line in wrapped)
    assert "".join(wrapped).replace(" ", "").count("more") == 1
    cut = drawn(24, rows, ("run", "name", "x"), wrap=False)
    assert any("…" in line for line in cut) and all(len(line) <= 24 for line in cut)


def test_an_empty_table_prints_nothing() -> None:
    assert drawn(80, [], ("a", "b")) == []


def test_json_is_one_value_in_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.json_out({"name": "Zoë"})
    out = capsys.readouterr().out
    assert out.isascii() and json.loads(out) == {"name": "Zoë"}


@pytest.mark.parametrize(("encoding", "expected"), [("utf-8", False), ("ascii", True), ("no-such-codec", True)])
def test_a_locale_of_ascii_alone_gets_no_characters_of_plots(
    monkeypatch: pytest.MonkeyPatch, encoding: str, expected: bool
) -> None:
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(encoding=encoding, write=lambda text: None))
    found = terminal.only_ascii()
    monkeypatch.undo()
    assert found is expected


def test_progress_in_a_log_is_a_line_a_step() -> None:
    out = io.StringIO()
    with terminal.LineReport(Console(file=out, width=200)) as report:
        report.begin("train [a]")
        report.progress(0.5, "half")
        report.end("won", True, 1.5)
        report.begin("serve")
        report.end("lost", False, 0.25)
    assert out.getvalue() == "ok     1.50 s  train [a]: won\nFAIL   0.25 s  serve: lost\n"
