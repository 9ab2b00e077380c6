"""Every tutorial teaches what it says: its solution passes, and whatever a learner leaves undone is found by an assert."""

import ast
import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tools import tutorial

ROOT = Path(__file__).resolve().parent.parent
SOURCES = tutorial.sources()
BLOCK = re.compile(r"^ *# solution:\n(.*?)^ *# fixme:.*?\n(.*?)^ *# end\n", re.DOTALL | re.MULTILINE)
TOOL = [sys.executable, str(ROOT / "tools/tutorial.py")]

# As Jupyter does: one cell after the other, in one namespace, which looks as if it was typed.
NOTEBOOK = """
import json, sys, types
main = sys.modules["__main__"] = types.ModuleType("__main__")
for number, cell in enumerate(json.load(open(sys.argv[1]))["cells"], 1):
    if cell["cell_type"] == "code":
        exec(compile("".join(cell["source"]), f"cell {number}", "exec"), main.__dict__)
"""

GOOD = """# %% [markdown]
# # A title

# %%
# solution:
x = 1
# fixme: x is one
# > x = 0
# end
assert x == 1, "x is one"
"""


def run(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)


def run_text(text: str, folder: Path, name: str = "script") -> subprocess.CompletedProcess[str]:
    script = folder / f"{name}.py"
    script.write_text(text)
    return run(sys.executable, str(script), cwd=folder)


def without_piece(source: str, undone: int) -> str:
    """The solution, but for one piece."""
    number = -1

    def choose(block: re.Match[str]) -> str:
        nonlocal number
        number += 1
        return re.sub(r"^( *)# > ?", r"\1", block[2], flags=re.MULTILINE) if number == undone else block[1]

    return BLOCK.sub(choose, source)


@pytest.mark.parametrize("name", SOURCES)
def test_a_solution_passes_as_a_script_and_as_a_notebook(name: str, tmp_path: Path) -> None:
    solution = tutorial.load(SOURCES[name]).solution
    notebook = tmp_path / "notebook.ipynb"
    notebook.write_text(json.dumps(solution.notebook("x")))
    with ThreadPoolExecutor(2) as pool:  # they sleep most of the time
        script = pool.submit(run_text, solution.script, tmp_path)
        cells = pool.submit(run, sys.executable, "-c", NOTEBOOK, str(notebook), cwd=tmp_path)
    for done in (script.result(), cells.result()):
        assert done.returncode == 0, done.stderr[-3000:]


def first_assert(script: str) -> int:
    return min(node.lineno for node in ast.walk(ast.parse(script)) if isinstance(node, ast.Assert))


# What is not finished fails by its order or by being too slow, which a busy machine does not change: four at once.
def test_what_a_learner_starts_from_stops_at_the_first_assert(tmp_path: Path) -> None:
    # Read here and not in the threads: ast.parse of CPython 3.11 fails now and then when two threads parse at once.
    scripts = {name: tutorial.load(path).fixme.script for name, path in SOURCES.items()}
    asserts = {name: first_assert(script) for name, script in scripts.items()}

    def problem(name: str) -> str:
        first = asserts[name]
        done = run_text(scripts[name], tmp_path, name.replace("/", "_"))
        stopped = re.findall(r'^  File ".*?", line (\d+), in <module>', done.stderr, re.MULTILINE)
        if done.returncode == 1 and "AssertionError: " in done.stderr.splitlines()[-1] and stopped == [str(first)]:
            return ""
        return f"{name}: not the assert of line {first}: {done.returncode} {done.stderr[-1000:]}"

    with ThreadPoolExecutor(4) as pool:
        assert [found for found in pool.map(problem, SOURCES) if found] == []


def test_no_piece_can_be_left_undone_without_an_assert_that_says_so(tmp_path: Path) -> None:
    def problem(piece: tuple[str, int]) -> str:
        name, number = piece
        script = without_piece(SOURCES[name].read_text(), number)
        done = run_text(script, tmp_path, f"{name.replace('/', '_')}_{number}")
        last = (done.stderr.splitlines() or [""])[-1]
        return "" if re.match("AssertionError: .", last) else f"{name}, piece {number + 1}: {done.stderr[-1000:]}"

    # Without the first piece it stops where the test above says.
    pieces = [
        (name, number) for name, path in SOURCES.items() for number in range(1, path.read_text().count("# end\n"))
    ]
    assert len(pieces) >= 12
    with ThreadPoolExecutor(4) as pool:
        assert [found for found in pool.map(problem, pieces) if found] == []


