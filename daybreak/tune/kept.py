"""Files of checkpoints in an experiment's content store, where equal tensors and equal pieces of files are kept once.

A checkpoint's folder has then a `.tune_contents.json` in place of its larger files. That folders with one are there is all that
says what is in use, so that a death at whatever moment leaves nothing but pieces that the next collection takes away.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from daybreak.base.errors import DataLossError, NotFoundError
from daybreak.store import Store

__all__ = ["CONTENTS", "Keeper", "collected", "copied_whole", "materialised", "names_of"]

CONTENTS = ".tune_contents.json"
_STORE = "checkpoints.store"  # in the experiment's folder, which is the checkpoint's folder's folder's folder
_MIN_BYTES = 4096  # smaller files stay as they are


def names_of(folder: str | os.PathLike[str]) -> dict[str, str]:
    """The store's ids of a checkpoint's files, by their paths in it; {}: all lie in the folder."""
    try:
        found: dict[str, str] = json.loads(Path(folder, CONTENTS).read_text())["files"]
        return found
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError) as error:
        raise DataLossError(f"checkpoint {os.fspath(folder)}: its {CONTENTS} is damaged: {error}") from None


def _store_of(folder: str | os.PathLike[str]) -> str:
    return os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(folder))), _STORE)


class Keeper:
    """Of a trial's process: brings checkpoints into the store. ``before``: the one that the trial goes on from."""

    def __init__(self, experiment: str, before: str) -> None:
        self._store = Store(os.path.join(experiment, _STORE))
        self._parents = names_of(before) if before else {}

    def keep(self, folder: str) -> list[str]:
        """The files of a folder that has not its name yet; returns pins, which release() lets go once it has."""
        files: dict[str, str] = {}
        for path in sorted(Path(folder).rglob("*")):
            if path.is_symlink() or not path.is_file() or path.stat().st_size < _MIN_BYTES:
                continue
            name = str(path.relative_to(folder))
            files[name] = self._store.put(path, name=name, parent=self._parents.get(name)).id
        Path(folder, CONTENTS).write_text(json.dumps({"version": 1, "files": files}))
        for name in files:
            os.unlink(os.path.join(folder, name))
        self._parents = files
        return list(files.values())

    def release(self, pins: list[str]) -> None:
        for pin in pins:
            self._store.release(pin)


def materialised(folder: str, target: str) -> None:
    """Writes the files of a checkpoint that are in the store below ``target``."""
    names = names_of(folder)
    if not names:
        return
    path = _store_of(folder)
    if not os.path.isdir(path):
        raise NotFoundError(
            f"checkpoint {folder}: its files are in {path}, which is not there: was the folder moved out of its experiment? "
            "Checkpoint.to_directory() makes a copy that is whole"
        )
    store = Store(path)
    for name, found in names.items():
        out = os.path.join(target, name)
        if os.path.exists(out):
            continue
        os.makedirs(os.path.dirname(out), exist_ok=True)
        try:
            store.write_to(found, out)
        except (DataLossError, NotFoundError) as error:
            raise DataLossError(f"checkpoint {folder}: '{name}' cannot be read from {path}: {error}") from error


def _used(experiment: Path) -> Iterator[str]:
    for folder in [*experiment.glob("*/checkpoint_*"), *experiment.glob("*/.checkpoint_*.partial")]:
        yield from names_of(folder).values()


def collected(experiment: str | os.PathLike[str]) -> Any:
    """Frees what no checkpoint needs; None: there is no store."""
    path = Path(experiment, _STORE)
    if not path.is_dir():
        return None
    return Store(path).gc(keep=lambda: sorted(set(_used(Path(experiment)))))


def copied_whole(folder: str, target: str, ignore: Any) -> None:
    """The folder as if all of its files lay in it."""
    shutil.copytree(folder, target, dirs_exist_ok=True, ignore=ignore)
    materialised(folder, target)
