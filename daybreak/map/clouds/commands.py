"""`daybreak map plan | doctor | clean`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from daybreak.base.terminal import Json, console, json_out, table

__all__ = ["clean", "doctor", "plan", "register"]

Config = Annotated[
    Path | None, typer.Option("--config", help="Lithops' configuration.  [default: where Lithops looks]")
]
Prices = Annotated[Path | None, typer.Option("--prices", help="A JSON file of back ends and their prices.")]


def plan(
    backend: Annotated[str, typer.Option("--backend", "-b", help="Of Lithops: aws_lambda, gcp_cloudrun, ...")],
    calls: Annotated[int, typer.Option("--calls", "-n", help="How many.")],
    seconds: Annotated[float, typer.Option("--seconds", help="That a call takes.")],
    memory: Annotated[int, typer.Option("--memory", help="MiB that a worker has.")] = 256,
    input_bytes: Annotated[int, typer.Option("--input-bytes", help="Of a call.")] = 0,
    output_bytes: Annotated[int, typer.Option("--output-bytes", help="Of a call.")] = 0,
    max_cost: Annotated[float | None, typer.Option("--max-cost", help="Above it the command fails.")] = None,
    prices: Prices = None,
    as_json: Json = False,
) -> None:
    """Calls, GB-seconds, requests, bytes and money, before any call is made."""
    from . import plan as _plan

    found = _plan.plan(
        backend,
        calls,
        seconds=seconds,
        memory_mib=memory,
        input_bytes=input_bytes,
        output_bytes=output_bytes,
        prices=prices,
    )
    if as_json:
        names = (
            "backend",
            "calls",
            "seconds",
            "memory_mib",
            "gb_seconds",
            "reads",
            "writes",
            "input_bytes",
            "output_bytes",
        )
        json_out({**{name: getattr(found, name) for name in names}, "costs": found.costs, "cost": found.cost})
    else:
        print(found)
    if max_cost is not None and found.cost > max_cost:
        raise _plan.CostExceeded(f"--max-cost {max_cost:g}: these calls would cost {found.cost:.4g}")


def doctor(
    backend: Annotated[str, typer.Option("--backend", "-b", help="Of Lithops: aws_lambda, k8s, localhost, ...")],
    config: Config = None,
    as_json: Json = False,
) -> None:
    """What is missing before calls run on a back end of Lithops. Changes nothing; fails when something is missing."""
    from dataclasses import asdict

    from . import doctor as _doctor

    found = _doctor.examine(backend, config)
    if as_json:
        json_out([asdict(each) for each in found])
    else:
        table([(each.subject, each.state, each.text, each.way) for each in found], ("", "", "", "what to do"))
    if any(each.state == _doctor.MISSING for each in found):
        raise typer.Exit(1)


def clean(
    yes: Annotated[bool, typer.Option("--yes", help="Delete what is listed.")] = False,
    config: Config = None,
    backend: Annotated[str | None, typer.Option("--backend", "-b", help="Its runtimes count, too.")] = None,
    as_json: Json = False,
) -> None:
    """List what maps and Lithops have left in the storage, on this machine and in the cloud; with --yes delete it."""
    from dataclasses import asdict

    from . import clean as _clean

    found = _clean.find(config, backend)
    stay = _clean.remove(found, config, backend) if yes else []
    if as_json:
        json_out({"found": [asdict(each) for each in found], "deleted": yes, "left": [asdict(each) for each in stay]})
    else:
        table([(each.kind, each.where, f"{each.size_bytes:,}") for each in found], ("", "", "bytes"))
        size = sum(each.size_bytes for each in found)
        done = "deleted" if yes else "found; --yes deletes it all"
        console().print(f"{len(found)} things, {size:,} bytes: {done}" if found else "nothing is left")
        for each in stay:
            console().print(f"could not be deleted: {each.kind} {each.where}", markup=False)
    if stay:
        raise typer.Exit(1)


def register(app: Any) -> None:
    """As commands of `daybreak map`."""
    for command in (plan, doctor, clean):
        app.command(command.__name__)(command)
