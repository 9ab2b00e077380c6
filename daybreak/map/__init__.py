"""One function over many inputs, by PyWren's names, in the workers of this machine or of a cloud.

>>> from daybreak import map
>>> with map.executor() as executor:
...     sum(executor.map(abs, range(-3, 0)))
6
"""

from __future__ import annotations

from .callset import CallSet, Future
from .errors import CallCancelled, CallTimeout, JobTimeout, OutOfMemoryError, WorkerDied
from .executors import ALL_COMPLETED, ALWAYS, ANY_COMPLETED, Executor, as_completed, executor, get_all_results, wait
from .partitions import Part, partition
from .summaries import Summary, summary
from .timelines import timeline

__all__ = [
    "ALL_COMPLETED",
    "ALWAYS",
    "ANY_COMPLETED",
    "CallCancelled",
    "CallSet",
    "CallTimeout",
    "Executor",
    "Future",
    "JobTimeout",
    "OutOfMemoryError",
    "Part",
    "Summary",
    "WorkerDied",
    "as_completed",
    "executor",
    "get_all_results",
    "partition",
    "summary",
    "timeline",
    "wait",
]
