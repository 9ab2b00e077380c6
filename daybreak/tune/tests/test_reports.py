"""What users of Ray Tune and Optuna have reported, run on ours: each test names the report."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import Any

import pytest

from daybreak import tune
from daybreak.base import errors
from daybreak.tune import schedulers
from daybreak.tune.search import TuneBOHB
from daybreak.tune.simulate import Table, simulate
from daybreak.tune.study_search import StudySearch


def test_bounds_in_the_wrong_order_are_named_before_anything_runs() -> None:
    """https://github.com/ray-project/ray/issues/14187: PB2 with [1e-3, 1e-6] compared a trial and a string, an hour later."""
    with pytest.raises(errors.InvalidArgumentError, match=r"hyperparam_bounds\['lr'\]=\[0.001, 1e-06\]: \[low, high\]"):
        schedulers.PB2("training_iteration", hyperparam_bounds={"lr": [1e-3, 1e-6]})


def test_a_domain_in_place_of_bounds_is_refused_with_what_is_needed() -> None:
    """https://github.com/ray-project/ray/issues/20923: the space was given as PB2's bounds."""
    with pytest.raises(errors.InvalidArgumentError, match=r"\['lr'\]=qloguniform.*two numbers"):
        schedulers.PB2("training_iteration", hyperparam_bounds={"lr": tune.qloguniform(1e-4, 1e-1, 1e-5)})


def test_a_quantum_gives_its_multiples_up_to_the_upper_bound_and_none_outside() -> None:
    """https://github.com/ray-project/ray/issues/28045: qrandint(1, 10, 3) gave 0."""
    with pytest.raises(errors.InvalidArgumentError, match="1"):
        tune.qrandint(1, 10, 3)
    random.seed(0)
    assert set(tune.qrandint(3, 12, 3).sample(size=300)) == {3, 6, 9, 12}


def test_an_exclusive_upper_bound_stays_so_with_a_sampler() -> None:
    """https://github.com/ray-project/ray/issues/15593: randint(0, 10) gave 10 with Optuna, HyperOpt and BOHB."""
    for search in (StudySearch(sampler=tune.SamplerFactory.random()), StudySearch(), TuneBOHB()):
        found = simulate(
            lambda config, epoch, state: (-config["b"], 1.0, None),
            {"b": tune.randint(0, 10), "a": tune.uniform(0, 1)},
            search_alg=search,
            num_samples=60,
            max_t=1,
        )
        drawn = [trial.config["b"] for trial in found.trials]
        assert max(drawn) == 9 and min(drawn) >= 0 and all(type(b) is int for b in drawn)
        assert all(trial.config["a"] < 1 for trial in found.trials)


def test_nan_at_a_rung_does_not_keep_the_others_from_being_stopped() -> None:
    """https://github.com/ray-project/ray/issues/6659: one NaN made the cutoff NaN, and nothing stopped any more."""
    values = [[math.nan] * 9, *([0.1 * k] * 9 for k in range(8, -1, -1))]
    found = simulate(
        Table(values), scheduler=schedulers.ASHAScheduler(max_t=9, reduction_factor=3), mode="max", workers=1
    )
    assert sum(event.kind == "stop" and event.epoch == 1 for event in found.events) >= 6


def test_many_quick_reports_do_not_end_bohb() -> None:
    """https://github.com/ray-project/ray/issues/16230 (and 14500): quick reports ended in KeyError, or all trials paused."""
    found = simulate(
        lambda config, epoch, state: ((config["x"] - 0.3) ** 2, 0.0, None),
        {"x": tune.uniform(0, 1)},
        scheduler=schedulers.HyperBandForBOHB(max_t=9, reduction_factor=3),
        search_alg=TuneBOHB(),
        num_samples=40,
        max_t=9,
        workers=7,
        delay_s=0,
    )
    assert Counter(trial.state for trial in found.trials) == {"TERMINATED": 40}
    assert max(trial.epoch for trial in found.trials) == 9


