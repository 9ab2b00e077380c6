"""An experiment whose driver was killed goes on: no trial lost, none twice, no cell forgotten, iterations monotonic."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import daybreak
from daybreak import tune
from daybreak.base import errors
from daybreak.tune import schedulers

PROGRAM = """
import sys
from daybreak import tune
from daybreak.base import failpoints
from daybreak.tune.tests.test_resume import Steps, config_of
import daybreak
daybreak.init(num_cpus=2)
failpoints.arm(sys.argv[2], int(sys.argv[3]))
tune.Tuner(Steps, **config_of(sys.argv[1])).fit()
print("it was not killed")
"""


class Steps(tune.Trainable):
    """Writes down each step that it takes, so that one sees what was done twice."""

    def setup(self, config: dict[str, Any]) -> None:
        self.n = 0
        self._write("setup")

    def _write(self, what: str) -> None:
        with open(os.path.join(self.logdir, "done.txt"), "a") as out:
            out.write(f"{what}\n")

    def step(self) -> dict[str, Any]:
        self.n += 1
        self._write(str(self.n))
        return {"n": self.n, "score": self.config["x"] * self.n}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        Path(checkpoint_dir, "n").write_text(str(self.n))

    def load_checkpoint(self, checkpoint: str) -> None:
        self.n = int(Path(checkpoint, "n").read_text())


def config_of(folder: str) -> dict[str, Any]:
    return {
        "param_space": {"x": tune.grid_search([1, 4, 2, 3]), "y": tune.uniform(0, 1)},
        "tune_config": tune.TuneConfig(
            metric="score",
            mode="max",
            seed=7,
            scheduler=schedulers.ASHAScheduler(max_t=6, grace_period=2, reduction_factor=2),
            max_concurrent_trials=2,
        ),
        "run_config": tune.RunConfig(
            storage_path=folder,
            name="e",
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(num_to_keep=1, checkpoint_frequency=1),
        ),
    }


@pytest.fixture(scope="module", autouse=True)
def runtime() -> Iterator[None]:
    daybreak.init(num_cpus=4)
    yield
    daybreak.shutdown()


def killed(tmp_path: Path, point: str, countdown: int) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), point, str(countdown)]
    child = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert child.returncode == -signal.SIGKILL, f"{point} was not passed: {child.stdout}{child.stderr}"


def check(grid: Any) -> None:
    assert sorted(result.config["x"] for result in grid) == [1, 2, 3, 4], "each cell once"
    assert {result.status for result in grid} == {"TERMINATED"}
    for result in grid:
        rows = result.history()
        assert [row["training_iteration"] for row in rows] == list(range(1, len(rows) + 1))
        assert [row["n"] for row in rows] == list(range(1, len(rows) + 1)), "state and iteration go together"
        folders = [name for name in os.listdir(result.path) if "checkpoint" in name]
        assert folders == [Path(result.checkpoint.path).name], "exactly the one that is to be kept"


POINTS = [
    ("experiment.added", 3),
    ("experiment.started", 2),
    ("experiment.result", 1),
    ("experiment.result", 5),
    ("experiment.decided", 1),
    ("experiment.saved", 0),
    ("tune.started", 1),
    ("tune.results", 4),
    ("tune.forgotten", 2),
    ("tune.flushed", 6),
]


@pytest.mark.parametrize(("point", "countdown"), [p for p in POINTS if p[1]])
def test_an_experiment_goes_on_whatever_step_its_driver_died_at(tmp_path: Path, point: str, countdown: int) -> None:
    killed(tmp_path, point, countdown)
    grid = tune.Tuner.restore(tmp_path / "e", Steps, run_config=config_of("")["run_config"]).fit()
    check(grid)
    assert [result.config["y"] for result in grid] == [
        tune.Tuner.restore(tmp_path / "e", Steps).get_results()[i].config["y"] for i in range(4)
    ]


def test_what_is_finished_is_not_run_again(tmp_path: Path) -> None:
    killed(tmp_path, "experiment.decided", 3)
    before = tune.Tuner.restore(tmp_path / "e", Steps).get_results()
    done = {
        result.trial_id: Path(result.path, "done.txt").read_text() for result in before if result.status == "TERMINATED"
    }
    assert done
    after = tune.Tuner.restore(tmp_path / "e", Steps).fit()
    for result in after:
        if result.trial_id in done:
            assert Path(result.path, "done.txt").read_text() == done[result.trial_id]


def test_a_scheduler_knows_after_a_resume_what_it_knew_before(tmp_path: Path) -> None:
    from daybreak._core.tune import Experiment

    killed(tmp_path, "tune.results", 7)
    path = str(tmp_path / "e" / "experiment.journal")
    numbers = {"max_t": 6.0, "grace_period": 2.0, "reduction_factor": 2.0, "seed": 7.0}
    first = Experiment.open(path, "asha", numbers)
    status = first.status()
    first.close()
    del first
    assert "None | Iter 2.000: None" not in status
    assert Experiment.open(path, "asha", numbers).status() == status


def extended(config: dict[str, Any]) -> dict[str, Any]:
    return {"y": config["y"]}


def test_an_experiment_is_made_longer_and_its_draws_stay(tmp_path: Path) -> None:
    run = tune.RunConfig(storage_path=tmp_path, name="e", verbose=0)
    space = {"y": tune.uniform(0, 1), "model": tune.choice(["a", "b"])}
    whole = tune.Tuner(
        extended, param_space=space, tune_config=tune.TuneConfig(num_samples=6, seed=3),
        run_config=tune.RunConfig(storage_path=tmp_path, name="whole", verbose=0),
    ).fit()  # fmt: skip
    short = tune.Tuner(
        extended, param_space=space, tune_config=tune.TuneConfig(num_samples=2, seed=3), run_config=run
    ).fit()
    longer = tune.Tuner.restore(tmp_path / "e", extended, num_samples=6).fit()
    assert len(short) == 2 and len(longer) == 6
    assert [result.config for result in longer] == [result.config for result in whole]
    with pytest.raises(errors.InvalidArgumentError, match="num_samples=3: the experiment has 6 already"):
        tune.Tuner.restore(tmp_path / "e", extended, num_samples=3)


def test_a_moved_experiment_folder_can_be_restored(tmp_path: Path) -> None:
    killed(tmp_path, "experiment.result", 6)
    os.rename(tmp_path / "e", tmp_path / "moved")
    assert tune.Tuner.can_restore(tmp_path / "moved") and not tune.Tuner.can_restore(tmp_path / "e")
    check(tune.Tuner.restore(tmp_path / "moved", Steps, run_config=config_of("")["run_config"]).fit())


def test_a_torn_journal_goes_on_and_an_altered_one_says_where(tmp_path: Path) -> None:
    killed(tmp_path, "experiment.result", 6)
    journal = tmp_path / "e" / "experiment.journal"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    with pytest.raises(errors.DataLossError):
        tune.Tuner.restore(tmp_path / "e", Steps).fit()
    journal.write_bytes(whole[:-5])
    check(tune.Tuner.restore(tmp_path / "e", Steps, run_config=config_of("")["run_config"]).fit())


def test_a_later_versions_experiment_is_refused(tmp_path: Path) -> None:
    from daybreak._core.tune import Experiment

    Experiment.create(str(tmp_path / "experiment.journal"), json.dumps({"version": 99})).close()
    with pytest.raises(errors.FailedPreconditionError, match="a later version \\(99"):
        tune.Tuner.restore(tmp_path, Steps)


def test_what_no_journal_holds_is_asked_for_by_name(tmp_path: Path) -> None:
    class Mine(schedulers.TrialScheduler):
        pass

    run = tune.RunConfig(storage_path=tmp_path, name="e", verbose=0, stop=lambda trial_id, result: False)
    tune.Tuner(extended, param_space={"y": {1, 2}}, run_config=run).fit()
    with pytest.raises(errors.InvalidArgumentError, match="FunctionStopper"):
        tune.Tuner.restore(tmp_path / "e", extended)
    again = tune.RunConfig(stop=lambda trial_id, result: False, verbose=0)
    with pytest.raises(errors.FailedPreconditionError, match="'y' of the config is no JSON value"):
        tune.Tuner.restore(tmp_path / "e", extended, run_config=again).fit()
    grid = tune.Tuner.restore(tmp_path / "e", extended, run_config=again, param_space={"y": {1, 2}}).fit()
    assert grid[0].config == {"y": {1, 2}}


def test_ctrl_c_ends_the_trials_and_they_go_on_later(tmp_path: Path) -> None:
    interrupting = """
