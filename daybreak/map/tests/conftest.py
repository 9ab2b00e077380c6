"""One runtime for a module's tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
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
