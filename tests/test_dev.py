"""./dev as a person meets it, and what counts the tests."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


def tool(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"daybreak_{name}", ROOT / "tools" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


run_tests, build, tidy, wheel = tool("run_tests"), tool("build"), tool("tidy"), tool("wheel")


def dev(*arguments: str, path: str | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": path or os.environ["PATH"], **more}
    return subprocess.run(["./dev", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_help_names_every_command_and_room() -> None:
    text = dev("help").stdout
    for word in (
        "setup",
        "build",
        "core",
        "test",
        "demo",
        "bench",
        "run",
        "tutorial",
        "doctor",
        "lint",
        "fmt",
        "wheel",
        "base",
        "tensor",
        "cli",
    ):
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


def test_what_runs_side_by_side_is_summed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    meeting = [
        script(
            tmp_path / name,
            f"touch {tmp_path}/{name}.here; for i in $(seq 200); do "
            f"[ -e {tmp_path}/{other}.here ] && exit 0; sleep 0.05; done; exit 1",
        )
        for name, other in (("a", "b"), ("b", "a"))
    ]
    runs = [lambda p=p: run_tests.Count(passed=run_tests.run_program([str(p)], "x")[0] == 0) for p in meeting]
    expected = 2 if run_tests.CORES > 1 else 1  # each waits until the other has begun
    assert run_tests.side_by_side(runs).passed == expected


def test_seeds_are_fed_and_what_breaks_on_one_is_a_failed_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_tests, "ROOT", tmp_path)
    (tmp_path / "build" / "grant").mkdir(parents=True)
    program = script(tmp_path / "build" / "grant" / "grant_x_fuzz", 'ls "$1"; [ ! -e "$1/bad" ] && echo Done 1 inputs')
    assert run_tests.run_corpus(program) == run_tests.Count(skipped=1)
    seeds = tmp_path / "daybreak" / "grant" / "tests" / "corpus" / "x"
    seeds.mkdir(parents=True)
    (seeds / "good").write_text("")
    assert run_tests.run_corpus(program) == run_tests.Count(passed=1)
    (seeds / "bad").write_text("")
    assert run_tests.run_corpus(program) == run_tests.Count(failed=1)


def test_a_build_says_how_far_it_is_on_one_line_and_how_long_it_may_take() -> None:
    watched = build.Progress(True, 100.0)
    assert watched.step(10, 100, 110.0) == "\r· build [10/100], about 90 s left\x1b[K".replace(
        "90 s", build.duration(90.0)
    )
    assert watched.step(50, 100, 160.0) == "\r· build [50/100], about 60 s left\x1b[K"
    assert watched.clear() == "\r\x1b[K" and watched.clear() == ""
    piped = build.Progress(False, 100.0)
    said = [piped.step(n, 100, 100.0 + n) for n in range(1, 101)]
    assert len([line for line in said if line]) == 5 and said[19] == "· build [20/100], about 80 s left\n"


def test_a_build_prints_nothing_but_progress_and_what_the_compiler_says(tmp_path: Path) -> None:
    (tmp_path / "build.ninja").write_text(
        "rule r\n  command = echo 'x.cc:1: warning: odd' && touch $out\n  description = CXX $out\nbuild a: r\nbuild b: r\n"
    )
    command = [sys.executable, str(ROOT / "tools" / "build.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "") and done.stderr == "x.cc:1: warning: odd\n" * 2
    again = subprocess.run(command, capture_output=True, text=True)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    (tmp_path / "build.ninja").write_text("rule r\n  command = echo 'x.cc:1: error: bad'; false\nbuild c: r\n")
    failed = subprocess.run(command, capture_output=True, text=True)
    assert failed.returncode != 0 and "x.cc:1: error: bad" in failed.stderr


def test_demo_and_bench_build_the_extension_and_no_tests() -> None:
    text = (ROOT / "dev").read_text()
    for command in ("demo", "bench", "run", "tutorial"):
        body = text[text.index(f"cmd_{command}()") :].split("\n\n")[0]
        assert "need _core" in body, command
    listed = subprocess.run(
        ["ninja", "-C", "build/dev", "-t", "inputs", "_core"], cwd=ROOT, capture_output=True, text=True
    )
    assert listed.returncode == 0 and "daybreak_net" in listed.stdout
    assert not [line for line in listed.stdout.splitlines() if "_test" in line]


def test_dev_demo_takes_the_name_of_a_demo_and_refuses_another_before_it_builds() -> None:
    done = dev("demo", "nosuch", "--check", path="/usr/bin:/bin")
    assert done.returncode == 1 and "no demo 'nosuch': map pong tune" in done.stderr
    assert "build" not in done.stderr


def test_dev_tutorial_refuses_a_name_that_is_none_before_it_builds() -> None:
    for name in ("nosuch", "nosuch/01", "runtime/99"):
        done = dev("tutorial", name, path="/usr/bin:/bin")
        assert done.returncode == 1 and f"no tutorial '{name}': ./dev tutorial lists them" in done.stderr
        assert "build" not in done.stderr


def test_doctor_is_one_table_that_says_what_to_do(tmp_path: Path) -> None:
    script(tmp_path / "dpkg-query", "exit 1")  # nothing is installed
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemAvailable:     200000 kB\n")
    done = dev("doctor", path=f"{tmp_path}:{os.environ['PATH']}", DOCTOR_ROOT=str(tmp_path))
    rows = {line.split()[0]: line.split(maxsplit=2)[1:] for line in done.stdout.splitlines()}
    wanted = "packages python venv git node chromium lint clang cores memory disk shm huge-pages namespaces".split()
    assert list(rows) == ["line", *wanted]
    assert all(rows[line][0] in ("ok", "missing", "optional") and rows[line][1] for line in wanted)
    assert (
        rows["packages"][0] == "missing"
        and "apt-get install" in rows["packages"][1]
        and "ccache" in rows["packages"][1]
    )
    assert rows["memory"][0] == "missing" and rows["memory"][1].startswith("195 MB free")
    assert rows["python"][0] == rows["venv"][0] == "ok"
    assert done.returncode == 1


def test_a_failure_of_dev_names_the_line_of_doctor_that_matters(tmp_path: Path) -> None:
    script(tmp_path / "dpkg-query", "exit 1")
    script(tmp_path / "id", "echo 1000")
    done = dev("setup", path=f"{tmp_path}:{os.environ['PATH']}")
    assert done.stderr.endswith("dev: the line packages of ./dev doctor says what may be missing\n")
    assert "doctor" not in dev("test", "no-such-room").stderr  # a typing error is none of the machine's


def test_a_free_threaded_python_is_refused_by_name() -> None:
    assert wheel.refusal({"Py_GIL_DISABLED": 0}) == ""
    text = wheel.refusal({"Py_GIL_DISABLED": 1})
    assert "free-threaded" in text and sys.executable in text and "GIL" in text


def test_symbol_versions_of_a_library_are_read_and_held_against_the_limit() -> None:
    text = "  0x0010:   Name: GLIBC_2.9  Flags: none\n  Name: GLIBC_2.34  Flags: none\n Name: GLIBCXX_3.4.30  Flags: none\n"
    assert wheel.highest(text) == {"GLIBC": (2, 34), "GLIBCXX": (3, 4, 30)}
    assert wheel.over({"GLIBC": (2, 34), "GLIBCXX": (3, 4, 30)}, {"GLIBC": (2, 36), "GLIBCXX": (3, 4, 30)}) == []
    assert wheel.over({"GLIBC": (2, 38)}, {"GLIBC": (2, 36)}) == ["GLIBC_2.38 is needed, at most GLIBC_2.36 is allowed"]


def test_what_was_clean_is_known_by_content_and_not_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ROOT", "OURS"):
        monkeypatch.setattr(tidy, name, tmp_path / ("daybreak" if name == "OURS" else ""))
    (tmp_path / ".clang-tidy").write_text("Checks: -*\n")
    room = tmp_path / "daybreak" / "rl"
    room.mkdir(parents=True)
    (room / "a.h").write_text("int a();\n")
    (room / "a.cc").write_text('#include "daybreak/rl/a.h"\n')
    source = tidy.Source(room / "a.cc", "rl", ("-O2",))
    before = source.key("19")
    assert before == source.key("19") != source.key("20")
    assert before != tidy.Source(room / "a.cc", "rl", ("-O1",)).key("19")
    (room / "a.h").write_text("long a();\n")
    changed = source.key("19")
    assert changed != before
    (tmp_path / ".clang-tidy").write_text("Checks: '*'\n")
    assert source.key("19") != changed


def test_sources_of_a_room_are_looked_at_in_batches_and_headers_alone(tmp_path: Path) -> None:
    def source(name: str, room: str = "rl", flags: tuple[str, ...] = ()) -> Any:
        return tidy.Source(tmp_path / name, room, flags)

    files = [source(f"{i:02}.cc") for i in range(10)]
    found = list(
        tidy.batches(
            [*files, source("a.h"), source("b_avx2.cc", flags=("-mavx2",)), source("c.cc", "net"), source("bind.cc")]
        )
    )
    sizes = sorted((batch[0].room, len(batch), batch[0].path.name) for batch in found)
    assert sizes == [
        ("net", 1, "c.cc"),
        ("rl", 1, "a.h"),
        ("rl", 1, "b_avx2.cc"),
        ("rl", 1, "bind.cc"),
        ("rl", 2, "08.cc"),
        ("rl", 8, "00.cc"),
    ]


def test_warnings_are_errors_in_our_presets_and_not_in_pip_install() -> None:
    presets = json.loads((ROOT / "CMakePresets.json").read_text())["configurePresets"]
    assert presets[0]["cacheVariables"]["CMAKE_COMPILE_WARNING_AS_ERROR"] == "ON"
    assert all("CMAKE_COMPILE_WARNING_AS_ERROR" not in preset.get("cacheVariables", {}) for preset in presets[1:])
    assert "WARNING_AS_ERROR" not in (ROOT / "pyproject.toml").read_text()
