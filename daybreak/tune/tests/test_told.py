"""Whoever follows an experiment hears of each trial's end once: callbacks, searchers, and what is written down for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import daybreak
from daybreak import tune
from daybreak.tune import schedulers
from daybreak.tune.search import ConcurrencyLimiter, Searcher


@pytest.fixture(scope="module", autouse=True)
def runtime() -> Iterator[None]:
    daybreak.init(num_cpus=4)
    yield
    daybreak.shutdown()


class Counted(tune.Trainable):
    def setup(self, config: dict[str, Any]) -> None:
        self.steps = 0

    def step(self) -> dict[str, Any]:
        self.steps += 1
        return {"loss": self.config["x"] * self.steps}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        Path(checkpoint_dir, "steps").write_text(str(self.steps))

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        self.steps = int(Path(checkpoint_dir, "steps").read_text())


class Counting(Searcher):
    def __init__(self) -> None:
        super().__init__()
        self.ended: Counter[str] = Counter()
        self.suggested = 0

    def suggest(self, trial_id: str) -> dict[str, Any]:
        self.suggested += 1
        return {"x": float(self.suggested)}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        self.ended[trial_id] += 1


class Ends(tune.Callback):
    def __init__(self) -> None:
        self.ended: Counter[str] = Counter()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.ended[trial.trial_id] += 1


@pytest.mark.parametrize(
    "scheduler",
    [
        schedulers.HyperBandScheduler(max_t=9, reduction_factor=3),
        schedulers.HyperBandForBOHB(max_t=9, reduction_factor=3),
        schedulers.ASHAScheduler(max_t=9, reduction_factor=3, promotes=True),
    ],
    ids=lambda one: type(one).__name__,
)
def test_a_trial_that_is_stopped_while_it_is_paused_is_told_as_ended(scheduler: Any, tmp_path: Path) -> None:
    searcher, ends = Counting(), Ends()
    grid = tune.Tuner(
        Counted,
        tune_config=tune.TuneConfig(
            metric="loss", mode="min", num_samples=14, scheduler=scheduler, search_alg=ConcurrencyLimiter(searcher, 12)
        ),
        run_config=tune.RunConfig(
            name="e", storage_path=tmp_path, verbose=0, callbacks=[ends], stop={"training_iteration": 9}
        ),
    ).fit()
    names = Counter(result.trial_id for result in grid)
    assert len(names) == 14 and grid.num_terminated == 14
    assert searcher.ended == names and ends.ended == names
    assert all(Path(result.path, "progress.csv").exists() for result in grid)
