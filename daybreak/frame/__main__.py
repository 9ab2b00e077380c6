"""``python -m daybreak.frame [-m MODULE | -c CODE | SCRIPT] [ARGUMENTS]``: the program, in which `pandas` is ours."""

from __future__ import annotations

import runpy
import sys

from . import hook

USAGE = "usage: python -m daybreak.frame [-m MODULE | -c CODE | SCRIPT] [ARGUMENTS]"


def main() -> None:
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help") or (arguments[0] in ("-m", "-c") and len(arguments) < 2):
        print(USAGE, file=sys.stderr)
        raise SystemExit(0 if arguments and arguments[0] in ("-h", "--help") else 2)
    hook.install()
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    elif arguments[0] == "-c":
        sys.argv = ["-c", *arguments[2:]]
        sys.path[0] = ""
        exec(compile(arguments[1], "<string>", "exec"), {"__name__": "__main__"})
    else:
        from pathlib import Path

        sys.argv = arguments
        sys.path[0] = str(Path(arguments[0]).resolve().parent)
        runpy.run_path(arguments[0], run_name="__main__")


main()
