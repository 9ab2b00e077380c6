"""Trials that are over in no time, which a process is handed several of; and a stop that is asked for from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import daybreak
from daybreak import tune
from daybreak.base import errors

PROGRAM = """
import sys
from daybreak import tune
from daybreak.base import failpoints
from daybreak.tune.tests.test_short_trials import fitted, quick
import daybreak
daybreak.init(num_cpus=2)
failpoints.arm(sys.argv[2], int(sys.argv[3]))
fitted(quick, sys.argv[1], 60)
print("it was not killed")
"""


@pytest.fixture(scope="module", autouse=True)
def runtime() -> Iterator[None]:
    daybreak.init(num_cpus=2)
    yield
    daybreak.shutdown()


def quick(config: dict[str, Any]) -> dict[str, Any]:
    with open("done.txt", "a") as out:
        out.write("once\n")
    return {"score": config["x"], "cwd": os.getcwd()}


def fitted(function: Any, folder: Any, count: int) -> Any:
    return tune.Tuner(
        function,
        param_space={"x": tune.grid_search(list(range(count)))},
        tune_config=tune.TuneConfig(metric="score", mode="max", reuse_actors=True, max_concurrent_trials=2),
        run_config=tune.RunConfig(name="e", storage_path=folder, verbose=0),
    ).fit()


def check(grid: Any, count: int) -> None:
    assert [result.config["x"] for result in grid] == list(range(count))
    for result in grid:
        (line,) = result.history()
        assert result.status == "TERMINATED" and line["score"] == result.config["x"] == result.metrics["score"]
        assert line["cwd"] == result.path and line["trial_id"] == result.trial_id
        assert json.loads(Path(result.path, "params.json").read_text()) == result.config
        header, row = Path(result.path, "progress.csv").read_text().splitlines()
        assert dict(zip(header.split(","), row.split(","), strict=True))["score"] == str(result.config["x"])


def test_each_of_many_short_trials_has_its_own_folder_and_result(tmp_path: Path) -> None:
    started: list[int] = []
    from daybreak.tune.handing import Handing

    more = Handing.more

    def counted(self: Any, slot: Any, others: Any) -> Any:
        specs = more(self, slot, others)
        started.append(len(specs))
        return specs

    Handing.more = counted  # type: ignore[method-assign]
    try:
        grid = fitted(quick, tmp_path, 200)
    finally:
        Handing.more = more  # type: ignore[method-assign]
    check(grid, 200)
    assert sum(started) > 100 and max(started) > 1, "most were handed over ahead"


@pytest.mark.parametrize(("point", "countdown"), [("tune.started", 25), ("tune.flushed", 4)])
def test_short_trials_survive_the_death_of_their_driver(tmp_path: Path, point: str, countdown: int) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), point, str(countdown)]
    child = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert child.returncode == -signal.SIGKILL, child.stdout + child.stderr
    check(tune.Tuner.restore(tmp_path / "e", quick).fit(), 60)


def waits_for_the_others(config: dict[str, Any]) -> dict[str, Any]:
    if config["x"] == 30:
        until = time.monotonic() + 20
        while len(list(Path("..").glob("*/done.txt"))) < 59:
            if time.monotonic() > until:
                raise RuntimeError("the others wait behind this trial")
            time.sleep(0.01)
    return quick(config)


def test_what_was_handed_over_behind_a_long_trial_is_run_elsewhere(tmp_path: Path) -> None:
    check(fitted(waits_for_the_others, tmp_path, 60), 60)


def fails_once(config: dict[str, Any]) -> dict[str, Any]:
    if config["x"] % 20 == 10:
        raise ValueError("not this one")
    return quick(config)


def test_a_short_trial_that_fails_takes_none_of_those_behind_it_along(tmp_path: Path) -> None:
    grid = fitted(fails_once, tmp_path, 60)
    assert [result.config["x"] for result in grid if result.error] == [10, 30, 50]
    assert sum(result.status == "TERMINATED" for result in grid) == 57
    assert all(Path(result.path, "done.txt").read_text() == "once\n" for result in grid if not result.error)


def now_and_then_slow(config: dict[str, Any]) -> dict[str, Any]:
    if config["x"] % 13 == 0:
        time.sleep(0.15)
    return fails_once(config)


def dies(config: dict[str, Any]) -> dict[str, Any]:
    if config["x"] in (17, 40):
        os.kill(os.getpid(), signal.SIGSEGV)
        time.sleep(60)  # the signal may come to another thread, a moment later
    return {"score": config["x"]}


def test_a_process_that_dies_is_the_failure_of_the_trial_that_killed_it_alone(tmp_path: Path) -> None:
    grid = fitted(dies, tmp_path, 60)
    assert [result.config["x"] for result in grid if result.error] == [17, 40]
    assert all(
        len(result.history()) == 1 and result.metrics["score"] == result.config["x"]
        for result in grid
        if not result.error
    )
    assert "its process has died" in str(grid[17].error)


def test_each_result_is_its_trials_own_however_short_long_and_failing_ones_are_mixed(tmp_path: Path) -> None:
    grid = fitted(now_and_then_slow, tmp_path, 150)
    for result in grid:
        failed = result.config["x"] % 20 == 10
        assert bool(result.error) == failed, result
        if not failed:
            (line,) = result.history()
            assert line["score"] == result.config["x"] and line["trial_id"] == result.trial_id
            assert Path(result.path, "done.txt").read_text() == "once\n"


def goes_on(config: dict[str, Any]) -> None:
    for i in range(100_000):
        tune.report({"score": i})
        time.sleep(0.01)


def test_another_process_stops_an_experiment_and_it_goes_on_later(tmp_path: Path) -> None:
    tuner = tune.Tuner(
        goes_on,
        param_space={"x": tune.grid_search([1, 2])},
        run_config=tune.RunConfig(name="e", storage_path=tmp_path, verbose=0),
    )
    said: list[Any] = []

    def stop() -> None:
        while not (tmp_path / "e" / "experiment.journal").exists() or not tune.is_running(tmp_path / "e"):
            time.sleep(0.05)
        program = "import sys; from daybreak import tune; tune.request_stop(sys.argv[1])"
        said.append(subprocess.run([sys.executable, "-c", program, str(tmp_path / "e")], timeout=60).returncode)

    thread = threading.Thread(target=stop)
    thread.start()
    grid = tuner.fit()
    thread.join()
    assert said == [0] and {result.status for result in grid} == {"RUNNING"}
    assert not tune.is_running(tmp_path / "e")
    assert not (tmp_path / "e" / "experiment.stop").exists()
    with pytest.raises(errors.FailedPreconditionError, match="no process drives this experiment"):
        tune.request_stop(tmp_path / "e")
    with pytest.raises(errors.NotFoundError, match="there is no experiment in it"):
        tune.is_running(tmp_path)
    again = tune.Tuner.restore(tmp_path / "e", quick).fit()
    assert {result.status for result in again} == {"TERMINATED"}
