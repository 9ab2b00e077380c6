"""A trial's folder, with Ray's files: params.json, result.json, progress.csv, error.txt, checkpoint_%06d."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path
from typing import Any

from daybreak._core import tune as _native

from .session import plain
from .variants import flattened

__all__ = ["TrialFiles", "begin_folder"]

_MAX_NAME = 130
_NOT_IN_NAMES = {ord(c): "_" for c in "/\\\0\n"}
_PLAIN = (bool, int, float, str, type(None))


def folder_name(name: str) -> str:
    """As a file system takes it: no separators, and short enough for what is in it."""
    return name.translate(_NOT_IN_NAMES)[:_MAX_NAME].strip() or "trial"


def as_json(value: Any, **kwargs: Any) -> str:
    """For people to read: what has no JSON is shown as it prints."""

    def shown(inner: Any) -> Any:
        try:
            return plain(inner)
        except TypeError:
            return str(inner)

    return json.dumps(_text_keys(value), default=shown, **kwargs)


def _params(config: dict[str, Any]) -> str:
    """Of params.json; Python's own indenting is slow, and most configs are flat."""
    if not all(type(value) in _PLAIN and type(key) is str for key, value in config.items()):
        return as_json(config, indent=2, sort_keys=True)
    lines = (f"  {json.dumps(key)}: {json.dumps(config[key])}" for key in sorted(config))
    return "{\n" + ",\n".join(lines) + "\n}" if config else "{}"


def _text_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _text_keys(inner) for key, inner in value.items()}
    if type(value) in (list, tuple):
        return [_text_keys(inner) for inner in value]
    return value


def begin_folder(folder: str, config: dict[str, Any]) -> None:
    """A trial begins that never has; what a driver that died left there goes."""
    try:
        os.mkdir(folder)
    except FileNotFoundError:
        os.makedirs(folder)
    except FileExistsError:
        TrialFiles(folder).begin(config, 0)
        return
    with open(f"{folder}/params.json", "wb", buffering=0) as out:
        out.write(_params(config).encode())


class TrialFiles:
    """Results are appended as they come; progress.csv is made of them when an attempt ends."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = os.fspath(folder)
        self._results: Any = None
        self._is_whole = False  # both files are there, and no result will come any more

    @property
    def folder(self) -> Path:
        return Path(self._folder)

    @property
    def name(self) -> str:
        return self._folder

    def begin(self, config: dict[str, Any], iteration: int) -> None:
        """An attempt begins at this iteration: what was reported behind it belongs to work that is lost."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "params.json").write_text(_params(config))
        self.close()
        self._is_whole = False
        path = self.folder / "result.json"
        if path.exists():
            kept = [line for line in self.lines() if json.loads(line).get("training_iteration", 0) <= iteration]
            path.write_text("".join(f"{line}\n" for line in kept))

    def lines(self) -> list[str]:
        try:
            text = (self.folder / "result.json").read_text()
        except FileNotFoundError:
            return []
        return [line for line in text.split("\n") if line and line.endswith("}")]  # not one that a death has cut

    def results(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines()]

    def append(self, lines: bytes, last: bool = False) -> None:
        """``last``: the attempt is over with them."""
        if last and self._results is None and _native.write_results(self._folder, lines):
            self._is_whole = True
            return
        self._is_whole = False
        if self._results is None:
            self._results = open(f"{self._folder}/result.json", "ab", buffering=0)
        self._results.write(lines)

    def error(self, text: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "error.txt", "a") as out:
            out.write(f"{text.rstrip()}\n")

    def drop(self, checkpoint: str) -> None:
        shutil.rmtree(self.folder / checkpoint, ignore_errors=True)

    def drop_unknown(self, known: set[str]) -> None:
        """Checkpoints that no record names: a death came between the folder and the record."""
        if not self.folder.is_dir():
            return
        for entry in os.listdir(self.folder):
            if entry.startswith(("checkpoint_", ".checkpoint_")) and entry not in known:
                self.drop(entry)

    def table(self) -> None:
        """progress.csv, with the columns of the first result, as Ray has it."""
        if self._is_whole:
            return
        results, made = f"{self._folder}/result.json", f"{self._folder}/.progress.csv.partial"
        if not os.path.exists(results) or os.path.getsize(results) == 0:
            return
        if _native.table_file(results, made):
            if os.path.getsize(made) > 0:
                os.replace(made, f"{self._folder}/progress.csv")
            else:  # a death has cut the first line
                os.remove(made)
            return
        rows = [flattened(result) for result in self.results()]
        with open(made, "w", newline="") as out:
            writer = csv.DictWriter(out, list(rows[0]), extrasaction="ignore", restval="")
            writer.writeheader()
            writer.writerows(rows)
        os.replace(made, f"{self._folder}/progress.csv")

    def close(self) -> None:
        if self._results is not None:
            self._results.close()
            self._results = None
