import pytest

from daybreak._core import tune
from daybreak.base import errors

REAL = tune.Distribution.real(-1, 1)


def told(mirror: tune.TrialMirror, x: float, value: float) -> None:
    trial = mirror.add(0)
    mirror.give(trial, "x", x, REAL)
    mirror.move(trial, 1, [value])


def test_tpe_over_a_mirror_suggests_the_same_for_the_same_seed_number_and_trials() -> None:
    suggestions = []
    for _ in range(2):
        mirror = tune.TrialMirror([1])
        for k in range(30):
            told(mirror, k / 15 - 1, abs(k - 20))
        sampler = tune.tpe_sampler(7)
        trial = mirror.add(0)
        [(name, distribution)] = sampler.joint(mirror, trial)
        values, note = sampler.sample(mirror, trial, [(name, distribution)])
        assert name == "x" and distribution == REAL and REAL.contains(values[0]) and note
        suggestions.append(values)
    assert suggestions[0] == suggestions[1]


def test_a_mirror_takes_a_value_outside_of_its_range_as_the_other_keeper_did() -> None:
    mirror = tune.TrialMirror([1])
    for k in range(12):
        told(mirror, 3.0 + k, k)
    assert REAL.contains(tune.tpe_sampler(0).sample(mirror, mirror.add(0), [("x", REAL)])[0][0])
    with pytest.raises(ValueError, match="x=nan: not in"):
        mirror.give(mirror.add(0), "x", float("nan"), REAL)


def test_options_and_points_that_cannot_be_are_refused_by_name() -> None:
    with pytest.raises(errors.InvalidArgumentError, match="n_ei_candidates=0: 1 to"):
        tune.tpe_sampler(0, candidates=0)
    with pytest.raises(errors.InvalidArgumentError, match="beyond|at least as bad"):
        tune.hypervolume([[2.0, 0.0]], [1.0, 1.0])
    with pytest.raises(errors.InvalidArgumentError, match="at least one"):
        tune.TrialMirror([])
