"""Searchers over our samplers: HyperOptSearch, OptunaSearch, StudySearch, alone and in experiments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import daybreak
from daybreak import tune
from daybreak.base.errors import InvalidArgumentError, UnimplementedError
from daybreak.tune import hp
from daybreak.tune.search import ConcurrencyLimiter, Repeater
from daybreak.tune.study_search import HyperOptSearch, OptunaSearch, StudySearch, drawn, raw_of

SPACE = {
    "lr": tune.loguniform(1e-5, 1.0),
    "u": tune.uniform(-1, 1),
    "q": tune.quniform(0, 1, 0.25),
    "ql": tune.qloguniform(10, 1000, 10),
    "n": tune.randn(5, 2),
    "qn": tune.qrandn(0, 3, 0.5),
    "i": tune.randint(0, 10),
    "qi": tune.qrandint(0, 20, 5),
    "li": tune.lograndint(1, 1000),
    "qli": tune.qlograndint(2, 64, 2),
    "net": {
        "kind": tune.choice(
            [{"name": "wide", "units": tune.randint(8, 64)}, {"name": "deep", "layers": [tune.randint(1, 9)]}]
        ),
        "same": tune.choice([1, True, 1.0, None, "a"]),
    },
    "constant": 7,
}


@pytest.fixture
def _runtime() -> Iterator[None]:
    daybreak.shutdown()
    daybreak.init(num_cpus=2)
    yield
    daybreak.shutdown()


def loss(config: dict[str, Any]) -> float:
    return float((config["u"] - 0.3) ** 2 + abs(np.log10(config["lr"]) + 2))


def test_each_domain_is_searched_within_its_bounds_and_what_was_suggested_is_known_again() -> None:
    search = StudySearch(SPACE, "loss", "min", seed=1)
    again = StudySearch(SPACE, "loss", "min", seed=1)
    for i in range(40):
        config: Any = search.suggest(f"t{i}")
        assert 1e-5 <= config["lr"] < 1 and -1 <= config["u"] < 1 and config["q"] in (0, 0.25, 0.5, 0.75, 1)
        assert config["ql"] % 10 == 0 and 10 <= config["ql"] <= 1000
        assert config["qn"] % 0.5 == 0 and config["i"] in range(10) and config["qi"] in (0, 5, 10, 15, 20)
        assert 1 <= config["li"] < 1000 and config["qli"] % 2 == 0 and 2 <= config["qli"] <= 64
        assert config["constant"] == 7 and type(config["i"]) is int and type(config["u"]) is float
        kind = config["net"]["kind"]
        assert set(kind) == ({"name", "units"} if kind["name"] == "wide" else {"name", "layers"})
        search.on_trial_complete(f"t{i}", {"loss": loss(config)})
        again.on_suggested_again(f"t{i}", config)
        again.on_trial_complete(f"t{i}", {"loss": loss(config)})
    for one, other in zip(search.study.trials, again.study.trials, strict=True):
        assert one.value == other.value
        for name, value in one.params.items():
            assert other.params[name] == pytest.approx(value) or name in ("ql", "qn", "qli")  # rounded since
    assert {tuple(t.params) for t in search.study.trials} == {tuple(t.params) for t in again.study.trials}


def test_a_model_does_better_than_chance() -> None:
    def best(search: Any) -> float:
        values = []
        for i in range(60):
            config = search.suggest(str(i))
            values.append(loss(config))
            search.on_trial_complete(str(i), {"loss": values[-1]})
        return float(np.mean(values[-20:]))

    space = {"lr": tune.loguniform(1e-5, 1.0), "u": tune.uniform(-1, 1)}
    chance = best(StudySearch(space, "loss", "min", sampler=tune.SamplerFactory.random(), seed=3))
    assert best(HyperOptSearch(space, "loss", "min", n_initial_points=10, random_state_seed=3)) < 0.6 * chance
    assert best(OptunaSearch(space, "loss", "min", sampler=tune.SamplerFactory.gp(), seed=3)) < 0.6 * chance


def test_points_come_first_and_may_be_parts_and_evaluated_ones_count() -> None:
    space = {"x": tune.uniform(0, 1), "k": hp.choice("k", np.arange(16, 256))}
    search = HyperOptSearch(space, "loss", "min", points_to_evaluate=[{"x": 0.5, "k": 16}, {"k": 255}])
    first: Any = search.suggest("a")
    second: Any = search.suggest("b")
    assert first == {"x": 0.5, "k": 16} and second["k"] == 255 and type(first["k"]) is int
    told = OptunaSearch(space, "loss", "min", points_to_evaluate=[{"x": 0.25, "k": 20}], evaluated_rewards=[0.125])
    told.suggest("a")
    assert told.study.best_value == 0.125 and len(told.study.trials) == 2
    with pytest.raises(InvalidArgumentError, match="'k'=3: none of"):
        HyperOptSearch(space, "loss", "min", points_to_evaluate=[{"k": 3}]).suggest("a")
    with pytest.raises(InvalidArgumentError, match="'y': not in the space"):
        HyperOptSearch(space, "loss", "min", points_to_evaluate=[{"y": 3}]).suggest("a")


def test_2018s_arguments_limit_what_runs_and_maximise() -> None:
    search = HyperOptSearch({"x": hp.uniform("x", 0, 1)}, max_concurrent=2, reward_attr="acc")
    assert search.suggest("a") and search.suggest("b") and search.suggest("c") is None
    search.on_trial_complete("a", {"acc": 1.0})
    assert search.suggest("c") and search.study.direction == tune.StudyDirection.MAXIMIZE


def test_a_function_of_a_trial_is_a_space() -> None:
    def space(trial: Any) -> dict[str, Any]:
        if trial.suggest_categorical("kind", ["a", "b"]) == "a":
            trial.suggest_float("x", 0, 1)
        return {"constant": 3}

    search = OptunaSearch(space, "loss", "min", seed=0)
    for i in range(8):
        config: Any = search.suggest(str(i))
        assert config["constant"] == 3 and ("x" in config) == (config["kind"] == "a")
        search.on_trial_complete(str(i), {"loss": float("nan")} if i else {"loss": 1.0})
    assert [trial.state.name for trial in search.study.trials] == ["COMPLETE", *["FAIL"] * 7]


@pytest.mark.parametrize(
    ("made", "error", "text"),
    [
        (lambda: StudySearch({"x": tune.sample_from(lambda c: 1)}), InvalidArgumentError, "'x' is sample_from"),
        (lambda: StudySearch({"a": {"b": tune.grid_search([1])}}), InvalidArgumentError, "'a/b' is a grid_search"),
        (lambda: StudySearch({}, sampler=3), InvalidArgumentError, "sampler=3"),
        (lambda: StudySearch().suggest("a"), InvalidArgumentError, "has no space"),
        (lambda: StudySearch({"x": tune.uniform(0, 1)}).suggest("a"), InvalidArgumentError, "needs metric="),
        (lambda: HyperOptSearch(gamma=0.5), UnimplementedError, "gamma=0.5"),
        (lambda: OptunaSearch(metric=["a", "b"]), UnimplementedError, "one metric"),
        (lambda: OptunaSearch(storage="x"), UnimplementedError, "storage='x'"),
        (lambda: OptunaSearch({}, evaluated_rewards=[1.0]), InvalidArgumentError, "1 for 0"),
    ],
)
def test_what_cannot_be_searched_is_refused_by_name(made: Any, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        made()


def trains(config: dict[str, Any]) -> None:
    tune.report({"loss": loss(config), "kind": config["net"]["kind"]["name"]})


@pytest.mark.usefixtures("_runtime")
def test_an_experiment_takes_its_space_constants_and_all_and_goes_on_with_what_it_knew(tmp_path: Path) -> None:
    def fit(count: int, tuner: Any) -> Any:
        search = StudySearch(seed=2)
        config = tune.TuneConfig(metric="loss", mode="min", num_samples=count, search_alg=search, reuse_actors=True)
        return tuner(config).fit(), search

    run = tune.RunConfig(name="e", storage_path=tmp_path, verbose=0)
    first, _ = fit(4, lambda c: tune.Tuner(trains, param_space=SPACE, tune_config=c, run_config=run))
    for result in first:
        kind = result.config["net"]["kind"]
        assert set(kind) == ({"name", "units"} if kind["name"] == "wide" else {"name", "layers"})
        assert result.config["constant"] == 7
    second, search = fit(
        6, lambda c: tune.Tuner.restore(tmp_path / "e", trains, tune_config=c, num_samples=6, param_space=SPACE)
    )
    assert [r.config for r in second][:4] == [r.config for r in first] and len(second) == 6
    assert len(search.study.trials) == 6
    assert [t.value for t in search.study.trials] == [r.metrics["loss"] for r in second]


def test_limits_and_repeats_wrap_it() -> None:
    search = ConcurrencyLimiter(StudySearch({"x": tune.uniform(0, 1)}, "loss", "min", seed=0), max_concurrent=1)
    assert search.suggest("a") is not None and search.suggest("b") is None
    search.on_trial_complete("a", {"loss": 1.0})
    assert search.suggest("b") is not None
    repeats = Repeater(StudySearch({"x": tune.uniform(0, 1)}, "loss", "min", seed=0), repeat=2)
    one: Any = repeats.suggest("a")
    other: Any = repeats.suggest("b")
    assert one["x"] == other["x"]


def test_raw_values_and_configs_are_each_others_inverse() -> None:
    class Fixed:
        def __init__(self, raw: dict[str, Any]) -> None:
            self.raw = raw

        def suggest_float(self, name: str, *bounds: Any, **more: Any) -> Any:
            return self.raw[name]

        suggest_int = suggest_categorical = suggest_float

    search = StudySearch({k: v for k, v in SPACE.items() if k != "constant"}, "loss", "min", seed=4)
    for i in range(20):
        config: Any = search.suggest(str(i))
        found = drawn(Fixed(raw_of(search._space, config)), search._space, "")
        assert found["net"] == config["net"] and found["i"] == config["i"] and found["n"] == pytest.approx(config["n"])
