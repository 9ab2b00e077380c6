from collections.abc import Callable, Mapping, Sequence
import os
import pathlib
from typing import Annotated, Any, overload

import numpy
from numpy.typing import NDArray



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

class Store:
    """A content store in a directory; see daybreak.track.store."""

    @staticmethod
    def open(path: str | os.PathLike, threads: int = 2, pin_grace_s: float = 3600.0) -> Store: ...

    def put_bytes(self, data: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu', writable=False)], kind: str, name: str, meta: str, parent: str | None, sniff: bool) -> tuple[str, str, int, int]:
        """(id, kind, size, stored bytes)"""

    def put_file(self, path: str | os.PathLike, kind: str, name: str, meta: str, parent: str | None, sniff: bool) -> tuple[str, str, int, int]:
        """(id, kind, size, stored bytes)"""

    def release(self, id: str) -> None: ...

    def info(self, id: str) -> dict: ...

    def objects(self) -> list[str]: ...

    def read_into(self, id: str, offset: int, out: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu')]) -> None:
        """Fills `out` from byte `offset` on."""

    def write_to(self, id: str, path: str | os.PathLike) -> None:
        """Writes it whole or not at all."""

    def diff(self, a: str, b: str) -> dict: ...

    def verify(self) -> dict: ...

    def gc(self, keep: Callable) -> dict: ...

    def stats(self) -> dict: ...

    @property
    def path(self) -> pathlib.Path: ...
