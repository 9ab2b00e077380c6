"""From outside: whether somebody drives an experiment, and that it is to stop."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daybreak._core import tune as _native
from daybreak.base.errors import FailedPreconditionError, NotFoundError

if TYPE_CHECKING:
    from .running import Run

__all__ = ["Requests", "catch_interrupt", "is_running", "request_stop", "restore_interrupt"]

_JOURNAL = "experiment.journal"
_REQUEST = "experiment.stop"
_LOOK_S = 0.25


def _folder(folder: str | os.PathLike[str]) -> Path:
    path = Path(os.path.abspath(os.path.expanduser(os.fspath(folder))))
    if not (path / _JOURNAL).exists():
        raise NotFoundError(f"{path}: there is no experiment in it ({_JOURNAL})")
    return path


def is_running(folder: str | os.PathLike[str]) -> bool:
    """Whether a process drives the experiment in ``folder`` now; a death ends that at once. NotFoundError: there is none.

    >>> import tempfile
    >>> from daybreak import tune
    >>> run = tune.RunConfig(storage_path=tempfile.mkdtemp(), name="e", verbose=0)
    >>> grid = tune.Tuner(lambda config: {"score": 1}, run_config=run).fit()
    >>> is_running(grid.experiment_path)
    False
    """
    return _native.Experiment.is_driven(str(_folder(folder) / _JOURNAL))


def request_stop(folder: str | os.PathLike[str]) -> None:
    """Asks the process that drives the experiment in ``folder`` to stop as Ctrl-C does: trials end, and it can be restored.

    It sees that within a second, and its ``fit()`` returns once the trials' processes have ended; this function does not wait:
    ask ``is_running``. FailedPreconditionError: nobody drives it.
    """
    path = _folder(folder)
    if not is_running(path):
        raise FailedPreconditionError(f"{path}: no process drives this experiment: there is nothing to stop")
    (path / _REQUEST).touch()


class Requests:
    """Of the process that drives the experiment in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _REQUEST
        self._looked = 0.0

    def is_one_there(self) -> bool:
        """Looks four times a second at most."""
        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return False
        self._looked = now
        return self._path.exists()

    def forget(self) -> None:
        """A driver begins or ends: what was asked of one before it is over."""
        self._path.unlink(missing_ok=True)


def catch_interrupt(run: Run) -> Any:
    """Ctrl-C ends the trials in order; a second one at once. What was there before."""
    if threading.current_thread() is not threading.main_thread():
        return None

    def interrupted(signum: int, frame: Any) -> None:
        if run.interrupted:
            raise KeyboardInterrupt
        run.interrupted = True

    return signal.signal(signal.SIGINT, interrupted)


def restore_interrupt(before: Any) -> None:
    if before is not None:
        signal.signal(signal.SIGINT, before)
