"""Studies as a whole: those of a storage, copies, and trials that were run elsewhere. The names are Optuna's."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from daybreak._core.tune import Distribution, Storage
from daybreak.base.errors import InvalidArgumentError

from . import options
from .study import FrozenTrial, Study, StudyDirection, TrialState, create_study, load_study, storage_of

__all__ = ["StudySummary", "copy_study", "create_trial", "get_all_study_names", "get_all_study_summaries"]


class StudySummary(NamedTuple):
    """What is known of a study without its trials."""

    study_name: str
    directions: list[StudyDirection]
    best_trial: FrozenTrial | None  # of one objective
    user_attrs: dict[str, Any]
    n_trials: int
    datetime_start: datetime | None

    @property
    def direction(self) -> StudyDirection:
        if len(self.directions) > 1:
            raise InvalidArgumentError(f"'{self.study_name}' has {len(self.directions)} objectives: ask for directions")
        return self.directions[0]


def get_all_study_names(storage: str | os.PathLike[str] | Storage) -> list[str]:
    """In the order in which they were made.

    >>> from daybreak.tune import Storage, create_study
    >>> storage = Storage.in_memory()
    >>> _ = create_study(storage=storage, study_name="one"), create_study(storage=storage, study_name="two")
    >>> get_all_study_names(storage)
    ['one', 'two']
    """
    return [name for _, name, _ in storage_of(storage).studies()]


def get_all_study_summaries(
    storage: str | os.PathLike[str] | Storage, include_best_trial: bool = True
) -> list[StudySummary]:
    """In the order in which they were made."""
    opened = storage_of(storage)
    found = []
    for name in get_all_study_names(opened):
        study = load_study(storage=opened, study_name=name)
        trials = study.trials
        best = None
        if include_best_trial and len(study.directions) == 1 and any(_is_good(trial) for trial in trials):
            best = study.best_trial
        started = min((trial.datetime_start for trial in trials if trial.datetime_start), default=None)
        found.append(StudySummary(name, study.directions, best, study.user_attrs, len(trials), started))
    return found


def _is_good(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.COMPLETE and not (trial.violation or 0) > 0


def create_trial(
    *,
    state: int = TrialState.COMPLETE,
    value: float | None = None,
    values: Sequence[float] | None = None,
    params: Mapping[str, object] | None = None,
    distributions: Mapping[str, Distribution | Iterable[object]] | None = None,
    user_attrs: Mapping[str, object] | None = None,
    intermediate_values: Mapping[int, float] | None = None,
) -> FrozenTrial:
    """One that was run elsewhere, for `Study.add_trial`. ``distributions``: of each of ``params``; of options a list of them."""
    if value is not None and values is not None:
        raise InvalidArgumentError(f"value={value!r} and values={values!r}: one of them")
    given, known = dict(params or {}), dict(distributions or {})
    if set(given) != set(known):
        raise InvalidArgumentError(
            f"params has {sorted(given)}, distributions has {sorted(known)}: each parameter with its distribution"
        )
    told = [value] if value is not None else values
    now = datetime.now()
    return FrozenTrial(
        -1,
        TrialState(state),
        None if told is None else [float(one) for one in told],
        given,
        known,  # type: ignore[arg-type]
        dict(intermediate_values or {}),
        dict(user_attrs or {}),
        {},
        now,
        now if TrialState(state).is_finished() else None,
        None,
    )


def _ns(at: datetime | None) -> int:
    return 0 if at is None else int(at.timestamp() * 1e6) * 1000


def add_trial(study: Study, trial: FrozenTrial) -> None:
    """What `Study.add_trial` does."""
    columns = dict(study.storage.columns(study.study_id))
    parameters = [
        (name, *_internal(name, value, trial.distributions[name], columns.get(name, "")))
        for name, value in trial.params.items()
    ]
    attributes = [(name, json.dumps(value), False) for name, value in trial.user_attrs.items()]
    attributes += [(name, json.dumps(value), True) for name, value in trial.system_attrs.items()]
    if trial.state == TrialState.RUNNING:
        raise InvalidArgumentError("a trial that runs cannot be added: one that has finished, or that waits")
    study.storage.create_trial(
        study.study_id,
        int(trial.state),
        trial.values,
        parameters,
        sorted(trial.intermediate_values.items()),
        attributes,
        trial.violation,
        _ns(trial.datetime_start),
        _ns(trial.datetime_complete),
        True,
    )


def _internal(name: str, value: Any, given: Any, column: str) -> tuple[float, Distribution, str]:
    if isinstance(given, Distribution) and not given.is_categorical:
        if not given.contains(float(value)):
            raise InvalidArgumentError(f"'{name}'={value!r}: not in {given!r}")
        return float(value), given, ""
    if isinstance(given, Distribution):
        if not column:
            raise InvalidArgumentError(f"'{name}': which options? give them as a list in the place of {given!r}")
        known = tuple(json.loads(column))
        text = column
    else:
        known, text = options.checked(name, given)
    wanted = options.plain(value, f"'{name}'")
    for place, option in enumerate(known):
        if type(option) is type(wanted) and option == wanted:
            return float(place), Distribution.categorical(len(known)), text
    raise InvalidArgumentError(f"'{name}'={value!r}: none of its options {known!r}")


def copy_study(
    *,
    from_study_name: str,
    from_storage: str | os.PathLike[str] | Storage,
    to_storage: str | os.PathLike[str] | Storage,
    to_study_name: str | None = None,
) -> None:
    """Its trials but for those that run, their numbers anew, and its attributes. AlreadyExistsError: the name is taken there.

    What a sampler has noted of a trial for itself (a generation of CMA-ES or NSGA-II) stays behind: it begins anew in the copy.

    >>> from daybreak import tune
    >>> storage = tune.Storage.in_memory()
    >>> study = tune.create_study(storage=storage, study_name="one", seed=0)
    >>> study.optimize(lambda trial: trial.suggest_categorical("x", [1, 2]), n_trials=3)
    >>> copy_study(from_study_name="one", from_storage=storage, to_storage=storage, to_study_name="two")
    >>> tune.load_study(storage=storage, study_name="two").trials == study.trials
    True
    """
    source_storage, target_storage = storage_of(from_storage), storage_of(to_storage)
    source = load_study(storage=source_storage, study_name=from_study_name)
    target = create_study(
        storage=target_storage, study_name=to_study_name or from_study_name, directions=[int(d) for d in source.directions],
        seed=source.seed,
    )  # fmt: skip
    for name, text, system in source_storage.study_attributes(source.study_id):
        if not (system and name.startswith("daybreak:")):
            target_storage.set_study_attribute(target.study_id, name, text, system)
    columns = dict(source_storage.columns(source.study_id))
    for trial in source_storage.trials(source.study_id):
        _, _, state, values, given, reports, attributes, started, finished, violation = trial
        if state == TrialState.RUNNING:
            continue
        parameters = [(name, value, kind, columns.get(name, "")) for name, value, kind in given]
        target_storage.create_trial(
            target.study_id, state, values, parameters, reports, attributes, violation, started, finished, False
        )
