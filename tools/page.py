"""The console's page: console/ compiled into daybreak/demo/pong/page/ and committed, so that an installation needs no Node. Checks
the types first. Without --write, fails when the committed page is not what the sources give."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSOLE = ROOT / "console"
PAGE = ROOT / "daybreak" / "demo" / "pong" / "page"


def run(*command: str, **environment: str) -> None:
    """One of the console's own programs; shows what it said and ends when it fails."""
    program = [str(CONSOLE / "node_modules" / ".bin" / command[0]), *command[1:]]
    done = subprocess.run(
        program,
        cwd=CONSOLE,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode != 0:
        sys.exit(f"{done.stdout}\npage: failed: {' '.join(command)}")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def main() -> int:
    run("tsc", "--noEmit")
    with tempfile.TemporaryDirectory() as scratch:
        run("vite", "build", DAYBREAK_PAGE=scratch)
        if "--write" in sys.argv:
            shutil.rmtree(PAGE, ignore_errors=True)
            shutil.copytree(scratch, PAGE)
            return 0
        fresh, committed = files(Path(scratch)), files(PAGE)
    stale = sorted(name for name in fresh.keys() | committed.keys() if fresh.get(name) != committed.get(name))
    if stale:
        print(f"stale page: {', '.join(stale)}: run ./dev page and commit daybreak/demo/pong/page/")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
