"""Runs somebody else's test suite on Daybreak, under a plug-in of ours: `./dev test --suite=NAME|all`, with `--whole` all of it.

A suite is one file of a room, daybreak/ROOM/suites/NAME.py, which is the plug-in itself: hooks of pytest that put Daybreak in the
place of what is tested. Literals in it say what to run:

    REQUIREMENTS = ["optuna==4.5.0", "pytest==8.4.2"]  # an environment of its own; without it: ours
    SDIST = "optuna==4.5.0"  # a source distribution with the tests; or PACKAGE = "sklearn" (installed), or FOLDER = "beside/this"
    # ("$NAME": the folder that this variable names; without it the suite is left out)
    TESTS = ["tests/study_tests"]  # below that; pytest's arguments
    SAMPLE = 20  # one test in so many, chosen by the hash of its name: the same ones on every machine. `--whole` runs all
    ENV = {"OMP_NUM_THREADS": "1"}

NAME.failures, beside it, lists the tests that fail, one a line. It may only shrink: a test that fails and is not listed is an
error, and so is one that is listed and passes (`--prune` takes it out), or, of a whole run, that is no longer there.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.peers import Peer
from tools.scratch import unpack

ROOT = Path(__file__).resolve().parent.parent
INSIDE = ROOT / "tools" / "suite_inside"  # a folder with nothing else in it: what theirs is called hides nothing
MAX_SHOWN = 20
TIMEOUT_S = 7200


@dataclass(frozen=True)
class Suite:
    path: Path
    tests: tuple[str, ...]
    sample: int
    sdist: str = ""
    package: str = ""
    folder: str = ""

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def failures(self) -> Path:
        return self.path.with_suffix(".failures")

    @classmethod
    def of(cls, path: Path) -> Suite:
        literals: dict[str, Any] = {}
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name = node.targets[0].id
                if name in ("TESTS", "SAMPLE", "SDIST", "PACKAGE", "FOLDER"):
                    literals[name.lower()] = ast.literal_eval(node.value)
        if sum(name in literals for name in ("sdist", "package", "folder")) != 1:
            raise SystemExit(f"{path}: one of SDIST, PACKAGE and FOLDER says where the tests are")
        literals["tests"] = tuple(literals.get("tests", ()))
        literals.setdefault("sample", 1)
        if not isinstance(literals["sample"], int) or literals["sample"] < 1:
            raise SystemExit(f"{path}: SAMPLE = {literals['sample']!r}: one test in how many? 1 or more expected")
        return cls(path, **literals)


@dataclass
class Outcome:
    """Of a run, by the tests' names."""

    collected: int = 0
    passed: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)
    why: dict[str, str] = field(default_factory=dict)  # of a failed test: how its traceback ends
    broken: str = ""  # why the run as a whole is none

    def problems(self, listed: set[str], whole: bool) -> list[str]:
        problems = [self.broken] if self.broken else []
        for name in sorted(self.failed - listed):
            problems.append("\n    ".join([f"fails and is not listed: {name}", *self.why.get(name, "").splitlines()]))
        problems += [f"is listed and does not fail: {name}" for name in sorted(listed & (self.passed | self.skipped))]
        if whole and not self.broken:
            known = self.passed | self.failed | self.skipped
            problems += [f"is listed and no longer there: {name}" for name in sorted(listed - known)]
        return problems


def suites_of(root: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(root.glob("daybreak/*/suites/*.py"))}


def read_list(path: Path) -> set[str]:
    if not path.exists():
        return set()
    return {line for line in path.read_text().splitlines() if line and not line.startswith("#")}


