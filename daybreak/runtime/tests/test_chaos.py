"""Random programs beside a model of them while processes are killed, stopped and short of memory; and that the model finds bugs.
Longer: `./dev test --chaos=600 runtime`."""

from __future__ import annotations

import gc
import os
import time
from typing import Any

import pytest

import daybreak
from daybreak.runtime.tests.chaos import __main__ as command
from daybreak.runtime.tests.chaos import effects, play, program, remote
from daybreak.runtime.tests.chaos.faults import MEANS_S, Done
from daybreak.runtime.tests.chaos.model import Facts, Model
from daybreak.runtime.tests.chaos.program import Body, Call, NewActor, Options, Program, Put, Settings, Submit

SECONDS = 20.0
FIRST_SEED = int(os.environ.get("DAYBREAK_TEST_SEED", "1"))  # the instants of the faults are others each time


@pytest.fixture(autouse=True)
def no_runtime() -> None:
    daybreak.shutdown()


def test_random_programs_under_faults_do_what_their_model_allows_and_leave_nothing(capsys: Any) -> None:
    end, seed = time.monotonic() + SECONDS, FIRST_SEED
    while time.monotonic() < end:
        outcome = play.run(program.make(seed, command.OPERATIONS))
        assert not outcome.wrong, command.report(seed, command.OPERATIONS, outcome.wrong)
        seed += 1


def test_a_seed_makes_one_program_and_its_beginning_is_that_of_the_shorter_one() -> None:
    for seed in range(50):
        long = program.make(seed, 80)
        assert long == program.make(seed, 80)
        assert long.operations[:30] == program.make(seed, 30).operations
    kinds = {type(op).__name__ for seed in range(20) for op in program.make(seed, 80).operations}
    assert kinds == {
        "Submit", "Call", "Put", "NewActor", "Kill", "Forget", "Drop", "Cancel", "Wait", "Read",
    }  # fmt: skip


def alone(*operations: program.Operation, cpus: int = 2) -> Program:
    """A program without faults: seeds below are of those that do nothing."""
    return Program(quiet_seed(), Settings(cpus, 32), list(operations))


def quiet_seed() -> int:
    for seed in range(1000):
        if program.choices(seed, "faults").choice(MEANS_S) == 0:
            return seed
    raise AssertionError("no seed is without faults")


def test_with_nothing_killed_the_model_allows_one_outcome() -> None:
    made = [
        Submit(0, Body("0", deaths=2), Options(retries=2)),
        Submit(1, Body("1", deaths=2), Options(retries=1)),
        Submit(2, Body("2", flaky=1), Options(retry_on=("Flaky",))),
        Submit(3, Body("3", flaky=1), Options()),
        Submit(4, Body("4", error="KeyError"), Options(retry_on=True)),
        Submit(5, Body("5"), Options(), (program.Arg("slot", 4),)),
        NewActor(6, "plain", 0, 0, False),
        Call(7, Body("7", deaths=1), Options(), actor=6),
        NewActor(8, "plain", 1, 1, False),
        Call(9, Body("9", deaths=1), Options(), actor=8),
    ]
    model = Model(alone(*made), Facts())
    values = {slot: model.slot(slot) for slot in (0, 1, 2, 3, 4, 5, 7, 9)}
    assert values[0].value == remote.digest("0", []) and not values[0].errors
    assert values[1].value is None and values[1].errors == {"WorkerCrashedError"}
    assert values[2].value is not None and not values[2].errors
    assert values[3].value is None and values[3].errors == {"Flaky"}
    assert values[4].errors == {"KeyError:4"} == values[5].errors and values[5].value is None
    assert values[7].value is None and values[7].errors == {"ActorDiedError"}
    assert values[9].value == remote.digest("9", []) and not values[9].errors
    outcome = play.run(alone(*made))
    assert not outcome.wrong, outcome.wrong


# -- bugs that it must find ---------------------------------------------------------------------------------------------


