"""Checkpoints in the experiment's content store: bytes once, exactly what is kept, and read as folders."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import daybreak
from daybreak import tune
from daybreak.base import errors
from daybreak.store import Store
from daybreak.tune import schedulers
from daybreak.tune.kept import names_of

SIZE = 1 << 20


@pytest.fixture(scope="module", autouse=True)
def runtime() -> Iterator[None]:
    daybreak.init(num_cpus=2)
    yield
    daybreak.shutdown()


class Model(tune.Trainable):
    """A megabyte that never changes, and a little that does."""

    def setup(self, config: dict[str, Any]) -> None:
        self.n, self.fixed = 0, np.random.default_rng(0).bytes(SIZE)

    def step(self) -> dict[str, Any]:
        self.n += 1
        if self.config.get("fails") == self.n and not Path(self.logdir, "failed").exists():
            Path(self.logdir, "failed").touch()
            raise RuntimeError("once")
        return {"n": self.n, "score": self.config["x"] * self.n}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        Path(checkpoint_dir, "sub").mkdir()
        Path(checkpoint_dir, "sub", "fixed.bin").write_bytes(self.fixed)
        Path(checkpoint_dir, "n").write_text(str(self.n))
        if self.config.get("changes"):
            Path(checkpoint_dir, "changing.bin").write_bytes(np.random.default_rng(self.n).bytes(100_000))

    def load_checkpoint(self, checkpoint: str) -> None:
        self.n = int(Path(checkpoint, "n").read_text())
        assert Path(checkpoint, "sub", "fixed.bin").read_bytes() == self.fixed


def fit(folder: Path, space: dict[str, Any], keep: int | None = None, scheduler: Any = None) -> Any:
    return tune.Tuner(
        Model,
        param_space=space,
        tune_config=tune.TuneConfig(metric="score", mode="max", scheduler=scheduler),
        run_config=tune.RunConfig(
            name="e",
            storage_path=folder,
            verbose=0,
            stop={"training_iteration": 4},
            failure_config=tune.FailureConfig(max_failures=1),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=keep, checkpoint_frequency=1, in_store=True),
        ),
    ).fit()


def bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_equal_files_of_all_trials_are_on_the_disk_once_and_read_as_folders(tmp_path: Path) -> None:
    grid = fit(tmp_path, {"x": tune.grid_search([1, 2]), "fails": 3})
    assert [result.metrics["n"] for result in grid] == [4, 4], "what failed went on from its checkpoint"
    checkpoints = [checkpoint for result in grid for checkpoint, _ in result.best_checkpoints]
    assert len(checkpoints) == 8
    assert SIZE < bytes_of(tmp_path / "e") < 2 * SIZE, "one of eight"
    for i, checkpoint in enumerate(checkpoints):
        with checkpoint.as_directory() as folder:
            assert sorted(os.listdir(folder)) == ["n", "sub"]
            assert Path(folder, "n").read_text() == str(i % 4 + 1)
        assert not os.path.exists(folder)
        copied = checkpoint.to_directory(tmp_path / f"copy{i}")
        assert Path(copied, "sub", "fixed.bin").stat().st_size == SIZE
    assert Path(grid[0].checkpoint.path, "sub", "fixed.bin").stat().st_size == SIZE


def test_of_the_store_only_that_stays_which_a_checkpoint_needs(tmp_path: Path) -> None:
    grid = fit(tmp_path, {"x": 1, "changes": True}, keep=1)
    store = Store(tmp_path / "e" / "checkpoints.store", pin_grace_s=0)
    used = set(names_of(grid[0].checkpoint._folder).values())
    assert len(used) == 2 and set(store.objects()) == used


def test_a_population_copies_from_the_store(tmp_path: Path) -> None:
    population = schedulers.PopulationBasedTraining(
        "training_iteration", perturbation_interval=1, hyperparam_mutations={"x": [1, 2, 3, 4]}, quantile_fraction=0.5
    )
    grid = fit(tmp_path, {"x": tune.grid_search([1, 2, 3, 4])}, keep=1, scheduler=population)
    assert {result.status for result in grid} == {"TERMINATED"} and not grid.errors
    assert (tmp_path / "e" / "pbt_global.txt").exists(), "somebody went on from another's"
    assert bytes_of(tmp_path / "e") < 2 * SIZE


def test_an_altered_or_lost_store_is_said_and_the_checkpoint_named(tmp_path: Path) -> None:
    checkpoint = fit(tmp_path, {"x": 1}, keep=1)[0].checkpoint
    folder = tmp_path / "e" / "checkpoints.store"
    packs = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size > SIZE // 2]
    assert packs
    for path in packs:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.chmod(0o600)
        path.write_bytes(data)
    with pytest.raises(errors.DataLossError, match="'sub/fixed.bin' cannot be read"):
        checkpoint.to_directory(tmp_path / "copy")
    os.rename(folder, tmp_path / "elsewhere")
    with pytest.raises(errors.NotFoundError, match="which is not there"):
        checkpoint.to_directory(tmp_path / "copy2")
    Path(checkpoint._folder, ".tune_contents.json").write_text(json.dumps([]))
    with pytest.raises(errors.DataLossError, match="tune_contents.json is damaged"):
        checkpoint.to_directory(tmp_path / "copy3")
