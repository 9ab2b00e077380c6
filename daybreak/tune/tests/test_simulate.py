"""Experiments on a simulated clock: decisions are Ray's at Ray's times, and what they come to is the same each time."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daybreak import tune
from daybreak.base import errors
from daybreak.tune import schedulers
from daybreak.tune.search import TuneBOHB
from daybreak.tune.simulate import Simulated, Table, curves, simulate
from daybreak.tune.study_search import StudySearch
from daybreak.tune.tests.ray_decisions import SIMULATED, elapsed, table

_RECORDED = json.loads((Path(__file__).parent / "data" / "ray_simulated.json").read_text())
_NAMES = {
    "asha": schedulers.ASHAScheduler,
    "hyperband": schedulers.HyperBandScheduler,
    "bohb": schedulers.HyperBandForBOHB,
    "median": schedulers.MedianStoppingRule,
}


@pytest.mark.parametrize("case", range(len(SIMULATED)), ids=[f"{c['kind']}_{c['seed']}" for c in SIMULATED])
def test_each_decision_comes_when_rays_scheduler_on_such_a_clock_makes_it(case: int) -> None:
    given = SIMULATED[case]
    recorded = dict(_RECORDED[case])
    expected = recorded.pop("events")
    assert recorded == given, "the recorded decisions are of other cases: run ray_decisions.py again"
    time_attr = "time_total_s" if given.get("by_seconds") else "training_iteration"
    numbers = {k: bool(v) if k in ("stop_last_trials", "hard_stop") else v for k, v in given["numbers"].items()}
    found = simulate(
        Table(table(given), elapsed(given)),
        scheduler=_NAMES[given["kind"]](time_attr=time_attr, **numbers),
        mode="max",
        workers=given["workers"],
        delay_s=given["delay"],
    )
    told = [[e.kind, e.trial, e.epoch, round(e.time, 6)] for e in found.events]
    assert _by_time(told) == _by_time(expected)


def _by_time(events: list[list[Any]]) -> list[list[Any]]:
    return sorted(events, key=lambda event: (event[3], str(event[0]), event[1]))


def test_many_workers_bring_the_end_nearer_and_none_is_busy_when_nothing_may_run() -> None:
    times = []
    for workers in (1, 4, 16):
        found = simulate(curves(trials=16, epochs=9, seed=2), mode="max", workers=workers)
        assert [trial.state for trial in found.trials] == ["TERMINATED"] * 16
        assert all(trial.epoch == 9 and trial.starts == 1 for trial in found.trials)
        assert found.busy_s <= workers * found.end_s + 1e-9
        times.append(found.end_s)
    assert times[0] > 3.5 * times[1] > 6 * times[2]


def test_what_a_paused_trial_has_taken_is_not_taken_again_when_it_goes_on() -> None:
    values = Table(np.arange(9 * 9).reshape(9, 9), np.tile(np.arange(1, 10) * 10.0, (9, 1)))
    found = simulate(values, scheduler=schedulers.HyperBandScheduler(max_t=9), mode="max", workers=9, delay_s=0)
    resumed = [trial for trial in found.trials if trial.starts > 1]
    assert resumed and all(trial.seconds == 10 * trial.epoch for trial in found.trials)
    for trial in resumed:
        starts = [e.time for e in found.events if e.trial == trial.number and e.kind == "start"]
        results = [e for e in found.events if e.trial == trial.number and e.kind == "result" and e.time > starts[-1]]
        assert results[0].time == starts[-1] + 10


def test_a_time_budget_ends_all_at_its_second() -> None:
    found = simulate(curves(trials=50, epochs=50, seed=3), mode="max", workers=5, time_budget_s=60.5)
    assert found.out_of_time and found.end_s == 60.5
    assert all(event.time <= 60.5 for event in found.events)
    assert {trial.state for trial in found.trials} == {"TERMINATED"}
    assert found.busy_s == pytest.approx(5 * 60.5, rel=0.02)


def test_the_median_rule_counts_simulated_seconds() -> None:
    values = [[0.9] * 20, [0.8] * 20, [0.7] * 20, [0.1] * 20]
    found = simulate(
        Table(values, [[60.0 * (k + 1) for k in range(20)]] * 4),
        scheduler=schedulers.MedianStoppingRule(grace_period=300),
        mode="max",
        workers=4,
        delay_s=0,
    )
    assert found.trials[3].seconds == 300 and [trial.epoch for trial in found.trials[:2]] == [20, 20]


def test_a_population_copies_the_state_of_the_best_and_changes_configs() -> None:
    def step(config: dict[str, Any], epoch: int, state: Any) -> tuple[float, float, Any]:
        level = (state or 0.0) + 1 - abs(config["lr"] - 0.7)
        return level, 1.0, level

    population = schedulers.PopulationBasedTraining(
        "training_iteration", perturbation_interval=4, hyperparam_mutations={"lr": tune.uniform(0, 1)}
    )
    options: dict[str, Any] = {"space": {"lr": tune.uniform(0, 1)}, "num_samples": 8, "max_t": 40, "workers": 8}
    found = simulate(step, scheduler=population, mode="max", **options)
    alone = simulate(step, mode="max", **options)
    exploits = [event for event in found.events if event.kind == "exploit"]
    assert len(exploits) >= 4 and all(event.trial != event.source for event in exploits)
    mean = {id(one): np.mean([trial.value for trial in one.trials]) for one in (found, alone)}
    assert mean[id(found)] > mean[id(alone)] + 3, "copying the best helps all"
    again = simulate(step, scheduler=population, mode="max", **options)
    assert again.events == found.events and again.trials == found.trials


def test_pb2_moves_configs_to_where_scores_rise_most_and_stays_within_its_bounds() -> None:
    def step(config: dict[str, Any], epoch: int, state: Any) -> tuple[float, float, Any]:
        level = (state or 0.0) + 1 - 4 * (config["lr"] - 0.7) ** 2 - 0.1 * abs(config["layers"] - 6)
        return level, 1.0, level

    def run(scheduler: Any) -> Simulated:
        space = {"lr": tune.uniform(0, 0.3), "layers": tune.randint(1, 4)}
        return simulate(step, space, scheduler=scheduler, mode="max", num_samples=8, max_t=60, workers=8, seed=1)

    found = run(
        schedulers.PB2(
            "training_iteration", perturbation_interval=3, hyperparam_bounds={"lr": [0, 1], "layers": [1, 10]}
        )
    )
    assert all(0 <= trial.config["lr"] <= 1 and 1 <= trial.config["layers"] <= 10 for trial in found.trials)
    assert all(type(trial.config["layers"]) is int for trial in found.trials)
    assert sum(event.kind == "exploit" for event in found.events) > 10
    assert found.best.value > run(None).best.value + 8, "it has found rates that the space has not"


def test_bohb_begins_with_the_largest_bracket_and_its_model_beats_chance() -> None:
    def step(config: dict[str, Any], epoch: int, state: Any) -> tuple[float, float, Any]:
        return (config["x"] - 0.3) ** 2 + (config["y"] - 0.8) ** 2 + 1 / (epoch + 1), 1.0, None

    def losses(search: Any) -> list[float]:
        space = {"x": tune.uniform(0, 1), "y": tune.uniform(0, 1)}
        scheduler = schedulers.HyperBandForBOHB(max_t=27)
        found = simulate(
            step, space, scheduler=scheduler, search_alg=search, num_samples=90, max_t=27, workers=6, seed=5
        )
        first = [event.epoch for event in found.events if event.kind == "pause"][:27]
        assert first.count(1) >= 9, "the bracket of the most trials is the first"
        return [(t.config["x"] - 0.3) ** 2 + (t.config["y"] - 0.8) ** 2 for t in found.trials]

    chance, model = losses(None), losses(TuneBOHB(seed=5))
    assert np.median(model[45:]) < 0.5 * np.median(chance[45:])


def test_a_sampler_searches_as_a_searcher_and_begins_with_the_points_that_are_given() -> None:
    def step(config: dict[str, Any], epoch: int, state: Any) -> tuple[float, float, Any]:
        return abs(config["model"]["lr"] - 0.01) * 100 + (config["act"] == "relu") + config["fixed"], 2.0, None

    space = {"model": {"lr": tune.loguniform(1e-4, 1)}, "act": tune.choice(["relu", "tanh"]), "fixed": 5}
    point = {"model": {"lr": 0.5}, "act": "tanh"}
    search = StudySearch(points_to_evaluate=[point], seed=2)
    found = simulate(step, space, search_alg=search, num_samples=60, max_t=1, workers=4)
    assert found.trials[0].config == {**point, "fixed": 5}
    assert found.best.value < 5.05 and found.trials[found.best.trial].config["act"] == "tanh"


def test_what_cannot_be_simulated_is_refused_by_name() -> None:
    with pytest.raises(errors.InvalidArgumentError, match=r"values\[1\] has 1 epochs"):
        Table([[1, 2], [1]])
    with pytest.raises(errors.InvalidArgumentError, match="row 0 has 1 seconds at epoch 2 after 3"):
        simulate(Table([[1, 2]], [[3, 1]]))
    with pytest.raises(errors.InvalidArgumentError, match="workers=0"):
        simulate(curves(2, 2), workers=0)
    with pytest.raises(errors.InvalidArgumentError, match=r"delay_s\['begin'\]"):
        simulate(curves(2, 2), delay_s={"begin": 1})
    with pytest.raises(errors.InvalidArgumentError, match="epoch 1 of trial 0 takes nan seconds"):
        simulate(lambda config, epoch, state: (0.0, math.nan, None), {"x": tune.uniform(0, 1)})
    with pytest.raises(ZeroDivisionError):
        simulate(lambda config, epoch, state: (1 / 0, 1.0, None), {"x": tune.uniform(0, 1)})
    with pytest.raises(errors.InvalidArgumentError, match=r"hyperparam_bounds\['lr'\]=\[1, 0\]"):
        schedulers.PB2(hyperparam_bounds={"lr": [1, 0]})
    with pytest.raises(errors.InvalidArgumentError, match=r"bohb_config\['bandwidth_factor'\]"):
        TuneBOHB(bohb_config={"bandwidth_factor": 3})
