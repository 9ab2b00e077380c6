"""What our samplers and pruners know of an Optuna study: its trials, read on from whatever storage it has."""

from __future__ import annotations

import base64
import functools
import json
import weakref
from collections.abc import Callable
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from daybreak._core.tune import Distribution, TrialMirror

NOTE = "daybreak:note"  # a system attribute: what a sampler keeps with a trial, base64
ABOUT_TO_USE = "tpe:relative_params"  # Optuna's own name and form: its TPE and ours keep away from each other's trials
MAX_ATTRIBUTE = 2045  # Optuna's limit for a value in a database


def native(distribution: BaseDistribution) -> Distribution:
    """Ours for Optuna's. InvalidArgumentError for whole numbers beyond 2**53."""
    if isinstance(distribution, FloatDistribution):
        return Distribution.real(
            distribution.low, distribution.high, log=distribution.log, step=distribution.step or 0.0
        )
    if isinstance(distribution, IntDistribution):
        return Distribution.whole(distribution.low, distribution.high, log=distribution.log, step=distribution.step)
    if isinstance(distribution, CategoricalDistribution):
        return Distribution.categorical(len(distribution.choices))
    raise TypeError(f"{distribution!r} is none of Optuna's distributions: Float-, Int- and CategoricalDistribution are")


class Mirror:
    """The trials of one study. Not locked; ``read`` before use."""

    def __init__(self, study: optuna.Study) -> None:
        self.each: Callable[[FrozenTrial], None] | None = None  # called with every trial that is read
        self._filtered = getattr(study, "_bracket_id", None) is not None
        self._forget(study)

    def _forget(self, study: optuna.Study) -> None:
        self.trials = TrialMirror([direction.value for direction in study.directions])
        self._numbers: list[int] = []  # of the trials read, in the study's order
        self._open: dict[int, set[str]] = {}  # place in that order -> the parameters read
        self._pairs: dict[str, list[tuple[BaseDistribution, Distribution]]] = {}

    def pair(self, name: str, theirs: BaseDistribution) -> Distribution:
        pairs = self._pairs.setdefault(name, [])
        for known, ours in pairs:
            if known is theirs or known == theirs:
                return ours
        pairs.append((theirs, native(theirs)))
        return pairs[-1][1]

    def theirs(self, name: str, ours: Distribution) -> BaseDistribution:
        return next(known for known, native_one in reversed(self._pairs[name]) if native_one == ours)

    def known(self, name: str) -> BaseDistribution | None:
        """The last distribution that the name was asked for with."""
        return self._pairs[name][-1][0] if name in self._pairs else None

    def read(self, study: optuna.Study) -> None:
        """Adds what the study has got since."""
        trials = study.get_trials(deepcopy=False)
        if self._filtered and [trial.number for trial in trials[: len(self._numbers)]] != self._numbers:
            self._forget(study)  # Hyperband learnt how many brackets there are, and dealt the trials anew
        for place in list(self._open):
            self._read_one(place, trials[place])
        for place in range(len(self._numbers), len(trials)):
            trial = trials[place]
            while len(self.trials) < trial.number:
                self.trials.add(TrialState.FAIL.value)  # another bracket's
            self.trials.add(TrialState.RUNNING.value if trial.state.is_finished() else trial.state.value)
            self._numbers.append(trial.number)
            self._open[place] = set()
            self._read_one(place, trial)

    def _read_one(self, place: int, trial: FrozenTrial) -> None:
        known = self._open[place]
        params = trial.params
        if len(known) != len(params):
            distributions = trial.distributions
            for name, value in params.items():
                if name in known:
                    continue
                theirs = distributions[name]
                self.trials.give(trial.number, name, theirs.to_internal_repr(value), self.pair(name, theirs))
                known.add(name)
        if self.each is not None:
            self.each(trial)
        state = trial.state
        if state.value != self.trials.state(trial.number) and not state.is_finished():
            self.trials.move(trial.number, state.value, [])
        if NOTE in trial.system_attrs:
            self.trials.note(trial.number, base64.b64decode(trial.system_attrs[NOTE]))
        elif not state.is_finished() and f"{ABOUT_TO_USE}:0" in trial.system_attrs:
            self._read_plan(trial)
        if state.is_finished():
            self._finish(trial)
            del self._open[place]

    def _read_plan(self, trial: FrozenTrial) -> None:
        text = ""
        while part := trial.system_attrs.get(f"{ABOUT_TO_USE}:{len(text) // MAX_ATTRIBUTE}"):
            text += part
            if len(part) < MAX_ATTRIBUTE:
                break
        try:
            plan = json.loads(text)
        except json.JSONDecodeError:
            return  # another process is writing it
        named = []
        values = []
        for name, value in plan.items():
            for theirs, ours in reversed(self._pairs.get(name, [])):
                if isinstance(theirs, CategoricalDistribution) and value not in theirs.choices:
                    continue
                named.append((name, ours))
                values.append(float(theirs.to_internal_repr(value)))
                break
        self.trials.about_to_use(trial.number, named, values)

    def _finish(self, trial: FrozenTrial) -> None:
        number = trial.number
        for step, value in trial.intermediate_values.items():
            self.trials.report(number, step, value)
        constraints = trial.constraints
        if constraints:
            self.trials.constrain(number, sum(value for value in constraints.values() if value > 0))
        values = trial.values if trial.state == TrialState.COMPLETE else None
        self.trials.move(number, trial.state.value, values or [])


class Mirrors:
    """One for each study that an object is used with, as long as its storage lives."""

    def __init__(self) -> None:
        self._by_storage: weakref.WeakKeyDictionary[Any, dict[tuple[int, int | None], tuple[Mirror, Any]]] = (
            weakref.WeakKeyDictionary()
        )

    def of(
        self, study: optuna.Study, make: Callable[[], Any], each: Callable[[Any, FrozenTrial], None] | None = None
    ) -> tuple[Mirror, Any]:
        """The mirror, read up to now, and what ``make()`` gave for it; ``each`` gets that and every trial read."""
        by_study = self._by_storage.setdefault(study._storage, {})
        key = (study._study_id, getattr(study, "_bracket_id", None))
        if key not in by_study:
            made = make()
            by_study[key] = (Mirror(study), made)
            if each is not None:
                by_study[key][0].each = functools.partial(each, made)
        by_study[key][0].read(study)
        return by_study[key]
