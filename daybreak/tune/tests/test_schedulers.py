"""Our schedulers decide as Ray's do, decision by decision, on tables of mock trials (ray_decisions.py says how they were made)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from daybreak._core import tune as _native
from daybreak.base import errors
from daybreak.tune.tests.ray_decisions import CASES, table

_RECORDED = json.loads((Path(__file__).parent / "data" / "ray_decisions.json").read_text())


def packed(t: int, score: float, done: bool = False, checkpoint: str = "") -> bytes:
    return _native.pack_result(json.dumps({"t": t}), t, float(t), score, True, done, checkpoint, float(t))


def events(case: dict[str, Any], path: Path) -> list[list[Any]]:
    """The loop of ray_decisions.py, over our experiment."""
    scores, log = table(case), []
    numbers = {name: float(value) for name, value in case["numbers"].items()}
    experiment = _native.Experiment.create(str(path), "{}", case["kind"], numbers)
    times = [0] * case["trials"]
    for i in range(case["trials"]):
        experiment.add(str(i), "{}")
    while True:
        running = [i for i in range(case["trials"]) if experiment.state(i) == "RUNNING"]
        while len(running) < case["workers"]:
            i = experiment.choose()
            if i is None:
                break
            experiment.start(i)
            log.append(["choose", i])
            running.append(i)
        if not running:
            return log
        for i in running:
            if experiment.state(i) != "RUNNING":
                continue
            times[i] += 1
            ended = {k for k in range(case["trials"]) if experiment.state(k) == "TERMINATED"}
            before = experiment.next(i)
            done = times[i] >= case["steps"]
            answer = experiment.results(i, packed(times[i], scores[i][times[i] - 1], done, f"c{times[i]}"))
            stopped = [k for k in range(case["trials"]) if experiment.state(k) == "TERMINATED" and k not in ended | {i}]
            if done:
                log.append(["done", i])
            log += [["stopped", k] for k in stopped]
            if not done:
                log.append(["result", i, times[i], answer.decision])
                assert answer.decision == "CONTINUE" or times[i] >= before, "it decided before it said it might"
                assert not stopped or times[i] >= before
            for target, source in experiment.take_exploits():
                experiment.exploit(target, source, "{}")
                times[target] = int(experiment.trial(target)["from_time"])
                log.append(["exploit", target, source, times[target]])


@pytest.mark.parametrize("case", range(len(CASES)), ids=[f"{c['kind']}_{c['seed']}" for c in CASES])
def test_each_decision_is_the_one_that_rays_scheduler_makes(case: int, tmp_path: Path) -> None:
    recorded = dict(_RECORDED[case])
    expected = recorded.pop("events")
    assert recorded == CASES[case], "the recorded decisions are of other cases: run ray_decisions.py again"
    assert _in_order(events(CASES[case], tmp_path / "j")) == _in_order(expected)


def _in_order(log: list[list[Any]]) -> list[list[Any]]:
    """Trials that end together are in no order."""
    made: list[list[Any]] = []
    group: list[list[Any]] = []
    for event in [*log, ["end"]]:
        if event[0] == "stopped":
            group.append(event)
            continue
        made += sorted(group)
        group = []
        made.append(event)
    return made


def test_rungs_are_found_in_whole_numbers_so_that_the_top_one_is_not_lost(tmp_path: Path) -> None:
    for name, (max_t, factor) in {"a": (1000, 10), "b": (243, 3)}.items():
        experiment = _native.Experiment.create(
            str(tmp_path / name), "{}", "asha", {"max_t": float(max_t), "reduction_factor": float(factor)}
        )
        assert f"Iter {max_t:.3f}" in experiment.status()


def test_a_schedulers_numbers_that_cannot_be_are_refused(tmp_path: Path) -> None:
    bad = {
        "asha": [
            {"max_t": 1.0, "grace_period": 2.0},
            {"reduction_factor": 1.0},
            {"grace_period": 0.0},
            {"brackets": 0.0},
        ],
        "hyperband": [{"max_t": 0.0}, {"reduction_factor": 1.0}, {"max_t": 1e9, "reduction_factor": 1.01}],
        "median": [{"grace_period": -1.0}, {"min_time_slice": -1.0}],
        "pbt": [{"perturbation_interval": 0.0}, {"quantile_fraction": 0.6}, {"burn_in_period": float("nan")}],
    }
    for kind, cases in bad.items():
        for i, numbers in enumerate(cases):
            with pytest.raises(errors.InvalidArgumentError, match=list(numbers)[-1].split("_")[0]):
                _native.Experiment.create(str(tmp_path / f"{kind}{i}"), "{}", kind, numbers)


def test_a_synchronous_population_goes_on_when_one_that_it_waits_for_has_ended(tmp_path: Path) -> None:
    experiment = _native.Experiment.create(
        str(tmp_path / "j"), "{}", "pbt", {"perturbation_interval": 2.0, "synch": 1.0}
    )
    for i in range(3):
        experiment.add(str(i), "{}")
        experiment.start(i)
    for i in range(2):
        assert experiment.results(i, packed(1, 0.1 * i, checkpoint="a")).decision == "CONTINUE"
        assert experiment.results(i, packed(2, 0.1 * i, checkpoint="b")).decision == "PAUSE"
    experiment.end(2, "ERROR", "it failed")
    assert experiment.choose() is None
    assert experiment.unblock()
    assert experiment.choose() in (0, 1)


def test_hyperbands_bracket_closes_when_a_trial_of_it_fails(tmp_path: Path) -> None:
    experiment = _native.Experiment.create(
        str(tmp_path / "j"), "{}", "hyperband", {"max_t": 9.0, "reduction_factor": 3.0}
    )
    for i in range(8):  # three run to the end, five are halved
        experiment.add(str(i), "{}")
    for i in range(3, 8):
        experiment.start(i)
        for t in range(1, 4):
            if experiment.state(i) == "RUNNING" and i != 7:
                experiment.results(i, packed(t, float(i), checkpoint=f"c{t}"))
    assert experiment.state(6) == "PAUSED"
    experiment.end(7, "ERROR", "it failed")
    states = [experiment.state(i) for i in range(3, 8)]
    assert states.count("PAUSED") == 2 and states.count("TERMINATED") == 2, "the best two of five go on"
