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

from . import kept

__all__ = ["Checkpoint", "copied"]

_USER = ".metadata.json"  # set_metadata
_TUNE = ".tune_metadata.json"  # how far the trial was


class Checkpoint:
    """Ray's: `from_directory`, `to_directory`, `as_directory`, and metadata beside the files."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._folder = os.fspath(path)

    @property
    def path(self) -> str:
        """The folder, with all of its files (DataLossError, NotFoundError: what the store has lost)."""
        if os.path.isdir(self._folder):
            kept.materialised(self._folder, self._folder)
        return self._folder

    @classmethod
    def from_directory(cls, path: str | os.PathLike[str]) -> Checkpoint:
        return cls(path)

    def to_directory(self, path: str | os.PathLike[str] | None = None) -> str:
        """A copy of the files at ``path``, or in a new temporary folder."""
        self._check()
        made = os.fspath(path) if path is not None else tempfile.mkdtemp(prefix="checkpoint_")
        kept.copied_whole(self._folder, made, _without_ours)
        return made

    @contextlib.contextmanager
    def as_directory(self) -> Iterator[str]:
        """The folder itself: read it, do not write. Of a checkpoint in the experiment's store: a copy, for as long."""
        self._check()
        if not kept.names_of(self._folder):
            yield self._folder
            return
        with tempfile.TemporaryDirectory(prefix="checkpoint_") as made:
            yield self.to_directory(made)

    def _check(self) -> None:
        if not os.path.isdir(self._folder):
            raise NotFoundError(
                f"checkpoint {self._folder}: there is no such folder; was it one that num_to_keep let go?"
            )

    def get_metadata(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(Path(self._folder, _USER).read_text())
            return found
        except FileNotFoundError:
            return {}

    def set_metadata(self, metadata: dict[str, Any]) -> None:
        Path(self._folder, _USER).write_text(json.dumps(metadata))

    def update_metadata(self, metadata: dict[str, Any]) -> None:
        self.set_metadata({**self.get_metadata(), **metadata})

    def __repr__(self) -> str:
        return f"Checkpoint(path={self._folder})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Checkpoint) and other._folder == self._folder

    def __hash__(self) -> int:
        return hash(self._folder)


def _without_ours(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name in (_TUNE, kept.CONTENTS)]


def copied(source: Checkpoint, folder: str, name: str, told: dict[str, Any], keeper: kept.Keeper | None) -> None:
    """The checkpoint becomes ``folder/name``, whole or not at all; ``told`` lies in it."""
    made = os.path.join(folder, f".{name}.partial")
    shutil.rmtree(made, ignore_errors=True)
    source._check()
    kept.copied_whole(source._folder, made, _without_ours)
    finished(made, folder, name, told, keeper)


def finished(made: str, folder: str, name: str, told: dict[str, Any], keeper: kept.Keeper | None) -> None:
    """What has been written at ``made`` gets its name; with a keeper its files go to the store."""
    pins = keeper.keep(made) if keeper is not None else []
    Path(made, _TUNE).write_text(json.dumps(told))
    final = os.path.join(folder, name)
    shutil.rmtree(final, ignore_errors=True)  # of an attempt that died before it was written down
    os.rename(made, final)
    if keeper is not None:
        keeper.release(pins)


def told(path: str) -> dict[str, Any]:
    """How far the trial was that wrote it."""
    try:
        found: dict[str, Any] = json.loads(Path(path, _TUNE).read_text())
        return found
    except FileNotFoundError:
        return {}
