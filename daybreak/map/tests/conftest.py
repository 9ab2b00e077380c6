"""One runtime for a module's tests."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import daybreak
from daybreak import map as room


def eventually(condition: Callable[[], Any], seconds: float = 20.0) -> bool:
    """Whether the condition comes true in time; looks again every few milliseconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.005)
    return bool(condition())


WAYS: list[dict[str, Any]] = [{}, {"logs": True}]  # plain calls, and calls with a status


def double(x: Any) -> Any:
    return x * 2


def odd_fails(x: int) -> int:
    if x % 2:
        raise ValueError(f"{x} is odd", x)
    return x


def pid_of(_: Any) -> int:
    return os.getpid()


def wait_at(path: str) -> str:
    """Until somebody has opened the named pipe to write."""
    with open(path) as pipe:
        return pipe.read()


@pytest.fixture
def gate(tmp_path: Path) -> str:
    path = str(tmp_path / "gate")
    os.mkfifo(path)
    return path


@pytest.fixture(scope="module")
def runtime() -> Iterator[Any]:
    daybreak.shutdown()
    daybreak.init(num_cpus=2, object_store_memory=256 << 20)
    yield daybreak
    daybreak.shutdown()


@pytest.fixture
def executor(runtime: Any) -> Iterator[room.Executor]:
    with room.executor() as made:
        yield made
