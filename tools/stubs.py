"""Stubs of the extension module: daybreak/_core/*.pyi, generated from the built module and committed, because they are what a
reviewer reads. Without --write, fails when the committed ones are not what the module gives."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STUBS = ROOT / "daybreak" / "_core"


def generate(folder: Path) -> dict[str, str]:
    """File name -> text."""
    command = [sys.executable, "-m", "nanobind.stubgen", "-q", "-m", "daybreak._core", "-r", "-O", str(folder)]
    for pattern in sorted(ROOT.glob("daybreak/*/stubs.pat")):
        command += ["-p", str(pattern)]
    subprocess.run(command, check=True, cwd=ROOT)
    made = folder / "_core"
    return {str(path.relative_to(made)): path.read_text() for path in sorted(made.rglob("*.pyi"))}


def main() -> int:
    with tempfile.TemporaryDirectory() as scratch:
        fresh = generate(Path(scratch))
    if "--write" in sys.argv:
        shutil.rmtree(STUBS, ignore_errors=True)
        for name, text in fresh.items():
            path = STUBS / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return 0
    committed = {str(path.relative_to(STUBS)): path.read_text() for path in sorted(STUBS.rglob("*.pyi"))}
    stale = sorted(name for name in fresh.keys() | committed.keys() if fresh.get(name) != committed.get(name))
    if stale:
        print(f"stale stubs: {', '.join(stale)}: run ./dev stubs and commit daybreak/_core/")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
