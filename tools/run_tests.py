"""Runs the C++ tests of a preset, its fuzz targets or the Python tests, and ends with one line that counts them all.

A program that crashes, hangs or reports nothing counts as one failed test. Programs and rooms that do not need the whole machine
run side by side, one a core; what each says is shown in one piece when it has ended.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM_TIMEOUT_S = 1800
CORES = len(os.sched_getaffinity(0))
# Rooms whose Python tests neither use all cores nor hold anything against a clock.
SIDE_BY_SIDE = ("base", "cli", "crypto", "grant", "net", "store", "tensor", "track")
SYMBOLIZER = shutil.which("addr2line") or ""  # binutils', which comes with gcc
SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": f"external_symbolizer_path={SYMBOLIZER}:detect_stack_use_after_return=1:strict_string_checks=1:"
    "check_initialization_order=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "second_deadlock_stack=1:halt_on_error=1",
}


@dataclass
class Count:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def environment() -> dict[str, str]:
    """Ours, plus the sanitizers' options where the user has set none."""
    return {**SANITIZER_OPTIONS, **os.environ}


def run_program(command: list[str], label: str) -> tuple[int, str]:
    """Exit status and output of a test program; a hang is ended after PROGRAM_TIMEOUT_S."""
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PROGRAM_TIMEOUT_S,
        )
        return done.returncode, done.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired as hung:
        output = (hung.stdout or b"").decode(errors="replace")
        return 124, f"{output}\n{label}: still running after {PROGRAM_TIMEOUT_S} s, ended\n"


def count_gtest(report: Path) -> Count:
    total = Count()
    for suite in json.loads(report.read_text())["testsuites"]:
        for test in suite["testsuite"]:
            if test["status"] == "NOTRUN" or test.get("result") == "SKIPPED":
                total.skipped += 1
            elif test.get("failures"):
                total.failed += 1
            else:
                total.passed += 1
    return total


def run_gtest(program: Path, label: str, root: Path = ROOT) -> Count:
    """One GoogleTest program. Prints one line, and the whole output when it fails."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        code, output = run_program([str(program), f"--gtest_output=json:{report}", "--gtest_brief=1"], label)
        count = count_gtest(report) if report.exists() else Count()
    if code != 0 and count.failed == 0:
        count.failed = 1  # crashed, or a sanitizer ended it
    said = f"{label}: {count} ({time.monotonic() - started:.1f} s)\n"
    if count.failed:
        said += f"{output.rstrip()}\n{label}: exit status {code}: {program.relative_to(root)}\n"
    print(said, end="", flush=True)
    return count


def seeds_of(program: Path) -> Path:
    room = program.parent.name
    return ROOT / "daybreak" / room / "tests" / "corpus" / program.name.removeprefix(f"{room}_").removesuffix("_fuzz")


def run_corpus(program: Path) -> Count:
    """One fuzz target that was built as a plain program, fed the committed seeds. Without seeds there is nothing to show."""
    seeds = seeds_of(program)
    if not seeds.is_dir():
        print(f"{program.name}: no seeds in {seeds.relative_to(ROOT)}", flush=True)
        return Count(skipped=1)
    code, output = run_program([str(program), str(seeds)], program.name)
    lines = output.rstrip().splitlines()
    print(f"{program.name}: {lines[-1]}" if code == 0 else f"{output}\n{program.name}: exit status {code}", flush=True)
    return Count(passed=1) if code == 0 else Count(failed=1)


def run_fuzzer(program: Path, label: str, seconds: int) -> Count:
    """One libFuzzer target, from the committed seeds and what earlier runs found."""
    seeds = seeds_of(program)
    found = program.parents[2] / "corpus" / program.name
    found.mkdir(parents=True, exist_ok=True)
    command = [str(program), f"-max_total_time={seconds}", f"-artifact_prefix={found}-", str(found)]
    code, output = run_program(command + ([str(seeds)] if seeds.is_dir() else []), label)
    runs = [line for line in output.splitlines() if line.startswith("Done ")]
    print(f"{label}: {runs[-1] if runs else 'no runs'}", flush=True)
    if code != 0:
        print(output[-20000:], flush=True)
        return Count(failed=1)
    return Count(passed=1)


def run_pytest(paths: list[str], options: list[str], aside: bool = False) -> Count:
    """pytest on the paths; its own output is shown as it comes, or `aside` in one piece at its end."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        command = [sys.executable, "-m", "pytest", f"--junitxml={report}", *paths, *options]
        if aside:
            code, output = run_program(command, " ".join(paths))
            print(f"{' '.join(paths)}\n{output.rstrip()}", flush=True)
        else:
            code = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL).returncode
        total = Count()
        if report.exists():
            for suite in ET.parse(report).getroot().iter("testsuite"):
                tests, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
                failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
                total += Count(tests - skipped - failed, failed, skipped)
    if code not in (0, 5) and total.failed == 0:  # 5: nothing was collected
        total.failed = 1
    return total


def side_by_side(runs: Sequence[Callable[[], Count]]) -> Count:
    """As many at a time as there are cores."""
    with ThreadPoolExecutor(max_workers=CORES) as pool:
        return sum(pool.map(lambda run: run(), runs), Count())


def programs_of(preset: str, rooms: list[str]) -> list[Path]:
    found = sorted((ROOT / "build" / preset / "daybreak").glob("*/*"))
    return [
        path
        for path in found
        if path.is_file() and os.access(path, os.X_OK) and (not rooms or path.parent.name in rooms)
    ]


def run_python(rooms: list[str], options: list[str]) -> Count:
    # Peers' files in bench/ need what only their own environments have.
    elsewhere = {"tests": "tests", "bench": "bench/tests"}
    if options or len(rooms) == 1:
        return run_pytest([elsewhere.get(room, f"daybreak/{room}") for room in rooms], options)
    there = [path.parent.name for path in sorted((ROOT / "daybreak").glob("*/__init__.py"))]
    wanted = rooms or [*there, *elsewhere]
    aside = [room for room in wanted if room in SIDE_BY_SIDE]
    total = side_by_side([partial(run_pytest, [f"daybreak/{room}"], [], True) for room in aside])
    alone = [elsewhere.get(room, f"daybreak/{room}") for room in wanted if room not in aside]
    if not rooms:
        alone.insert(0, "daybreak/__init__.py")
    return total + run_pytest(alone, []) if alone else total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", required=True)
    parser.add_argument("--fuzz", type=int, metavar="SECONDS")
    parser.add_argument("--python", action="store_true", help="run the Python tests too")
    parser.add_argument("rooms", nargs="*")
    own, pytest_options = sys.argv[1:], []
    if "--" in own:
        own, pytest_options = own[: own.index("--")], own[own.index("--") + 1 :]
    arguments = parser.parse_args(own)
    rooms: list[str] = arguments.rooms

    total = Count()
    programs = [] if pytest_options else programs_of(arguments.preset, rooms)
    fuzzers = [program for program in programs if program.name.endswith("_fuzz")]
    if arguments.fuzz is not None:
        for program in fuzzers:
            total += run_fuzzer(program, program.name, arguments.fuzz)
    else:
        tests = [
            path for path in programs if re.fullmatch(f"daybreak_{path.parent.name}_tests(_gcc|_clang)?", path.name)
        ]
        total += side_by_side(
            [partial(run_gtest, path, f"{path.parent.name} (C++)") for path in tests]
            + [partial(run_corpus, path) for path in fuzzers]
        )
    if arguments.python:
        total += run_python(rooms, pytest_options)
    print(total, flush=True)
    return 1 if total.failed or not total.passed else 0


if __name__ == "__main__":
    sys.exit(main())
