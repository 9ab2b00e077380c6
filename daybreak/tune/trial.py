"""A trial as schedulers, callbacks and reporters of one's own see it, and as it is written down."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from typing import Any

from daybreak.base.errors import FailedPreconditionError

from . import space as domains
from .checkpoint import Checkpoint
from .files import TrialFiles
from .space import Domain
from .variants import flattened

__all__ = ["Trial", "read_config", "read_space", "written_config", "written_space"]


def _opaque(value: Any, path: str, found: list[str]) -> Any:
    """With None in place of what JSON would not give back as it was."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) is dict and all(type(key) is str for key in value):
        return {key: _opaque(inner, f"{path}/{key}" if path else key, found) for key, inner in value.items()}
    if type(value) is list:
        return [_opaque(inner, f"{path}/{i}" if path else str(i), found) for i, inner in enumerate(value)]
    found.append(path)
    return None


def written_space(space: Any, found: list[str], path: str = "") -> Any:
    """As JSON: a domain is {"__domain__": [its function, its arguments]}; `found` gets the paths of what has no JSON."""
    if isinstance(space, Domain) and space.described is not None:
        name, arguments = space.described
        return {"__domain__": [name, [written_space(argument, found, path) for argument in arguments]]}
    if type(space) is dict and all(type(key) is str for key in space):
        return {key: written_space(inner, found, f"{path}/{key}") for key, inner in space.items()}
    if type(space) is list:
        return [written_space(inner, found, path) for inner in space]
    return _opaque(space, path, found)


def read_space(written: Any) -> Any:
    if isinstance(written, dict) and set(written) == {"__domain__"}:
        name, arguments = written["__domain__"]
        return getattr(domains, name)(*(read_space(argument) for argument in arguments))
    if isinstance(written, dict):
        return {key: read_space(inner) for key, inner in written.items()}
    if isinstance(written, list):
        return [read_space(inner) for inner in written]
    return written


def written_config(config: dict[str, Any], tag: str, chosen: list[str]) -> str:
    opaque: list[str] = []
    plain = _opaque(config, "", opaque)
    return json.dumps({"config": plain, "tag": tag, "chosen": chosen, "opaque": opaque})


def read_config(written: dict[str, Any], again: Any) -> dict[str, Any]:
    """The config of a record; what JSON could not hold is taken from ``again()``, the config made anew of the space, or None."""
    config: dict[str, Any] = written["config"]
    if not written["opaque"]:
        return config
    made = again()
    if made is None:
        raise FailedPreconditionError(
            f"'{written['opaque'][0]}' of the config is no JSON value, so it is not in the journal: restore with param_space="
        )
    for path in written["opaque"]:
        keys = path.split("/")
        target: Any = config
        source: Any = made
        for key in keys[:-1]:
            target = target[int(key) if isinstance(target, list) else key]
            source = source[int(key) if isinstance(source, (list, tuple)) else key]
        last: Any = int(keys[-1]) if isinstance(target, list) else keys[-1]
        target[last] = source[int(keys[-1]) if isinstance(source, (list, tuple)) else keys[-1]]
    return config


class Trial:
    """Names are Ray's; it is a view of what the experiment knows."""

    def __init__(
        self,
        experiment: Any,
        number: int,
        folder: str | os.PathLike[str],
        trainable_name: str,
        trial_id: str,
        config: dict[str, Any] | Callable[[], dict[str, Any]],
    ) -> None:
        """``config``: or what makes it, when somebody asks."""
        self._experiment = experiment
        self.number = number
        self._config = config
        self.trial_id = trial_id
        self.trainable_name = trainable_name
        self.files = TrialFiles(folder)
        self._last: tuple[str, dict[str, Any]] = ("", {})
        self.custom_trial_name: str | None = None

    @property
    def config(self) -> dict[str, Any]:
        if callable(self._config):
            self._config = self._config()
        return self._config

    @config.setter
    def config(self, config: dict[str, Any]) -> None:
        self._config = config

    def _written(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._experiment.trial(self.number)["suggestion"])
        return found

    @functools.cached_property
    def experiment_tag(self) -> str:
        return str(self._written()["tag"])

    @property
    def evaluated_params(self) -> dict[str, Any]:
        """What was chosen for it, by path."""
        flat = flattened(self.config)
        return {name: flat.get(name) for name in self._chosen}

    @functools.cached_property
    def _chosen(self) -> list[str]:
        return list(self._written()["chosen"])

    @property
    def last_result(self) -> dict[str, Any]:
        """The last that counts; {}: there is none."""
        text = self._experiment.result(self.number)
        if text != self._last[0]:
            self._last = (text, json.loads(text))
        return self._last[1]

    @property
    def status(self) -> str:
        return str(self._experiment.state(self.number))

    @property
    def logdir(self) -> str:
        return self.files.name

    local_path = path = logdir

    @property
    def checkpoint(self) -> Checkpoint | None:
        kept = self._experiment.trial(self.number)["checkpoints"]
        return Checkpoint(self.files.folder / kept[-1][0]) if kept else None

    @property
    def error_file(self) -> str | None:
        path = self.files.folder / "error.txt"
        return str(path) if path.exists() else None

    @property
    def num_failures(self) -> int:
        return int(self._experiment.trial(self.number)["failures"])

    def is_finished(self) -> bool:
        return self.status in ("TERMINATED", "ERROR")

    def __str__(self) -> str:
        return self.custom_trial_name or f"{self.trainable_name}_{self.trial_id}"

    def __repr__(self) -> str:
        return str(self)

    def __hash__(self) -> int:
        return hash(self.trial_id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Trial) and other.trial_id == self.trial_id