def place_of(suite: Suite, python: str) -> Path:
    """The folder that TESTS are below."""
    if suite.folder.startswith("$"):
        return Path(os.environ[suite.folder[1:]])
    if suite.folder:
        return suite.path.parent / suite.folder
    if suite.package:
        code = (
            f"import importlib.util as u, sys; print(u.find_spec({suite.package!r}).submodule_search_locations[0]); "
            "print('python%d.%d' % sys.version_info[:2])"
        )
        said = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
        place, debian = Path(said[0]), Path("/usr/lib", said[1], suite.package)
        # Python's own tests are left out of many installations; Debian has them in a package of their own.
        return debian if suite.package == "test" and not (place / suite.tests[0]).exists() else place
    unpacked = ROOT / ".venvs" / "sdists" / suite.sdist.replace("==", "-")
    if not unpacked.exists():
        print(f"· download the source distribution of {suite.sdist}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as scratch:
            command = [python, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", scratch]
            subprocess.run([*command, suite.sdist], check=True)
            [archive] = Path(scratch).iterdir()
            with tarfile.open(archive) as tar:
                unpack(tar, unpacked.with_suffix(".new"))
            unpacked.with_suffix(".new").rename(unpacked)
    [top] = unpacked.iterdir()
    return top


def run(suite: Suite, whole: bool, options: list[str]) -> Outcome:
    """One run in a process of its own. A test whose process dies is one that failed, and the run is broken."""
    peer = Peer.of(suite.path)
    python = peer.python()
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report"
        report.touch()
        environment = {
            **peer.environment,
            **os.environ,  # what a person says goes before what the suite says
            "PYTHONPATH": os.pathsep.join([str(INSIDE), str(importable(Path(scratch)))]),
            "DAYBREAK_SUITE": str(suite.path),
            "DAYBREAK_SUITE_REPORT": str(report),
            "DAYBREAK_SUITE_SAMPLE": "1" if whole else str(suite.sample),
        }
        command = [
            python,
            "-P",  # their folder may have a module of the library's name
            "-m",
            "pytest",
            "-p",
            "daybreak_suite",
            "-p",
            "no:cacheprovider",
            "-q",
            "--tb=short",
            "--no-header",
        ]
        command += ["--continue-on-collection-errors"]  # a file that cannot be imported is one test that fails
        try:
            done = subprocess.run(
                [*command, *suite.tests, *options],
                cwd=place_of(suite, python),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=TIMEOUT_S,
            )
            status, output = done.returncode, done.stdout
        except subprocess.TimeoutExpired as hung:
            status, output = 124, (hung.stdout or b"").decode(errors="replace") + f"\nstill running after {TIMEOUT_S} s"
        return outcome_of(report.read_text(), status, output)


def importable(scratch: Path) -> Path:
    """A folder in which `daybreak` is and nothing else of ours: theirs may be called tools, tests or bench."""
    folder = scratch / "daybreak-alone"
    folder.mkdir()
    (folder / "daybreak").symlink_to(ROOT / "daybreak")
    return folder


def outcome_of(report: str, status: int, output: str) -> Outcome:
    found = Outcome()
    begun = ""
    for line in report.splitlines():
        entry = json.loads(line)
        if "collected" in entry:
            found.collected = entry["collected"]
        elif "begun" in entry:
            begun = entry["begun"]
        else:
            getattr(found, entry["outcome"]).add(entry["test"])
            if entry.get("why"):
                found.why[entry["test"]] = entry["why"]
            begun = ""
    tail = "\n".join(output.rstrip().splitlines()[-40:])
    if begun:
        found.failed.add(begun)
        found.broken = f"the process died in {begun} (exit status {status}):\n{tail}"
    elif status not in (0, 1):  # 1: tests have failed, which is counted here
        found.broken = f"pytest ended with {status}:\n{tail}"
    elif not (found.passed or found.failed or found.skipped):
        found.broken = f"no test ran:\n{tail}"
    return found


def prune(suite: Suite, found: Outcome, whole: bool) -> None:
    """Takes out of the list what does not fail any more. Adds nothing."""
    gone = found.passed | found.skipped
    known = gone | found.failed
    kept = [
        line
        for line in suite.failures.read_text().splitlines()
        if not line or line.startswith("#") or not (line in gone or (whole and not found.broken and line not in known))
    ]
    suite.failures.write_text("".join(f"{line}\n" for line in kept))


def check(suite: Suite, whole: bool, pruning: bool, options: list[str]) -> bool:
    if suite.folder.startswith("$") and suite.folder[1:] not in os.environ:
        print(f"{suite.name}: left out, {suite.folder} names no folder with its tests")
        return True
    found = run(suite, whole, options)
    if pruning and suite.failures.exists():
        prune(suite, found, whole and not options)
    listed = read_list(suite.failures)
    problems = found.problems(listed, whole and not options)
    ran = len(found.passed | found.failed | found.skipped)
    share = "all" if whole or suite.sample == 1 else f"1 in {suite.sample}"
    print(
        f"{suite.name}: {ran:,} of {found.collected:,} tests ({share}): {len(found.passed):,} passed, "
        f"{len(found.failed & listed):,} failed as listed, {len(found.failed - listed):,} failed anew, "
        f"{len(found.skipped):,} skipped",
        flush=True,
    )
    for problem in problems[:MAX_SHOWN]:
        print(f"  {problem}")
    if len(problems) > MAX_SHOWN:
        print(f"  ... and {len(problems) - MAX_SHOWN:,} more")
    return not problems


def main() -> int:
    own, options = sys.argv[1:], []
    if "--" in own:
        own, options = own[: own.index("--")], own[own.index("--") + 1 :]
    parser = argparse.ArgumentParser(prog="./dev test --suite=NAME", description=__doc__.splitlines()[0])
    parser.add_argument("name", help="of a suite, or all")
    parser.add_argument("--whole", action="store_true", help="all tests, not a sample")
    parser.add_argument("--prune", action="store_true", help="take out of the list what does not fail any more")
    arguments = parser.parse_args(own)
    there = suites_of(ROOT)
    if arguments.name != "all" and arguments.name not in there:
        raise SystemExit(f"no suite {arguments.name!r}: {', '.join(there) or 'there is none yet'}")
    wanted = list(there) if arguments.name == "all" else [arguments.name]
    if not wanted:
        raise SystemExit("no suite: there is none yet")
    good = [check(Suite.of(there[name]), arguments.whole, arguments.prune, options) for name in wanted]
    print(f"{sum(good)} suites passed, {len(good) - sum(good)} failed")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
