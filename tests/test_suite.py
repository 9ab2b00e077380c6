"""tools/suite.py on a made-up suite: what is sampled, counted, found, and taken off the list."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from tools import suite
from tools.scratch import unpack

PLUGIN = """
import pytest

FOLDER = "theirs"
TESTS = ["tests"]
SAMPLE = 4


@pytest.fixture
def answer():  # ours, in the place of theirs
    return 42
"""
TESTS = """
import pytest


@pytest.mark.parametrize("n", range(100))
def test_number(n):
    assert n % 10 != 3


def test_answer(answer):
    assert answer == 42


@pytest.mark.skip
def test_later(): ...


@pytest.mark.xfail
def test_known():
    assert False


@pytest.fixture
def broken():
    raise ValueError


def test_error_of_a_fixture(broken): ...
"""
FAILING = {f"tests/test_it.py::test_number[{n}]" for n in range(3, 100, 10)} | {
    "tests/test_it.py::test_error_of_a_fixture"
}


@pytest.fixture
def made(tmp_path: Path) -> suite.Suite:
    path = tmp_path / "daybreak" / "rl" / "suites" / "numbers.py"
    (path.parent / "theirs" / "tests").mkdir(parents=True)
    path.write_text(PLUGIN)
    (path.parent / "theirs" / "tests" / "test_it.py").write_text(TESTS)
    assert suite.suites_of(tmp_path) == {"numbers": path}
    return suite.Suite.of(path)


def listed(made: suite.Suite, names: set[str]) -> None:
    made.failures.write_text("# what ours does not do yet\n" + "".join(f"{name}\n" for name in sorted(names)))


def test_a_whole_run_counts_everything_and_wants_exactly_the_listed_to_fail(
    made: suite.Suite, capsys: pytest.CaptureFixture[str]
) -> None:
    listed(made, FAILING)
    assert suite.check(made, True, False, [])
    said = "numbers: 104 of 104 tests (all): 91 passed, 11 failed as listed, 0 failed anew, 2 skipped\n"
    assert capsys.readouterr().out == said


def test_a_failure_that_is_not_listed_is_an_error(made: suite.Suite, capsys: pytest.CaptureFixture[str]) -> None:
    listed(made, FAILING - {"tests/test_it.py::test_number[13]"})
    assert not suite.check(made, True, False, [])
    assert "  fails and is not listed: tests/test_it.py::test_number[13]\n" in capsys.readouterr().out


def test_the_list_may_only_shrink(made: suite.Suite, capsys: pytest.CaptureFixture[str]) -> None:
    listed(made, FAILING | {"tests/test_it.py::test_answer", "tests/test_it.py::test_gone"})
    assert not suite.check(made, True, False, [])
    out = capsys.readouterr().out
    assert "  is listed and does not fail: tests/test_it.py::test_answer\n" in out
    assert "  is listed and no longer there: tests/test_it.py::test_gone\n" in out
    assert suite.check(made, True, True, [])
    assert suite.read_list(made.failures) == FAILING
    assert made.failures.read_text().startswith("# what ours")
    listed(made, set())
    assert not suite.check(made, True, True, [])
    assert suite.read_list(made.failures) == set()  # it adds nothing


def test_a_sample_is_the_same_at_each_run_and_a_part_of_the_whole(made: suite.Suite) -> None:
    first, again = suite.run(made, False, []), suite.run(made, False, [])
    ran = first.passed | first.failed | first.skipped
    assert ran == again.passed | again.failed | again.skipped
    assert first.collected == 104 and 10 < len(ran) < 50
    assert first.failed == FAILING & ran
    assert first.problems(FAILING, whole=False) == []  # what was not run may be listed


def test_a_process_that_dies_is_a_failure_with_the_name_of_the_test(made: suite.Suite) -> None:
    folder = made.path.parent / "theirs" / "tests"
    (folder / "test_it.py").write_text(
        "import os\n\ndef test_a(): ...\n\ndef test_b(): os.abort()\n\ndef test_c(): ...\n"
    )
    found = suite.run(made, True, [])
    assert found.failed == {"tests/test_it.py::test_b"} and "died in tests/test_it.py::test_b" in found.broken
    assert found.problems({"tests/test_it.py::test_b"}, whole=True)  # listed or not: the rest did not run


def test_a_file_that_cannot_be_imported_is_a_test_that_fails(made: suite.Suite) -> None:
    (made.path.parent / "theirs" / "tests" / "test_other.py").write_text("import a_module_that_is_not_there\n")
    found = suite.run(made, True, [])
    assert "tests/test_other.py" in found.failed and len(found.passed) == 91 and not found.broken


def test_a_run_without_a_test_is_none(made: suite.Suite) -> None:
    assert "no test" in suite.run(made, True, ["-k", "nothing_of_this_name"]).broken or (
        "pytest ended with 5" in suite.run(made, True, ["-k", "nothing_of_this_name"]).broken
    )


def test_a_suite_says_where_its_tests_are(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    for text, message in (("SAMPLE = 2", "one of SDIST"), ("FOLDER = 'a'\nSAMPLE = 0", "SAMPLE = 0")):
        path.write_text(text)
        with pytest.raises(SystemExit, match=message):
            suite.Suite.of(path)


@pytest.mark.parametrize("old", [False, True])
def test_an_archive_is_unpacked_by_old_pythons_too_and_leaves_its_folder_in_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: bool
) -> None:
    """Debian 12's Python 3.11.2 has no filters."""
    if old:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    for name, fine in (("a/b.txt", True), ("../out.txt", False), ("/tmp/out.txt", False)):
        with tarfile.open(tmp_path / "x.tar", "w") as tar:
            tar.addfile(tarfile.TarInfo(name))
        folder = tmp_path / "into"
        with tarfile.open(tmp_path / "x.tar") as tar:
            try:
                unpack(tar, folder)
            except tarfile.TarError:
                assert not fine
        assert (folder / name).exists() if fine else not (tmp_path / "out.txt").exists()


def test_a_folder_that_a_variable_names_is_run_where_it_is_named(
    made: suite.Suite, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made.path.write_text(PLUGIN.replace('"theirs"', '"$DAYBREAK_TEST_SUITE"'))
    named = suite.Suite.of(made.path)
    monkeypatch.delenv("DAYBREAK_TEST_SUITE", raising=False)
    assert suite.check(named, True, False, [])
    assert "left out, $DAYBREAK_TEST_SUITE names no folder" in capsys.readouterr().out
    monkeypatch.setenv("DAYBREAK_TEST_SUITE", str(made.path.parent / "theirs"))
    listed(named, FAILING)
    assert suite.check(named, True, False, [])
    assert "104 of 104 tests" in capsys.readouterr().out
