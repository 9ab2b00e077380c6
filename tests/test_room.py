"""`./dev room`: what it makes builds, tests and lints in a copy of this repository, as it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import arrows, room
from tools.scratch import copy_of_the_repository

ROOT = Path(__file__).resolve().parent.parent
TOOLS = Path(sys.executable).parent


def used_by(name: str) -> list[str]:
    """The room and all that it uses, and what those use."""
    found = arrows.declared((ROOT / "daybreak" / name / "CMakeLists.txt").read_text())
    assert found is not None
    return sorted({name, *(one for used in found[1] for one in used_by(used))})


# What a room may have beside that: a program that its Python starts, and code whose time does not depend on its values.
MORE = {
    "CMakeLists.txt": "daybreak_room(tiles USES base PROGRAM tiles_hello SOURCES hello.cc)\n",
    "hello.cc": """\
#include <fmt/format.h>

#include "daybreak/tiles/greeting.h"

int main() {
  fmt::print("{}", *daybreak::tiles::greeting("program"));
}
""",
    "choose_ct.h": """\
// A choice that takes the same time either way.
#pragma once

#include <cstdint>

namespace daybreak::tiles {

// a where the mask is all ones, b where it is 0.
std::uint64_t choose(std::uint64_t mask, std::uint64_t a, std::uint64_t b);

}  // namespace daybreak::tiles
""",
    "choose_ct.cc": """\
#include "daybreak/tiles/choose_ct.h"

namespace daybreak::tiles {

std::uint64_t choose(std::uint64_t mask, std::uint64_t a, std::uint64_t b) {
  return (a & mask) | (b & ~mask);
}

}  // namespace daybreak::tiles
""",
    "tests/choose_test.cc": """\
#include <gtest/gtest.h>

#include "daybreak/tiles/choose_ct.h"

namespace daybreak::tiles {
namespace {

TEST(Choose, takes_either) {
  EXPECT_EQ(choose(~std::uint64_t{0}, 1, 2), 1U);
  EXPECT_EQ(choose(0, 1, 2), 2U);
}

}  // namespace
}  // namespace daybreak::tiles
""",
}


def test_a_new_room_builds_tests_and_lints_as_it_is_made_and_with_all_that_a_room_may_have(tmp_path: Path) -> None:
    """Only the room and what `import daybreak` needs are built; what the compiler cache has from here is not compiled again."""
    copy = copy_of_the_repository(tmp_path)
    (copy / ".venv").symlink_to(TOOLS.parent)  # by the same relative path, or the compiler cache knows nothing
    python = str(copy / ".venv" / "bin" / "python")
    environment = {
        **os.environ,
        "PYTHONPATH": str(copy),
        "CCACHE_BASEDIR": str(copy),
        "CCACHE_NOHASHDIR": "1",
        "CCACHE_DEPEND": "1",
        "CCACHE_SLOPPINESS": "pch_defines,time_macros,include_file_mtime,include_file_ctime",
    }

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, f"{command}\n{done.stdout[-5000:]}{done.stderr[-5000:]}"
        return done.stdout

    run(python, "-m", "tools.room", "tiles", "--floor", "5")
    rooms = ";".join([*used_by("runtime"), "tiles"])
    run("cmake", "--preset", "dev", f"-DPython_EXECUTABLE={python}", f"-DDAYBREAK_ROOMS={rooms}")
    run("ninja", "-C", "build/dev", "daybreak_tiles_tests", "_core")
    assert "2 tests" in run("build/dev/daybreak/tiles/daybreak_tiles_tests")
    run(python, "-m", "pytest", "-p", "no:cacheprovider", "--confcutdir=daybreak", "daybreak/tiles")
    assert "hello, world" in run(python, "-c", "import daybreak; print(daybreak.tiles.greeting('world'))")

    for name, text in MORE.items():
        (copy / "daybreak" / "tiles" / name).write_text(text)
    run("ninja", "-C", "build/dev", "daybreak_tiles_tests", "_core")
    assert run("daybreak/tiles/bin/tiles_hello") == "hello, program"
    assert "3 tests" in run("build/dev/daybreak/tiles/daybreak_tiles_tests")
    (command,) = [
        line for line in run("ninja", "-C", "build/dev", "-t", "commands").splitlines() if "choose_ct.cc.o -c" in line
    ]
    assert "-fno-unswitch-loops" in command and "-fno-exceptions" in command and "_pch" not in command
    if shutil.which("clang++-19"):
        run("ninja", "-C", "build/dev", "daybreak_tiles_tests_clang")
        assert "3 tests" in run("build/dev/daybreak/tiles/daybreak_tiles_tests_clang")
        by_clang = [
            line
            for line in run("ninja", "-C", "build/dev", "-t", "commands").splitlines()
            if "choose_ct.Clang.o" in line
        ]
        assert any("-x86-cmov-converter=false" in line for line in by_clang)

    run(python, "tools/arrows.py")
    sources = [str(path.relative_to(copy)) for path in (copy / "daybreak" / "tiles").rglob("*")]
    cpp = [name for name in sources if name.endswith((".cc", ".h"))]
    if shutil.which("clang-format-19"):
        run("clang-format-19", "--dry-run", "-Werror", *cpp)
    if (TOOLS / "ruff").exists():
        run(str(TOOLS / "ruff"), "check", "daybreak", "tools")
        run(str(TOOLS / "ruff"), "format", "--check", "daybreak/tiles", "daybreak/__init__.py")
    run(python, "-m", "nanobind.stubgen", "-q", "-m", "daybreak._core.tiles", "-o", "fresh.pyi")
    assert (copy / "fresh.pyi").read_text() == (copy / "daybreak" / "_core" / "tiles.pyi").read_text()


@pytest.mark.parametrize(
    ("name", "floor", "message"),
    [
        ("json", 5, "a builtin or a module of the standard library"),
        ("max", 5, "a builtin or a module of the standard library"),
        ("Tiles", 5, "2 to 31 of a-z, 0-9 and _"),
        ("class", 5, "no keyword"),
        ("rl", 4, "daybreak/rl is there"),
        ("tiles", None, "on which floor? --floor 2 to 7"),
        ("tiles", 1, "--floor 1: 2 to 7 expected"),
        ("frame", 3, "has 'frame' on floor 5, not 3"),
    ],
)
def test_a_room_that_cannot_be_is_refused_with_the_reason(
    tmp_path: Path, name: str, floor: int | None, message: str
) -> None:
    (tmp_path / "daybreak" / "rl").mkdir(parents=True)
    assert message in room.problem_of(name, floor, tmp_path)


def test_a_room_that_is_planned_needs_no_floor(tmp_path: Path) -> None:
    assert room.problem_of("tiles", 5, tmp_path) == ""
    assert room.problem_of("sealed", None, tmp_path) == ""
