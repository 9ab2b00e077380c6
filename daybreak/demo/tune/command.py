"""`daybreak demo tune`."""

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
def tune(
    check: Annotated[
        bool, typer.Option("--check", help="No terminal needed: one line a step, exit status 1 if a check fails.")
    ] = False,
    out: Annotated[
        Path, typer.Option(help="Where experiments, pictures, policy and result.json go.")
    ] = program.Options.out,
    seed: Annotated[int, typer.Option(min=0, max=1_000_000_000, help="What is drawn follows from it.")] = 0,
    search_s: Annotated[
        float, typer.Option(min=1, help="Time budget of the search, in seconds.")
    ] = program.Options.search_s,
    population_s: Annotated[
        float, typer.Option(min=1, help="Time budget of the population, in seconds.")
    ] = program.Options.population_s,
) -> None:
    """Tune PPO by ASHA, kill the search, resume it; breed a population on Pong; draw it all; keep the best policy."""
    live = not check and Console().is_terminal
    console = Console(highlight=False, soft_wrap=not live)
    options = program.Options(out=out, seed=seed, search_s=search_s, population_s=population_s)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(f"{out}: {error.strerror}; name another folder", param_hint="--out") from None
    reporter: LineReport | LiveReport = LiveReport(console) if live else LineReport(console)
    try:
        with reporter:
            result = program.run(options, reporter)
    except KeyboardInterrupt:
        console.print("stopped")
        raise typer.Exit(130) from None
    failed = [entry["name"] for entry in result["checks"] if not entry["passed"]]
    if failed:
        console.print(
            f"Not reached: {', '.join(failed)}. {out / 'result.json'} has the figures, *.log what was printed."
        )
        raise typer.Exit(1)
    console.print(
        f"Shown: a search of {result['trials']} trials that was killed and resumed without losing or repeating one, a population "
        f"that changed itself {result['copies']} times while it learned Pong, and a policy that balances a pole for "
        f"{result['mean_return']:.0f} of 500 steps, with its run."
    )
    console.print(
        f"Next: open {out / 'search.html'}; daybreak tune show {out / 'experiments' / 'cartpole'}; daybreak runs list --root "
        f"{out / 'experiments' / 'runs'}."
    )
