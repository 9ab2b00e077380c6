"""A checkpoint is a folder: whatever a trial wrote there to go on from later."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from daybreak.base.errors import NotFoundError

__all__ = ["Checkpoint", "copied"]

_USER = ".metadata.json"  # set_metadata
_TUNE = ".tune_metadata.json"  # how far the trial was


class Checkpoint:
    """Ray's: `from_directory`, `to_directory`, `as_directory`, and metadata beside the files."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)

    @classmethod
    def from_directory(cls, path: str | os.PathLike[str]) -> Checkpoint:
        return cls(path)

    def to_directory(self, path: str | os.PathLike[str] | None = None) -> str:
        """A copy of the files at ``path``, or in a new temporary folder."""
        self._check()
        made = os.fspath(path) if path is not None else tempfile.mkdtemp(prefix="checkpoint_")
        shutil.copytree(self.path, made, dirs_exist_ok=True, ignore=_without_ours)
        return made

    @contextlib.contextmanager
    def as_directory(self) -> Iterator[str]:
        """The folder itself: read it, do not write."""
        self._check()
        yield self.path

    def _check(self) -> None:
        if not os.path.isdir(self.path):
            raise NotFoundError(f"checkpoint {self.path}: there is no such folder; was it one that num_to_keep let go?")

    def get_metadata(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(Path(self.path, _USER).read_text())
            return found
        except FileNotFoundError:
            return {}

    def set_metadata(self, metadata: dict[str, Any]) -> None:
        Path(self.path, _USER).write_text(json.dumps(metadata))

    def update_metadata(self, metadata: dict[str, Any]) -> None:
        self.set_metadata({**self.get_metadata(), **metadata})

    def __repr__(self) -> str:
        return f"Checkpoint(path={self.path})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Checkpoint) and other.path == self.path

    def __hash__(self) -> int:
        return hash(self.path)


def _without_ours(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name == _TUNE]


def copied(source: str, folder: str, name: str, told: dict[str, Any]) -> None:
    """The folder at ``source`` becomes ``folder/name``, whole or not at all; ``told`` lies in it."""
    made = os.path.join(folder, f".{name}.partial")
    shutil.rmtree(made, ignore_errors=True)
    shutil.copytree(source, made)
    finished(made, folder, name, told)


def finished(made: str, folder: str, name: str, told: dict[str, Any]) -> None:
    """What has been written at ``made`` gets its name."""
    Path(made, _TUNE).write_text(json.dumps(told))
    final = os.path.join(folder, name)
    shutil.rmtree(final, ignore_errors=True)  # of an attempt that died before it was written down
    os.rename(made, final)


def told(path: str) -> dict[str, Any]:
    """How far the trial was that wrote it."""
    try:
        found: dict[str, Any] = json.loads(Path(path, _TUNE).read_text())
        return found
    except FileNotFoundError:
        return {}
