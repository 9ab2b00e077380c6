"""The cases that optuna.testing has for whoever writes a sampler, and comparisons that need both sides."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from optuna.samplers import BaseSampler
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
