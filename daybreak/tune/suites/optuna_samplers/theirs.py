"""The cases that optuna.testing has for whoever writes a sampler, and comparisons that need both sides."""

from __future__ import annotations

from collections.abc import Callable

import optuna
import pytest
from optuna.importance import BaseImportanceEvaluator
from optuna.samplers import BaseSampler
from optuna.testing.pytest_importance import (
    BasicImportanceEvaluatorTestCase,
    ConditionalImportanceEvaluatorTestCase,
    MultiObjectiveImportanceEvaluatorTestCase,
    NonConditionalImportanceEvaluatorTestCase,
)
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
    SingleOnlySamplerTestCase,
)

from daybreak.tune import optuna as ours

Factory = Callable[[], BaseSampler]


class TestRandom(BasicSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Factory:
        return ours.RandomSampler


class TestTPE(BasicSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture(params=[{}, {"multivariate": False}, {"group": True}, {"constant_liar": False}], ids=str)
    def sampler(self, request: pytest.FixtureRequest) -> Factory:
        return lambda: ours.TPESampler(n_startup_trials=3, **request.param)


class TestTPERelative(RelativeSamplerTestCase):
    @pytest.fixture(params=[{}, {"group": True}], ids=str)
    def sampler(self, request: pytest.FixtureRequest) -> Factory:
        return lambda: ours.TPESampler(n_startup_trials=0, **request.param)


class TestCmaEs(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    @pytest.fixture(params=[{}, {"with_margin": True}, {"restart_strategy": "bipop", "popsize": 4}], ids=str)
    def sampler(self, request: pytest.FixtureRequest) -> Factory:
        return lambda: ours.CmaEsSampler(n_startup_trials=0, **request.param)


class TestNSGAII(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture(params=[{}, {"crossover": "sbx"}], ids=str)
    def sampler(self, request: pytest.FixtureRequest) -> Factory:
        return lambda: ours.NSGAIISampler(population_size=2, **request.param)


class TestNSGAIII(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture(params=[{}, {"crossover": "sbx"}], ids=str)
    def sampler(self, request: pytest.FixtureRequest) -> Factory:
        return lambda: ours.NSGAIIISampler(population_size=2, **request.param)


class TestQMC(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture(params=[{}, {"scramble": True}, {"qmc_type": "halton"}], ids=str)
    def sampler(self, request: pytest.FixtureRequest) -> Factory:
        return lambda: ours.QMCSampler(**request.param)


class TestGP(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Factory:
        return lambda: ours.GPSampler(n_startup_trials=0)


def test_a_grid_has_every_cell_once_also_those_that_failed_and_stops_the_study() -> None:
    study = optuna.create_study(sampler=ours.GridSampler({"x": [-1, 0, 0.5], "c": ["a", None]}, seed=1))
    study.enqueue_trial({"x": 0.25, "c": "a"})
    seen = []

    def objective(trial: optuna.Trial) -> float:
        cell = (trial.suggest_float("x", -1, 1), trial.suggest_categorical("c", ["b", "a", None]))
        if trial.number in (2, 4):
            raise RuntimeError("failed")
        seen.append(cell)
        return float(trial.number)

    study.optimize(objective, n_trials=50, catch=RuntimeError)
    assert sorted(map(str, seen[1:])) == sorted(str((x, c)) for x in (-1, 0, 0.5) for c in ("a", None))
    assert len(study.trials) == 9  # six cells, somebody's own values and two that failed
    with pytest.raises(ValueError, match="'y' is no axis of the grid"):
        study.ask({"y": optuna.distributions.FloatDistribution(0, 1)})


def test_brute_force_tries_a_conditional_space_whole_and_stops_the_study() -> None:
    def objective(trial: optuna.Trial) -> float:
        if trial.suggest_categorical("c", [True, False]):
            return trial.suggest_int("n", 1, 3)
        return trial.suggest_float("x", 0, 1, step=0.5) + trial.suggest_int("m", 0, 1)

    study = optuna.create_study(sampler=ours.BruteForceSampler(seed=3))
    study.optimize(objective, n_trials=50)
    assert len({str(trial.params) for trial in study.trials}) == len(study.trials) == 9


class TestPedAnova(
    BasicImportanceEvaluatorTestCase,
    ConditionalImportanceEvaluatorTestCase,
    MultiObjectiveImportanceEvaluatorTestCase,
):
    @pytest.fixture
    def evaluator(self) -> Callable[..., BaseImportanceEvaluator]:
        return ours.PedAnovaImportanceEvaluator


class TestFanova(BasicImportanceEvaluatorTestCase, NonConditionalImportanceEvaluatorTestCase):
    @pytest.fixture
    def evaluator(self) -> Callable[..., BaseImportanceEvaluator]:
        return lambda: ours.FanovaImportanceEvaluator(seed=1)


class TestMeanDecreaseImpurity(BasicImportanceEvaluatorTestCase, NonConditionalImportanceEvaluatorTestCase):
    @pytest.fixture
    def evaluator(self) -> Callable[..., BaseImportanceEvaluator]:
        return lambda: ours.MeanDecreaseImpurityImportanceEvaluator(seed=1)
