"""What `map` raises by itself, beside what the functions raise."""

from __future__ import annotations

from daybreak.base.errors import CancelledError, DeadlineExceededError
from daybreak.runtime.exceptions import OutOfMemoryError, WorkerCrashedError

__all__ = ["CallCancelled", "CallTimeout", "JobTimeout", "OutOfMemoryError", "WorkerDied"]


class CallCancelled(CancelledError):
    """The call was cancelled, before it began or while it ran."""


class CallTimeout(DeadlineExceededError):
    """The call ran longer than `timeout` seconds, and was ended."""


class JobTimeout(DeadlineExceededError):
    """The calls of a set were not all done in `job_timeout` seconds: those left were ended."""


class WorkerDied(WorkerCrashedError):
    """The process of the call died in each of its tries. The text says how (process, signal, most memory that it had)."""
