from collections.abc import Callable
import os
import pathlib
from typing import Annotated

import numpy
from numpy.typing import NDArray


class Store:
    """A content store in a directory; see daybreak.store.Store."""

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

class JournalRecord:
    """One record: its number in the journal, its kind, its bytes."""

    @property
    def number(self) -> int: ...

    @property
    def kind(self) -> int: ...

    @property
    def body(self) -> bytes: ...

    def __repr__(self) -> str: ...

class JournalBatch:
    """
    What JournalReader.read() found. restarted: the journal was rewritten, so forget what was read before: these are its first records.
    """

    @property
    def restarted(self) -> bool: ...

    @property
    def records(self) -> list[JournalRecord]: ...

class JournalStats:
    """
    What one pen has done: records appended, writes and syncs of its own, bytes of unfinished tails that it cut.
    """

    @property
    def records(self) -> int: ...

    @property
    def writes(self) -> int: ...

    @property
    def syncs(self) -> int: ...

    @property
    def cut_bytes(self) -> int: ...

class Journal:
    """
    A file that only grows, record by record, which many processes may write and read at once.

    A death at whatever moment takes nothing that was promised. ``application`` says what the records are: a journal of another
    one is refused. ``DataLossError`` says where the file is damaged; ``UnavailableError``: another process has held the lock for
    ``lock_timeout_s``. Any thread may use it; a child made by fork opens it again.
    """

    def __init__(self, path: str | os.PathLike, application: str = '', lock_timeout_s: float = 60.0) -> None: ...

    def append(self, body: bytes, kind: int = 0, durability: str = 'written') -> int | None:
        """
        The record's number. What it has outlived on return: ``"buffered"`` nothing (and there is no number yet), ``"written"``
        the death of this process, ``"synced"`` a loss of power. ``ResourceExhaustedError`` when the disk is full: the record is
        nowhere then, and may be tried again.
        """

    def flush(self, durability: str = 'written') -> None:
        """What is buffered becomes ``"written"`` or ``"synced"``."""

    def rewrite(self, write: Callable) -> None:
        """
        Replaces the journal by the pairs (body, kind) that ``write()`` gives, in one step; the numbers go on.

        Nobody appends meanwhile: a JournalReader that ``write`` opens sees all that there is. What ``write`` raises comes
        through, and the journal is as it was.
        """

    def close(self) -> None:
        """Writes what is buffered; no other call may follow."""

    def stats(self) -> JournalStats: ...

    @property
    def path(self) -> pathlib.Path: ...

    def __enter__(self) -> object: ...

    def __exit__(self, kind: object | None, value: object | None, trace: object | None) -> None: ...

class JournalReader:
    """
    Follows a journal while others write it. Needs no right to write.

    ``NotFoundError`` when there is none. One thread at a time.
    """

    def __init__(self, path: str | os.PathLike, application: str = '', lock_timeout_s: float = 60.0) -> None: ...

    def read(self, max_bytes: int = 1048576) -> JournalBatch:
        """
        What comes next: records until their bodies have ``max_bytes``, at least one; none when there are no more for now.

        ``DataLossError`` says where the journal is damaged, once all before that has been given.
        """
