"""One runtime for a module's tests, and a count of what it leaves behind."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import daybreak
from daybreak._core import runtime as native

from .wheels import write_wheel


def eventually(condition: Callable[[], Any], seconds: float = 10.0) -> bool:
    """Whether the condition comes true in time; looks again every few milliseconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.005)
    return bool(condition())


def once_back(call: Callable[[], Any], seconds: float = 20.0) -> Any:
    """What a call of an actor gives when the actor is no longer being restarted."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return daybreak.get(call(), timeout=seconds)
        except daybreak.exceptions.ActorUnavailableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.005)


def ended(pid: int) -> bool:
    """Whether the process is gone, or a zombie that waits for its parent."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):  # gone before the open, or between open and read
        return True


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def zombies_and_children() -> list[int]:
    with open(f"/proc/self/task/{os.getpid()}/children") as f:
        return [int(pid) for pid in f.read().split()]


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """A runtime of two CPUs; it must be as empty at the end as at the beginning."""
    daybreak.shutdown()
    daybreak.init(num_cpus=2, object_store_memory=256 << 20)
    yield daybreak
    daybreak.shutdown()


@pytest.fixture
def two_cpus() -> Iterator[Any]:
    """A runtime of its own for one test."""
    daybreak.shutdown()
    daybreak.init(num_cpus=2, object_store_memory=256 << 20)
    yield daybreak
    daybreak.shutdown()


@pytest.fixture
def no_leak(two_cpus: Any) -> Iterator[Any]:
    """As two_cpus; after the test no object, no actor, no file descriptor may be left."""

    @two_cpus.remote
    def nothing() -> None:
        pass

    two_cpus.get([nothing.remote() for _ in range(4)])
    eventually(lambda: len(native._processes()) == 2)
    before = open_files()
    yield two_cpus
    two_cpus.get([nothing.remote() for _ in range(2)])

    def clean() -> bool:
        import gc

        gc.collect()
        usage = native._usage()
        functions = usage["functions"]
        return usage["objects"] == functions and usage["actors"] == 0

    assert eventually(clean), native._usage()
    assert eventually(lambda: len(native._processes()) <= 2, 20), native._processes()
    assert eventually(lambda: open_files() <= before + 2 * len(native._processes())), open_files()


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of wheels, which is all that there is, and empty caches."""
    above = tmp_path_factory.mktemp("packages")
    folder = above / "wheels"
    folder.mkdir()
    for each in ("1.0", "2.0"):
        write_wheel(folder, "envpkg", each)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAYBREAK_CACHE_DIR", str(above / "cache"))
        patch.setenv("UV_CACHE_DIR", str(above / "uv"))
        patch.setenv("UV_FIND_LINKS", str(folder))
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("UV_OFFLINE", "1")
        yield folder
