"""GridSearchCV and its kin with the fits in processes of the runtime, large data put once into its store."""

from __future__ import annotations

import contextlib
from typing import Any

import joblib
from joblib.parallel import get_active_backend
from sklearn import model_selection
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import _search_successive_halving as _halving

from daybreak.runtime.util.joblib import register

__all__ = ["GridSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV", "RandomizedSearchCV"]


def on_runtime() -> Any:
    """A context in which joblib's calls run on the runtime, unless the program has chosen another of joblib's backends.

    In a worker of another parallel call joblib's nested backend stays, so that a search in a search does not ask for more
    processes than there are.
    """
    backend, _ = get_active_backend()
    chosen = type(backend).__name__ != "LokyBackend"  # joblib's default
    if chosen or backend.nesting_level:
        return contextlib.nullcontext()
    register()
    return joblib.parallel_config(backend="daybreak")


class OnRuntime:
    """n_jobs=None: as many fits at once as the runtime has CPUs; 1: in this process; all else is scikit-learn's."""

    def fit(self, X: Any, y: Any = None, **params: Any) -> Any:
        """Runs fit with all sets of parameters. X: (samples, features), y: (samples,) or (samples, outputs)."""
        with on_runtime():
            return super().fit(X, y, **params)  # type: ignore[misc]


class GridSearchCV(OnRuntime, model_selection.GridSearchCV):  # type: ignore[misc]
    """scikit-learn's, on the runtime."""


class RandomizedSearchCV(OnRuntime, model_selection.RandomizedSearchCV):  # type: ignore[misc]
    """scikit-learn's, on the runtime."""


class HalvingGridSearchCV(OnRuntime, _halving.HalvingGridSearchCV):  # type: ignore[misc]
    """scikit-learn's, on the runtime."""


class HalvingRandomSearchCV(OnRuntime, _halving.HalvingRandomSearchCV):  # type: ignore[misc]
    """scikit-learn's, on the runtime."""
