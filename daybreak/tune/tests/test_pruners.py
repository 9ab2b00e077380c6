import json
import math
from pathlib import Path
from typing import Any

import pytest

from daybreak._core import tune
from daybreak.base import errors

# What Optuna 5.0.0 decided on interleaved reports, some tied, some NaN: [trial, step, value, pruned], [trial, "pruned"] and
# [trial, "complete", value], in order.
RECORDED = json.loads((Path(__file__).parent / "data" / "pruner_decisions.json").read_text())


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: f"{case['pruner']}{case['arguments']}")
@pytest.mark.parametrize("reopened", [False, True])
def test_decisions_are_the_recorded_ones_also_when_the_pruner_is_made_anew_each_time(
    case: dict[str, Any], reopened: bool
) -> None:
    def make() -> tune.Pruner:
        made: tune.Pruner = getattr(tune, case["pruner"])(*case["arguments"])
        return made

    mirror = tune.TrialMirror([case["direction"]])
    pruner = make()
    kept: dict[int, bytes] = {}
    # What 'auto' was estimated as at first stays so while the object lives: only a known one can be made anew.
    reopened = reopened and None not in case["arguments"]
    for trial, step, *rest in case["events"]:
        if step == "pruned":
            mirror.move(trial, 2, [])
        elif step == "complete":
            mirror.move(trial, 1, rest)
        else:
            while len(mirror) <= trial:
                mirror.add(0)
            mirror.report(trial, step, math.nan if rest[0] is None else rest[0])
            if reopened:
                pruner = make()
                for number, state in kept.items():
                    pruner.recall(number, state)
            assert pruner.prune(mirror, trial) == bool(rest[1]), (trial, step)
            kept[trial] = pruner.kept(trial)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: tune.percentile_pruner(101.0, 5, 0, 1, 1), "percentile=101: 0 to 100"),
        (lambda: tune.percentile_pruner(50.0, -1, 0, 1, 1), "n_startup_trials=-1: at least 0"),
        (lambda: tune.percentile_pruner(50.0, 5, 0, 0, 1), "interval_steps=0: at least 1"),
        (lambda: tune.threshold_pruner(2.0, 1.0, 0, 1), "lower=2 is above upper=1"),
        (lambda: tune.successive_halving_pruner(0, 4, 0, 0), "min_resource=0: at least 1"),
        (lambda: tune.successive_halving_pruner(1, 1, 0, 0), "reduction_factor=1: at least 2"),
        (lambda: tune.successive_halving_pruner(None, 4, 0, 3), "bootstrap_count=3 with a resource that is 'auto'"),
        (lambda: tune.hyperband_pruner("s", 9, 3, 3, 0), "max_resource=3 is below min_resource=9"),
        (lambda: tune.patient_pruner(-1, 0.0), "patience=-1: at least 0"),
        (lambda: tune.patient_pruner(1, math.nan), "min_delta=nan: 0 or more"),
        (lambda: tune.wilcoxon_pruner(1.5, 2), "p_threshold=1.5: 0 to 1"),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(make: Any, said: str) -> None:
    with pytest.raises(errors.InvalidArgumentError, match=said):
        make()


def test_several_objectives_are_refused_by_every_pruner_that_decides() -> None:
    mirror = tune.TrialMirror([1, 2])
    mirror.report(mirror.add(0), 0, 1.0)
    for pruner in (tune.percentile_pruner(50.0, 5, 0, 1, 1), tune.successive_halving_pruner(1, 4, 0, 0)):
        with pytest.raises(errors.FailedPreconditionError, match="pruning with 2 objectives"):
            pruner.prune(mirror, 0)


def test_bytes_that_are_no_rungs_are_refused() -> None:
    with pytest.raises(errors.InvalidArgumentError, match="5 bytes are no rungs of 8 each"):
        tune.successive_halving_pruner(1, 4, 0, 0).recall(0, b"12345")
