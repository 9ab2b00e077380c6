"""What an engine of `map` has to offer: it starts the calls of a job and says how each ended.

The executor hands jobs to one engine. An engine takes inputs when it is told to (`take`), so that a generator is never ahead of
what the executor allows; and it tells what is done by calling back, so that nobody asks again and again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any, Protocol
else:
    Protocol = object

__all__ = ["Completion", "Engine", "Job", "Running", "Tell"]


@dataclass(frozen=True)
class Job:
    """One function over many inputs, as an engine gets it. All values were checked."""

    callset_id: str  # of this process's and of no other job
    function: Callable[..., Any]
    inputs: Iterator[Any]  # `take` takes from it, in the thread that calls `take`, never from two at once
    again: Callable[[int], Any] | None = (
        None  # input `i` once more; None: they come once, and an engine that retries keeps them
    )
    star: bool = False  # an input is a tuple of the arguments
    memory: int | None = None  # bytes that a call needs; None: as was measured of the first ones
    timeout: float | None = None  # seconds that a call may run
    retries: int = 3  # of calls whose worker died; an exception of the function is never retried
    pure: bool = False  # a call may run twice, the first result counts
    logs: bool = True  # what a call prints is part of its status
    extra_env: Mapping[str, str] = field(default_factory=dict)  # while a call runs
    include_modules: Sequence[str] | None = None  # None: what the function needs, by value
    exclude_modules: Sequence[str] = ()
    clean: bool = False  # workers import from nowhere but their own environment
    options: Mapping[str, Any] = field(default_factory=dict)  # of the engine: num_cpus, resources, runtime_env, ...


@dataclass(slots=True)
class Completion:
    """How one call ended."""

    index: int  # of its input: the first is 0
    value: Any = None
    error: BaseException | None = None  # None: `value` is the result
    # Seconds since the epoch by the worker's clock: start_time, end_time; of the call: exec_time, setup_time, pid, host, attempts,
    # peak_bytes, stdout, ... What is not known is left out.
    status: dict[str, Any] = field(default_factory=dict)
    input: tuple[Any, ...] = ()  # of a call that failed, the input, where inputs come once: for a retry


if TYPE_CHECKING:
    Tell = Callable[[Sequence[Completion]], None]  # from any thread, one at a time; it returns soon and raises nothing
else:
    Tell = object


class Running(Protocol):
    """A job that an engine has begun. Each call is told once, whatever happens: its result, its error, or that it was cancelled
    (daybreak.map.errors.CallCancelled)."""

    @property
    def taken(self) -> int:
        """Inputs, so far."""

    def take(self, most: int) -> int:
        """Takes up to so many inputs and starts their calls as there is room: how many it has taken. Fewer: there are no more.
        What the iterator raises passes through, and the inputs before it are taken."""

    def cancel(self, indices: Sequence[int] | None = None, *, force: bool = False) -> None:
        """What has not begun never does. force: what runs is ended, too. None: all calls, and no input is taken any more."""

    def counts(self) -> tuple[int, int]:
        """Calls that wait, and that run, as far as is known."""

    def close(self) -> None:
        """As cancel(force=True), and nothing is told any more; what it holds is let go. May be called twice."""


class Engine(Protocol):
    """Where calls run. Thread-safe."""

    name: str

    def start(self, job: Job, tell: Tell) -> Running:
        """Starts nothing before `take` is called on what is returned."""

    def slots(self, job: Job) -> int:
        """Calls that can run at the same time, as far as is known: how far ahead inputs are worth taking."""

    def close(self) -> None:
        """All its jobs are closed. May be called twice."""
