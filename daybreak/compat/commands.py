"""``daybreak ray``: what becomes of a Ray program here."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from daybreak.base.terminal import Json, clean, json_out
from daybreak.compat import check as _check

__all__ = ["ray"]

ray = typer.Typer(help="What becomes of a Ray program here.", no_args_is_help=True)


@ray.callback()
def ray_commands() -> None: ...


@ray.command()
def check(
    path: Annotated[Path, typer.Argument(help="A program, or a folder of them.")],
    everything: Annotated[bool, typer.Option("--all", help="Also what is the same.")] = False,
    as_json: Json = False,
) -> None:
    """Lists by line what of Ray a program uses and is refused here, or differs. Nothing of it runs. Exit status 1: something is
    refused."""
    found = _check.check_path(path)
    counts = Counter(finding.verdict for finding in found)
    if as_json:
        json_out([dataclasses.asdict(finding) for finding in found])
    else:
        for finding in found:
            if everything or finding.verdict != "same":
                print(clean(finding))
        print(f"{counts['same']} same, {counts['differs']} differ, {counts['refused']} refused")
    if counts["refused"]:
        raise typer.Exit(1)
