"""How deep tasks and calls are nested."""

from __future__ import annotations

from typing import Any

import daybreak
from daybreak.runtime.runtime_context import global_worker


@daybreak.remote
def task(below: list[str]) -> list[int]:
    return [global_worker.task_depth, *deeper(below)]


@daybreak.remote
class Actor:
    def call(self, below: list[str]) -> list[int]:
        return [global_worker.task_depth, *deeper(below)]


@daybreak.remote
class CoroutineActor:
    async def coroutine(self, below: list[str]) -> list[int]:
        return [global_worker.task_depth, *(await started(below) if below else [])]


def started(below: list[str]) -> Any:
    first, *rest = below
    if first == "task":
        return task.remote(rest)
    return Actor.remote().call.remote(rest) if first == "call" else CoroutineActor.remote().coroutine.remote(rest)


def deeper(below: list[str]) -> list[int]:
    return daybreak.get(started(below)) if below else []  # type: ignore[no-any-return]


def test_depth_counts_tasks_and_calls_of_all_kinds(ray: Any) -> None:
    assert global_worker.task_depth == 0
    for chain in (
        ["task"],
        ["task", "task", "task"],
        ["call", "call"],
        ["task", "call", "task", "coroutine", "task"],
        ["coroutine", "coroutine", "call"],
    ):
        assert daybreak.get(started(chain)) == list(range(1, len(chain) + 1)), chain
