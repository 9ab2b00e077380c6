"""Every example of a README or a page of docs runs as it is written: copied, pasted, in an empty directory.

Blocks of one file run one after the other, as a reader types them. What a text presumes (a batch, somebody's weights) stands in a
comment before its block, which no page shows: ``<!-- given: ... -->``. A first line ``# needs: torch`` there leaves the block out
where that library, which nothing here depends on, is not installed.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("daybreak/**/README.md")), *sorted(ROOT.glob("docs/**/*.md"))]
BLOCK = re.compile(r"(?:^<!-- given:\n(.*?)^-->\n+)?^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"^[ \t]+```python", re.MULTILINE)


def program(text: str) -> str:
    """The page's blocks as one program that says which of them it is in."""
    parts = []
    for number, match in enumerate(BLOCK.finditer(text), 1):
        given, block = match[1] or "", match[2]
        line = text.count("\n", 0, match.start(2)) + 1
        parts.append(f"_run({number}, {line}, {given!r}, {block!r})")
    return "\n".join(parts)


RUNNER = """
import importlib.util, sys, types
_main = types.ModuleType("__main__")  # in which what is defined looks as if it was typed
sys.modules["__main__"] = _main
def _run(number, line, given, block):
    needs = given.partition("\\n")[0].removeprefix("# needs: ")
    if given.startswith("# needs: ") and importlib.util.find_spec(needs) is None:
        return
    try:
        exec(compile(given, "given", "exec"), _main.__dict__)
        exec(compile("\\n" * (line - 1) + block, PAGE, "exec"), _main.__dict__)
    except BaseException:
        print(f"block {number} of {PAGE}, line {line}:", file=sys.stderr, flush=True)
        raise
"""


def run_page(path: Path, where: Path, seconds: float = 120) -> str:
    """What went wrong; "" when nothing did."""
    script = where / "page.py"
    script.write_text(f"PAGE = {str(path)!r}\n{RUNNER}\n{program(path.read_text())}\n")
    folder = where / "empty"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-P", str(script)], cwd=folder, capture_output=True, text=True, timeout=seconds
    )
    return "" if done.returncode == 0 else done.stderr[-3000:] or f"exit status {done.returncode}"


with_examples = [path for path in PAGES if BLOCK.search(path.read_text())]


@pytest.mark.parametrize("path", with_examples, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_examples_of_a_page_run_as_they_are_written(path: Path, tmp_path: Path) -> None:
    assert run_page(path, tmp_path) == ""


def test_no_example_hides_from_this_test() -> None:
    assert [str(path) for path in PAGES if INDENTED.search(path.read_text())] == []


def test_an_example_that_does_not_run_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- given:\nx = 1\n-->\n```python\ny = x + 1\n```\n\n```python\nassert y == 3\n```\n")
    assert "block 2" in run_page(page, tmp_path)
