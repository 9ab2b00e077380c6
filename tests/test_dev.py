"""./dev as a person meets it, and what counts the tests."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
spec = importlib.util.spec_from_file_location("daybreak_run_tests", ROOT / "tools" / "run_tests.py")
assert spec and spec.loader
run_tests = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = run_tests
spec.loader.exec_module(run_tests)


def dev(*arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": path or os.environ["PATH"]}
    return subprocess.run(["./dev", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_help_names_every_command_and_room() -> None:
    text = dev("help").stdout
    for word in ("setup", "build", "test", "demo", "bench", "lint", "fmt", "wheel", "base", "tensor", "cli"):
        assert word in text


def test_what_is_not_known_is_named() -> None:
    for arguments, message in (
        (("tset",), "no command 'tset'"),
        (("test", "no-such-room"), "no room 'no-such-room'"),
        (("test", "--sanitize=memory"), "address or thread"),
        (("test", "-k", "x"), "test does not know -k"),
    ):
        done = dev(*arguments)
        assert done.returncode == 1 and message in done.stderr, done


def test_tests_that_interrupt_do_so_also_where_sigint_is_ignored() -> None:
    """As in a background job and in some CI, where such tests waited for minutes and failed."""
    test = "daybreak/runtime/tests/test_faults.py::test_interrupt_in_a_waiting_verb_raises_at_once_and_leaves_no_orphan"
    done = subprocess.run(
        ["bash", "-c", 'trap "" INT; exec "$0" -m pytest -q "$1"', sys.executable, f"{test}[ray.get(refs)]"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_root_setup_prints_the_one_command(tmp_path: Path) -> None:
    script(tmp_path / "dpkg-query", "exit 1")  # nothing is installed
    script(tmp_path / "id", "echo 1000")
    done = dev("setup", path=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == 1
    assert "apt-get update && apt-get install -y --no-install-recommends ccache cmake g++" in done.stderr


@pytest.mark.parametrize("body", ["kill -SEGV $$", "exit 3"])
def test_a_program_that_dies_without_a_report_is_one_failed_test(tmp_path: Path, body: str) -> None:
    assert run_tests.run_gtest(script(tmp_path / "t", body), "t", tmp_path) == run_tests.Count(failed=1)


def test_a_program_that_dies_after_its_report_is_a_failed_test(tmp_path: Path) -> None:
    report = (
        '{"testsuites": [{"testsuite": ['
        '{"status": "RUN", "result": "COMPLETED"}, {"status": "RUN", "result": "SKIPPED"}]}]}'
    )
    body = (
        f"""for a; do case $a in --gtest_output=json:*) echo '{report}' >"${{a#--gtest_output=json:}}";; esac; done"""
    )
    assert run_tests.run_gtest(script(tmp_path / "t", body), "t", tmp_path) == run_tests.Count(1, 0, 1)
    assert run_tests.run_gtest(script(tmp_path / "u", body + "; exit 1"), "u", tmp_path) == run_tests.Count(1, 1, 1)


def test_python_tests_are_summed_and_a_failure_counts(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import pytest\n\ndef test_a(): pass\n\ndef test_b(): assert False\n\n@pytest.mark.skip\ndef test_c(): pass\n"
    )
    assert run_tests.run_pytest([str(tmp_path)], ["-p", "no:cacheprovider"]) == run_tests.Count(1, 1, 1)
    (tmp_path / "test_it.py").write_text("syntax error")
    assert run_tests.run_pytest([str(tmp_path)], ["-p", "no:cacheprovider"]).failed == 1
