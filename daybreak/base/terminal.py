"""What commands print: one behaviour for tables, JSON and progress, on a terminal, in a pipe and on a narrow screen.

- On a terminal: colours, tables as wide as it is. In a pipe or a file: none, and PIPED_WIDTH columns whatever the terminal.
- Names and texts that come from elsewhere are `clean`: none of them moves the cursor or breaks a line.
- `--json` (`Json`) prints one JSON value, in ASCII, and nothing else on the standard output.

Only commands import this module: it loads typer, and rich when a table is drawn. `printable` has what others need.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daybreak.base.printable import clean, clean_lines, only_ascii

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

__all__ = [
    "PIPED_WIDTH",
    "Json",
    "LineReport",
    "LiveReport",
    "clean",
    "clean_lines",
    "console",
    "json_out",
    "only_ascii",
    "table",
]

PIPED_WIDTH = 200  # of a table that goes into a file or a pipe

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def json_out(value: object) -> None:
    """The answer to `--json`."""
    print(json.dumps(value, indent=2, ensure_ascii=True))


def console() -> Console:
    from rich.console import Console

    made = Console(highlight=False)
    return made if made.is_terminal else Console(highlight=False, width=PIPED_WIDTH)


def table(
    rows: Iterable[Sequence[str | Text]],
    heads: Sequence[str] = (),
    *,
    title: str = "",
    wrap: bool = True,
    to: Console | None = None,
) -> None:
    """Prints rows of cells, and nothing when there are none. Text is cleaned; what is styled (rich's Text) is its maker's.

    wrap: on a narrow screen long cells go on in the next line; else they end in an ellipsis, and only the first column is whole.
    """
    from rich.table import Table
    from rich.text import Text

    all_rows = [[Text(clean(cell)) if isinstance(cell, str) else cell for cell in row] for row in rows]
    if not all_rows:
        return
    made = Table(box=None, pad_edge=False, show_header=bool(heads), padding=(0, 2, 0, 0))
    for place, head in enumerate(heads or [""] * len(all_rows[0])):
        overflow: Any = "fold" if wrap or place == 0 else "ellipsis"
        made.add_column(Text(clean(head)), overflow=overflow, no_wrap=not wrap)
    for row in all_rows:
        made.add_row(*row)
    out = to or console()
    if title:
        out.print(Text(f"\n{clean(title)}", style="bold"))
    out.print(made)


class LineReport:
    """Progress for logs and pipes: a line a step, when it has ended."""

    def __init__(self, to: Console) -> None:
        self._console = to
        self._title = ""

    def __enter__(self) -> LineReport:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def begin(self, title: str) -> None:
        self._title = title

    def progress(self, done: float, text: str) -> None:
        pass

    def end(self, text: str, passed: bool, seconds: float) -> None:
        self._console.print(f"{'ok  ' if passed else 'FAIL'} {seconds:6.2f} s  {self._title}: {text}", markup=False)


class LiveReport:
    """The same lines in colour, and a bar for the step that is going on."""

    _REDRAW_S = 0.1

    def __init__(self, to: Console) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            TextColumn(" "),
            BarColumn(bar_width=16),
            TimeElapsedColumn(),
            TextColumn("{task.fields[text]}"),
            console=to,
            transient=True,
        )
        self._task = self._progress.add_task("", total=1.0, text="", visible=False)
        self._shown = 0.0

    def __enter__(self) -> LiveReport:
        self._progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._progress.stop()

    def begin(self, title: str) -> None:
        from rich.markup import escape

        self._progress.console.print(f"[bold]{escape(title)}[/]")
        self._progress.reset(self._task, total=None, text="", visible=True)

    def progress(self, done: float, text: str) -> None:
        now = time.monotonic()
        if now - self._shown >= self._REDRAW_S:
            self._shown = now
            self._progress.update(self._task, total=1.0, completed=min(done, 1.0), text=text)

    def end(self, text: str, passed: bool, seconds: float) -> None:
        from rich.markup import escape

        mark = "[green]✓[/]" if passed else "[red]✗[/]"
        self._progress.update(self._task, visible=False)
        self._progress.console.print(f"  {mark} {escape(text)} [dim]({seconds:.1f} s)[/]")
