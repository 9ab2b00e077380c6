"""One experiment that runs, and one trial of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import daybreak

from .suggesting import Source
from .trial import Trial

__all__ = ["Run", "Slot", "TuneError"]


class TuneError(daybreak.Error):
    """A trial failed, and the experiment was to end with it."""


@dataclass
class Run:
    """One experiment, as a Tuner or tune.run describes it."""

    trainable: Any
    trainable_name: str
    path: Path
    experiment: Any  # _native.Experiment
    source: Source
    scheduler: Any
    time_attr: str
    metric: str | None
    mode: str | None
    limits: dict[str, float] | None  # stop={...}
    stopper: Any
    max_concurrent: int
    time_budget_s: float | None
    reuse_actors: bool
    failure: Any
    checkpoints: Any
    callbacks: list[Any]
    reporter: Any
    num_samples: int
    trial_name_creator: Any = None
    trial_dirname_creator: Any = None
    interrupted: bool = False


@dataclass
class Slot:
    """A trial that runs."""

    trial: Trial
    actor: Any
    needs: dict[str, float]
    ending: str = ""  # what it was told: "stop", "pause", "exploit"
    deadline: float | None = None
    tail: bytes = b""
    ahead: list[Trial] = field(default_factory=list)  # that its process begins when this one has ended, in their order
    told: float = 0.0  # when the last message came
    gives_back: bool = False  # it was asked for those that are ahead
