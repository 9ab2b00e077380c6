"""An experiment's folder, read without running anything, also while somebody drives it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from daybreak._core import tune as _native

from .files import TrialFiles, folder_name
from .suggesting import Source
from .trial import Trial, read_config

__all__ = ["read_trials", "trial_folder"]


def trial_folder(path: Path, trainable: str, row: dict[str, Any]) -> Path:
    tag = json.loads(row["suggestion"])["tag"].split("@")[0]
    return path / folder_name(f"{trainable}_{row['id']}_{tag}")


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
        config = written["config"] if to_look else read_config(written, lambda number=number: source.config_of(number))
        trial = Trial(experiment, number, trial_folder(path, plan["trainable"], row), plan["trainable"], config)
        if dirname_creator is not None:
            trial.files = TrialFiles(path / folder_name(str(dirname_creator(trial))))
        trial.last_result = json.loads(row["result"]) if row["result"] else {}
        found.append((trial, row))
    return found
