"""The house rules themselves: what they must find, on made-up trees."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tools import tidy_rules

LIST = tidy_rules.EXCEPTIONS


def tree(root: Path, files: dict[str, str]) -> list[str]:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    return tidy_rules.problems_of(root)


@pytest.mark.parametrize(
    ("rule", "call"),
    [
        ("clock", "auto t = std::chrono::steady_clock::now();"),
        ("clock", "::clock_gettime(CLOCK_MONOTONIC, &t);"),
        ("open", "int fd = ::open(path, O_RDONLY);"),
        ("open", "int fd = ::openat(dir, path, 0);"),
        ("memfd", 'memfd_create("x", 0);'),
        ("futex", "syscall(SYS_futex, &word);"),
        ("random_device", "std::random_device device;"),
        ("mkdtemp", "::mkdtemp(name);"),
        ("mutex", "std::mutex mutex_;"),
        ("mutex", "std::condition_variable_any changed_;"),
    ],
)
def test_a_banned_call_is_found_outside_its_room_alone(tmp_path: Path, rule: str, call: str) -> None:
    files = {"daybreak/rl/a.cc": f"\n{call}\n", "daybreak/base/a.cc": call, "daybreak/rl/b.cc": f"// {call}\n"}
    (problem,) = tree(tmp_path, files)
    assert problem.startswith("daybreak/rl/a.cc:2: ") and tidy_rules.BANNED[rule].instead in problem


def test_tests_may_look_at_a_clock_and_may_not_make_their_own_temporary_folders(tmp_path: Path) -> None:
    files = {"daybreak/rl/tests/a_test.cc": "steady_clock::now(); std::mutex m; mkdtemp(x);"}
    (problem,) = tree(tmp_path, files)
    assert "mkdtemp" in problem


def test_a_member_that_has_the_name_of_a_banned_call_is_none(tmp_path: Path) -> None:
    assert tree(tmp_path, {"daybreak/rl/a.cc": "File::open(x); file->open(y); base::open(z); std::mutexes m;"}) == []


def test_long_files_and_functions_are_found_and_docstrings_are_not_counted(tmp_path: Path) -> None:
    body, lines = "    x = 1\n" * 69, "\n" * 50
    cpp, inner = "  x = 1;\n" * 69, "    x = 1;\n" * 69
    files = {
        "a.py": "#\n" * 601,
        "b.py": "#\n" * 600,
        "c.py": f"def long():\n    y = 1\n{body}\ndef fits():\n{body}\ndef told():\n    '''a\n{lines}'''\n{body}",
        "d.cc": f"int f() {{\n{cpp}}}\n\nstatic void g(int a,\n              int b) {{\n{cpp}}}\n",
        "e.cc": f"class A {{\n public:\n  void inside() {{\n{inner}  }}\n  void fits() {{\n{inner[11:]}  }}\n}};\n",
        "f.cc": f"const int table[] = {{\n{cpp}{cpp}}};\nTEST(Case, that_is_long) {{\n{cpp}}}\n",
    }
    assert [problem.split(",")[0] for problem in tree(tmp_path, files)] == [
        "a.py: 601 lines",
        "c.py: long() has 71 lines",
        "d.cc: f() has 71 lines",
        "d.cc: g() has 72 lines",
        "e.cc: inside() has 71 lines",
        "f.cc: Case.that_is_long() has 71 lines",
    ]


def test_a_header_that_nobody_includes_is_found(tmp_path: Path) -> None:
    files = {"daybreak/rl/a.h": "", "daybreak/rl/b.h": "", "daybreak/rl/b.cc": '#include "daybreak/rl/b.h"\n'}
    assert tree(tmp_path, files) == ["daybreak/rl/a.h: nobody includes it"]


def test_a_document_that_names_a_file_that_is_not_there_is_found(tmp_path: Path) -> None:
    page = "[one](b.md) [two](c.md#x) [far](https://a.b/c.md) `rl/a.cc` `gone.cc` `a.cc` `f()` `ROOM/x.py` `NAME_test.cc`\n"
    page += "`GONE.md`\n"
    files = {"docs/a.md": page + "```\n`not_looked_at.cc`\n```\n", "docs/b.md": "", "daybreak/rl/a.cc": ""}
    files["CHANGELOG.md"] = files["docs/decisions/0001.md"] = "`gone.cc`"
    assert tree(tmp_path, files) == [
        "docs/a.md: there is no file c.md",
        "docs/a.md: there is no file gone.cc",
        "docs/a.md: there is no file GONE.md",
    ]


def test_an_exception_is_a_ceiling_and_goes_when_it_is_no_longer_needed(tmp_path: Path) -> None:
    calls = "memfd_create(a);\nmemfd_create(b);\n"
    files = {"daybreak/rl/a.cc": calls, LIST: "# why\nmemfd daybreak/rl/a.cc 2\n"}
    assert tree(tmp_path, files) == []
    (more,) = tree(tmp_path, {"daybreak/rl/a.cc": calls + calls})
    assert "(4; tools/tidy_exceptions.txt allows 2)" in more
    (gone,) = tree(tmp_path, {"daybreak/rl/a.cc": ""})
    assert "'memfd daybreak/rl/a.cc' is no longer needed" in gone


def test_prune_takes_out_and_lowers_and_never_adds(tmp_path: Path) -> None:
    allowed = "# why\nmemfd daybreak/rl/a.cc 5\nopen daybreak/rl/gone.cc 1\nmemfd daybreak/rl/b.cc 1\n"
    files = {
        "daybreak/rl/a.cc": "memfd_create(a);",
        "daybreak/rl/b.cc": "memfd_create(a);\nmemfd_create(a);",
        LIST: allowed,
    }
    assert len(tree(tmp_path, files)) == 2
    tidy_rules.prune(tmp_path)
    assert (tmp_path / LIST).read_text() == "# why\nmemfd daybreak/rl/a.cc 1\nmemfd daybreak/rl/b.cc 1\n"
    assert len(tidy_rules.problems_of(tmp_path)) == 1


def test_long_lines_of_a_page_that_tells_a_story_are_found(tmp_path: Path) -> None:
    files = {"docs/journeys/a.md": "x" * 132 + "\n" + "x" * 133, "README.md": "x" * 200, "ARCHITECTURE.md": "x" * 133}
    found = [problem.split(": ")[0] for problem in tree(tmp_path, files)]
    assert found == ["ARCHITECTURE.md:1", "docs/journeys/a.md:2"]
