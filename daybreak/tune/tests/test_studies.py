"""Studies as a whole, threads, constraints, and pruners whose memory is in the journal."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from daybreak import tune
from daybreak.base.errors import AlreadyExistsError, DataLossError, InvalidArgumentError
from daybreak.tune import TrialState


def objective(trial: Any) -> float:
    return float(trial.suggest_float("x", -1, 1) ** 2) + (1 if trial.suggest_categorical("k", ["a", "b"]) == "a" else 0)


def test_threads_run_the_trials_that_were_asked_for_and_no_more() -> None:
    study = tune.create_study(seed=1)
    together, seen = threading.Barrier(3), []

    def waits(trial: Any) -> float:
        together.wait(30)  # only if three run at once
        return objective(trial)

    study.optimize(waits, n_trials=9, n_jobs=3, callbacks=[lambda s, t: seen.append(t.number)])
    assert sorted(seen) == list(range(9)) and {t.state for t in study.trials} == {TrialState.COMPLETE}


def test_an_exception_in_a_thread_ends_all_and_is_raised() -> None:
    study = tune.create_study()

    def fails(trial: Any) -> float:
        if trial.number == 3:
            raise KeyError("three")
        return 1.0

    with pytest.raises(KeyError, match="three"):
        study.optimize(fails, n_trials=10_000, n_jobs=2)
    assert study.trials[3].state == TrialState.FAIL and len(study.trials) < 10_000
    study.optimize(fails, n_trials=4, n_jobs=2, catch=[KeyError])
    for n_jobs in (0, -2, True):
        with pytest.raises(InvalidArgumentError, match="n_jobs"):
            study.optimize(fails, n_trials=1, n_jobs=n_jobs)


def test_a_timeout_ends_threads_and_a_stopped_study_runs_no_more() -> None:
    study = tune.create_study()
    study.optimize(lambda trial: 1.0, timeout=0.05, n_jobs=2)
    count = len(study.trials)
    assert count > 0
    study.optimize(lambda trial: 1.0, timeout=0.0)
    assert len(study.trials) == count
    study.optimize(lambda trial: 1.0, callbacks=[lambda s, t: s.stop()], n_jobs=2)
    assert len(study.trials) <= count + 4


def test_a_trial_that_was_run_elsewhere_counts() -> None:
    study = tune.create_study()
    trial = tune.create_trial(
        value=0.5,
        params={"x": 0.25, "k": "b"},
        distributions={"x": tune.Distribution.real(0, 1), "k": ["a", "b"]},
        user_attrs={"from": "elsewhere"},
        intermediate_values={1: 3.0, 0: 2.0},
    )
    study.add_trial(trial)
    [found] = study.trials
    assert found.params == {"x": 0.25, "k": "b"} and found.value == 0.5 and found.user_attrs == {"from": "elsewhere"}
    assert found.intermediate_values == {0: 2.0, 1: 3.0} and study.best_trial == found
    other = tune.create_study()
    with pytest.raises(InvalidArgumentError, match="give them as a list"):
        other.add_trials(study.trials)
    study.add_trials(study.trials)
    assert [t.number for t in study.trials] == [0, 1] and study.trials[1].params == found.params
    with pytest.raises(InvalidArgumentError, match="none of its options"):
        study.add_trial(trial._replace(params={"x": 0.25, "k": "c"}))
    with pytest.raises(InvalidArgumentError, match="not in"):
        study.add_trial(trial._replace(params={"x": 2, "k": "a"}))
    with pytest.raises(InvalidArgumentError, match="each parameter with its distribution"):
        tune.create_trial(value=1.0, params={"x": 1})


def test_studies_are_listed_copied_and_deleted(tmp_path: Path) -> None:
    path = tmp_path / "studies.journal"
    study = tune.create_study(storage=path, study_name="one", seed=3)
    study.set_user_attr("why", "test")
    study.enqueue_trial({"x": 0.5})
    study.optimize(objective, n_trials=5)
    study.enqueue_trial({"x": 0.125})
    tune.create_study(storage=path, study_name="two", directions=["minimize", "maximize"])
    assert tune.get_all_study_names(path) == ["one", "two"]
    one, two = tune.get_all_study_summaries(path)
    assert (one.n_trials, one.user_attrs, two.n_trials, two.best_trial) == (6, {"why": "test"}, 0, None)
    assert one.best_trial == study.best_trial and one.direction == tune.StudyDirection.MINIMIZE
    study.ask()  # the one that was enqueued runs, and is not copied
    study.ask()
    tune.copy_study(from_study_name="one", from_storage=path, to_storage=path, to_study_name="copy")
    copied = tune.load_study(storage=path, study_name="copy")
    assert copied.trials == study.trials[:5] and copied.user_attrs == {"why": "test"} and copied.seed == study.seed
    with pytest.raises(AlreadyExistsError):
        tune.copy_study(from_study_name="one", from_storage=path, to_storage=path)
    tune.delete_study(study_name="one", storage=path)
    assert tune.get_all_study_names(path) == ["two", "copy"]


def test_constraints_add_up_and_what_breaks_one_is_never_the_best() -> None:
    study = tune.create_study()
    bad = study.ask()
    bad.set_constraint("size", 2.0)
    bad.set_constraint("time", 1.5)
    bad.set_constraint("memory", -7)
    bad.set_constraint("size", 0.5)
    study.tell(bad, -100.0)
    good = study.ask()
    good.set_constraint("size", -1.0)
    study.tell(good, 5.0)
    assert study.trials[0].violation == 2.0 and study.best_trial.number == 1
    with pytest.raises(InvalidArgumentError, match="finite"):
        study.ask().set_constraint("size", float("nan"))


PRUNERS = {
    "median": lambda: tune.MedianPruner(n_startup_trials=2),
    "halving": lambda: tune.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
    "hyperband": lambda: tune.HyperbandPruner(max_resource=9),
    "hyperband_auto": lambda: tune.HyperbandPruner(),
    "patient": lambda: tune.PatientPruner(tune.SuccessiveHalvingPruner(min_resource=1), patience=1),
    "threshold": lambda: tune.ThresholdPruner(upper=0.9),
    "wilcoxon": lambda: tune.WilcoxonPruner(),
    "nop": lambda: tune.NopPruner(),
}


def learns(trial: Any) -> float:
    level = trial.suggest_float("x", 0, 1)
    for step in range(9):
        trial.report(level + ((trial.number * 7 + step * 3) % 5) / 10, step)
        if trial.should_prune():
            raise tune.TrialPruned
    return float(level)


@pytest.mark.parametrize("name", PRUNERS)
def test_a_study_that_is_opened_again_and_again_prunes_as_one_that_was_not(name: str, tmp_path: Path) -> None:
    whole = tune.create_study(pruner=PRUNERS[name](), study_name="study", seed=5)
    whole.optimize(learns, n_trials=24)
    path = tmp_path / "study.journal"
    for _ in range(8):
        study = tune.create_study(storage=path, pruner=PRUNERS[name](), study_name="study", seed=5, load_if_exists=True)
        study.optimize(learns, n_trials=3)
    states = [trial.state for trial in study.trials]
    assert states == [trial.state for trial in whole.trials]
    if name not in ("nop", "wilcoxon"):
        assert {TrialState.COMPLETE, TrialState.PRUNED} == set(states)


def test_two_processes_views_of_one_study_share_the_rungs(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"

    def opened() -> Any:
        pruner = tune.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)
        return tune.create_study(storage=path, pruner=pruner, study_name="study", load_if_exists=True)

    first, second = opened(), opened()
    good, bad = first.ask(), second.ask()
    good.report(0.0, 1)
    assert not good.should_prune()
    bad.report(1.0, 1)
    assert bad.should_prune()  # by what the other one has kept


def test_another_pruner_memory_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    study = tune.create_study(storage=path, study_name="study", pruner=tune.SuccessiveHalvingPruner(min_resource=1))
    trial = study.ask()
    trial.set_attribute("daybreak:pruner", '"0102"', True)
    trial.report(0.0, 1)
    with pytest.raises(DataLossError, match="give the study the pruner that it had"):
        trial.should_prune()
