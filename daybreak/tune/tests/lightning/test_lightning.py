"""Lightning's trainer reports to an experiment. `./dev test --suite=tune_lightning`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pytorch_lightning", reason="needs Lightning: ./dev test --suite=tune_lightning")

import pytorch_lightning as lightning
import torch

import daybreak
from daybreak import tune
from daybreak.base.errors import InvalidArgumentError
from daybreak.tune.integration.pytorch_lightning import TuneReportCallback, TuneReportCheckpointCallback


@pytest.fixture(scope="module", autouse=True)
def _runtime() -> Iterator[None]:
    daybreak.init(num_cpus=2)
    yield
    daybreak.shutdown()


def trains(config: dict[str, Any]) -> None:
    class Line(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

        def loss(self, batch: Any) -> Any:
            return ((self.layer(batch[0]) - 2 * batch[0]) ** 2).mean()

        def training_step(self, batch: Any, at: int) -> Any:
            return self.loss(batch)

        def validation_step(self, batch: Any, at: int) -> None:
            self.log("val_loss", self.loss(batch))

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=config["lr"])

    torch.manual_seed(0)
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.linspace(-1, 1, 32)[:, None]), batch_size=8)
    trainer = lightning.Trainer(
        max_epochs=3, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[config["callback"](config["metrics"])],
    )  # fmt: skip
    trainer.fit(Line(), data, data)


def fit(folder: Path, callback: Any, metrics: Any) -> Any:
    run = tune.RunConfig(name="e", storage_path=folder, verbose=0)
    [result] = tune.Tuner(
        trains, param_space={"lr": 0.1, "callback": callback, "metrics": metrics}, run_config=run
    ).fit()
    return result


def test_each_validation_is_a_report_and_with_the_other_callback_a_checkpoint(tmp_path: Path) -> None:
    named = fit(tmp_path / "a", TuneReportCallback, {"loss": "val_loss"})
    losses = [row["loss"] for row in named.history()]
    assert (
        len(losses) == 3 and losses == sorted(losses, reverse=True) and named.checkpoint is None
    )  # no sanity check among them
    kept = fit(tmp_path / "b", TuneReportCheckpointCallback, None)
    assert [row["val_loss"] for row in kept.history()] == losses and len(kept.best_checkpoints) == 3
    with kept.checkpoint.as_directory() as folder:
        state = torch.load(Path(folder, "checkpoint"), weights_only=False)
    assert state["epoch"] == 2
    with pytest.raises(InvalidArgumentError, match="on=\\['nothing'\\]"):
        TuneReportCallback(on="nothing")
