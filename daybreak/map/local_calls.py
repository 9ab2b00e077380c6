"""Call sets of the runtime, as the local engine uses them."""

from __future__ import annotations

from daybreak._core import runtime as _native
from daybreak._core.runtime import ErrorKind
from daybreak.runtime import batch as _batch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from .engine import Job
else:
    Protocol = object

__all__ = ["USER", "Calls", "Host", "budget_bytes", "started"]

USER = int(ErrorKind.USER)  # how a call ended that raised


def started() -> int:
    """Starts the runtime if it is not there; which life of it this is."""
    from daybreak.runtime import init, is_initialized

    if not is_initialized():
        init()
    return int(_native._life())


def budget_bytes() -> int:
    from daybreak.runtime.session import cluster_resources

    return int(cluster_resources().get("memory", 0)) or 1


class Calls:
    """A call set of the runtime that inputs are added to as long as it is open."""

    def __init__(
        self, function: Any, runner: Any, workers: int, *, star: bool = False, ordered: bool = False, most: int = 0
    ) -> None:
        flags = _native._STAR_ARGUMENTS if star else 0
        self.native = _native._Calls(function, 1, flags, ordered, 2, most)
        self.native.add_tasks(runner, workers)

    def feed(self, inputs: Any, most: int, *, told: bool = True) -> bool:
        """False: there were no more. told: somebody hears of what is done; else he reads, and one call needs no thread for that."""
        more = self.native.feed(inputs, most, True)
        self.native.pump()
        if told or self.native.fed > 1:
            _batch.go_on_with(self.native)
        return bool(more)


class Host(Protocol):
    """What a job needs of the engine that runs it."""

    def slots(self, job: Job) -> int: ...

    def calls(self, job: Job, function: Any, **how: Any) -> Calls:
        """A call set for the job's calls."""

    def news_of(self, run: Any) -> None:
        """`run.look()` is called soon, on the engine's thread."""
