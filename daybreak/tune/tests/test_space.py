"""The 13 primitives, grids, points, conditional spaces."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from daybreak import tune
from daybreak.base import errors
from daybreak.tune.variants import ParamSpace


def configs(space: dict[str, Any], samples: int = 1, **options: Any) -> list[dict[str, Any]]:
    made = ParamSpace(space, **options)
    return [made.variant(i).config for i in range(made.size(samples))]


@pytest.mark.parametrize(
    ("domain", "low", "high", "q", "whole"),
    [
        (tune.uniform(-1, 2), -1, 2, 0, False),
        (tune.quniform(-1, 2, 0.25), -1, 2, 0.25, False),
        (tune.loguniform(1e-5, 1e-1), 1e-5, 1e-1, 0, False),
        (tune.qloguniform(0.1, 10, 0.1), 0.1, 10, 0.1, False),
        (tune.randint(3, 6), 3, 5, 1, True),
        (tune.qrandint(4, 12, 4), 4, 12, 4, True),
        (tune.qrandint(3, 6, 1), 3, 5, 1, True),
        (tune.lograndint(1, 9), 1, 8, 1, True),
        (tune.qlograndint(2, 8, 2), 2, 8, 2, True),
    ],
    ids=str,
)
def test_draws_stay_within_the_bounds_reach_them_and_are_multiples(
    domain: Any, low: float, high: float, q: float, whole: bool
) -> None:
    values = [config["x"] for config in configs({"x": domain}, 2000)]
    assert all(low <= value <= high and type(value) is (int if whole else float) for value in values)
    if q:
        assert all(math.isclose(value / q, round(value / q)) for value in values)
        assert {round(value / q) for value in (min(values), max(values))} == {round(low / q), round(high / q)}
    else:
        assert min(values) < low + 0.1 * (high - low) and all(domain.is_valid(value) for value in values)


def test_normal_draws_have_their_mean_and_deviation() -> None:
    values = [config["x"] for config in configs({"x": tune.randn(10, 2)}, 4000)]
    assert abs(np.mean(values) - 10) < 0.2 and abs(np.std(values) - 2) < 0.2
    assert all(value == round(value * 2) / 2 for value in (c["x"] for c in configs({"x": tune.qrandn(0, 1, 0.5)}, 50)))


def test_logarithmic_draws_are_even_in_the_logarithm() -> None:
    values = [math.log10(config["x"]) for config in configs({"x": tune.loguniform(1e-4, 1)}, 4000)]
    counts = np.histogram(values, bins=4, range=(-4, 0))[0]
    assert all(900 < count < 1100 for count in counts)


def test_the_first_grid_axis_by_path_varies_fastest_and_random_ones_are_drawn_for_each_cell() -> None:
    found = configs({"b": tune.grid_search([1, 2]), "a": tune.grid_search(["x", "y"]), "r": tune.uniform(0, 1)}, 2)
    assert [(c["a"], c["b"]) for c in found] == [("x", 1), ("y", 1), ("x", 2), ("y", 2)] * 2
    assert len({c["r"] for c in found}) == 8
    constant = configs({"b": tune.grid_search([1, 2]), "r": tune.uniform(0, 1)}, 2, constant_grid_search=True)
    assert constant[0]["r"] == constant[1]["r"] != constant[2]["r"] == constant[3]["r"]


def test_points_replace_the_first_samples_and_may_name_some_parameters_only() -> None:
    space = {"a": tune.uniform(0, 1), "g": tune.grid_search([1, 2]), "n": {"m": tune.randint(0, 9)}}
    found = configs(space, 3, points=[{"a": 5.0, "g": 7}, {"n": {"m": 3}}])
    assert len(found) == 1 + 2 + 2
    assert (found[0]["a"], found[0]["g"]) == (5.0, 7)
    assert [(c["n"]["m"], c["g"]) for c in found[1:3]] == [(3, 1), (3, 2)]
    with pytest.raises(errors.InvalidArgumentError, match="no parameter 'zz'"):
        ParamSpace(space, points=[{"zz": 1}])


def test_the_value_and_not_the_index_of_an_option_reaches_the_config() -> None:
    found = {config["h"] for config in configs({"h": tune.choice(np.arange(16, 20))}, 50)}
    assert found == {16, 17, 18, 19} and all(type(value) is int for value in found)


def test_equal_options_of_different_types_are_different_options() -> None:
    found = configs({"x": tune.grid_search([1, True, 1.0])})
    assert [type(config["x"]) for config in found] == [int, bool, float]
    assert not tune.choice([1, 2]).is_valid(1.0)


def test_ten_thousand_options_are_all_reached() -> None:
    assert len(configs({"x": tune.grid_search(range(10_000))})) == 10_000


def test_options_may_hold_spaces_of_their_own() -> None:
    space = {
        "model": tune.choice(
            [{"kind": "tree", "depth": tune.randint(1, 5)}, {"kind": "net", "lr": tune.loguniform(1e-4, 1e-1)}]
        )
    }
    found = configs(space, 100)
    trees = [c["model"] for c in found if c["model"]["kind"] == "tree"]
    nets = [c["model"] for c in found if c["model"]["kind"] == "net"]
    assert len(trees) > 30 and len(nets) > 30
    assert all(set(tree) == {"kind", "depth"} for tree in trees) and len({net["lr"] for net in nets}) == len(nets)


def test_functions_see_what_other_parameters_are_whatever_the_order() -> None:
    space = {
        "a": tune.sample_from(lambda spec: spec.config.b + 1),
        "b": tune.sample_from(lambda config: config["n"]["c"] * 10),
        "n": {"c": tune.choice([1, 2])},
    }
    for config in configs(space, 10):
        assert config["b"] == config["n"]["c"] * 10 and config["a"] == config["b"] + 1


def test_functions_that_wait_for_each_other_are_named() -> None:
    space = {"a": tune.sample_from(lambda c: c["b"]), "b": tune.sample_from(lambda c: c["a"])}
    with pytest.raises(errors.FailedPreconditionError, match="'a', 'b'"):
        configs(space)


def test_a_trials_values_are_a_function_of_seed_and_number() -> None:
    space = {"x": tune.uniform(0, 1), "y": tune.randint(0, 1000)}
    assert configs(space, 5, seed=3) == configs(space, 5, seed=3) != configs(space, 5, seed=4)
    assert ParamSpace(space, seed=3).variant(4).config == configs(space, 5, seed=3)[4]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: tune.choice([]), "no options"),
        (lambda: tune.grid_search([]), "no options"),
        (lambda: tune.choice("abc"), "a list of options"),
        (lambda: tune.uniform(2, 1), "lower=2 is above upper=1"),
        (lambda: tune.randint(5, 5), "upper is not included"),
        (lambda: tune.quniform(0, 1, 0.3), "q=0.3 does not divide the bound 1: take 0.8"),
        (lambda: tune.quniform(0, 1, 0), "q=0: a positive number"),
        (lambda: tune.loguniform(0, 1), "lower=0: the logarithm"),
        (lambda: tune.loguniform(-1, 1), "the logarithm"),
        (lambda: tune.uniform(0, math.inf), "finite"),
        (lambda: tune.uniform("a", 1), "lower='a': a number"),
        (lambda: tune.randint(0.5, 3), "lower=0.5: a whole number"),
        (lambda: tune.randn(0, -1), "sd=-1"),
        (lambda: tune.sample_from(3), "a function of the config"),
        (lambda: ParamSpace({"a/b": tune.uniform(0, 1)}), "'a/b': '/' parts"),
        (lambda: ParamSpace({"m": tune.choice([{"n": tune.grid_search([1])}])}), "'m\\[0\\]/n': a grid_search inside"),
        (lambda: ParamSpace([1]), "param_space"),
    ],
)
def test_what_cannot_be_is_refused_by_name(make: Any, says: str) -> None:
    with pytest.raises(errors.InvalidArgumentError, match=says):
        make()


def test_the_tag_of_a_small_number_does_not_say_zero() -> None:
    from daybreak.tune.variants import experiment_tag

    assert experiment_tag(3, {"a/lr": 1e-5, "act": "re/lu"}) == "3_lr=1e-05,act=re_lu"


def test_tune_loads_neither_numpy_nor_the_runtimes_pickler() -> None:
    code = "import sys; from daybreak import tune; print([m for m in ('numpy', 'cloudpickle', 'pandas') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"


def test_a_domain_crosses_a_process_as_what_it_is() -> None:
    domains = [
        tune.quniform(0, 1, 0.25),
        tune.randint(1, 9),
        tune.qrandn(0, 1, 0.5),
        tune.choice([{"a": tune.lograndint(1, 9)}, 2]),
    ]
    assert [repr(pickle.loads(pickle.dumps(domain))) for domain in domains] == [repr(domain) for domain in domains]
    assert pickle.loads(pickle.dumps(tune.sample_from(len))).function is len
