"""What a Tuner is told: Ray Tune's classes and names, each value checked where it is given."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daybreak.base.errors import InvalidArgumentError, UnimplementedError

__all__ = ["CheckpointConfig", "FailureConfig", "RunConfig", "TuneConfig"]


def _whole(name: str, value: Any, low: int, minus_one: str = "") -> None:
    if isinstance(value, bool) or not isinstance(value, int) or (value < low and not (minus_one and value == -1)):
        also = f", or -1: {minus_one}" if minus_one else ""
        raise InvalidArgumentError(f"{name}={value!r}: a whole number, at least {low}{also}")


def check_mode(mode: str | None) -> None:
    if mode not in (None, "min", "max"):
        raise InvalidArgumentError(f"mode={mode!r}: 'min' or 'max'")


@dataclass
class TuneConfig:
    """How is searched. ``seed`` (not Ray's) makes the same trials each time; without one the experiment draws and keeps its own."""

    metric: str | None = None
    mode: str | None = None
    search_alg: Any = None
    scheduler: Any = None
    num_samples: int = 1
    max_concurrent_trials: int | None = None
    time_budget_s: Any = None  # seconds, or a timedelta
    reuse_actors: bool = False
    trial_name_creator: Callable[[Any], str] | None = None
    trial_dirname_creator: Callable[[Any], str] | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        check_mode(self.mode)
        _whole("num_samples", self.num_samples, 1, "without end")
        if self.max_concurrent_trials is not None:
            _whole("max_concurrent_trials", self.max_concurrent_trials, 0)
        if hasattr(self.time_budget_s, "total_seconds"):
            self.time_budget_s = self.time_budget_s.total_seconds()
        if self.time_budget_s is not None and not self.time_budget_s > 0:
            raise InvalidArgumentError(f"time_budget_s={self.time_budget_s!r}: above 0")
        if self.metric is not None and self.mode is None:
            raise InvalidArgumentError(f"metric={self.metric!r} without a mode: mode='min' or mode='max'")


@dataclass
class FailureConfig:
    """max_failures: how often a failed trial is tried again from its checkpoint (-1: without end)."""

    max_failures: int = 0
    fail_fast: bool | str = False

    def __post_init__(self) -> None:
        _whole("max_failures", self.max_failures, 0, "without end")
        if self.fail_fast not in (False, True, "raise"):
            raise InvalidArgumentError(f"fail_fast={self.fail_fast!r}: False, True or 'raise'")
        if self.fail_fast and self.max_failures != 0:
            raise InvalidArgumentError(
                f"fail_fast={self.fail_fast!r} with max_failures={self.max_failures}: one of them"
            )


@dataclass
class CheckpointConfig:
    """num_to_keep: of each trial, by the attribute or the newest; beside them the one that it would go on from.

    ``in_store=True`` (not Ray's): the files are kept in a content store in the experiment's folder, equal tensors and equal pieces
    once, also those of other trials; `Checkpoint` reads them from there.
    """

    num_to_keep: int | None = None
    checkpoint_score_attribute: str | None = None
    checkpoint_score_order: str = "max"
    checkpoint_frequency: int = 0
    checkpoint_at_end: bool | None = None
    in_store: bool = False

    def __post_init__(self) -> None:
        if self.num_to_keep is not None:
            _whole("num_to_keep", self.num_to_keep, 1)
        _whole("checkpoint_frequency", self.checkpoint_frequency, 0)
        if self.checkpoint_score_order not in ("min", "max"):
            raise InvalidArgumentError(f"checkpoint_score_order={self.checkpoint_score_order!r}: 'min' or 'max'")


@dataclass
class RunConfig:
    """Where the results go, and when a trial stops. Without a storage_path: $DAYBREAK_RESULTS_DIR, or ~/daybreak_results.

    ``track=True`` (not Ray's): the experiment and each trial are runs of daybreak.track, in its root.
    """

    name: str | None = None
    storage_path: str | os.PathLike[str] | None = None
    failure_config: FailureConfig = field(default_factory=FailureConfig)
    checkpoint_config: CheckpointConfig = field(default_factory=CheckpointConfig)
    verbose: int | None = None
    stop: Any = None
    callbacks: Sequence[Any] | None = None
    progress_reporter: Any = None
    log_to_file: bool | str | tuple[str, str] = False
    sync_config: Any = None
    storage_filesystem: Any = None
    track: bool = False

    def __post_init__(self) -> None:
        self.failure_config = self.failure_config or FailureConfig()
        self.checkpoint_config = self.checkpoint_config or CheckpointConfig()
        if self.log_to_file:
            raise UnimplementedError(
                f"log_to_file={self.log_to_file!r}: what trials print goes to the driver's output: redirect that"
            )
        for name in ("sync_config", "storage_filesystem"):
            if getattr(self, name) is not None:
                raise UnimplementedError(
                    f"{name}={getattr(self, name)!r}: storage_path is a folder of this machine's file systems"
                )
        if self.name is not None and (not self.name or "/" in self.name or self.name in (".", "..")):
            raise InvalidArgumentError(f"name={self.name!r}: the name of a folder, without '/'")
        if self.storage_path is not None and "://" in os.fspath(self.storage_path):
            raise UnimplementedError(
                f"storage_path={self.storage_path!r}: a folder of a file system: mount the bucket there (mountpoint-s3, s3fs, "
                "gcsfuse), or write to a folder and copy it"
            )

    def root(self) -> Path:
        found = self.storage_path or os.environ.get("DAYBREAK_RESULTS_DIR") or "~/daybreak_results"
        return Path(os.path.abspath(os.path.expanduser(os.fspath(found))))
