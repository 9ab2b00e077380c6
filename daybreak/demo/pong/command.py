"""`daybreak demo pong`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from daybreak.base.terminal import LineReport, LiveReport

from . import program
from .serving import Stand

__all__ = ["app"]

app = typer.Typer()


class Engine(StrEnum):
    """Of `daybreak.init`."""

    local = "local"
    ray = "ray"


@app.command()
def pong(
    check: Annotated[
        bool, typer.Option("--check", help="No terminal needed: one line a step, exit status 1 if a check fails.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Where the policy, the pictures and result.json go.")] = Path("out/demo"),
    seed: Annotated[
        int, typer.Option(min=0, max=1_000_000_000, help="Everything random in training follows from it.")
    ] = 0,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Rollout actors, each in a process of its own.")] = 2,
    max_steps: Annotated[
        int, typer.Option(min=1, help="Training ends here at the latest.")
    ] = program.Options.max_steps,
    episodes: Annotated[int, typer.Option(min=10, max=100_000, help="Held-out games to judge the agent by.")] = 200,
    engine: Annotated[
        Engine,
        typer.Option(
            help="What the rollout actors run on: Daybreak's own engine, or a Ray of this machine (daybreak[ray])."
        ),
    ] = Engine.local,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Of the page, on loopback; another when it is taken. 1337; any with --check."
        ),
    ] = None,
) -> None:
    """Train an agent that wins at Pong, track its runs, publish its policy encrypted, serve it behind a gate, and play."""
    port = port if port is not None else 0 if check else program.Options.port
    options = program.Options(
        out=out,
        seed=seed,
        workers=workers,
        max_steps=max_steps,
        episodes=episodes,
        port=port,
        engine=engine.value,
    )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(f"{out}: {error.strerror}; name another folder", param_hint="--out") from None
    live = not check and Console().is_terminal
    console = Console(highlight=False, soft_wrap=not live)  # a log's lines are not broken
    reporter: LineReport | LiveReport = LiveReport(console) if live else LineReport(console)

    def stay(stand: Stand, result: dict[str, Any]) -> None:
        _tell(console, result, options)
        _stay(console, stand)

    try:
        with reporter:
            result = program.run(options, reporter, None if check else stay)
    except KeyboardInterrupt:
        written = "result.json is written" if (out / "result.json").exists() else "no result was written"
        console.print(f"stopped: workers, server and shared memory are gone, {written}")
        raise typer.Exit(130) from None
    if check:
        _tell(console, result, options)
    if not result["passed"]:
        raise typer.Exit(1)


def _tell(console: Console, result: dict[str, Any], options: program.Options) -> None:
    """What was shown, and what to do next."""
    failed = [entry["name"] for entry in result["checks"] if not entry["passed"]]
    console.print(
        f"Shown: an agent that learned Pong in {result['train_seconds']:.1f} s and {result['steps'] / 1e6:.1f} M steps on "
        f"{options.workers} rollout actors; it wins {result['win_rate']:.0%} of {options.episodes} held-out games (imitation "
        f"{max(result['imitation_win_rates'].values()):.0%}, a random one {result['random_win_rate']:.0%}). Its runs are "
        "tracked; its policy is encrypted to a place in the lab's namespace and served in memory behind a gate, where a stranger "
        "was refused, a player granted, played while versions changed, and revoked."
        if not failed
        else f"Not reached: {', '.join(failed)}. {options.out / 'result.json'} has the figures."
    )
    console.print(
        f"Next: look at {options.out / 'match.gif'} and {options.out / 'learning_curve.png'}; see the runs: daybreak runs list "
        f"--root {options.out / 'lab' / 'runs'}; then train on your own environment: "
        'rl.PPO("CartPole-v1", num_workers=2, on_result=run.log).'
    )


def _stay(console: Console, stand: Stand) -> None:
    """Serves until Ctrl-C."""
    try:
        console.print(
            f"\nPlay against it: {stand.agent.page()}\n"
            f"  (from another machine: ssh -L {stand.port}:127.0.0.1:{stand.port} "
            f"-L {stand.agent.port}:127.0.0.1:{stand.agent.port} this-machine; the address is good for one browser)\n"
            f"  You come as a stranger and are refused; ask the lab; play; be revoked. Ctrl-C ends the server.",
            markup=False,
            soft_wrap=True,
        )
        stand.server.wait()
    except KeyboardInterrupt:
        console.print("the server has stopped")
