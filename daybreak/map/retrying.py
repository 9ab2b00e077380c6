"""What becomes of a call whose process died: which inputs are kept for another try, and what the call ends with."""

from __future__ import annotations

from daybreak.runtime import exceptions

from .errors import CallCancelled, CallTimeout, WorkerDied

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .engine import Job

__all__ = ["Inputs", "error_of", "may_try_again", "with_place"]

_LIKELY = "it was likely out of memory: give memory=, so that fewer run at the same time"
_STUCK = "Timeout ("  # how faulthandler begins what it prints


class Inputs:
    """The inputs of a job as they are taken. Those that come once are kept until their call is done."""

    def __init__(self, job: Job) -> None:
        self._again, self._inputs = job.again, job.inputs
        self.kept: dict[int, Any] = {}
        self.taken = 0

    def __iter__(self) -> Any:
        return self

    def keep(self, index: int, value: Any) -> None:
        if self._again is None:
            self.kept[index] = value

    def __next__(self) -> Any:
        value = next(self._inputs)
        self.keep(self.taken, value)
        self.taken += 1
        return value

    def again(self, index: int) -> Any:
        return self.kept[index] if self._again is None else self._again(index)

    def of_failed(self, index: int) -> tuple[Any, ...]:
        """The input of a call that is to be forgotten, in a tuple, where it comes once."""
        return (self.kept[index],) if self._again is None and index in self.kept else ()

    def forget(self, index: int) -> None:
        if self._again is None:
            self.kept.pop(index, None)


def error_of(job: Job, index: int, error: BaseException, tries: int) -> BaseException:
    """What a call ends with whose process is gone."""
    text = str(error)
    if isinstance(error, exceptions.TaskCancelledError):
        return CallCancelled(f"call {index} of {job.callset_id} was cancelled")
    if _STUCK in text and job.timeout is not None:
        return CallTimeout(
            f"call {index} of {job.callset_id} ran longer than timeout={job.timeout:g} s, and its process had to be ended: {text}"
        )
    if isinstance(error, exceptions.WorkerCrashedError):
        likely = f"; {_LIKELY}" if "SIGKILL" in text else ""
        return WorkerDied(f"call {index} of {job.callset_id}, try {tries} of {job.retries + 1}: {text}{likely}")
    return error


def may_try_again(job: Job, error: BaseException, tries: int) -> bool:
    return (
        isinstance(error, (exceptions.WorkerCrashedError, exceptions.OutOfMemoryError))
        and not (_STUCK in str(error) and job.timeout is not None)
        and (job.retries < 0 or tries <= job.retries)
    )


def with_place(error: BaseException, job: Job, index: int) -> BaseException:
    """The error says which call it is of."""
    try:
        error.add_note(f"(call {index} of {job.callset_id})")
        error.call_index = index  # type: ignore[attr-defined]
    except Exception:  # of a class with a mind of its own
        pass
    return error
