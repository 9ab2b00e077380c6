"""`daybreak demo NAME`: each folder here with a `command.py` is a demo, whose `app` is a typer.Typer with one command."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

__all__ = ["app"]


def names() -> list[str]:
    """Of the demos of this installation."""
    return sorted(command.parent.name for command in Path(__file__).parent.glob("*/command.py"))


class _Demos(TyperGroup):
    """Loads the one that is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return names()

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in names():
            return None
        command = typer.main.get_command(importlib.import_module(f"{__package__}.{cmd_name}.command").app)
        command.name = cmd_name
        return command


app = typer.Typer(cls=_Demos, help="Watch the systems work together.", no_args_is_help=True)


@app.callback()
def demo() -> None:
    """Watch the systems work together."""
