"""Journals of JSON lines, which Optuna's JournalStorage and Rustuna's JournalFileStorage write: into ours, and out again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from optuna.distributions import distribution_to_json
from optuna.exceptions import DuplicatedStudyError
from optuna.logging import get_logger
from optuna.storages.journal._storage import JournalStorageReplayResult
from optuna.trial import FrozenTrial, TrialState

from daybreak.base import errors
from daybreak.base.paths import given
from daybreak.tune.optuna.storage import Storage

__all__ = ["export_journal", "import_journal"]

logger = get_logger("daybreak.tune.optuna")
CREATE_STUDY, USER_ATTR, SYSTEM_ATTR, CREATE_TRIAL, DISCARD = 0, 2, 3, 4, 10
MAX_LINE = 64 << 20  # bytes, of a record of ours


def lines_of(path: str) -> Iterator[dict[str, Any]]:
    """A line that a death cut short at the end is left out with a warning; anything else that is no record is refused."""
    with open(path, "rb") as file:
        number = 0
        while line := file.readline(MAX_LINE + 1):
            number += 1
            if len(line) > MAX_LINE:
                raise errors.DataLossError(
                    f"{path}: line {number} has more than {MAX_LINE} bytes: it is no journal of Optuna's"
                )
            try:
                log = json.loads(line)
                whole = line.endswith(b"\n") and isinstance(log, dict) and isinstance(log.get("op_code"), int)
            except ValueError:
                whole = False
            if not whole and not line.endswith(b"\n"):
                logger.warning(f"{path}: its last line ({len(line)} bytes) was cut short and is left out")
                return
            if not whole:
                raise errors.DataLossError(
                    f"{path}: line {number} is no record: {line[:80]!r}. Take it out if what it says is not needed"
                )
            yield log


def import_journal(path: str | os.PathLike[str], storage: Storage) -> list[str]:
    """Copies the studies of a JSON-lines journal into the storage and gives their names. The file stays as it is.

    Trials that run there wait here, as their results will not come. Trials that Rustuna has discarded come along, as it shows
    them itself unless told otherwise. DuplicatedStudyError, and nothing is copied, when a name is taken; DataLossError for a line
    that is no record; a last line that was cut short is left out with a warning.
    """
    name = given(path, "import_journal")
    replayed = JournalStorageReplayResult("daybreak-import-")
    for log in lines_of(name):
        try:
            replayed.apply_logs([log])
        except (KeyError, TypeError, ValueError, AssertionError) as error:
            raise errors.DataLossError(f"{name}: {json.dumps(log)[:120]} cannot be applied: {error!r}") from None
        if log["op_code"] == DISCARD:
            logger.warning(f"{name}: trials {log.get('trial_ids')} were discarded there and are copied")
    studies = replayed.get_all_studies()
    taken = {study.study_name for study in storage.get_all_studies()} & {study.study_name for study in studies}
    if taken:
        raise DuplicatedStudyError(f"{name}: studies of these names are there already: {', '.join(sorted(taken))}")
    for study in studies:
        study_id = storage.create_new_study(study.directions, study.study_name)
        for key, value in study.user_attrs.items():
            storage.set_study_user_attr(study_id, key, value)
        for key, value in study.system_attrs.items():
            storage.set_study_system_attr(study_id, key, value)
        waiting = 0
        for trial in replayed.get_all_trials(study._study_id, None):
            if trial.state == TrialState.RUNNING:
                trial.state = TrialState.WAITING
                waiting += 1
            storage.create_new_trial(study_id, trial)
        if waiting:
            logger.warning(f"{name}: {waiting} trials of {study.study_name!r} run there, and wait here")
    return [study.study_name for study in studies]


def utc(when: datetime | None) -> str | None:
    return None if when is None else when.astimezone(UTC).isoformat(timespec="microseconds")


def trial_log(study_id: int, trial: FrozenTrial) -> dict[str, Any]:
    several = trial.values is not None and len(trial.values) > 1
    log = {
        "op_code": CREATE_TRIAL,
        "study_id": study_id,
        "datetime_start": utc(trial.datetime_start),
        "state": int(trial.state),
        "value": None if several or trial.values is None else trial.values[0],
        "values": trial.values if several else None,
        "distributions": {name: distribution_to_json(one) for name, one in trial.distributions.items()},
        "params": {name: trial.distributions[name].to_internal_repr(value) for name, value in trial.params.items()},
        "user_attrs": trial.user_attrs,
        "system_attrs": trial.system_attrs,
        "intermediate_values": trial.intermediate_values,
    }
    if trial.datetime_complete is not None:
        log["datetime_complete"] = utc(trial.datetime_complete)
    return log


def export_journal(storage: Storage, path: str | os.PathLike[str]) -> None:
    """Writes all studies of the storage as a JSON-lines journal, which Optuna and Rustuna open. AlreadyExistsError when the file is
    there; a failure leaves none."""
    name = given(path, "export_journal")
    target = Path(name)
    if target.exists():
        raise errors.AlreadyExistsError(f"{name} is there already: give the name of a new file, or remove it")
    scratch = target.with_name(target.name + ".new")
    try:
        with scratch.open("w", encoding="utf-8") as file:
            for number, study in enumerate(storage.get_all_studies()):
                logs: list[dict[str, Any]] = [
                    {
                        "op_code": CREATE_STUDY,
                        "study_name": study.study_name,
                        "directions": [int(one) for one in study.directions],
                    }
                ]
                logs += [
                    {"op_code": USER_ATTR, "study_id": number, "user_attr": {key: value}}
                    for key, value in study.user_attrs.items()
                ]
                logs += [
                    {"op_code": SYSTEM_ATTR, "study_id": number, "system_attr": {key: value}}
                    for key, value in study.system_attrs.items()
                ]
                logs += [trial_log(number, trial) for trial in storage.get_all_trials(study._study_id, deepcopy=False)]
                for log in logs:
                    file.write(json.dumps({**log, "worker_id": "daybreak-export"}, separators=(",", ":")) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(scratch, target)  # unlike a rename it never replaces what came meanwhile
    except FileExistsError:
        raise errors.AlreadyExistsError(f"{name} was made meanwhile: give the name of a new file") from None
    finally:
        scratch.unlink(missing_ok=True)
