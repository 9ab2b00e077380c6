"""The cases that optuna.testing has for whoever writes a sampler, and comparisons that need both sides."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
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