import os, signal
class Interrupts(tune.Callback):
    sent = False
    def on_trial_result(self, **info):
        if not self.sent:
            self.sent = True
            os.kill(os.getpid(), signal.SIGINT)
config = config_of(sys.argv[1])
config["run_config"].callbacks = [Interrupts()]
tune.Tuner(Steps, **config).fit()
print("ended in order")
"""
    program = PROGRAM[: PROGRAM.index("tune.Tuner(Steps")] + interrupting
    command = [sys.executable, "-c", program, str(tmp_path), "never", "1"]
    child = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "ended in order" in child.stdout and "interrupted: the experiment can be restored" in child.stderr
    states = {result.status for result in tune.Tuner.restore(tmp_path / "e", Steps).get_results()}
    assert states & {"PENDING", "RUNNING", "PAUSED"}
    check(tune.Tuner.restore(tmp_path / "e", Steps, run_config=config_of("")["run_config"]).fit())


class Remembers(tune.search.Searcher):
    """Suggests what it has not been told yet."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, float]] = []
        self.seen: list[float] = []
        self.asked = 0

    def suggest(self, trial_id: str) -> Any:
        self.asked += 1
        return {"x": float(len(self.told))}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self.seen.append(result["score"])

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self.told.append((trial_id, -1.0 if result is None else result["score"]))


