"""Runs ninja and says on one line how far it is and how long it may still take: `build [34/82], about 2 min left`. On a terminal
the line is written over, else a new one comes now and then. What compilers and linkers print is shown as it is; nothing else is.

python tools/build.py FOLDER [TARGET...]
"""

from __future__ import annotations

import re
import subprocess
import sys
import time

STATUS = re.compile(r"\[(\d+)/(\d+)\] ")
CHATTER = ("-- ", "ninja: no work to do", "ninja: Entering")  # cmake's, when a file was added, and ninja's
PAUSE_S = 20.0  # between two lines when nobody watches


def duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


class Progress:
    """The one line. Remaining time: what is done took so long, what is left takes as long in proportion."""

    def __init__(self, watched: bool, clock: float) -> None:
        self.watched = watched
        self.began = self.said = clock
        self.open = False  # a line is written that the next may write over

    def step(self, done: int, total: int, clock: float) -> str:
        """What to print for this state: nothing when it is too soon for another line."""
        if not self.watched and clock - self.said < PAUSE_S:
            return ""
        self.said = clock
        left = (clock - self.began) / max(done, 1) * (total - done)
        text = f"· build [{done}/{total}]" + (f", about {duration(left)} left" if clock - self.began > 3 else "")
        self.open = self.watched
        return f"\r{text}\x1b[K" if self.watched else f"{text}\n"

    def clear(self) -> str:
        """What to print before something else is."""
        was, self.open = self.open, False
        return "\r\x1b[K" if was else ""


def main() -> int:
    command = ["ninja", "-C", sys.argv[1], *sys.argv[2:]]
    progress = Progress(sys.stderr.isatty(), time.monotonic())
    ninja = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    assert ninja.stdout is not None
    for line in ninja.stdout:
        if state := STATUS.match(line):
            sys.stderr.write(progress.step(int(state[1]), int(state[2]), time.monotonic()))
        elif not line.startswith(CHATTER):
            sys.stderr.write(progress.clear() + line)
        sys.stderr.flush()
    sys.stderr.write(progress.clear())
    return ninja.wait()


if __name__ == "__main__":
    sys.exit(main())
