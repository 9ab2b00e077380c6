"""The driver's side of `shipped`: a job's function and inputs made fit for workers elsewhere, and what comes back of them."""

from __future__ import annotations

import contextlib
import pickle
import sys
from typing import TYPE_CHECKING, Any

import cloudpickle

from ..engine import Completion
from ..errors import CallTimeout
from ..packages import modules as _modules
from ..retrying import with_place
from . import shipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..engine import Job

__all__ = ["RemoteTraceback", "Shipping", "by_value", "completion_of"]


class RemoteTraceback(Exception):
    """The cause of an error that a worker raised: its traceback there, as text."""

    def __str__(self) -> str:
        return "\n" + str(self.args[0])


cloudpickle.register_pickle_by_value(shipped)  # from now on: the worker need not have Daybreak


def by_value(function: Any) -> Any:
    """A copy of a function of `shipped` that other picklers than cloudpickle's own (Ray's) take by value, too."""
    return pickle.loads(cloudpickle.dumps(function))


class Shipping:
    """Of one job. limits: whether the call itself looks at its time and sets its variables, as the engine does not."""

    def __init__(self, job: Job, limits: bool = False) -> None:
        self._job, self._limits = job, limits
        self._function, self._names = _modules.dumps(job.function)
        self._work: tuple[int, Any] = (-1, None)  # what was made when so many modules were known

    def dumped(self, calls: Iterable[tuple[int, Any]]) -> tuple[list[int], list[bytes], list[Completion]]:
        """The calls whose inputs pickle, with those; and how the others have ended."""
        indices, items, failed = [], [], []
        for index, value in calls:
            try:
                data, names = _modules.dumps(value)
            except Exception as error:
                failed.append(Completion(index, error=with_place(error, self._job, index)))
                continue
            self._names |= names
            indices.append(index)
            items.append(data)
        return indices, items, failed

    def work(self) -> Any:
        """The function, with the caller's modules as they were when it was first asked for."""
        if self._work[0] != len(self._names):
            self._work = (len(self._names), self._made())
        return self._work[1]

    def _made(self) -> Any:
        job = self._job
        found = _modules.modules_of(self._names, job.include_modules, job.exclude_modules)
        timeout, variables = (job.timeout, dict(job.extra_env)) if self._limits else (None, None)
        python = sys.version_info[:2]
        return shipped.Shipped(
            self._function, found.files, found.digest, job.star, job.logs, python, timeout, variables
        )


def completion_of(
    job: Job, index: int, value: Any, tries: int, of_failed: Callable[[int], tuple[Any, ...]]
) -> Completion:
    """What `shipped` has given, as it is told."""
    how, data, status = value
    status["attempts"] = tries
    if how == shipped.DONE:
        try:
            return Completion(index, value=pickle.loads(data), status=status)
        except Exception as error:
            return Completion(index, error=with_place(error, job, index), status=status, input=of_failed(index))
    text = status.pop("traceback", "")
    problem: BaseException = RuntimeError(status.get("error", text))
    if status.pop("expired", False):
        problem = CallTimeout(f"call {index} of {job.callset_id}: {status.get('error', '')}")
    elif data is not None:
        with contextlib.suppress(Exception):  # a class that is not there, or has a mind of its own: its text stays
            problem = pickle.loads(data)
    problem.__cause__ = RemoteTraceback(text)
    return Completion(index, error=with_place(problem, job, index), status=status, input=of_failed(index))
