"""What a terminal shows in the end of what a program printed: progress bars in their last state, lines that end in CRLF whole."""

from __future__ import annotations

import re

__all__ = ["MAX_COLUMNS", "moves_up", "shown"]

MAX_COLUMNS = 4096  # of a line; what a cursor is told to go beyond is cut
# Carriage return, backspace, or an escape sequence: of a cursor or a colour (CSI), of a title or a link (OSC), another one.
_CONTROL = re.compile(r"\r|\x08|\x1b\[([0-9;?<=>]*)[ -/]*([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]")
_UP = re.compile(r"\x1b\[[0-9]*[AF]|\x1bM")


def moves_up(text: str) -> bool:
    """Whether it changes lines above its own, as several progress bars do."""
    return "\x1b" in text and _UP.search(text) is not None


def shown(text: str) -> str:
    """The text without control characters, each line as it was when the last was written.

    A cursor that goes up changes lines that are there; one that clears the whole screen is not followed: what was printed stays.

    >>> shown("  0%|    |\\r 50%|##  |\\r100%|####|\\ndone\\r\\n")
    '100%|####|\\ndone\\n'
    >>> shown("one: 0\\ntwo: 0\\x1b[Aone: 1\\n")
    'one: 0one: 1\\ntwo: 0'
    """
    if "\r" not in text and "\x1b" not in text and "\x08" not in text:
        return text
    screen = _Screen()
    at = 0
    for control in _CONTROL.finditer(text):
        screen.write(text[at : control.start()])
        at = control.end()
        screen.obey(control)
    screen.write(text[at:])
    return screen.text()


class _Screen:
    def __init__(self) -> None:
        self.rows: list[list[str]] = [[]]
        self.row = self.column = 0

    def write(self, text: str) -> None:
        first, *others = text.split("\n")
        self._put(first)
        for line in others:
            self.row += 1
            self.column = 0
            if self.row == len(self.rows):
                self.rows.append([])
            self._put(line)

    def _put(self, line: str) -> None:
        line = line[: max(0, MAX_COLUMNS - self.column)]
        if not line:
            return
        cells = self.rows[self.row]
        if len(cells) < self.column:
            cells += " " * (self.column - len(cells))
        cells[self.column : self.column + len(line)] = line
        self.column += len(line)

    def obey(self, control: re.Match[str]) -> None:
        text, numbers, letter = control[0], control[1], control[2]
        if text == "\r":
            self.column = 0
        elif text == "\x08":
            self.column = max(0, self.column - 1)
        elif text == "\x1bM":
            self.row = max(0, self.row - 1)
        elif letter is not None:
            first = numbers.split(";")[0]
            self._move(letter, min(int(first), MAX_COLUMNS) if first.isdigit() else None)

    def _move(self, letter: str, given: int | None) -> None:
        count = max(1, given or 1)
        if letter in "AF":
            self.row = max(0, self.row - count)
        elif letter in "BE":
            self.row = min(len(self.rows) - 1, self.row + count)
        elif letter == "C":
            self.column = min(MAX_COLUMNS, self.column + count)
        elif letter == "D":
            self.column = max(0, self.column - count)
        elif letter in "G`":
            self.column = count - 1
        elif letter == "K":
            self._erase(given or 0)
        elif letter == "J" and not given:  # to the end of the screen
            self._erase(0)
            del self.rows[self.row + 1 :]
        if letter in "EF":
            self.column = 0

    def _erase(self, which: int) -> None:
        cells = self.rows[self.row]
        if which == 2:
            cells.clear()
        elif which == 1:
            cells[: self.column + 1] = " " * min(len(cells), self.column + 1)
        else:
            del cells[self.column :]

    def text(self) -> str:
        return "\n".join("".join(cells) for cells in self.rows)
