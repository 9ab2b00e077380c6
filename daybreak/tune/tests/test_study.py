import enum
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from daybreak import tune
from daybreak.base import errors


def test_a_study_finds_the_best_of_what_it_was_told() -> None:
    study = tune.create_study(direction="maximize", seed=1)
    study.optimize(lambda trial: -((trial.suggest_float("x", -10, 10) - 2) ** 2), n_trials=100)
    assert len(study.trials) == 100
    assert study.best_value == max(trial.value for trial in study.trials if trial.value is not None)
    assert study.best_params == study.best_trial.params == {"x": study.trials[study.best_trial.number].params["x"]}
    assert study.direction is tune.StudyDirection.MAXIMIZE


def test_options_are_any_plain_values_and_each_is_itself() -> None:
    class Color(enum.StrEnum):
        RED = "red"

    choices = [None, True, 1, 1.0, "1", math.inf, np.float32(0.5), np.int64(7), Color.RED]
    plain = [None, True, 1, 1.0, "1", math.inf, 0.5, 7, "red"]
    study = tune.create_study(seed=0)
    seen = set()
    for _ in range(200):
        trial = study.ask()
        value = trial.suggest_categorical("c", choices)
        seen.add((type(value), value))
        assert trial.params == {"c": value} and type(trial.params["c"]) is type(value)
    assert seen == {(type(value), value) for value in plain}


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ([[1]], r"an option of 'c' is \[1\] \(list\)"),
        ([], "'c' has no options"),
        ("abc", "are the text 'abc': give a list"),
    ],
)
def test_options_that_are_none_are_refused_by_name(choices: object, message: str) -> None:
    with pytest.raises(errors.InvalidArgumentError, match=message):
        tune.create_study().ask().suggest_categorical("c", choices)


