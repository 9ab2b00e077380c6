"""Optuna's and Rustuna's JSON-lines journals, in and out."""

import logging
import math
import multiprocessing
import pickle
from pathlib import Path

import pytest

optuna = pytest.importorskip("optuna", reason="needs optuna: ./dev test --suite=optuna_storages")
rustuna = pytest.importorskip("rustuna", reason="needs rustuna: ./dev test --suite=optuna_storages")

from optuna.storages import JournalStorage  # noqa: E402
from optuna.storages.journal import JournalFileBackend  # noqa: E402

from daybreak.base import errors  # noqa: E402
from daybreak.tune.optuna import Storage, export_journal, import_journal  # noqa: E402

optuna.logging.set_verbosity(optuna.logging.WARNING)
optuna.logging.enable_propagation()


def objective(trial: "optuna.Trial") -> float:
    x = trial.suggest_float("x", 0, 0.3, step=0.1)
    n = trial.suggest_int("n", 1, 64, log=True)
    c = trial.suggest_categorical("c", [None, True, 1.5, "a", math.inf])
    trial.report(x, 0)
    trial.report(math.nan, 3)
    trial.set_user_attr("why", {"x": [x, None]})
    if trial.number == 3:
        raise optuna.TrialPruned
    if trial.number == 4:
        raise ValueError
    return x + n + (c is None)


def filled(storage: "optuna.storages.BaseStorage", name: str = "a") -> "optuna.Study":
    study = optuna.create_study(storage=storage, study_name=name, sampler=optuna.samplers.RandomSampler(seed=1))
    study.enqueue_trial({"x": 0.2, "n": 7})
    study.optimize(objective, n_trials=8, catch=ValueError)
    study.set_user_attr("k", [1])
    study.set_system_attr("s", "t") if hasattr(study, "set_system_attr") else None
    return study


def same(ours: "optuna.Study", theirs: "optuna.Study") -> None:
    assert ours.directions == theirs.directions and ours.user_attrs == theirs.user_attrs
    assert len(ours.trials) == len(theirs.trials)
    for mine, other in zip(ours.trials, theirs.trials, strict=True):
        left, right = mine.__dict__.copy(), other.__dict__.copy()
        for one in (left, right):
            one.pop("_trial_id")
            one["intermediate_values"] = repr(one.pop("_intermediate_values", one.get("intermediate_values")))
        assert {k: repr(v) for k, v in left.items()} == {k: repr(v) for k, v in right.items()}
        assert mine.distributions == other.distributions


def backend(path: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(path)))


def test_optunas_journal_comes_in_and_goes_out_as_it_was(tmp_path: Path) -> None:
    theirs = filled(backend(tmp_path / "theirs"))
    storage = Storage(tmp_path / "ours")
    assert import_journal(tmp_path / "theirs", storage) == ["a"]
    same(optuna.load_study(storage=storage, study_name="a"), theirs)
    export_journal(storage, tmp_path / "out")
    same(optuna.load_study(storage=backend(tmp_path / "out"), study_name="a"), theirs)
    with pytest.raises(optuna.exceptions.DuplicatedStudyError, match="there already: a"):
        import_journal(tmp_path / "theirs", storage)
    with pytest.raises(errors.AlreadyExistsError, match="is there already"):
        export_journal(storage, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir() if "out" in path.name) == ["out"]


def test_an_optuna_program_runs_the_same_over_our_storage(tmp_path: Path) -> None:
    same_numbers = [
        [(trial.params, trial.values, trial.state) for trial in filled(storage).trials]
        for storage in (optuna.storages.InMemoryStorage(), Storage(), Storage(tmp_path / "j"))
    ]
    assert same_numbers[0] == same_numbers[1] == same_numbers[2]


def test_rustunas_journal_comes_in_and_it_opens_what_goes_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    their_storage = rustuna.storages.JournalFileStorage(str(tmp_path / "theirs"))
    study = rustuna.create_study(storage=their_storage, study_name="r", direction="minimize")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1) + trial.suggest_int("n", 1, 5), n_trials=5)
    their_storage.discard_trials([1])
    storage = Storage(tmp_path / "ours")
    with caplog.at_level(logging.WARNING):
        assert import_journal(tmp_path / "theirs", storage) == ["r"]
    assert "were discarded there and are copied" in caplog.text
    ours = optuna.load_study(storage=storage, study_name="r")
    assert [trial.params for trial in ours.trials] == [trial.params for trial in study.trials]
    assert [trial.values for trial in ours.trials] == [list(trial.values) for trial in study.trials]
    export_journal(storage, tmp_path / "out")
    again = rustuna.load_study(storage=rustuna.storages.JournalFileStorage(str(tmp_path / "out")), study_name="r")
    assert [trial.params for trial in again.trials] == [trial.params for trial in study.trials]