def test_the_thirteen_exercises_are_there_and_listed_with_their_titles() -> None:
    done = run(str(ROOT / "dev"), "tutorial")
    assert done.returncode == 0, done.stderr
    assert len([name for name in SOURCES if name.startswith("runtime/")]) == 13
    for name, path in SOURCES.items():
        assert re.search(rf"^{name} +{re.escape(tutorial.load(path).title)}$", done.stdout, re.MULTILINE)
        assert f"`{name.partition('/')[2]}`" in (ROOT / "tutorials/README.md").read_text()


def test_every_tutorial_says_why_before_how() -> None:
    for path in SOURCES.values():
        made = tutorial.load(path)
        for variant in (made.solution, made.fixme):
            assert variant.cells[0].kind == "markdown" and len(variant.cells[0].lines) > 4, path
            assert sum(cell.kind == "markdown" for cell in variant.cells) >= 3, path


def test_notebooks_are_what_nbformat_4_5_asks_for(tmp_path: Path) -> None:
    assert run(*TOOL, "--notebook", "out", cwd=tmp_path).returncode == 0
    written = sorted((tmp_path / "out").iterdir())
    names = {name.partition("/")[2] for name in SOURCES}
    assert {path.name for path in written} == {f"{name}{end}.ipynb" for name in names for end in ("", "_solution")}
    for path in written:
        notebook = json.loads(path.read_text())
        assert notebook.keys() == {"cells", "metadata", "nbformat", "nbformat_minor"}
        assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
        assert notebook["metadata"]["kernelspec"].keys() >= {"name", "display_name"}
        assert notebook["metadata"]["language_info"]["name"] == "python"
        ids = [cell["id"] for cell in notebook["cells"]]
        assert len(set(ids)) == len(ids) > 0 and all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", each) for each in ids)
        for cell in notebook["cells"]:
            code = {"execution_count", "outputs"} if cell["cell_type"] == "code" else set()
            assert cell["cell_type"] in ("code", "markdown")
            assert cell.keys() == {"cell_type", "id", "metadata", "source"} | code
            assert cell["metadata"] == {} and (not code or (cell["execution_count"], cell["outputs"]) == (None, []))
            assert cell["source"] and all(isinstance(line, str) for line in cell["source"])
            assert all(line.endswith("\n") for line in cell["source"][:-1]) and not cell["source"][-1].endswith("\n")
        assert ("FIXME" in path.read_text()) == ("_solution" not in path.name)


def test_one_source_gives_a_solution_and_what_a_learner_starts_from() -> None:
    made = tutorial.read("tutorials/x/01_x.py", GOOD)
    assert made.title == "A title"
    head, tail = GOOD.partition("# solution:\n")[0], 'assert x == 1, "x is one"\n'
    assert made.solution.script == f"{head}x = 1\n{tail}"
    assert made.fixme.script == f"{head}# FIXME: x is one\nx = 0\n{tail}"
    assert [cell.kind for cell in made.fixme.cells] == ["markdown", "code"]


