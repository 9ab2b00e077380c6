"""Who starts the calls of a map. All of them start them in the workers of this machine."""

from __future__ import annotations

import threading
from typing import Any

__all__ = ["DummyInvoker", "Invoker", "LambdaInvoker", "LocalInvoker", "SQSInvoker"]


class Invoker:
    """Starts calls at once."""

    TIME_LIMIT = False

    def __init__(self, **described: Any) -> None:
        self._described = described

    def invoke(self, start: Any) -> None:
        """`start()` starts the calls of one map."""
        start()

    def config(self) -> dict[str, Any]:
        """What `invoke_status` says of it."""
        return dict(self._described)


class LocalInvoker(Invoker):
    """PYWREN_EXECUTOR=local."""


class LambdaInvoker(Invoker):
    """PYWREN_EXECUTOR=lambda: by the names of a function in Amazon's cloud, on this machine all the same."""

    TIME_LIMIT = True


class SQSInvoker(Invoker):
    """PYWREN_EXECUTOR=remote."""


class DummyInvoker(Invoker):
    """Keeps what it is given until `run_jobs`."""

    def __init__(self, **described: Any) -> None:
        super().__init__(**described)
        self.payloads: list[Any] = []
        self.thread: threading.Thread | None = None

    def invoke(self, start: Any) -> None:
        self.payloads.append(start)

    def run_jobs(self, MAXJOBS: int = -1, run_dir: Any = None) -> None:
        """Runs the maps that wait, the first MAXJOBS of them or all (-1), to their end."""
        many = len(self.payloads) if MAXJOBS == -1 else MAXJOBS
        jobs, self.payloads = self.payloads[:many], self.payloads[many:]
        for callset in [start() for start in jobs]:
            callset.wait()

    def run_jobs_threaded(self, MAXJOBS: int = -1, run_dir: Any = None) -> None:
        """As run_jobs, on a thread of its own."""
        self.thread = threading.Thread(target=self.run_jobs, args=(MAXJOBS, run_dir), name="pywren-dummy", daemon=True)
        self.thread.start()