def twice(config: dict[str, Any]) -> None:
    for i in range(2):
        tune.report({"score": config["x"] + i})


def test_a_searcher_is_told_again_what_it_knew_and_is_asked_only_for_what_is_missing(tmp_path: Path) -> None:
    def options(searcher: Remembers, samples: int) -> tune.TuneConfig:
        return tune.TuneConfig(
            metric="score", mode="max", search_alg=searcher, num_samples=samples, max_concurrent_trials=1
        )

    first, second = Remembers(), Remembers()
    run = tune.RunConfig(storage_path=tmp_path, name="e", verbose=0)
    tune.Tuner(twice, tune_config=options(first, 3), run_config=run).fit()
    assert [score for _, score in first.told] == [1.0, 2.0, 3.0] and first.asked == 3
    with pytest.raises(errors.InvalidArgumentError, match="its searcher was a Remembers"):
        tune.Tuner.restore(tmp_path / "e", twice, num_samples=5)
    grid = tune.Tuner.restore(tmp_path / "e", twice, num_samples=5, tune_config=options(second, 5)).fit()
    assert second.told[:3] == first.told and second.seen[: len(first.seen)] == first.seen and second.asked == 2
    assert [result.config["x"] for result in grid] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_a_population_goes_on_without_being_described_again(tmp_path: Path) -> None:
    def config(explore: Any) -> tune.TuneConfig:
        population = schedulers.PopulationBasedTraining(
            "training_iteration",
            perturbation_interval=2,
            hyperparam_mutations={"x": tune.uniform(0, 9), "z": [1, 2]},
            resample_probability=0.5,
            custom_explore_fn=explore,
        )
        return tune.TuneConfig(metric="score", mode="max", scheduler=population, seed=1)

    space = {"x": tune.grid_search([1.0, 2.0]), "z": 1}
    for name, explore in (("e", None), ("f", lambda config: config)):
        run = tune.RunConfig(storage_path=tmp_path, name=name, verbose=0, stop={"training_iteration": 4})
        tune.Tuner(Steps, param_space=space, tune_config=config(explore), run_config=run).fit()
    again = tune.Tuner.restore(tmp_path / "e", Steps, num_samples=2)
    scheduler = again._scheduler()
    assert scheduler.numbers == config(None).scheduler.numbers and scheduler.resample_probability == 0.5
    assert scheduler.mutations["z"] == [1, 2] and list(scheduler.mutations["x"].described) == ["uniform", [0, 9]]
    grid = again.fit()
    assert len(grid) == 4 and {result.metrics["training_iteration"] for result in grid} == {4}
    with pytest.raises(errors.InvalidArgumentError, match="its scheduler \\(pbt\\) has parts that no journal holds"):
        tune.Tuner.restore(tmp_path / "f", Steps)
