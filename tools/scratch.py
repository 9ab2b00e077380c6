"""A copy of the working tree, in which a test does what a contributor would."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def copy_of_the_repository(target: Path) -> Path:
    """What git knows or would add, without pictures and results; returns the target."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z", ":!docs/images", ":!bench/results"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target