def test_arguments_that_cannot_be_are_refused_by_name() -> None:
    trial = tune.create_study().ask()
    for call, message in [
        (lambda: trial.suggest_float("x", 2, 1), "low=2 is above high=1"),
        (lambda: trial.suggest_float("x", 0, 1, step=0), "'x': step=0: a positive number"),
        (lambda: trial.suggest_int("n", 0, 5, log=True), "low=0 with log"),
        (lambda: tune.create_study(direction="up"), "direction='up'"),
        (lambda: tune.create_study(direction="minimize", directions=["minimize"]), "give one of them"),
        (lambda: tune.create_study(dead_trials="bury"), "dead_trials='bury': 'retry' or 'fail'"),
        (lambda: tune.Storage.open("x", signs="smoke"), "signs='smoke'"),
        (lambda: tune.create_study().optimize(len, n_trials=-1), "n_trials=-1"),
        (lambda: tune.create_study().enqueue_trial({"x": math.nan}), "infinite or NaN"),
        (lambda: tune.create_study().tell(trial, 1.0), "trial 0 is of another study"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(LookupError, match="no study 'nobody'"):
        tune.load_study(study_name="nobody", storage=tune.Storage.in_memory())
    with pytest.raises(LookupError, match="has no trial 7"):
        tune.create_study().tell(7, 1.0)
    with pytest.raises(TypeError):
        tune.Study.ask(5)  # type: ignore[arg-type]


def test_what_was_told_decides_the_state_and_nothing_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    study = tune.create_study()
    for told in (None, math.nan, "no number", [1.0, 2.0]):
        study.tell(study.ask(), told)
    assert [trial.state for trial in study.trials] == [tune.TrialState.FAIL] * 4
    assert capfd.readouterr().err.count("a trial has failed, by what it was told") == 4
    for good in (1, np.float32(2), "3", [4.0], math.inf):
        study.tell(study.ask(), good)
    assert [trial.value for trial in study.trials[4:]] == [1, 2, 3, 4, math.inf]
    with pytest.raises(errors.InvalidArgumentError, match="a value is NaN"):
        study.tell(study.ask(), math.nan, state=tune.TrialState.COMPLETE)
    with pytest.raises(errors.FailedPreconditionError, match="trial 4 is finished"):
        study.tell(4, 1.0)
    study.tell(4, 1.0, skip_if_finished=True)


def test_an_objective_prunes_fails_stops_and_is_called_back() -> None:
    study = tune.create_study(seed=3)
    seen = []

    def objective(trial: tune.Trial) -> float:
        trial.report(5.0, 1)
        trial.report(7.0, 2)
        if trial.number == 0:
            raise tune.TrialPruned
        if trial.number == 1:
            raise KeyError("x")
        if trial.number == 3:
            study.stop()
        trial.set_user_attr("k", [1, None])
        return trial.suggest_int("n", 1, 9, step=4)

    study.optimize(objective, n_trials=10, catch=KeyError, callbacks=[lambda _, trial: seen.append(trial.number)])
    assert seen == [0, 1, 2, 3]
    states = tune.TrialState
    assert [trial.state for trial in study.trials] == [states.PRUNED, states.FAIL, states.COMPLETE, states.COMPLETE]
    assert study.trials[0].value == 7.0 and study.trials[0].intermediate_values == {1: 5.0, 2: 7.0}
    assert study.trials[2].user_attrs == {"k": [1, None]} and study.trials[2].params["n"] in (1, 5, 9)
    with pytest.raises(ZeroDivisionError):
        tune.create_study().optimize(lambda trial: 1 / 0, n_trials=1)


def test_what_is_enqueued_comes_first() -> None:
    study = tune.create_study()
    assert study.enqueue_trial({"x": 0.25, "c": np.str_("b")}, {"why": "known to be good"}) == 0
    trial = study.ask()
    assert (trial.number, trial.suggest_float("x", 0, 1), trial.suggest_categorical("c", ["a", "b"])) == (0, 0.25, "b")
    assert study.trials[0].user_attrs == {"why": "known to be good"}


def test_a_journal_is_a_study_that_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "studies.journal"

    def objective(trial: tune.Trial) -> float:
        return trial.suggest_float("x", 0, 1) + trial.suggest_categorical("c", [1, 2.5])

    tune.create_study(storage=path, study_name="a", seed=4).optimize(objective, n_trials=5)
    resumed = tune.load_study(storage=path)
    resumed.optimize(objective, n_trials=5)
    whole = tune.create_study(seed=4)
    whole.optimize(objective, n_trials=10)
    assert [trial.params for trial in resumed.trials] == [trial.params for trial in whole.trials]
    with pytest.raises(errors.AlreadyExistsError, match="a study 'a' already"):
        tune.create_study(storage=path, study_name="a")
    resumed.set_user_attr("note", {"x": [1]})
    assert tune.load_study(storage=path, study_name="a").user_attrs == {"note": {"x": [1]}}
    tune.delete_study(storage=path, study_name="a")
    assert tune.Storage.open(path).studies() == []


def test_a_trial_whose_process_is_killed_is_asked_for_again(tmp_path: Path) -> None:
    path = tmp_path / "studies.journal"
    study = tune.create_study(storage=path, study_name="a")
    code = (
        "import sys; from daybreak import tune; study = tune.load_study(storage=sys.argv[1]); "
        "print(study.ask().suggest_float('x', 0, 1), flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None and child.stdout is not None
    given = float(child.stdout.readline())
    assert study.reap() == []
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    assert study.reap() == [0]
    trial = study.ask()
    assert (trial.number, trial.suggest_float("x", 0, 1)) == (0, given)


def test_many_are_asked_for_and_told_at_once(tmp_path: Path) -> None:
    study = tune.create_study(storage=tmp_path / "j", seed=1)
    asked = study.ask_many(64, {"x": tune.Distribution.real(0, 1), "c": ["a", None]})
    assert {params["c"] for _, params in asked} == {"a", None}
    study.tell_many([(trial, params["x"]) for trial, params in asked])
    assert study.best_params == min((params for _, params in asked), key=lambda params: params["x"])
    assert study.ask({"x": tune.Distribution.real(0, 1)}).params.keys() == {"x"}


def test_the_front_of_several_objectives_is_what_no_trial_dominates() -> None:
    study = tune.create_study(directions=["minimize", "maximize"])
    for values in ([1, 1], [2, 2], [3, 1]):
        study.tell(study.ask(), values)
    infeasible = study.ask()
    infeasible.set_violation(0.1)
    study.tell(infeasible, [0, 9])
    assert [trial.number for trial in study.best_trials] == [0, 1]
    assert study.trials[3].violation == 0.1
    with pytest.raises(errors.FailedPreconditionError, match="2 objectives"):
        study.best_trial  # noqa: B018


def test_a_data_frame_has_optunas_columns() -> None:
    study = tune.create_study(seed=0)
    study.enqueue_trial({"n": 3})
    for i in range(4):
        trial = study.ask()
        trial.suggest_int("n", 1, 9)
        trial.suggest_categorical("c", [None, "a", 1])
        if i:
            trial.suggest_float("x", 0, 1)
            trial.set_user_attr("k", i)
        study.tell(trial, float(i) if i < 3 else None)
    study.ask()
    frame = study.trials_dataframe()
    assert list(frame.columns) == [
        *["number", "value", "datetime_start", "datetime_complete", "duration"],
        *["params_c", "params_n", "params_x", "user_attrs_k", "system_attrs_fixed_params", "state"],
    ]
    assert list(frame.state) == ["COMPLETE"] * 3 + ["FAIL", "RUNNING"]
    for row, trial_ in zip(frame.itertuples(), study.trials, strict=True):
        assert math.isnan(row.value) if trial_.value is None else row.value == trial_.value
        assert row.datetime_start.to_pydatetime() == trial_.datetime_start
        assert [row.params_n, row.params_c][: len(trial_.params)] == [
            trial_.params[k] for k in ("n", "c") if k in trial_.params
        ]
    assert frame.params_x.isna().tolist() == [True, False, False, False, True]
    assert json.dumps(frame.system_attrs_fixed_params[0]) == '{"n": 3}'
    assert math.isnan(tune.create_study().trials_dataframe().value.sum()) is False


def test_importing_tune_loads_no_numpy() -> None:
    code = "import sys; from daybreak import tune; tune.create_study().ask(); print({'numpy', 'pandas'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_bounds_are_whole_numbers_of_any_kind_and_what_is_none_is_refused_by_name() -> None:
    study = tune.create_study(seed=0)
    trial = study.ask()
    for i, (low, high) in enumerate([(0.0, 5), (np.int8(0), np.float32(5)), (np.array([0]), 5)]):
        assert trial.suggest_int(f"n{i}", low, high) in range(6)  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidArgumentError, match="low=0.5"):
        trial.suggest_int("n", 0.5, 5)  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidArgumentError, match="high=9007199254740994"):
        trial.suggest_int("n", 0, 2.0**53 + 2)  # type: ignore[arg-type]
