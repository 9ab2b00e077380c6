"""A study's trials as a data frame, made from whole columns. pandas and numpy are loaded here alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from daybreak.tune.study import Study

STATES = np.array(["RUNNING", "COMPLETE", "PRUNED", "FAIL", "WAITING"], dtype=object)

QUARTER_US = 900_000_000


def times(ns: bytes) -> Any:
    """Local time, without a zone, as Optuna gives it; NaT where there is none."""
    utc = np.frombuffer(ns, np.int64) // 1000
    # A zone's offset changes at quarters of an hour alone: asked once for each.
    quarters, which = np.unique(utc // QUARTER_US, return_inverse=True)
    offsets = [
        (datetime.fromtimestamp(q * 900) - datetime.fromtimestamp(q * 900, UTC).replace(tzinfo=None))
        for q in quarters.tolist()
    ]
    local = utc + np.array([round(offset.total_seconds()) * 1_000_000 for offset in offsets], np.int64)[which]
    return np.where(utc != 0, local.astype("datetime64[us]"), np.datetime64("NaT"))


def parameter(options: str, whole: bool, raw: bytes) -> Any:
    values = np.frombuffer(raw, np.float64)
    absent = np.isnan(values)
    if options:
        choices = np.empty(len(chosen := json.loads(options)) + 1, dtype=object)
        choices[:-1] = chosen
        choices[-1] = np.nan
        chosen_values = choices[np.where(absent, -1, values).astype(np.int64)]
        return pd.Series(chosen_values, dtype=object)  # else a None among texts becomes NaN
    return values.astype(np.int64) if whole and not absent.any() else values


def of(study: Study) -> pd.DataFrame:
    states, values, started, finished, parameters, attributes = study.storage.frame(study.study_id)
    count = len(states)
    table = np.frombuffer(values, np.float64).reshape(count, len(study.direction_numbers))
    frame: dict[str, Any] = {"number": np.arange(count)}
    if table.shape[1] == 1:
        frame["value"] = table[:, 0]
    else:
        frame |= {f"values_{i}": table[:, i] for i in range(table.shape[1])}
    frame["datetime_start"], frame["datetime_complete"] = times(started), times(finished)
    frame["duration"] = frame["datetime_complete"] - frame["datetime_start"]
    for name, options, whole, raw in sorted(parameters):
        frame[f"params_{name}"] = parameter(options, whole, raw)
    for prefix, wanted in (("user_attrs_", False), ("system_attrs_", True)):
        for name in sorted({name for _, name, _, system in attributes if system is wanted}):
            column = np.full(count, None, dtype=object)
            for number, other, text, system in attributes:
                if other == name and system is wanted:
                    column[number] = json.loads(text)
            frame[prefix + name] = pd.Series(column, dtype=object)
    frame["state"] = STATES[np.frombuffer(states, np.uint8)]
    return pd.DataFrame(frame)
