"""Tutorials: from one source a solution and what a learner starts from, as scripts and as notebooks. `./dev tutorial` calls it.

A source is tutorials/ROOM/NN_name.py, a percent script: a code cell begins with `# %%`, a text with `# %% [markdown]` and each of
its lines with `# `. The first cell is a text, whose first line is the title (`# # Title`). The source runs as it is: it is the
solution. What a learner has to find stands between marks:

    # solution:
    refs = [slow.remote(i) for i in range(4)]
    # fixme: start all four before you wait for the first
    # > refs = [slow(i) for i in range(4)]
    # end

The solution keeps the lines below `# solution:`. The FIXME variant has `# FIXME:` with the hint in their place, and below it what
stands behind `# > `, if anything does. A mark stands alone in its line, in a code cell; the marks of a block are indented alike
and do not nest. Whatever breaks these rules is refused with file and line. Then tests/test_tutorials.py runs it all: the first
assert of a source must fail in its FIXME variant; a learner meets it first, and its message says what is missing.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MARK = re.compile(r"\s*# (solution:|fixme\b|end$)(.*)")
KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


class BadSourceError(ValueError):
    """A source that breaks a rule, or a name that is no tutorial's; its text says where."""


@dataclass(frozen=True)
class Line:
    number: int  # in the source
    text: str


@dataclass(frozen=True)
class Cell:
    kind: str  # "code" or "markdown"
    lines: list[str]


@dataclass(frozen=True)
class Variant:
    """A source with every choice made."""

    lines: list[Line]
    cells: list[Cell]

    @property
    def script(self) -> str:
        return "".join(f"{line.text}\n" for line in self.lines)

    def notebook(self, name: str) -> dict[str, object]:
        """As nbformat 4.5 has it. `name` makes the cells' ids, the same each time."""
        cells = []
        for number, cell in enumerate(self.cells, 1):
            source = [f"{line}\n" for line in cell.lines[:-1]] + cell.lines[-1:]
            made: dict[str, object] = {"cell_type": cell.kind, "id": f"{name}-{number}"[-64:], "metadata": {}}
            if cell.kind == "code":
                made |= {"execution_count": None, "outputs": []}
            cells.append(made | {"source": source})
        return {"cells": cells, "metadata": KERNEL, "nbformat": 4, "nbformat_minor": 5}


@dataclass(frozen=True)
class Tutorial:
    name: str  # NN_name
    title: str
    solution: Variant
    fixme: Variant


def choose(path: str, text: str) -> tuple[list[Line], list[Line]]:
    """The lines of the solution and those of the FIXME variant."""
    solution: list[Line] = []
    fixme: list[Line] = []
    where, began, indent = "", 0, 0  # the mark that we are behind; where its block began, and how far to the right
    prose = False  # whether this cell is a text

    def bad(at: int, what: str) -> BadSourceError:
        return BadSourceError(f"{path}:{at}: {what}")

    for number, line in enumerate(text.splitlines(), 1):
        mark = MARK.fullmatch(line)
        if mark is None:
            if line.lstrip().startswith("# %%"):
                prose = line.startswith("# %% [markdown]")
                if where:
                    raise bad(number, f"a cell begins inside the `# solution:` of line {began}: put `# end` before it")
            if where != "fixme":
                solution.append(Line(number, line))
            if where == "fixme":
                quoted = re.fullmatch(r"(\s*)# >(?: (.*))?", line)
                if quoted is None:
                    raise bad(number, "below `# fixme:` a line begins with `# > `, up to `# end`")
                fixme.append(Line(number, (quoted[1] + (quoted[2] or "")).rstrip()))
            elif not where:
                fixme.append(Line(number, line))
        elif prose:
            raise bad(number, "a mark inside a text: marks are for code")
        elif mark[1] == "solution:":
            if where:
                raise bad(number, f"marks do not nest: `# end` is missing for line {began}")
            if mark[2].strip():
                raise bad(number, "`# solution:` stands alone in its line")
            where, began, indent = "solution", number, line.index("#")
        elif where and line.index("#") != indent:
            raise bad(number, f"this mark and the `# solution:` of line {began} are indented alike")
        elif mark[1] == "fixme":
            if where != "solution":
                raise bad(number, "`# fixme:` without a `# solution:` before it")
            if not re.match(r": \S", mark[2]):
                raise bad(number, "`# fixme:` wants a hint in its line: `# fixme: start all four first`")
            fixme.append(Line(number, line.replace("fixme:", "FIXME:", 1)))
            where = "fixme"
        elif where != "fixme":
            raise bad(number, "`# end` without a `# fixme:` before it")
        else:
            where = ""
    if where:
        raise bad(began, "this `# solution:` has no `# end`")
    if solution == fixme:
        raise bad(1, "no `# solution:` in it, so there is nothing to find")
    return solution, fixme


def cells_of(path: str, lines: list[Line]) -> list[Cell]:
    cells: list[Cell] = []
    for line in lines:
        if line.text.startswith("# %%"):
            kind = {"# %%": "code", "# %% [markdown]": "markdown"}.get(line.text.rstrip())
            if kind is None:
                raise BadSourceError(f"{path}:{line.number}: {line.text!r}: a cell begins `# %%` or `# %% [markdown]`")
            cells.append(Cell(kind, []))
        elif not cells:
            raise BadSourceError(f"{path}:{line.number}: before the first cell: begin with `# %% [markdown]`")
        elif cells[-1].kind == "code" or not line.text:
            cells[-1].lines.append(line.text)
        elif line.text == "#" or line.text.startswith("# "):
            cells[-1].lines.append(line.text[2:])
        else:
            raise BadSourceError(f"{path}:{line.number}: a line of a text begins with `# `")
    for cell in cells:
        while cell.lines and not cell.lines[-1]:
            cell.lines.pop()
        while cell.lines and not cell.lines[0]:
            cell.lines.pop(0)
    return [cell for cell in cells if cell.lines]


