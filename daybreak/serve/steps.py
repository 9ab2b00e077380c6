"""The steps of a deploy, at each of which a test ends the server."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

__all__ = ["FAILPOINT", "STEPS", "step"]

FAILPOINT = "DAYBREAK_SERVE_FAILPOINT"

# In the order in which a deploy passes them.
STEPS = (
    "deploy.begun",
    "blob.written",
    "blob.synced",
    "blob.placed",
    "deploy.blob",
    "deploy.version",
    "deploy.replicas",
    "deploy.ready",
    "state.written",
    "state.synced",
    "state.placed",
    "deploy.journalled",
    "deploy.switched",
    "deploy.done",
)
on_step: Callable[[str], None] | None = None


def step(name: str) -> None:
    """Marks that this step was reached: kills the process if the environment's `DAYBREAK_SERVE_FAILPOINT` names it."""
    if on_step is not None:
        on_step(name)
    if os.environ.get(FAILPOINT) == name:
        os.kill(os.getpid(), signal.SIGKILL)
