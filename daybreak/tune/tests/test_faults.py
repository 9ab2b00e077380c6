"""What a person meets when the machine does not do what it should, and what odd values lead to."""

from __future__ import annotations

import enum
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import daybreak
from daybreak import tune
from daybreak.base import errors
from daybreak.tune import schedulers

PROGRAM = """
import os, sys
import daybreak
from daybreak import tune
from daybreak.tune.tests.test_faults import Fills, counts, fitted

daybreak.init(num_cpus=2)
try:
    fitted(sys.argv[1], [Fills(sys.argv[1])])
except Exception as error:
    print(type(error).__name__, error)
print(tune.is_running(os.path.join(sys.argv[1], "e")))
"""


@pytest.fixture(scope="module", autouse=True)
def runtime() -> Iterator[None]:
    daybreak.init(num_cpus=2)
    yield
    daybreak.shutdown()


class Fills(tune.Callback):
    """After some results no file of this process may grow any more, as on a disk that is full."""

    def __init__(self, folder: str) -> None:
        self._journal, self._seen = Path(folder, "e", "experiment.journal"), 0

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any) -> None:
        self._seen += 1
        if self._seen == 20:
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (self._journal.stat().st_size + 100, hard))


def counts(config: dict[str, Any]) -> None:
    for i in range(30):
        tune.report({"score": config["x"] * i, "text": "-" * 200})


def fitted(folder: Any, callbacks: Any) -> Any:
    return tune.Tuner(
        counts,
        param_space={"x": tune.grid_search([1, 2, 3])},
        run_config=tune.RunConfig(name="e", storage_path=folder, verbose=0, callbacks=callbacks),
    ).fit()


def test_a_full_disk_is_said_and_once_there_is_room_the_experiment_goes_on(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    child = subprocess.run(command, capture_output=True, text=True, timeout=60)
    error, running = child.stdout.splitlines()
    assert "experiment.journal" in error and "too large" in error, child.stdout + child.stderr
    assert running == "False"
    grid = tune.Tuner.restore(tmp_path / "e", counts).fit()
    for result in grid:
        assert [row["training_iteration"] for row in result.history()] == list(range(1, 31))
        assert [row["score"] for row in result.history()] == [result.config["x"] * i for i in range(30)]


class Level(enum.Enum):
    LOW = 0.25


def reports_oddly(config: dict[str, Any]) -> None:
    value = [np.array([0.5]), np.float32(0.5), np.array(0.5)][config["x"]]
    for i in range(3):
        tune.report({"score": value * (i + 1)})


def test_a_metric_of_one_element_decides_whatever_holds_it(tmp_path: Path, capfd: Any) -> None:
    scheduler = schedulers.ASHAScheduler(max_t=2, grace_period=1, reduction_factor=2)
    grid = tune.Tuner(
        reports_oddly,
        param_space={"x": tune.grid_search([0, 1, 2])},
        tune_config=tune.TuneConfig(metric="score", mode="max", scheduler=scheduler, max_concurrent_trials=1),
        run_config=tune.RunConfig(name="e", storage_path=tmp_path, verbose=0),
    ).fit()
    assert [len(result.history()) for result in grid] == [2, 2, 2], "max_t ends them"
    assert "decide nothing" not in capfd.readouterr().err


def test_a_metric_is_a_number_by_one_rule() -> None:
    from daybreak.tune.session import number_of

    taken = [True, 2, np.int8(2), np.array([0.5]), np.bool_(False), Level.LOW, float("inf")]
    assert [number_of(value) for value in taken] == [1.0, 2.0, 2.0, 0.5, 0.0, 0.25, float("inf")]
    assert [number_of(value) for value in ("1", None, np.array([1, 2]), [1, 2], ["1"], [[1]], [], {}, object())] == [
        None
    ] * 9
    assert number_of([1]) == 1.0, "as which an array of one element comes back from a result"


def test_a_bucket_is_refused_with_a_way_out() -> None:
    with pytest.raises(errors.UnimplementedError, match="mount the bucket"):
        tune.RunConfig(storage_path="s3://bucket/prefix")


def test_a_second_driver_is_refused_and_a_reader_is_not(tmp_path: Path) -> None:
    from daybreak._core.tune import Experiment

    path = str(tmp_path / "experiment.journal")
    first = Experiment.create(path, '{"version": 1}')
    assert Experiment.is_driven(path)
    with pytest.raises(errors.UnavailableError, match=f"process {os.getpid()} drives this experiment"):
        Experiment.open(path)
    assert Experiment.read(path).plan == '{"version": 1}'
    first.close()
    assert not Experiment.is_driven(path)
    Experiment.open(path).close()
