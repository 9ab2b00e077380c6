"""Lightning's callbacks that report, and save (`ray.tune.integration.pytorch_lightning`); they need one of its packages."""

from __future__ import annotations

import importlib
import importlib.util
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from daybreak.base.errors import InvalidArgumentError
from daybreak.tune.checkpoint import Checkpoint
from daybreak.tune.session import report

__all__ = ["TuneReportCallback", "TuneReportCheckpointCallback"]


def _callback_class() -> Any:
    for name in ("lightning", "pytorch_lightning"):
        if importlib.util.find_spec(name) is not None:
            module = "lightning.pytorch.callbacks" if name == "lightning" else "pytorch_lightning.callbacks"
            return importlib.import_module(module).Callback
    raise ImportError("neither lightning nor pytorch_lightning is installed: pip install lightning")


_HOOKS = (
    "fit_end",
    "train_end",
    "train_epoch_end",
    "validation_end",
    "validation_epoch_end",
    "test_end",
    "test_epoch_end",
)


class TuneReportCheckpointCallback(_callback_class()):  # type: ignore[misc]
    """Reports the trainer's metrics ``on`` one of its hooks, with a checkpoint of the trainer.

    ``metrics``: all of trainer.callback_metrics, some, or {the name that is reported: the metric}. A metric that is not there yet
    is left out; what comes of a sanity check is not reported.
    """

    def __init__(
        self,
        metrics: str | Sequence[str] | Mapping[str, str] | None = None,
        filename: str = "checkpoint",
        save_checkpoints: bool = True,
        on: str | Sequence[str] = "validation_end",
    ) -> None:
        super().__init__()
        hooks = [on] if isinstance(on, str) else list(on)
        unknown = [hook for hook in hooks if hook not in _HOOKS]
        if unknown:
            raise InvalidArgumentError(f"on={unknown}: of {', '.join(_HOOKS)}")
        self._metrics = [metrics] if isinstance(metrics, str) else metrics
        self._filename, self._saves = filename, save_checkpoints
        for hook in hooks:
            setattr(self, f"on_{hook}", self._tell)

    def _tell(self, trainer: Any, module: Any) -> None:
        if trainer.sanity_checking:
            return
        there = {name: value.item() for name, value in trainer.callback_metrics.items()}
        if self._metrics is None:
            found = there
        else:
            wanted = self._metrics if isinstance(self._metrics, Mapping) else {name: name for name in self._metrics}
            found = {reported: there[name] for reported, name in wanted.items() if name in there}
        if not found:
            return
        if not self._saves:
            report(found)
            return
        with tempfile.TemporaryDirectory() as folder:
            trainer.save_checkpoint(str(Path(folder, self._filename)), weights_only=False)
            report(found, checkpoint=Checkpoint.from_directory(folder))


class TuneReportCallback(TuneReportCheckpointCallback):
    """Reports alone."""

    def __init__(
        self,
        metrics: str | Sequence[str] | Mapping[str, str] | None = None,
        on: str | Sequence[str] = "validation_end",
    ) -> None:
        super().__init__(metrics, save_checkpoints=False, on=on)
