"""Arrows between rooms go down only: in C++, in Python, and nowhere in a circle. The floors are those of tools/floors.txt.

C++
- `#include "daybreak/X/..."` in room R needs X in `daybreak_room(R USES ...)`, and USES names rooms of lower floors only.
- `daybreak/X/internal/` is for X alone.
- Python.h and nanobind are for bind.cc, bind.h and python/ alone: the core is usable from C++ without Python.

Python (all but tests)
- an import of `daybreak.X`, or of `daybreak._core.X`, in room R needs X on a lower floor; also inside a function, under
  TYPE_CHECKING, and as `daybreak.X` after `import daybreak`. A verb of `daybreak` itself is the runtime's.
- modules of one room do not import each other in a circle at module level, TYPE_CHECKING included: what two need moves to a third.

Every other place that names the rooms (daybreak/__init__.py, pyproject.toml, ARCHITECTURE.md) says what floors.txt says.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOT_IN_PYTHON = ("os", "console")  # rooms without a Python package; `os` could not be one
NOT_STARRED = ("map",)  # rooms in Python that `from daybreak import *` does not bring: a builtin has the name
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^>"]+)[>"]', re.MULTILINE)
ROOM = re.compile(r"daybreak_room\(\s*(\w+)\s*(?:USES([^)]*?))?(?:\b(?:LINK|ALONE|NOT_INTERLEAVED|PROGRAM)\b[^)]*)?\)")
# What `daybreak` itself has, beside rooms and the verbs of the runtime, and the room that it is of.
OF_THE_ROOT = {"_core": None, "__version__": None, "__path__": None, "__file__": None, "Error": "base"}


def read_floors(text: str) -> list[list[str]]:
    """The rooms of each floor, the lowest first."""
    return [line.split() for line in text.splitlines() if line and not line.startswith("#")]


STORIES = read_floors((ROOT / "tools" / "floors.txt").read_text())
FLOORS = {room: number for number, rooms in enumerate(STORIES, start=1) for room in rooms}


def arrow(room: str, used: str) -> str:
    """What is wrong with an arrow from `room` to `used`, "" for nothing."""
    if room == used or FLOORS[used] < FLOORS[room]:
        return ""
    return (
        f"'{room}' (floor {FLOORS[room]}) uses '{used}' (floor {FLOORS[used]}): arrows go down; "
        f"let '{room}' own the interface and a higher room join the two"
    )


# ---- C++


def declared(cmake: str) -> tuple[str, list[str]] | None:
    """The room that a CMakeLists.txt declares and what it uses."""
    found = ROOM.search(re.sub(r"#.*", "", cmake))
    return (found[1], (found[2] or "").split()) if found else None


def check_uses(room: str, uses: list[str]) -> list[str]:
    if room not in FLOORS:
        return [f"room '{room}' has no floor: add it to tools/floors.txt"]
    problems = []
    for used in uses:
        if used not in FLOORS:
            problems.append(f"'{room}' uses '{used}', which is no room")
        elif used == room or arrow(room, used):
            problems.append(arrow(room, used) or f"'{room}' uses itself")
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


def cpp_problems(root: Path) -> list[str]:
    problems: list[str] = []
    for folder in rooms_of(root):
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


# ---- Python


class Module:
    """A Python file of a room: what it imports of ours, and where."""

    def __init__(self, path: Path, root: Path) -> None:
        self.path = path.relative_to(root)
        parts = self.path.with_suffix("").parts
        self.is_package = parts[-1] == "__init__"
        self.name = ".".join(parts[:-1] if self.is_package else parts)
        self.room = parts[1]
        self.tree = ast.parse(path.read_text(), str(path))

    def _from(self, node: ast.ImportFrom) -> str:
        """The module that `from ... import` names, in full."""
        if not node.level:
            return node.module or ""
        base = self.name.split(".")
        base = base[: len(base) - node.level + self.is_package]
        return ".".join([*base, *([node.module] if node.module else [])])

    def imports(self, nodes: Iterator[ast.AST]) -> Iterator[tuple[int, str]]:
        """Line and full name of everything of ours that is imported: `daybreak.rl.ppo`, `daybreak.rl.ppo.PPO`, `daybreak.init`."""
        for node in nodes:
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names if is_ours(alias.name))
            elif isinstance(node, ast.ImportFrom) and is_ours(source := self._from(node)):
                yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)

    def used(self) -> Iterator[tuple[int, str]]:
        """`imports` of the whole file, and what is taken from `daybreak` after `import daybreak`."""
        yield from self.imports(ast.walk(self.tree))
        names = {
            alias.asname or "daybreak"
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Import)
            for alias in node.names
            if alias.name == "daybreak" or (is_ours(alias.name) and alias.asname is None)
        }
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names:
                yield node.lineno, f"daybreak.{node.attr}"

    def at_module_level(self) -> Iterator[ast.AST]:
        """Everything but what is inside functions."""
        waiting: list[ast.AST] = [self.tree]
        while waiting:
            node = waiting.pop()
            yield node
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                waiting += ast.iter_child_nodes(node)


def is_ours(name: str) -> bool:
    return name == "daybreak" or name.startswith("daybreak.")


def room_of(name: str) -> str | None:
    """The room that a full name is of; None for what is of no room."""
    parts = name.split(".")[1:]
    if parts[:1] == ["_core"]:
        parts = parts[1:]
    if not parts or parts[0] == "*":
        return None
    return parts[0] if parts[0] in FLOORS else OF_THE_ROOT.get(parts[0], "runtime")


def modules_of(root: Path) -> list[Module]:
    return [
        Module(path, root)
        for folder in rooms_of(root)
        for path in sorted(folder.rglob("*.py"))
        if not {"tests", "bench", "suites", "page"} & set(path.relative_to(folder).parts)
    ]


def python_problems(root: Path) -> list[str]:
    problems = []
    modules = modules_of(root)
    for module in modules:
        if module.room not in FLOORS:
            problems.append(f"room '{module.room}' has no floor: add it to tools/floors.txt")
            continue
        for line, name in sorted(set(module.used())):
            used = room_of(name)
            if used is not None and (wrong := arrow(module.room, used)):
                problems.append(f"{module.path}:{line}: {name}: {wrong}")
    return list(dict.fromkeys(problems)) + circles(modules)


def circles(modules: list[Module]) -> list[str]:
    """Modules of a room that import each other."""
    known = {module.name for module in modules}
    arrows: dict[str, set[str]] = {}
    for module in modules:
        targets = set()
        for _, name in module.imports(module.at_module_level()):
            found = name if name in known else name.rpartition(".")[0]  # a module, or a name in one
            # A package that a module of its own imports from is a circle only if it is another's.
            if found in known and found != module.name and not module.name.startswith(f"{found}."):
                targets.add(found)
        arrows[module.name] = targets
    problems = []
    seen: set[str] = set()
    for start in sorted(arrows):
        circle = path_between(arrows, start, start)
        if circle and not seen & set(circle):
            seen |= set(circle)
            problems.append(f"a circle of imports: {' -> '.join(circle)}: move what two of them need into a third")
    return problems


def path_between(arrows: dict[str, set[str]], start: str, end: str) -> list[str]:
    """The shortest path of one arrow or more, [] for none."""
    before: dict[str, str] = {}
    waiting = [start]
    for node in waiting:
        for target in sorted(arrows.get(node, ())):
            if target == end:
                path = [node]
                while path[0] != start:
                    path.insert(0, before[path[0]])
                return [*path, end]
            if target not in before:
                before[target] = node
                waiting.append(target)
    return []


# ---- other places that name the rooms


def named_in_root(tree: ast.Module) -> tuple[list[str], list[str]]:
    """Of daybreak/__init__.py: the names in `_ROOMS`, and what `from daybreak import ...` names for type checkers."""
    rooms: list[str] = []
    typed: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["_ROOMS"]:
            rooms = list(ast.literal_eval(node.value))
        elif isinstance(node, ast.ImportFrom) and node.module == "daybreak":
            typed = [alias.name for alias in node.names]
    return rooms, typed


def layers(stories: list[list[str]]) -> list[str]:
    """As import-linter has them: the highest first, each room optional, none of them of another of its floor."""
    return [" | ".join(f"({room})" for room in rooms if room not in NOT_IN_PYTHON) for rooms in reversed(stories)]


def house(stories: list[list[str]]) -> list[str]:
    """As ARCHITECTURE.md draws it."""
    return [f"{number}  {'  '.join(stories[number - 1])}" for number in range(len(stories), 0, -1)]


def rooms_line(rooms: list[str]) -> str:
    """As ruff formats it, within 120 columns or a room a line."""
    line = f"_ROOMS = ({', '.join(json.dumps(room) for room in rooms)})"
    return line if len(line) <= 120 else "_ROOMS = (\n" + "".join(f"    {json.dumps(room)},\n" for room in rooms) + ")"


def list_problems(root: Path) -> list[str]:
    """Where another place that names the rooms differs, and what to write there."""
    problems = []
    there = [room for room in FLOORS if (root / "daybreak" / room / "__init__.py").exists()]
    init = root / "daybreak" / "__init__.py"
    if init.exists():
        rooms, typed = named_in_root(ast.parse(init.read_text()))
        if rooms != there:
            problems.append(f"daybreak/__init__.py: write {rooms_line(there)}")
        if sorted(typed) != sorted(there):
            problems.append(
                f"daybreak/__init__.py: write, for type checkers, from daybreak import {', '.join(sorted(there))}"
            )
    pyproject = root / "pyproject.toml"
    if pyproject.exists():
        [contract] = tomllib.loads(pyproject.read_text())["tool"]["importlinter"]["contracts"]
        if contract["layers"] != layers(STORIES):
            problems.append(f"pyproject.toml: write layers = {json.dumps(layers(STORIES), indent=2)}")
    page = root / "ARCHITECTURE.md"
    if page.exists() and "\n".join(["```", *house(STORIES), "```"]) not in page.read_text():
        problems.append("\n".join(["ARCHITECTURE.md: write, in a block of its own", *house(STORIES)]))
    problems += [
        f"ARCHITECTURE.md: write, among the rooms, - `{folder.name}`: and what it holds"
        for folder in (rooms_of(root) if page.exists() else [])
        if folder.name in FLOORS and any((folder / file).exists() for file in ("CMakeLists.txt", "__init__.py"))
        if f"\n- `{folder.name}`: " not in page.read_text()
    ]
    return problems


def rooms_of(root: Path) -> list[Path]:
    return sorted(path for path in (root / "daybreak").iterdir() if path.is_dir() and not path.name.startswith("_"))


def problems_of(root: Path) -> list[str]:
    return cpp_problems(root) + python_problems(root) + list_problems(root)


if __name__ == "__main__":
    found = problems_of(ROOT)
    print("\n".join(found), end="\n" if found else "")
    sys.exit(1 if found else 0)