@pytest.mark.parametrize(("max_t", "factor"), [(9, 3), (10, 3), (20, 4), (100, 3), (7, 2), (50, 5)])
def test_no_trial_stays_paused_whatever_the_time_and_the_factor(max_t: int, factor: int) -> None:
    """https://github.com/ray-project/ray/issues/6780: some pairs of max_t and reduction_factor left trials paused for good."""
    for trials in (1, 7, 20):
        for scheduler in (schedulers.HyperBandScheduler, schedulers.HyperBandForBOHB):
            values = [[float(k * epoch % 7) for epoch in range(max_t)] for k in range(trials)]
            found = simulate(
                Table(values), scheduler=scheduler(max_t=max_t, reduction_factor=factor), mode="max", workers=3
            )
            assert {trial.state for trial in found.trials} == {"TERMINATED"}
            assert max_t / factor < max(trial.epoch for trial in found.trials) <= max_t, "as far as its milestones go"


def test_a_list_of_domains_is_named_where_a_sampler_would_not_see_it() -> None:
    """https://github.com/ray-project/ray/issues/14472: BOHB failed joining a path of a list's place."""
    space = {"model": {"hiddens": [tune.lograndint(64, 512), tune.lograndint(64, 512)]}}
    with pytest.raises(errors.InvalidArgumentError, match="'model/hiddens' is a list with lograndint"):
        TuneBOHB(space=space)
    suggested = StudySearch(space, "loss", "min", seed=0).suggest("a")
    assert isinstance(suggested, dict)
    assert len(suggested["model"]["hiddens"]) == 2 and all(64 <= one < 512 for one in suggested["model"]["hiddens"])


def test_a_range_that_another_parameter_sets_is_kept_by_populations() -> None:
    """https://github.com/optuna/optuna/issues/2371: NSGA-II left the range of b, 0 to 100 - a."""
    for sampler in (tune.SamplerFactory.nsga2(population=10), tune.SamplerFactory.nsga3(population=10)):
        study = tune.create_study(sampler=sampler, directions=["maximize", "minimize"], seed=1)
        for _ in range(120):
            trial = study.ask()
            a = trial.suggest_int("a", 0, 100)
            b = trial.suggest_int("b", 0, 100 - a)
            assert a + b <= 100
            study.tell(trial, [a * b, a])


def test_cma_es_takes_logarithms_steps_and_options_of_one_space() -> None:
    """https://github.com/optuna/optuna/issues/1230, 1241: out of bounds, or silently by chance."""
    study = tune.create_study(sampler=tune.SamplerFactory.cmaes(with_margin=True), seed=2)
    near = []
    for k in range(300):
        trial = study.ask()
        w = trial.suggest_float("w", 1, 10, step=1)
        x = trial.suggest_float("x", -100, 100)
        y = trial.suggest_categorical("y", [-1, 0, 1])
        z = trial.suggest_float("z", 0.01, 1, log=True)
        assert 1 <= w <= 10 and w % 1 == 0 and 0.01 <= z <= 1
        if k >= 250:
            near.append(z)
        study.tell(trial, w**2 + x**2 + y + math.log10(z) ** 2 * 5 + 20 * math.log10(z))
    assert sum(near) / len(near) < 0.06, "by chance the mean is 0.2"


def test_thousands_of_trials_of_many_two_valued_options_go_on() -> None:
    """https://github.com/optuna/optuna/issues/5171: dozens of [0, 1] options failed an assertion after 3,313 trials."""
    study = tune.create_study(sampler=tune.SamplerFactory.nsga2(), seed=3, direction="maximize")
    names = [f"f{k}" for k in range(30)]

    def objective(trial: Any) -> float:
        return float(sum(trial.suggest_categorical(name, [0, 1]) for name in names))

    study.optimize(objective, n_trials=4000)
    assert len(study.trials) == 4000 and study.best_value == 30


def test_a_population_does_not_leave_the_domain_of_its_mutations() -> None:
    """https://github.com/ray-project/ray/issues/12717: quniform(0, 0.9, 0.1) became 1.08 by a factor of 1.2."""
    found = simulate(
        lambda config, epoch, state: (config["dropout"], 1.0, None),
        {"dropout": tune.quniform(0, 0.9, 0.1)},
        scheduler=schedulers.PopulationBasedTraining(
            "training_iteration", perturbation_interval=1, hyperparam_mutations={"dropout": tune.quniform(0, 0.9, 0.1)}
        ),
        mode="max",
        num_samples=6,
        max_t=40,
        workers=6,
    )
    assert any(event.kind == "exploit" for event in found.events)
    for trial in found.trials:
        assert 0 <= trial.config["dropout"] <= 0.9
        assert trial.config["dropout"] * 10 == pytest.approx(round(trial.config["dropout"] * 10))
