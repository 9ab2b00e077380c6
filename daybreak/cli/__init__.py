"""The ``daybreak`` command. A room gives it a subcommand by one line in ``COMMANDS``; its code is loaded when it is called.

The module named there holds ``app`` (or what stands behind a colon: ``module:name``), a ``typer.Typer`` with the room's own
commands, options and help. (An app with one command needs an ``@app.callback()`` too, or typer makes the command itself the app.)
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import NamedTuple

import daybreak
from daybreak.base.errors import Error
from daybreak.base.options import close

__all__ = ["COMMANDS", "Command", "main"]


class Command(NamedTuple):
    """Where a subcommand comes from."""

    module: str
    help: str  # one line, shown without loading the module
    extra: str = ""  # what `pip install 'daybreak[extra]'` installs for it


COMMANDS: dict[str, Command] = {
    "demo": Command(
        "daybreak.demo.commands", "Watch the systems work together: train a Pong agent, and play it.", "rl"
    ),
    "status": Command("daybreak.runtime.commands:status", "What the running engines have and do, at a glance."),
    "list": Command("daybreak.runtime.commands:listing", "The tasks, actors, objects or workers of an engine."),
    "summary": Command(
        "daybreak.runtime.commands:summary", "How many tasks, actors or objects of each kind there are."
    ),
    "stack": Command("daybreak.runtime.commands:stack", "What each process of an engine executes."),
    "logs": Command("daybreak.runtime.commands:logs", "What the workers of an engine have printed."),
    "timeline": Command("daybreak.runtime.commands:timeline", "What has run where and when, as a trace for a browser."),
    "memory": Command("daybreak.runtime.commands:memory", "The largest objects of an engine, and who holds them."),
    "ray": Command("daybreak.compat.commands:ray", "What of a Ray program is the same here, differs or is refused."),
    "runs": Command("daybreak.track.commands", "Look at what was recorded: list, show, diff, plot, export."),
    "tune": Command(
        "daybreak.tune.commands", "Look at experiments and studies: list, show, plot, resume, stop, export."
    ),
    "map": Command("daybreak.map.commands", "Maps: try a function, look at what ran and what it printed."),
    "track": Command("daybreak.track.root_commands", "Check, clean and measure what was recorded."),
    "serve": Command("daybreak.serve.commands", "Serve models under a deadline: start, deploy, list, roll back."),
    "grant": Command("daybreak.grant.commands", "Keys, grants, proofs; encrypt files to a resource, and open them."),
}


def _available(commands: Mapping[str, Command]) -> dict[str, Command]:
    """Those whose room is part of this installation."""

    def is_there(module: str) -> bool:
        try:
            return importlib.util.find_spec(module.partition(":")[0]) is not None
        except ModuleNotFoundError:  # the package around it is not there
            return False

    return {name: command for name, command in sorted(commands.items()) if is_there(command.module)}


def _help(commands: Mapping[str, Command]) -> str:
    lines = ["Usage: daybreak COMMAND [ARGUMENTS]...", "", "Commands:"]
    width = max((len(name) for name in commands), default=0)
    lines += [f"  {name:{width}}  {command.help}" for name, command in commands.items()]
    return "\n".join([*lines, "", "daybreak COMMAND --help says more. daybreak --version prints the version."])


def _fail(message: str, status: int) -> int:
    print(f"daybreak: {message}", file=sys.stderr)
    return status


@contextlib.contextmanager
def _sigterm_as_ctrl_c() -> Iterator[list[int]]:
    """SIGTERM ends a command in order, as Ctrl-C does: in the background, where SIGINT is ignored, nothing else does. Gives a
    list of one when it came; a command with a handler of its own is let be."""
    came: list[int] = []

    def on_sigterm(signum: int, frame: FrameType | None) -> None:
        came.append(signum)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the second time: at once
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield came
        return
    signal.signal(signal.SIGTERM, on_sigterm)
    try:
        yield came
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def main(argv: Sequence[str] | None = None, commands: Mapping[str, Command] = COMMANDS) -> int:
    """Runs ``daybreak`` with these arguments (default: the process's) and returns its exit status.

    2 for a wrong command line, 1 for an error that Daybreak raised by itself, 130 after Ctrl-C, 143 after SIGTERM, 141 when whoever
    reads the output has gone (``| head``); other exceptions are bugs and pass through with their traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure") and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(
                errors="backslashreplace"
            )  # what this locale cannot show (C has ASCII alone) is shown by its code
    with _sigterm_as_ctrl_c() as came:
        try:
            status = _run([_readable(word) for word in (sys.argv[1:] if argv is None else argv)], commands)
            if sys.stdout is not None:
                sys.stdout.flush()
        except BrokenPipeError:
            status = _nobody_reads()
        if sys.stdout is not None and getattr(sys.stdout, "closed", False):
            status = 128 + signal.SIGPIPE
    return 128 + came[0] if came and status == 130 else status


def _readable(word: str) -> str:
    """Names are UTF-8, also where the locale knows ASCII alone; ``base.paths`` makes file names of it again."""
    try:
        return word.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:
        return word


def _nobody_reads() -> int:
    """The pipe's reader has gone: nothing more is to be said, and the interpreter must not try to at its end."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    return 128 + signal.SIGPIPE


def _run(arguments: list[str], commands: Mapping[str, Command]) -> int:
    available = _available(commands)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help(available))
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"daybreak {daybreak.__version__}")
        return 0
    name = arguments[0]
    if name not in available:
        near = close(name, available)
        hint = f"did you mean '{near[0]}'?" if near else "'daybreak --help' lists them"
        return _fail(f"no command {name!r}: {hint}", 2)
    command = available[name]
    try:
        module, _, attribute = command.module.partition(":")
        app = getattr(importlib.import_module(module), attribute or "app")
        app(args=arguments[1:], prog_name=f"daybreak {name}")
    except ModuleNotFoundError as missing:
        if not command.extra or not missing.name or missing.name.split(".")[0] == "daybreak":
            raise
        return _fail(f"'{name}' needs the package {missing.name!r}: pip install 'daybreak[{command.extra}]'", 1)
    except Error as error:
        return _fail(str(error), 1)
    except KeyboardInterrupt:
        return 130
    except SystemExit as ended:  # how typer ends
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        return _fail(str(ended.code), 1)
    return 0
