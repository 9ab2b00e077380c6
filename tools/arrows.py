"""Holds the C++ includes against what each room declares, and the declarations against the floors of ARCHITECTURE.md.

- `#include "daybreak/X/..."` in room R needs X in `daybreak_room(R USES ...)`.
- USES names rooms of lower floors only.
- `daybreak/X/internal/` is for X alone.
- Python.h and nanobind are for bind.cc, bind.h and python/ alone: the core is usable from C++ without Python.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FLOORS = {
    "base": 1,
    **dict.fromkeys(("os", "net", "tensor", "crypto"), 2),
    **dict.fromkeys(("runtime", "store"), 3),
    **dict.fromkeys(("rl", "track", "grant", "serve", "map"), 4),
    **dict.fromkeys(("tune", "linalg", "frame"), 5),
    "sealed": 6,
    **dict.fromkeys(("demo", "compat", "cli", "console"), 7),
}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^>"]+)[>"]', re.MULTILINE)
ROOM = re.compile(r"daybreak_room\(\s*(\w+)\s*(?:USES([^)]*?))?(?:\b(?:LINK|ALONE|NOT_INTERLEAVED)\b[^)]*)?\)")


def declared(cmake: str) -> tuple[str, list[str]] | None:
    """The room that a CMakeLists.txt declares and what it uses."""
    found = ROOM.search(re.sub(r"#.*", "", cmake))
    return (found[1], (found[2] or "").split()) if found else None


def check_uses(room: str, uses: list[str]) -> list[str]:
    problems = [f"room '{room}' has no floor: add it to FLOORS in tools/arrows.py" for _ in [0] if room not in FLOORS]
    for used in uses:
        if used not in FLOORS:
            problems.append(f"'{room}' uses '{used}', which is no room")
        elif not problems and FLOORS[used] >= FLOORS[room]:
            problems.append(
                f"'{room}' (floor {FLOORS[room]}) uses '{used}' (floor {FLOORS[used]}): arrows go down; "
                f"let '{room}' own the interface and a higher room join the two"
            )
    return problems


def check_file(path: Path, room: str, uses: list[str], text: str) -> list[str]:
    may_python = path.name in ("bind.cc", "bind.h") or "python" in path.parts
    problems = []
    for match in INCLUDE.finditer(text):
        include = match[1]
        where = f"{path}:{text.count(chr(10), 0, match.start()) + 1}"
        parts = include.split("/")
        if include == "Python.h" or parts[0] == "nanobind":
            if not may_python:
                problems.append(f"{where}: {include} outside bind.cc, bind.h and python/: keep the core free of Python")
        elif parts[0] == "daybreak" and len(parts) > 2 and parts[1] != room:
            if parts[1] not in uses:
                problems.append(f"{where}: {include}: '{room}' does not say USES {parts[1]} in its CMakeLists.txt")
            elif "internal" in parts:
                problems.append(f"{where}: {include} is private to '{parts[1]}'")
            elif parts[-1] == "bind.h" and not may_python:
                problems.append(f"{where}: {include} is for bind.cc files")
    return problems


def problems_of(root: Path) -> list[str]:
    problems: list[str] = []
    for folder in sorted(path for path in (root / "daybreak").iterdir() if path.is_dir()):
        sources = sorted(path for path in folder.rglob("*") if path.suffix in (".cc", ".h"))
        cmake = folder / "CMakeLists.txt"
        room = declared(cmake.read_text()) if cmake.exists() else None
        if room is None:
            problems += [f"{path}: C++ in a folder without daybreak_room()" for path in sources[:1]]
            continue
        if room[0] != folder.name:
            problems.append(f"{cmake}: declares '{room[0]}' in the folder '{folder.name}'")
        problems += check_uses(*room)
        for path in sources:
            problems += check_file(path.relative_to(root), *room, path.read_text())
    return problems


if __name__ == "__main__":
    found = problems_of(ROOT)
    print("\n".join(found), end="\n" if found else "")
    sys.exit(1 if found else 0)
