"""`daybreak tune ...` in a pipe: what it prints, what it refuses, and that looking changes nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TRAIN = """
import time
from daybreak import tune

def train(config):
    for i in range(config.get("steps", 3)):
        if config["x"] == 2 and i == 1:
            raise ValueError("two is too much")
        time.sleep(config.get("sleep", 0))
        tune.report({"score": config["x"] * (i + 1)})

if __name__ == "__main__":
    import sys
    tune.Tuner(
        train,
        param_space={"x": tune.grid_search([1, 2, 3]), "sleep": float(sys.argv[2]), "steps": int(sys.argv[3])},
        tune_config=tune.TuneConfig(metric="score", mode="max"),
        run_config=tune.RunConfig(name=sys.argv[1]),
    ).fit()
"""


def call(*words: str, folder: Path, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "daybreak.cli", "tune", *words],
        cwd=folder,
        env=os.environ | {"DAYBREAK_RESULTS_DIR": str(folder / "results")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stdout + done.stderr


def start(folder: Path, name: str, sleep_s: float, steps: int) -> subprocess.Popen[str]:
    environment = os.environ | {"DAYBREAK_RESULTS_DIR": str(folder / "results")}
    command = [sys.executable, "train.py", name, str(sleep_s), str(steps)]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("commands")
    (made / "train.py").write_text(TRAIN)
    done = start(made, "first", 0, 3)
    output, _ = done.communicate(timeout=120)
    assert done.returncode == 0, output
    assert "best score=9" in output and "1 error" in output, output
    from daybreak import tune

    study = tune.create_study(storage=made / "studies.journal", study_name="bowl")
    study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, n_trials=5)
    return made


def test_list_and_show_say_what_there_is(folder: Path) -> None:
    assert "first" in call(folder=folder)
    (row,) = json.loads(call("list", "--json", folder=folder))
    assert (row["name"], row["trials"], row["done"], row["failed"], row["best"]) == ("first", 3, 2, 1, 9)
    shown = call("show", "first", folder=folder)
    assert "3 trials (2 complete, 1 fail). Best: trial" in shown and "two is too much" in shown
    described = json.loads(call("show", "first", "--json", "--top", "1", folder=folder))
    assert described["count"] == 3 and [trial["values"] for trial in described["trials"]] == [[9.0]]
    (row,) = json.loads(call("list", "studies.journal", "--json", folder=folder))
    assert (row["name"], row["trials"], row["done"]) == ("bowl", 5, 5)
    assert "5 trials (5 complete)" in call("show", "studies.journal", folder=folder)


def test_plot_draws_into_the_terminal_and_into_files(folder: Path) -> None:
    assert "best so far" in call("plot", "results/first", "history", folder=folder)
    assert "history" in call("plot", "first", "-o", "page.html", folder=folder)
    assert "<svg" in (folder / "page.html").read_text()
    call("plot", "studies.journal", "slices", "-p", "x", "-o", "slices.png", folder=folder)
    assert (folder / "slices.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "page.html").stat().st_size > 5_000
    piped = call("plot", "first", "history", "-o", "/dev/stdout", folder=folder, code=1)
    assert "ends in .html or .png" in piped


def test_export_writes_a_row_a_trial(folder: Path) -> None:
    import pandas

    for ending in (".csv", ".parquet", ".json"):
        assert "3 trials" in call("export", "first", f"out{ending}", folder=folder)
    table = pandas.read_csv(folder / "out.csv")
    assert list(table["params/x"]) == [1, 2, 3] and list(table["state"]) == ["COMPLETE", "FAIL", "COMPLETE"]
    assert pandas.read_parquet(folder / "out.parquet").equals(table) or len(table) == 3
    assert json.loads((folder / "out.json").read_text())["count"] == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", "nosuch"], "no such folder or file, nor an experiment of that name"),
        (["show", "results"], "neither an experiment's folder"),
        (["plot", "first", "histroy"], "no figure is called 'histroy'"),
        (["show", "first", "--metric", "score", "--mode", "most"], "mode='most': 'min' or 'max'"),
        (["show", "studies.journal", "--study", "nosuch"], "nosuch"),
        (["stop", "first"], "nobody runs it"),
        (["resume", "studies.journal", "train:train"], "no experiment's folder"),
        (["resume", "first", "nosuch.py:train"], "there is no file"),
        (["resume", "first", "train.py:trian"], "has no attribute 'trian'"),
        (["resume", "first", "train"], "module:object expected"),
        (["export", "first", "x.xls"], "ends in none of .csv, .json, .parquet, .jsonl"),
        (["export", "first", "x.jsonl"], "no form of Optuna's journal"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(folder: Path, words: list[str], said: str) -> None:
    output = call(*words, folder=folder, code=1)
    assert said in output and "Traceback" not in output and output.startswith("daybreak: "), output


def test_an_experiment_is_stopped_from_another_terminal_and_resumed(folder: Path) -> None:
    running = start(folder, "long", 0.3, 6)
    try:
        for _ in range(300):
            if (folder / "results" / "long").exists() and "running" in call("list", folder=folder):
                break
            time.sleep(0.1)
        while not (output := list((folder / "results" / "long").glob("*/result.json"))) or not any(
            path.stat().st_size for path in output
        ):
            time.sleep(0.1)
        assert "asked to stop" in call("stop", "long", folder=folder)
        said, _ = running.communicate(timeout=60)
    finally:
        if running.poll() is None:
            os.kill(running.pid, signal.SIGKILL)
    before = json.loads(call("show", "long", "--json", folder=folder))
    assert any(trial["state"] in ("WAITING", "PAUSED") for trial in before["trials"]), said
    assert "fail" in call("resume", "long", "train.py:train", folder=folder, code=1), "one trial raises, as before"
    after = json.loads(call("show", "long", "--json", folder=folder))
    assert {trial["state"] for trial in after["trials"]} == {"COMPLETE", "FAIL"}
    assert after["trials"][0]["values"] == [18.0]
