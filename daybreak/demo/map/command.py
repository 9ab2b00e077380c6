"""`daybreak demo map`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from daybreak.base.terminal import LineReport, LiveReport

from . import program

__all__ = ["app"]

app = typer.Typer()


@app.command()
def map(
    check: Annotated[
        bool, typer.Option("--check", help="No terminal needed: one line a step, exit status 1 if a check fails.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Where pictures and result.json go.")] = program.Options.out,
    seed: Annotated[int, typer.Option(min=0, max=1_000_000_000, help="What is drawn follows from it.")] = 0,
) -> None:
    """Map 30 pipelines over folds, kill a worker on the way; draw what came of it; count a file in parts."""
    live = not check and Console().is_terminal
    console = Console(highlight=False, soft_wrap=not live)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(f"{out}: {error.strerror}; name another folder", param_hint="--out") from None
    reporter: LineReport | LiveReport = LiveReport(console) if live else LineReport(console)
    try:
        with reporter:
            result = program.run(program.Options(out=out, seed=seed), reporter)
    except KeyboardInterrupt:
        console.print("stopped")
        raise typer.Exit(130) from None
    console.print(result["timeline"], markup=False)
    failed = [entry["name"] for entry in result["checks"] if not entry["passed"]]
    if failed:
        console.print(f"Not reached: {', '.join(failed)}. {out / 'result.json'} has the figures.")
        raise typer.Exit(1)
    console.print(
        f"Shown: 30 pipelines in {result['attempts']} tries, as one worker was killed; the best, {result['best']}, is right in "
        f"{result['accuracy']:.1%} of cases it had not seen."
    )
    console.print(f"Next: open {out / 'timeline.png'}; daybreak map print-latest-logs; daybreak map list.")
