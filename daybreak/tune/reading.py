"""An experiment's folder, read without running anything, also while somebody drives it."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any

from daybreak._core import tune as _native

from .files import TrialFiles, folder_name
from .suggesting import Source
from .trial import Trial, read_config

__all__ = ["read_trials", "trial_folder"]


def trial_folder(path: str | os.PathLike[str], trainable: str, trial_id: str, tag: str) -> str:
    name = folder_name(f"{trainable}_{trial_id}_{tag.split('@')[0]}")
    return f"{path}/{name}"


def _as_written(written: dict[str, Any], _: Any) -> dict[str, Any]:
    config: dict[str, Any] = written["config"]
    return config


def read_trials(
    path: Path, space: Any, dirname_creator: Any = None, functions: bool = False, to_look: bool = False
) -> list[tuple[Trial, dict[str, Any]]]:
    """Each trial, and what the journal says of it. ``to_look``: what no journal can hold is None, and nothing is needed for it."""
    experiment = _native.Experiment.read(str(path / "experiment.journal"))
    plan = json.loads(experiment.plan)
    source = Source(space, None, plan["num_samples"], plan["seed"], plan["prefix"], functions)
    found = []
    for number in range(len(experiment)):
        row = experiment.trial(number)
        written = json.loads(row["suggestion"])
        folder = trial_folder(path, plan["trainable"], row["id"], written["tag"])
        again = functools.partial(source.config_of, number)
        config = functools.partial(_as_written if to_look else read_config, written, again)
        trial = Trial(experiment, number, folder, plan["trainable"], row["id"], config)
        if dirname_creator is not None:
            trial.files = TrialFiles(path / folder_name(str(dirname_creator(trial))))
        found.append((trial, row))
    return found
