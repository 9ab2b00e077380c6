"""Runs rows of one peer's file in the interpreter that has what the peer needs. Started by harness.py; standard library only.

Reads one JSON request a line, ``{"row": name, "quick": bool}``, and answers one JSON line: value, check and info, or skipped, or
error. What the peer prints goes to standard error, never between the answers.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.rows import Measure, Skip  # noqa: E402


def load(path: Path) -> ModuleType:
    """The peer's file as a module whose name hides nothing: bench/runtime/ray.py imports ray."""
    name = f"bench_{path.parent.name}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def run(module: ModuleType, row: str, quick: bool) -> dict[str, object]:
    """The row is a function of the file, or a method of its `program`."""
    program = getattr(module, "program", None)
    function = getattr(module, row, None) or getattr(program, row, None)
    if function is None:
        return {"skipped": "not offered"}
    module.QUICK = quick  # type: ignore[attr-defined]
    if program is not None:
        program.quick = quick
    try:
        measure = function()
    except Skip as reason:
        return {"skipped": str(reason)}
    if not isinstance(measure, Measure):
        measure = Measure(float(measure))
    return {"value": measure.value, "check": measure.check, "info": measure.info}


def main() -> None:
    # The pipes are ours alone: a peer's daemon that inherits its standard input reads it (Open MPI's does), and a request is gone.
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w", buffering=1)
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    module: ModuleType | None = None
    for line in requests:
        request = json.loads(line)
        try:
            if module is None:
                module = load(Path(sys.argv[1]))
                if hasattr(module, "setup"):
                    module.setup()
            answer = run(module, request["row"], request["quick"])
        except BaseException:
            answer = {"error": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
    if module is not None and hasattr(module, "teardown"):
        module.teardown()


if __name__ == "__main__":
    main()