def found(*operations: program.Operation) -> str:
    return "\n".join(play.run(alone(*operations)).wrong)


def test_it_finds_a_task_that_is_tried_again_although_it_may_not(monkeypatch: pytest.MonkeyPatch) -> None:
    planted = remote.options_of
    monkeypatch.setattr(remote, "options_of", lambda *a, **k: {**planted(*a, **k), "max_retries": 3})
    wrong = found(Submit(0, Body("0", deaths=1), Options(retries=0)))
    assert "may be WorkerCrashedError" in wrong and "ran 2 times" in wrong


def test_it_finds_a_value_that_is_another_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    get, first = daybreak.get, []

    def planted(ref: Any, **options: Any) -> Any:
        first.append(get(ref, **options))
        return first[0]

    monkeypatch.setattr(daybreak, "get", planted)
    assert "slot 1.0 is value" in found(Submit(0, Body("0"), Options()), Submit(1, Body("1"), Options()))


def test_it_finds_a_value_that_was_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    get = daybreak.get

    def planted(ref: Any, **options: Any) -> Any:
        value = get(ref, **options)
        if getattr(value, "size", 0):
            value = value.copy()
            value[-1] = 0
        return value

    monkeypatch.setattr(daybreak, "get", planted)
    assert "Damaged" in found(Put(0, "0", 100_000))


def test_it_finds_calls_of_an_actor_in_another_order(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = play._Driver.call
    kept: list[Call] = []

    def planted(self: Any, op: Call) -> None:
        kept.append(op)
        if len(kept) == 2:
            for each in reversed(kept):
                calls(self, each)

    monkeypatch.setattr(play._Driver, "call", planted)
    actor = NewActor(0, "plain", 0, 0, False)
    assert "began after call 2" in found(actor, *(Call(i, Body(f"{i}"), Options(), actor=0) for i in (1, 2)))


def test_it_finds_a_call_that_says_it_ran_and_did_not() -> None:
    runs = effects.began([["began", "1", "77", "actor", "0", "1", "driver", "1"]])
    assert not list(effects.from_nowhere({1: (77, 1)}, runs))
    for result in ((78, 1), (77, 2)):
        assert "where it never ran" in next(effects.from_nowhere({1: result}, runs))


def test_it_finds_an_error_that_nothing_explains() -> None:
    ran = alone(Submit(0, Body("0"), Options(retries=0)))
    driver = play._Driver(ran, "")
    driver.seen[0, 0] = ("error", "WorkerCrashedError")
    assert list(play.differences(driver, Model(ran, Facts())))
    assert not list(play.differences(driver, Model(ran, Facts(worker_kills=1))))


def test_it_finds_what_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []
    put = daybreak.put

    def planted(value: Any) -> Any:
        kept.append(put(value))
        return kept[-1]

    monkeypatch.setattr(daybreak, "put", planted)
    monkeypatch.setattr(play, "_LEFT_S", 0.2)
    assert "is left when nobody holds anything" in found(Put(0, "0", 0))
    kept.clear()
    gc.collect()


def test_it_finds_a_descriptor_that_is_not_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    files: list[int] = []
    put = daybreak.put

    def planted(value: Any) -> Any:
        files.append(os.open("/dev/null", os.O_RDONLY))
        return put(value)

    monkeypatch.setattr(daybreak, "put", planted)
    assert "this process is left with" in found(Put(0, "0", 0))
    for file in files:
        os.close(file)


def test_a_failing_seed_is_made_shorter_and_says_how_it_is_repeated(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def planted(ran: Program) -> play.Outcome:
        return play.Outcome(["it is wrong"] if len(ran.operations) >= 7 else [], Done(), 0.0)

    monkeypatch.setattr(play, "run", planted)
    assert command.main(["--seed=5", "--operations=40", "--seconds=0.01"]) == 1
    said = capsys.readouterr().out
    assert "again: ./dev test --chaos=0 --seed=5 --operations=40 runtime" in said
