import pytest

from daybreak import tune
from daybreak.base import errors


def test_a_draw_is_a_function_of_seed_trial_and_name() -> None:
    lr = tune.Distribution.real(1e-5, 1e-1, log=True)
    assert lr.drawn(seed=1, trial=2, name="lr") == lr.drawn(seed=1, trial=2, name="lr")
    assert len({lr.drawn(seed=1, trial=trial, name="lr") for trial in range(100)}) == 100
    assert all(lr.contains(lr.drawn(seed=2**64 - 1, trial=trial, name="é")) for trial in range(100))


def test_a_distribution_that_cannot_be_is_refused_with_its_values() -> None:
    with pytest.raises(errors.InvalidArgumentError, match="low=2 is above high=1"):
        tune.Distribution.real(2, 1)
    with pytest.raises(ValueError, match="step=0: at least 1"):
        tune.Distribution.whole(1, 5, step=0)


def test_a_distribution_says_what_it_is() -> None:
    assert repr(tune.Distribution.whole(1, 9, step=4)) == "whole [1, 9] step 4"
    assert tune.Distribution.real(0, 1) == tune.Distribution.real(0, 1) != tune.Distribution.real(0, 2)
    assert tune.Distribution.categorical(3).high == 2
