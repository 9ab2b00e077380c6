from collections.abc import Mapping, Sequence
import os
from typing import Annotated, Any, overload

import numpy
from numpy.typing import NDArray



class EventKind:
    """What an event says: docs/formats/track-run-log.md."""

    GOAL: int = 23

    START: int = 33

    STATUS: int = 34

    PARAM: int = 36

    TAG: int = 39

    ARTIFACT: int = 40

    CHILD: int = 43

    DELETED: int = 45

    CAPTURE: int = 65

    TEXT: int = 66

    NOTICE: int = 68

def new_run_id() -> str:
    """A new run id: UUID version 7."""

class RunLog:
    """One process's pen in one run."""

    def __init__(self, root: str | os.PathLike, run: str, owner: bool, session: int, next_step: int) -> None: ...

    @overload
    def log(self, metrics: Mapping[str, Any], step: int | None = None, /) -> None: ...
    @overload
    def log(self, metrics: Mapping[str, Any], *, step: int | None = None) -> None: ...
    @overload
    def log(self, name: str, value: Any, step: int | None = None) -> None:
        """Records values of one moment."""

    def log_array(self, name: str, values: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], steps: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)] | None) -> None:
        """
        One point for each value (float64) of one metric; 64 share one look at the clock.
        """

    def event(self, kind: int, fields: Sequence[bytes]) -> None:
        """Records strings; docs/formats/track-run-log.md."""

    def sync(self) -> None:
        """What was logged before survives a loss of power."""

    def end_with_process(self, reason: str) -> None:
        """
        Ends the run when the process ends: finished when its exit status is 0, else failed with the reason, or with the status where that is empty.
        """

    def close(self) -> None:
        """Turns the log into columns. Once."""

    @property
    def next_step(self) -> int: ...

class RunFiles:
    """A run as it was when it was opened."""

    @staticmethod
    def open(root: str | os.PathLike, run: str) -> RunFiles: ...

    def state(self) -> dict:
        """Everything but the series and what captured() gives."""

    def captured(self) -> dict:
        """
        captures: (session, topic, JSON); output: (stream, text); notices: text.
        """

    def verify(self) -> tuple:
        """
        Reads every page: files, points, problems as (text, is only a torn end).
        """

    def history(self, name: str, first_step: int, last_step: int) -> tuple:
        """
        Steps (int64), times (int64, ns since 1970) and values (float64), sorted.
        """

    def preview(self, name: str, points: int) -> tuple: ...

    def stream(self, names: Sequence[str]) -> object:
        """A PyCapsule 'arrow_array_stream'."""

def recover(root: str | os.PathLike, run: str) -> int:
    """Turns what dead writers left into columns; how many segments."""

def living_writers(root: str | os.PathLike, run: str) -> list[int]: ...
