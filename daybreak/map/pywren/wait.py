"""PyWren's wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daybreak.map.executors import ALL_COMPLETED, ALWAYS, ANY_COMPLETED
from daybreak.map.executors import wait as _wait

if TYPE_CHECKING:
    from .future import ResponseFuture

__all__ = ["ALL_COMPLETED", "ALWAYS", "ANY_COMPLETED", "wait"]


def wait(
    fs: list[ResponseFuture], return_when: int = ALL_COMPLETED, THREADPOOL_SIZE: int = 64, WAIT_DUR_SEC: float = 5
) -> tuple[list[ResponseFuture], list[ResponseFuture]]:
    """(done, not done), each in the order in which they were given; of whatever call sets. What is done is seen to be.

    THREADPOOL_SIZE and WAIT_DUR_SEC are accepted: nothing is asked again and again here.

    Raises:
        ValueError: return_when is none of the three.
    """
    given: list[Any] = list(fs)
    done, _ = _wait([each._future for each in given], return_when)
    there = set(done)
    dones = [each for each in given if each._future in there]
    for each in dones:
        each.result(throw_except=False)
    return dones, [each for each in given if each._future not in there]
