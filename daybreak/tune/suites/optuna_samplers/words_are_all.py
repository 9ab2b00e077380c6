"""The table of docs/from/optuna.md has every public name of Optuna's, and what it calls the same is here."""

import importlib

import optuna
import pytest

import daybreak.tune
import daybreak.tune.optuna
from daybreak.tune.words import OPTUNA


@pytest.mark.parametrize("module", sorted(OPTUNA))
def test_every_name_has_its_row_and_what_is_the_same_is_here(module: str) -> None:
    last = module.rpartition(".")[2]
    if last in ("Study", "Trial"):
        names = {name for name in dir(getattr(optuna, last)) if not name.startswith("_")}
    else:
        names = {name for name in importlib.import_module(module).__all__ if not name.startswith("_")}
    assert set(OPTUNA[module]) == names
    for name, (verdict, here) in OPTUNA[module].items():
        if verdict != "same":
            continue
        if last in ("Study", "Trial"):
            assert hasattr(getattr(daybreak.tune, last), name), name
        elif "tune.optuna" in here:
            assert hasattr(daybreak.tune.optuna, name), name
        else:
            assert hasattr(daybreak.tune, name), name
