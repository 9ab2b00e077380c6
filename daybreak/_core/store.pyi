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
