"""Our storage behind Optuna's BaseStorage: a journal that many processes write, or memory."""

from __future__ import annotations

import copy
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from weakref import WeakValueDictionary

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.storages._base import DEFAULT_STUDY_NAME_PREFIX
from optuna.storages._heartbeat import BaseHeartbeat
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from daybreak._core import tune as _core
from daybreak.base import errors
from daybreak.tune.optuna import distributions

__all__ = ["Storage"]

NONE_FROM_HERE = 2**32 - 1  # a number that no trial has
StaleCallback = Callable[["optuna.Study", FrozenTrial], None]
in_this_process: WeakValueDictionary[str, Storage] = WeakValueDictionary()


def time_of(ns: int) -> datetime | None:
    return datetime.fromtimestamp(ns // 1000 / 1e6) if ns else None


def ns_of(when: datetime | None) -> int:
    return round(when.timestamp() * 1e6) * 1000 if when is not None else 0


class Seen:
    """The trials of one study as they were last given out. Finished ones do not change, so they are made once."""

    def __init__(self) -> None:
        self.trials: list[FrozenTrial] = []
        self.open: set[int] = set()


class Storage(BaseStorage, BaseHeartbeat):  # type: ignore[misc]
    """``optuna.create_study(storage=Storage("studies.journal"))``.

    ``path``: of the journal, made when there is none; without one all is kept in memory. ``synced``: what a trial ends with
    survives a loss of power once it is set; without it, only the death of the process. ``heartbeat_interval`` (seconds): with it
    Optuna looks for trials whose process died before each new one, and fails them (``heartbeat_stale_trial_callback`` is told).
    Who died is known at once, by the kernel's lock; on a network file system by beats that stay away.

    It pickles: a copy has the same journal open; one in memory is the same one, in this process alone.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        synced: bool = True,
        heartbeat_interval: int | None = None,
        heartbeat_stale_trial_callback: StaleCallback | None = None,
    ) -> None:
        if heartbeat_interval is not None and heartbeat_interval <= 0:
            raise errors.InvalidArgumentError(
                f"heartbeat_interval={heartbeat_interval}: seconds above 0, or None for no look"
            )
        self._native = _core.Storage.in_memory() if path is None else _core.Storage.open(path)
        self._synced = synced
        self._interval = heartbeat_interval
        self._callback = heartbeat_stale_trial_callback
        self._token = str(uuid.uuid4())
        self._lock = threading.Lock()
        self._seen: dict[int, Seen] = {}
        self._places: dict[int, tuple[int, int]] = {}
        if path is None:
            in_this_process[self._token] = self

    def __reduce__(self) -> tuple[Any, ...]:
        if not self._native.path:
            return same_in_memory, (self._token,)
        return opened_again, (self._native.path, self._synced, self._interval, self._callback)

    # -- studies

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        name = study_name if study_name is not None else DEFAULT_STUDY_NAME_PREFIX + str(uuid.uuid4())
        try:
            return self._native.create_study(name, [int(direction) for direction in directions])
        except errors.AlreadyExistsError as error:
            raise DuplicatedStudyError(str(error)) from None

    def delete_study(self, study_id: int) -> None:
        with their_errors():
            self._native.delete_study(study_id)
        with self._lock:
            self._seen.pop(study_id, None)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        with their_errors():
            self._native.set_study_attribute(study_id, key, json.dumps(value))

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        with their_errors():
            self._native.set_study_attribute(study_id, key, json.dumps(value), True)

    def get_study_id_from_name(self, study_name: str) -> int:
        for study_id, name, _ in self._native.studies():
            if name == study_name:
                return study_id
        raise KeyError(f"there is no study {study_name!r}")

    def _study(self, study_id: int) -> tuple[str, list[int]]:
        for other, name, directions in self._native.studies():
            if other == study_id:
                return name, directions
        raise KeyError(f"there is no study {study_id}")

    def get_study_name_from_id(self, study_id: int) -> str:
        return self._study(study_id)[0]

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return [StudyDirection(direction) for direction in self._study(study_id)[1]]

    def _attributes(self, study_id: int) -> tuple[dict[str, Any], dict[str, Any]]:
        with their_errors():
            return attributes_of(self._native.study_attributes(study_id))

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self._attributes(study_id)[0]

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._attributes(study_id)[1]

    def get_all_studies(self) -> list[FrozenStudy]:
        made = []
        for study_id, name, directions in self._native.studies():
            user, system = self._attributes(study_id)
            made.append(
                FrozenStudy(
                    study_name=name,
                    direction=None,
                    directions=[StudyDirection(direction) for direction in directions],
                    user_attrs=user,
                    system_attrs=system,
                    study_id=study_id,
                )
            )
        return made

    # -- trials

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        with their_errors():
            if template_trial is None:
                return self._native.create_trial(study_id, started_ns=time.time_ns())
            trial = template_trial
            return self._native.create_trial(
                study_id,
                state=int(trial.state),
                values=trial.values,
                parameters=[
                    (name, distribution.to_internal_repr(trial.params[name]), *distributions.ours(name, distribution))
                    for name, distribution in trial.distributions.items()
                ],
                reports=list(trial.intermediate_values.items()),
                attributes=[(name, json.dumps(value), False) for name, value in trial.user_attrs.items()]
                + [(name, json.dumps(value), True) for name, value in trial.system_attrs.items()],
                started_ns=ns_of(trial.datetime_start),
                finished_ns=ns_of(trial.datetime_complete),
                synced=self._synced,
            )

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        with their_errors():
            self._native.change_trial(
                trial_id, parameters=[(param_name, param_value_internal, *distributions.ours(param_name, distribution))]
            )

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        now = time.time_ns()
        try:
            with their_errors():
                self._native.change_trial(
                    trial_id,
                    state=int(state),
                    values=None if values is None else list(values),
                    started_ns=now if state == TrialState.RUNNING else 0,
                    finished_ns=now if state.is_finished() else 0,
                    synced=self._synced and state.is_finished(),
                )
        except errors.AbortedError:  # another one runs it
            return False
        return True

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        with their_errors():
            self._native.change_trial(trial_id, reports=[(step, intermediate_value)])

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        with their_errors():
            self._native.change_trial(trial_id, attributes=[(key, json.dumps(value), False)])

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        with their_errors():
            self._native.change_trial(trial_id, attributes=[(key, json.dumps(value), True)])

    def _place(self, trial_id: int) -> tuple[int, int]:
        place = self._places.get(trial_id)
        if place is None:
            with their_errors():
                place = self._places[trial_id] = self._native.place(trial_id)
        return place

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        with their_errors():
            found = self._native.trials(study_id, NONE_FROM_HERE, [trial_number])
        if not found:
            raise KeyError(f"study {study_id} has no trial {trial_number}")
        return int(found[0][0])

    def get_trial_number_from_id(self, trial_id: int) -> int:
        return self._place(trial_id)[1]

    def get_trial(self, trial_id: int) -> FrozenTrial:
        study_id, number = self._place(trial_id)
        with their_errors():
            [found] = self._native.trials(study_id, NONE_FROM_HERE, [number])
            return frozen(found, dict(self._native.columns(study_id)) if found[4] else {})

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        with self._lock, their_errors():
            seen = self._seen.setdefault(study_id, Seen())
            try:
                found = self._native.trials(study_id, len(seen.trials), sorted(seen.open))
                columns = dict(self._native.columns(study_id)) if found else {}
            except errors.NotFoundError:
                del self._seen[study_id]
                raise
            for one in found:
                trial = frozen(one, columns)
                if trial.number < len(seen.trials):
                    seen.trials[trial.number] = trial
                else:
                    seen.trials.append(trial)
                (seen.open.discard if trial.state.is_finished() else seen.open.add)(trial.number)
            trials = [trial for trial in seen.trials if states is None or trial.state in states]
        return copy.deepcopy(trials) if deepcopy else trials

    # -- signs of life

    def record_heartbeat(self, trial_id: int) -> None:
        if self._native.has_beats:
            self._native.beat()

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        with their_errors():
            return self._native.stale(study_id)

    def get_heartbeat_interval(self) -> int | None:
        return self._interval

    def get_heartbeat_stale_trial_callback(self) -> StaleCallback | None:
        return self._callback


def opened_again(path: str, synced: bool, interval: int | None, callback: StaleCallback | None) -> Storage:
    return Storage(path, synced=synced, heartbeat_interval=interval, heartbeat_stale_trial_callback=callback)


def same_in_memory(token: str) -> Storage:
    found = in_this_process.get(token)
    if found is None:
        raise errors.FailedPreconditionError(
            "a storage in memory is of one process: give Storage a path to share it with others"
        )
    return found


@contextmanager
def their_errors() -> Iterator[None]:
    """Ours, as Optuna's callers expect them."""
    try:
        yield
    except errors.NotFoundError as error:
        raise KeyError(str(error)) from None
    except errors.FailedPreconditionError as error:
        if "is finished" in str(error):
            raise UpdateFinishedTrialError(str(error)) from None
        raise


def attributes_of(attributes: list[tuple[str, str, bool]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of people, and of programs."""
    user: dict[str, Any] = {}
    system: dict[str, Any] = {}
    for name, text, is_system in attributes:
        (system if is_system else user)[name] = json.loads(text)
    return user, system


def frozen(found: Any, columns: dict[str, str]) -> FrozenTrial:
    trial_id, number, state, values, given, reports, attributes, started, finished, _ = found
    known = {name: distributions.theirs(distribution, columns.get(name, "")) for name, _, distribution in given}
    user, system = attributes_of(attributes)
    return FrozenTrial(
        number=number,
        state=TrialState(state),
        value=None,
        values=values,
        datetime_start=time_of(started),
        datetime_complete=time_of(finished),
        params={name: known[name].to_external_repr(value) for name, value, _ in given},
        distributions=known,
        user_attrs=user,
        system_attrs=system,
        intermediate_values=dict(reports),
        trial_id=trial_id,
    )
