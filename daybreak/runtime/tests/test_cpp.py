"""C++ programs and libraries on the runtime, as a stranger builds them: installed, found by CMake, outside of this tree."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import daybreak
from daybreak import exceptions

ROOT = Path(__file__).resolve().parents[3]
BUILT = ROOT / "build/dev"
SECONDS = 240  # a cold build of the example's four sources, on two cores that others use, too

pytestmark = pytest.mark.skipif(
    not (BUILT / "cmake_install.cmake").exists() or (ROOT / "daybreak/.core-from-wheel").exists(),
    reason="the C++ library is not built here",
)


def run(*command: str, cwd: Path | None = None, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout[-6000:]}"
    return done.stdout


def with_python() -> dict[str, str]:
    """Where a program finds this interpreter as `python3`."""
    return {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    prefix = tmp_path_factory.mktemp("prefix")
    run("cmake", "--install", str(BUILT), "--prefix", str(prefix))
    return prefix


@pytest.fixture(scope="module")
def built(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, and beside it a program that calls Python and the one of the documentation."""
    folder = tmp_path_factory.mktemp("stranger")
    shutil.copytree(ROOT / "examples/cpp", folder / "source")
    shutil.copy(Path(__file__).parent / "cpp/python_calls.cc", folder / "source")
    page = re.search(r"^```cpp\n(.*?)^```$", (ROOT / "docs/cpp.md").read_text(), re.DOTALL | re.MULTILINE)
    assert page is not None
    (folder / "source/page.cc").write_text(page[1])
    with open(folder / "source/CMakeLists.txt", "a") as cmake:
        for name in ("python_calls", "page"):
            cmake.write(f"add_executable({name} {name}.cc)\ntarget_link_libraries({name} PRIVATE daybreak::runtime)\n")
    build = folder / "build"
    launcher = ["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
    run(
        "cmake",
        "-G",
        "Ninja",
        "-S",
        str(folder / "source"),
        "-B",
        str(build),
        f"-DCMAKE_PREFIX_PATH={installed}",
        *launcher,
    )
    run("cmake", "--build", str(build))
    return build


@pytest.fixture(scope="module")
def library(built: Path) -> Iterator[str]:
    daybreak.shutdown()
    daybreak.init(num_cpus=2, object_store_memory=256 << 20)
    yield f"{built}/libsampling.so"
    daybreak.shutdown()


@pytest.mark.timeout(SECONDS * 2)
def test_the_example_runs_as_a_stranger_builds_it(built: Path) -> None:
    lines = run(str(built / "tour"), **with_python()).splitlines()
    assert lines[:4] == ["pi is about 3.14", "the counter says 20", "the mean is 0.5", "5 in all, 2 labels"]
    assert re.fullmatch(r".* \(pid=\d+\): std::invalid_argument: no root of a negative number", lines[4])
    assert lines[5:] == ["Python says 0.75"]


def test_the_program_of_the_documentation_says_what_it_says(built: Path) -> None:
    assert run(str(built / "page")).split() == ["49", "59"]


def test_python_functions_and_actors_are_called_from_cpp(built: Path) -> None:
    text = run(str(built / "python_calls"), **with_python()).replace(
        '"', ""
    )  # with which some versions of fmt print texts
    said = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    assert said["number"] == "1.5"
    assert said["nested"] == "[[a], [], [b, c]]"
    assert said["dict"] == "{x: {y: 1}}"
    assert said["long"] == "1000"
    assert said["sum of an array"] == "100000"
    assert said["array"] == "[1, 1, 1]"
    assert said["chain"] == "7"
    assert said["count"] == "2"
    assert said["from a task of C++"] == "4"
    assert said["raises"].startswith("error 3: ")  # a ValueError is kInvalidArgument
    assert said["pickled"].startswith("error 3: a list expected, a pickled Python object (C++ reads None, ")
    assert said["no module"].startswith("error 5: ")
    assert said["no function"].startswith("error 5: ")
    assert said["other type"] == "error 3: an int expected, the text '5' found"
    assert "no_such_method" in said["no method"] or said["no method"].startswith("error 5")


def test_a_component_that_is_not_there_is_refused(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.25)\nproject(p LANGUAGES CXX)\nfind_package(daybreak REQUIRED COMPONENTS rl)\n"
    )
    done = subprocess.run(
        ["cmake", "-G", "Ninja", "-S", tmp_path, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={installed}"],
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "no component 'rl'" in " ".join(done.stderr.split())


def test_functions_of_a_library_take_arrays_lists_and_dicts(library: str) -> None:
    mean = daybreak.cpp_function(f"{library}:mean_of")
    large = daybreak.put(np.ones(200_000))
    refs = [mean.remote(np.arange(10.0)), mean.remote([1.0, 2]), mean.remote(large), mean.remote(list(range(1000)))]
    assert daybreak.get(refs) == [4.5, 1.5, 1.0, 499.5]
    assert daybreak.get(mean.remote([np.float64(3), np.int64(4)])) == 3.5
    merged = daybreak.cpp_function(f"{library}:merged")
    parts = [{"count": 1, "largest": 2.5, "labels": ["a"]}, {"count": 2, "largest": 1, "labels": ["b", "c"]}]
    assert daybreak.get(merged.remote(parts)) == {"count": 3, "largest": 2.5, "labels": ["a", "b", "c"]}


def refusal(ref: Any) -> str:
    with pytest.raises(exceptions.RayTaskError) as caught:
        daybreak.get(ref, timeout=60)
    assert isinstance(caught.value, ValueError)
    return str(caught.value)


def test_what_does_not_cross_to_cpp_is_refused_by_name(library: str) -> None:
    merged, mean = (daybreak.cpp_function(f"{library}:{name}") for name in ("merged", "mean_of"))
    assert "argument 1: the dict lacks the struct's field 'largest' 'labels'" in refusal(merged.remote([{"count": 1}]))
    assert "argument 1: a list expected, a pickled Python object" in refusal(merged.remote({1, 2}))
    assert "an array of format 'd' expected, an array of format 'l' and shape [3]" in refusal(mean.remote(np.arange(3)))
    assert "2 arguments were given, the function takes 1" in refusal(mean.remote([1.0], [2.0]))
    root = daybreak.cpp_function(f"{library}:root_of")
    assert "std::invalid_argument: no root of a negative number" in refusal(root.remote(-1))
    with pytest.raises(exceptions.RaySystemError, match="num_returns must be 1"):
        daybreak.get(root.options(num_returns=2).remote(4))
    with pytest.raises(exceptions.RayTaskError, match="has no symbol 'nothing'"):
        daybreak.get(daybreak.cpp_function(f"{library}:nothing").remote())


def test_a_class_of_a_library_is_an_actor(library: str) -> None:
    Counter = daybreak.cpp_actor_class(f"{library}:counter")
    counter = Counter.remote(5)
    assert daybreak.get([counter.add.remote(i) for i in range(4)]) == [5, 6, 8, 11]
    assert daybreak.get(counter.counts.remote()) == {"total": 11}
    with pytest.raises(AttributeError, match="Counter has no method 'subtract'"):
        counter.subtract  # noqa: B018

    @daybreak.remote
    def use(handle: Any, cls: Any) -> tuple[int, dict[str, int]]:
        return daybreak.get(handle.add.remote(1)), daybreak.get(cls.remote(3).counts.remote())

    assert daybreak.get(use.remote(counter, Counter)) == (12, {"total": 3})


def test_an_actor_of_cpp_has_a_name_and_starts_again(library: str) -> None:
    Counter = daybreak.cpp_actor_class(f"{library}:counter", max_restarts=1, max_task_retries=1)
    counter = Counter.options(name="cpp").remote(1)
    assert daybreak.get(daybreak.get_actor("cpp").add.remote(2)) == 3
    daybreak.kill(counter, no_restart=False)
    assert daybreak.get(counter.add.remote(2)) == 3  # made anew, with 1


def test_what_makes_no_actor_is_refused_where_it_is_asked_for(library: str) -> None:
    with pytest.raises(ValueError, match="mean_of makes no actor"):
        daybreak.cpp_actor_class(f"{library}:mean_of").remote()
    with pytest.raises(ValueError, match="has no symbol 'nothing'"):
        daybreak.cpp_actor_class(f"{library}:nothing").remote()
    Counter = daybreak.cpp_actor_class(f"{library}:counter")
    with pytest.raises(TypeError, match="'first' has a name"):
        Counter.remote(first=5)
    with pytest.raises(exceptions.RayActorError, match="an int expected, the text 'x' found"):
        daybreak.get(Counter.remote("x").add.remote(1))
    with pytest.raises(ValueError, match="concurrency_groups"):
        Counter.options(concurrency_groups={"io": 2}).remote(1)


def test_cpp_is_refused_where_another_engine_runs_the_calls() -> None:
    daybreak.shutdown()
    daybreak.init(local_mode=True)
    try:
        for made in (daybreak.cpp_function("some.so:f"), daybreak.cpp_actor_class("some.so:f")):
            with pytest.raises(NotImplementedError, match="some.so:f: C\\+\\+ runs in processes of this machine"):
                made.remote()
    finally:
        daybreak.shutdown()
