"""Everything that can be said about the sources without running them. --fix formats instead of checking."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
TYPED = [
    "daybreak",
    "bench",
    "tools",
]  # the public face and our tools; pyproject.toml leaves out tests and peers' files
PYTHON = [*TYPED, "tests", "tutorials"]
CLANG_FORMAT = "clang-format-19"


def cpp_sources() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.cc", "*.h"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in listed.stdout.splitlines() if (ROOT / name).exists()]


def steps() -> list[tuple[str, list[str]]]:
    return [
        ("ruff check", [f"{BIN}/ruff", "check", *PYTHON]),
        ("ruff format", [f"{BIN}/ruff", "format", "--check", *PYTHON]),
        ("arrows between rooms", [sys.executable, "tools/arrows.py"]),
        ("layers", [f"{BIN}/lint-imports"]),
        ("house rules", [sys.executable, "tools/tidy_rules.py"]),
        ("clang-format", [CLANG_FORMAT, "--dry-run", "-Werror", *cpp_sources()]),
        ("stubs", [sys.executable, "tools/stubs.py"]),
        ("page", [sys.executable, "tools/page.py"]),
        ("mypy", [f"{BIN}/mypy", "--strict", *TYPED]),
        ("clang-tidy", [sys.executable, "tools/tidy.py"]),
    ]


def fix() -> int:
    for command in (
        [f"{BIN}/ruff", "check", "--fix", "-q", *PYTHON],
        [f"{BIN}/ruff", "format", "-q", *PYTHON],
        [CLANG_FORMAT, "-i", *cpp_sources()],
    ):
        subprocess.run(command, cwd=ROOT)
    return 0


def main() -> int:
    if "--fix" in sys.argv:
        return fix()
    failed = 0
    for name, command in steps():
        started = time.monotonic()
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        print(f"{name}: {'ok' if done.returncode == 0 else 'FAILED'} ({time.monotonic() - started:.1f} s)", flush=True)
        if done.returncode != 0:
            failed += 1
            print(done.stdout, end="", flush=True)
    print(f"{len(steps()) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