def variant_of(path: str, name: str, lines: list[Line]) -> Variant:
    made = Variant(lines, cells_of(path, lines))
    try:
        compile(made.script, path, "exec", dont_inherit=True)
    except SyntaxError as error:
        at = lines[min(error.lineno or 1, len(lines)) - 1].number
        raise BadSourceError(f"{path}:{at}: the {name} is no Python: {error.msg}") from None
    return made


def read(path: str, text: str) -> Tutorial:
    """`path` names it in errors; the file need not be there."""
    name = Path(path).stem
    if not re.fullmatch(r"\d\d_[a-z0-9_]+", name):
        raise BadSourceError(f"{path}: {name!r} is no tutorial's name: two digits and lower case, like 01_tasks.py")
    lines, fixme_lines = choose(path, text)
    solution = variant_of(path, "solution", lines)
    fixme = variant_of(path, "FIXME variant", fixme_lines)
    first = solution.cells[0] if solution.cells else Cell("code", [""])
    if first.kind != "markdown" or not first.lines[0].startswith("# "):
        raise BadSourceError(f"{path}:1: the first cell is a text that begins with the title: `# # Title`")
    return Tutorial(name, first.lines[0][2:], solution, fixme)


def sources(root: Path = ROOT) -> dict[str, Path]:
    """By ROOM/NN_name, in order."""
    return {f"{path.parent.name}/{path.stem}": path for path in sorted(root.glob("tutorials/*/*.py"))}


def load(path: Path, root: Path = ROOT) -> Tutorial:
    return read(str(path.relative_to(root)), path.read_text())


def find(name: str) -> list[Path]:
    """All for "", else the one whose name, with its room or without, begins so."""
    known = sources()
    found = [path for full, path in known.items() if (full if "/" in name else path.stem).startswith(name)]
    exact = [path for full, path in known.items() if name in (full, path.stem)]
    if len(exact) == 1 or not name:
        return exact or found
    if len(found) != 1:
        matches = [full for full, path in known.items() if path in found]
        wrong = f"{len(found)} tutorials begin so" if found else "no tutorial begins so; there are"
        raise BadSourceError(f"{name!r}: {wrong}: {', '.join(matches or known)}")
    return found


def write(files: dict[Path, str]) -> None:
    """All of them or none: a learner's work is in such a file."""
    there = [str(path) for path in files if path.exists()]
    if there:
        raise BadSourceError(
            f"{', '.join(there)}: there already, and perhaps your work: name another folder, or remove it"
        )
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(path)


def run(tutorial: Tutorial, fixme: bool) -> int:
    with tempfile.TemporaryDirectory(prefix="daybreak-tutorial-") as folder:
        script = Path(folder) / f"{tutorial.name}.py"
        script.write_text((tutorial.fixme if fixme else tutorial.solution).script)
        code = subprocess.run([sys.executable, str(script)]).returncode
    if fixme and code:
        print(
            f"\nYour turn: ./dev tutorial {tutorial.name} --script FOLDER writes it for you to edit.", file=sys.stderr
        )
    return code


def listing() -> str:
    known = {full: load(path) for full, path in sources().items()}
    width = max(map(len, known), default=0)
    rows = "".join(f"{full:<{width}}  {tutorial.title}\n" for full, tutorial in known.items())
    return (
        f"{rows}\n./dev tutorial 01                     run a solution\n"
        "./dev tutorial 01 --fixme             what you start from: it stops at the first thing to do\n"
        "./dev tutorial 01 --script FOLDER     write both to edit and run; --notebook FOLDER: for Jupyter; without a name: all"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev tutorial", description="Lists, runs or writes the tutorials.")
    parser.add_argument("name", nargs="?", default="", help="one of them, or how its name begins: 01, runtime/01")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--fixme", action="store_true", help="run what a learner starts from instead of the solution")
    how.add_argument(
        "--script", metavar="FOLDER", type=Path, help="write both variants there, NAME.py and NAME_solution.py"
    )
    how.add_argument("--notebook", metavar="FOLDER", type=Path, help="the same as notebooks, NAME.ipynb")
    asked = parser.parse_args()
    try:
        if asked.fixme and not asked.name:
            raise BadSourceError("--fixme of which one? ./dev tutorial lists them")
        if not asked.name and not asked.script and not asked.notebook:
            print(listing())
            return 0
        files: dict[Path, str] = {}
        for tutorial in map(load, find(asked.name)):
            if not asked.script and not asked.notebook:
                return run(tutorial, asked.fixme)
            for name, variant in ((tutorial.name, tutorial.fixme), (f"{tutorial.name}_solution", tutorial.solution)):
                if asked.script:
                    files[asked.script / f"{name}.py"] = variant.script
                else:
                    text = json.dumps(variant.notebook(name), indent=1, ensure_ascii=False)
                    files[asked.notebook / f"{name}.ipynb"] = f"{text}\n"
        write(files)
    except BadSourceError as error:
        print(f"tutorial: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
