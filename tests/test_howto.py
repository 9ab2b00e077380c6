"""What a how-to page tells contributors to do is done, as it is written there, in a copy of the repository."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tools.scratch import copy_of_the_repository

ROOT = Path(__file__).resolve().parent.parent
HOWTO = ROOT / "docs" / "howto"


def blocks(page: str, kind: str) -> list[tuple[str, str]]:
    """A page's blocks of this language: the file that the first line names ("" for none), and the text."""
    found = []
    for text in re.findall(rf"^```{kind}\n(.*?)^```$", (HOWTO / page).read_text(), re.DOTALL | re.MULTILINE):
        named = re.match(r"(?:#|//) ([\w/]+\.\w+).*\n", text)
        found.append((named[1], text[named.end() :]) if named else ("", text))
    return found


def test_the_page_about_peers_adds_one_that_is_measured(tmp_path: Path) -> None:
    copy = copy_of_the_repository(tmp_path)
    for built in (ROOT / "daybreak").glob("_core*.so"):
        (copy / "daybreak" / built.name).symlink_to(built)
    [(name, text)] = blocks("peer.md", "python")
    (copy / name).write_text(text.replace('["numpy", "cloudpickle"]', "[]"))  # what our own environment has
    [(name, command)] = blocks("peer.md", "sed")
    subprocess.run(["sed", "-i", command.strip(), name], cwd=copy, check=True)
    assert '"threads"' in (copy / name).read_text()
    words = blocks("peer.md", "sh")[0][1].split()
    assert words[:2] == ["./dev", "bench"]
    done = subprocess.run(
        [sys.executable, "-m", "bench.harness", *words[2:], "--rounds", "1"],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    written = copy / "out" / "bench" / "runtime.json"
    assert written.exists(), done.stdout + done.stderr
    [row] = json.loads(written.read_text())["rows"]
    assert (row["name"], row["peer"]) == ("tasks_sync", "threads") and row["theirs"] > 0 and row["ours"] > 0, row


def test_the_page_about_algorithms_adds_one_that_learns(tmp_path: Path) -> None:
    copy = copy_of_the_repository(tmp_path)
    for built in (ROOT / "daybreak").glob("_core*.so"):
        (copy / "daybreak" / built.name).symlink_to(built)
    (_, algorithm), (test, text) = blocks("rl-algorithm.md", "py")
    with (copy / "daybreak/rl/algorithms.py").open("a") as file:
        file.write(f"\n\n{algorithm}")
    (copy / test).write_text(text)
    edits = blocks("rl-algorithm.md", "sed")
    for name, command in edits:
        before = (copy / name).read_text()
        subprocess.run(["sed", "-i", command.strip(), name], cwd=copy, check=True)
        assert (copy / name).read_text() != before, name
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    for words in (
        ["pytest", "-p", "no:cacheprovider", test, "daybreak/rl/algorithms.py", "-k", "cautious or CautiousPPO"],
        ["ruff", "check", "daybreak/rl", test],
        ["ruff", "format", "--check", "daybreak/rl/algorithms.py", "daybreak/rl/__init__.py", test],
    ):
        if words[0] == "ruff" and importlib.util.find_spec("ruff") is None:
            continue  # what ./dev lint installs
        done = subprocess.run(
            [sys.executable, "-m", *words], cwd=copy, env=environment, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert words[0] != "pytest" or "2 passed" in done.stdout, done.stdout


def inserted(path: Path, text: str, before: str) -> None:
    """The text before the first line that begins so."""
    lines = path.read_text().splitlines(keepends=True)
    [place, *_] = [at for at, line in enumerate(lines) if line.lstrip().startswith(before)]
    path.write_text("".join([*lines[:place], text, *lines[place:]]))


def test_the_page_about_kernels_adds_one_that_every_level_has(tmp_path: Path) -> None:
    """The kernels alone are compiled, with the fixture of their test."""
    copy = copy_of_the_repository(tmp_path)
    (table, declaration), (source, definition), (test, case) = blocks("kernel.md", "cpp")
    inserted(copy / table, declaration, "// logits[a][b] -> log softmax")
    inserted(copy / source, definition + "\n", "// ---- distributions and losses")
    inserted(copy / source, "                 add_scaled,\n", "log_softmax,")
    text = (copy / test).read_text().replace('#include "daybreak/rl/nn/mlp.h"\n', "")
    fixture, last = text[: text.index("TEST_P(")], text[text.index("INSTANTIATE_TEST_SUITE_P") :]
    (copy / test).write_text(fixture + case + last)
    levels = (copy / "cmake" / "room.cmake").read_text()
    kernels = copy / "daybreak" / "rl" / "nn"
    units = [*sorted(kernels.glob("kernels*.cc")), copy / test]
    flags = {
        level.lower(): words.split() for level, words in re.findall(r"set\(DAYBREAK_(AVX\w+)_FLAGS (.*)\)", levels)
    }
    objects = []
    for unit in units:
        level = flags.get(unit.stem.rpartition("_")[2], [])
        objects.append(str(copy / f"{unit.stem}.o"))
        command = [
            "g++",
            "-std=c++23",
            "-O1",
            "-ffp-contract=off",
            f"-I{copy}",
            *level,
            "-c",
            str(unit),
            "-o",
            objects[-1],
        ]
        subprocess.run(command, check=True)
    program = str(copy / "kernels")
    base = str(ROOT / "build" / "dev" / "daybreak" / "base" / "libdaybreak_base.a")  # unchanged, as it was built
    subprocess.run(["g++", *objects, base, "-lgtest", "-lgtest_main", "-lfmt", "-lpthread", "-o", program], check=True)
    done = subprocess.run([program], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "[       OK ] All/Levels.add_scaled_adds/scalar" in done.stdout