def test_a_last_line_that_was_cut_is_left_out_with_a_warning_and_another_is_damage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    filled(backend(tmp_path / "theirs"))
    text = (tmp_path / "theirs").read_bytes()
    (tmp_path / "torn").write_bytes(text[:-20])
    storage = Storage()
    with caplog.at_level(logging.WARNING):
        import_journal(tmp_path / "torn", storage)
    assert "was cut short and is left out" in caplog.text
    (tmp_path / "glued").write_bytes(text[:-20] + text)  # what Optuna makes of it
    with pytest.raises(errors.DataLossError, match="is no record"):
        import_journal(tmp_path / "glued", Storage())
    (tmp_path / "other").write_bytes(b'{"op_code":99,"worker_id":"x"}\n')
    with pytest.raises(errors.DataLossError, match="cannot be applied"):
        import_journal(tmp_path / "other", Storage())


def test_trials_that_run_there_wait_here(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    study = optuna.create_study(storage=backend(tmp_path / "theirs"), study_name="a")
    x = study.ask().suggest_float("x", 0, 1)
    storage = Storage()
    with caplog.at_level(logging.WARNING):
        import_journal(tmp_path / "theirs", storage)
    assert "1 trials of 'a' run there, and wait here" in caplog.text
    assert optuna.load_study(storage=storage, study_name="a").ask().suggest_float("x", 0, 1) == x


def run_trials(path: str, count: int) -> None:
    study = optuna.load_study(storage=Storage(path, synced=False), study_name="a")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=count)


def test_processes_of_one_study_share_it_and_no_enqueued_trial_runs_twice(tmp_path: Path) -> None:
    study = optuna.create_study(storage=Storage(tmp_path / "j"), study_name="a")
    for i in range(20):
        study.enqueue_trial({"x": i / 20})
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=run_trials, args=(str(tmp_path / "j"), 10)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert len(study.trials) == 30 and all(trial.state == optuna.trial.TrialState.COMPLETE for trial in study.trials)
    assert [trial.params["x"] for trial in study.trials[:20]] == [i / 20 for i in range(20)]


def die_in_trial(path: str) -> None:
    import os

    optuna.load_study(storage=Storage(path), study_name="a").ask().suggest_float("x", 0, 1)
    os._exit(1)


def test_a_trial_of_a_dead_process_is_failed_before_the_next_and_the_callback_is_told(tmp_path: Path) -> None:
    told = []
    storage = Storage(
        tmp_path / "j",
        heartbeat_interval=60,
        heartbeat_stale_trial_callback=lambda study, trial: told.append((trial.number, trial.state)),
    )
    study = optuna.create_study(storage=storage, study_name="a")
    child = multiprocessing.get_context("spawn").Process(target=die_in_trial, args=(str(tmp_path / "j"),))
    child.start()
    child.join()
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    assert told == [(0, optuna.trial.TrialState.FAIL)] and len(study.trials) == 2


def test_a_storage_in_memory_pickles_to_itself_and_not_into_another_process() -> None:
    storage = Storage()
    text = pickle.dumps(storage)
    assert pickle.loads(text) is storage
    del storage
    with pytest.raises(errors.FailedPreconditionError, match="give Storage a path"):
        pickle.loads(text)


def test_what_optuna_has_and_we_do_not_is_refused_by_name() -> None:
    study = optuna.create_study(storage=Storage())
    with pytest.raises(errors.InvalidArgumentError, match="heartbeat_interval=0"):
        Storage(heartbeat_interval=0)
    with pytest.raises(errors.InvalidArgumentError, match=r"an option of 'c' is \(1, 2\) \(tuple\)"):
        study.ask().suggest_categorical("c", [(1, 2), 3])
    with pytest.raises(errors.InvalidArgumentError, match="2\\^53"):
        study.ask().suggest_int("n", 0, 2**60)