def test_a_piece_keeps_its_indentation_and_may_have_nothing_in_its_place() -> None:
    block = "def f():\n    # solution:\n    a = 1\n    # fixme: a hint\n    # > if 1:\n    # >     b = 2\n    # >\n    # end\n"
    made = tutorial.read("tutorials/x/01_x.py", GOOD + block)
    assert made.fixme.script.endswith("def f():\n    # FIXME: a hint\n    if 1:\n        b = 2\n\n")
    made = tutorial.read("tutorials/x/01_x.py", GOOD.replace("# > x = 0\n", ""))
    assert "# FIXME: x is one\nassert" in made.fixme.script


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("# end\n", "", 9, "below `# fixme:` a line begins with `# > `, up to `# end`"),
        (GOOD[GOOD.index("# end") :], "", 5, "has no `# end`"),
        ("# solution:\n", "", 6, "`# fixme:` without a `# solution:` before it"),
        ("# fixme: x is one\n# > x = 0\n", "", 7, "`# end` without a `# fixme:` before it"),
        ("# fixme: x is one", "# solution:", 7, "marks do not nest: `# end` is missing for line 5"),
        ("# fixme: x", "  # fixme: x", 7, "this mark and the `# solution:` of line 5 are indented alike"),
        ("# end", "    # end", 9, "indented alike"),
        ("# solution:", "# solution: x", 5, "stands alone in its line"),
        ("# fixme: x is one", "# fixme: ", 7, "wants a hint in its line"),
        ("# fixme: x is one", "# fixme x", 7, "wants a hint in its line"),
        ("# > x = 0", "x = 0", 8, "below `# fixme:` a line begins with `# > `"),
        ("x = 1\n", "x = 1\n# %%\n", 7, "a cell begins inside the `# solution:` of line 5"),
        ("# > x = 0", "# > x = (", 8, "the FIXME variant is no Python"),
        ("\nx = 1", "\nx = = 1", 6, "the solution is no Python"),
        ("\n\n# %%\n", "\n# # end\n# end\n# %%\n", 4, "a mark inside a text"),
        ("# # A title", "# # A title\nand more", 3, "a line of a text begins with `# `"),
        ("# # A title", "# A title", 1, "begins with the title"),
        ("\n# %%\n", "\n# %% code\n", 4, "a cell begins `# %%` or `# %% [markdown]`"),
        ("# %% [markdown]", "import os", 1, "before the first cell"),
        (GOOD[GOOD.index("# solution:") : GOOD.index("assert")], "x = 1\n", 1, "no `# solution:` in it"),
    ],
)
def test_a_source_that_breaks_a_rule_is_refused_with_file_and_line(old: str, new: str, line: int, message: str) -> None:
    assert old in GOOD
    with pytest.raises(tutorial.BadSourceError) as error:
        tutorial.read("tutorials/x/01_x.py", GOOD.replace(old, new, 1))
    assert str(error.value).startswith(f"tutorials/x/01_x.py:{line}: ") and message in str(error.value)


def test_a_file_that_has_no_tutorials_name_is_refused() -> None:
    for name in ("notes", "1_x", "01_X", "01-x"):
        with pytest.raises(tutorial.BadSourceError, match=f"tutorials/x/{name}.py: '{name}' is no tutorial's name"):
            tutorial.read(f"tutorials/x/{name}.py", GOOD)


def test_what_is_written_is_what_runs_and_nobodys_work_is_written_over(tmp_path: Path) -> None:
    assert run(*TOOL, "11", "--script", "mine", cwd=tmp_path).returncode == 0
    mine = tmp_path / "mine/11_weights.py"
    assert sorted(path.name for path in mine.parent.iterdir()) == ["11_weights.py", "11_weights_solution.py"]
    mine.write_text("# my work\n")
    (tmp_path / "mine/11_weights_solution.py").unlink()
    done = run(*TOOL, "11", "--script", "mine", cwd=tmp_path)
    assert done.returncode == 2 and "mine/11_weights.py: there already, and perhaps your work" in done.stderr
    assert mine.read_text() == "# my work\n" and list(mine.parent.iterdir()) == [mine]


def test_a_tutorial_is_found_by_how_its_name_begins(tmp_path: Path) -> None:
    for name in ("08", "08_objects", "runtime/08", "runtime/08_objects"):
        assert tutorial.find(name) == [ROOT / "tutorials/runtime/08_objects.py"]
    for name, message in (
        ("0", "15 tutorials begin so: linalg/01_"),
        ("99", "no tutorial begins so; there are: linalg/01_"),
    ):
        with pytest.raises(tutorial.BadSourceError, match=message):
            tutorial.find(name)
    done = run(*TOOL, "--fixme")
    assert done.returncode == 2 and "--fixme of which one?" in done.stderr


def test_dev_tutorial_runs_the_solution_or_what_a_learner_starts_from_where_the_caller_is(tmp_path: Path) -> None:
    done = run(str(ROOT / "dev"), "tutorial", "08", cwd=tmp_path)
    assert done.returncode == 0 and "stored once:" in done.stdout, done.stderr
    done = run(str(ROOT / "dev"), "tutorial", "08", "--fixme", cwd=tmp_path)
    assert done.returncode == 1 and "AssertionError: stored is of type ndarray" in done.stderr
    assert "./dev tutorial 08_objects --script FOLDER writes it for you to edit" in done.stderr
    assert list(tmp_path.iterdir()) == []
