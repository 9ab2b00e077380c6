"""A candidate's trial: its fits on each fold, at once, or a part of the training in each step so that a scheduler may end it."""

from __future__ import annotations

import base64
import math
import time
import traceback
import warnings
from dataclasses import dataclass
from typing import Any

import cloudpickle
import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection._validation import _fit_and_score, _score
from sklearn.pipeline import Pipeline
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.validation import _check_method_params, _num_samples

from daybreak.base.errors import InvalidArgumentError
from daybreak.tune.trainable import Trainable

__all__ = ["Fits", "Task", "way_of"]

OBJECTIVE = "objective"
RAISED = "raised"  # an exception, pickled, that the search is to raise


@dataclass
class Task:
    """What all trials of a search share; it lies in the store once."""

    estimator: Any
    X: Any
    y: Any
    splits: list[tuple[Any, Any]]
    scorer: Any
    fit_params: dict[str, Any]
    score_params: dict[str, Any]
    return_train_score: bool
    error_score: Any
    verbose: int
    objective: str  # of several metrics the one that is searched by
    way: str | None  # how is trained in parts; None: at once
    steps: int
    candidates: list[dict[str, Any]] | None  # of a list; else the config is the candidate
    options: dict[str, list[Any]]  # of parameters whose config is an index

    def parameters(self, config: dict[str, Any]) -> dict[str, Any]:
        """The estimator's, of a trial's config."""
        if self.candidates is not None:
            chosen: dict[str, Any] = self.candidates[config["candidate"]]
            return chosen
        return {name: self.options[name][value] if name in self.options else value for name, value in config.items()}

    def failed(self, text: str) -> dict[str, Any]:
        """Of a fold whose fit has failed, as scikit-learn has it."""
        names = getattr(self.scorer, "_scorers", None)
        scores = {name: self.error_score for name in names} if names else self.error_score
        made: dict[str, Any] = {
            "test_scores": scores,
            "n_test_samples": 0,
            "fit_time": 0.0,
            "score_time": 0.0,
            "fit_error": text,
        }
        return {**made, "train_scores": scores} if self.return_train_score else made


def way_of(estimator: Any) -> str:
    """How it is trained in parts; InvalidArgumentError when it cannot be."""
    last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    known = last.get_params(deep=False)
    if hasattr(last, "partial_fit"):
        return "partial_fit"
    for name in ("n_estimators", "max_iter"):
        if "warm_start" in known and name in known:
            return name
    raise InvalidArgumentError(
        f"early_stopping with {type(last).__name__}: it has no partial_fit, and no warm_start with n_estimators or max_iter: "
        "leave early_stopping out"
    )


class Fold:
    """One estimator that is trained on, with its data."""

    def __init__(self, task: Task, parameters: dict[str, Any], train: Any, test: Any) -> None:
        self.task = task
        self.model = clone(task.estimator).set_params(**clone(parameters, safe=False))
        self.X, self.y = _safe_split(self.model, task.X, task.y, train)
        self.X_test, self.y_test = _safe_split(self.model, task.X, task.y, test, train)
        self.fit_params = _check_method_params(task.X, params=task.fit_params, indices=train)
        self.score_train = _check_method_params(task.X, params=task.score_params, indices=train)
        self.score_test = _check_method_params(task.X, params=task.score_params, indices=test)
        self.step = 0
        self.fit_s = 0.0
        self.last = self.model
        self.seen = self.X
        self.failure: dict[str, Any] | None = None
        self.total = 0

    def advance(self) -> dict[str, Any]:
        """One part more, and its scores."""
        if self.failure is not None:
            return self.failure
        task, began = self.task, time.time()
        try:
            if self.step == 0:
                self._begin()
            self.step += 1
            self._train()
        except Exception:
            if task.error_score == "raise":
                raise
            self.failure = {**task.failed(traceback.format_exc()), "n_test_samples": _num_samples(self.X_test)}
            return self.failure
        self.fit_s += time.time() - began
        began = time.time()
        scored: dict[str, Any] = {
            "test_scores": _score(self.model, self.X_test, self.y_test, task.scorer, self.score_test, task.error_score),
            "n_test_samples": _num_samples(self.X_test),
            "fit_time": self.fit_s,
            "score_time": time.time() - began,
            "fit_error": None,
        }
        if task.return_train_score:
            scored["train_scores"] = _score(self.model, self.X, self.y, task.scorer, self.score_train, task.error_score)
        return scored

    def _begin(self) -> None:
        """A pipeline's transformers are fitted once."""
        if isinstance(self.model, Pipeline):
            head = self.model[:-1]
            self.seen = head.fit_transform(self.X, self.y) if len(head.steps) else self.X
            self.model.steps[:-1] = head.steps
            self.last = self.model.steps[-1][1]
        if self.task.way != "partial_fit":
            assert self.task.way is not None
            self.total = int(self.last.get_params(deep=False)[self.task.way])
            self.last.set_params(warm_start=True)

    def _train(self) -> None:
        task = self.task
        if task.way == "partial_fit":
            classes = {"classes": np.unique(task.y)} if is_classifier(self.last) and self.step == 1 else {}
            self.last.partial_fit(self.seen, self.y, **classes, **self.fit_params)
            return
        share = -(-self.total * self.step // task.steps)  # rounded up
        if task.way == "max_iter":  # of the iterations to go, where n_estimators is the number of all
            share = max(share - -(-self.total * (self.step - 1) // task.steps), 1)
        self.last.set_params(**{str(task.way): share})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.last.fit(self.seen, self.y, **self.fit_params)


class Fits(Trainable):
    """The trial. A step reports each fold's scores, and their mean as the objective."""

    def setup(self, config: dict[str, Any], task: Task) -> None:  # type: ignore[override]
        self._task = task
        self._begin(config)

    def _begin(self, config: dict[str, Any]) -> None:
        self._parameters = self._task.parameters(config)
        self._folds: list[Fold] | None = None

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        task = self._task
        try:
            folds = self._trained()
        except Exception as error:  # with error_score="raise"
            return {OBJECTIVE: math.nan, RAISED: base64.b64encode(cloudpickle.dumps(error)).decode(), "done": True}
        scores = [fold["test_scores"] for fold in folds]
        values = [score[task.objective] if isinstance(score, dict) else score for score in scores]
        return {OBJECTIVE: float(np.mean(values)), "folds": folds}

    def _trained(self) -> list[dict[str, Any]]:
        task = self._task
        if task.way is None:
            return [self._at_once(train, test) for train, test in task.splits]
        if self._folds is None:
            self._folds = [Fold(task, self._parameters, train, test) for train, test in task.splits]
        return [fold.advance() for fold in self._folds]

    def _at_once(self, train: Any, test: Any) -> dict[str, Any]:
        task = self._task
        found: dict[str, Any] = _fit_and_score(
            clone(task.estimator),
            task.X,
            task.y,
            scorer=task.scorer,
            train=train,
            test=test,
            verbose=task.verbose,
            parameters=self._parameters,
            fit_params=task.fit_params,
            score_params=task.score_params,
            return_train_score=task.return_train_score,
            return_n_test_samples=True,
            return_times=True,
            error_score=task.error_score,
        )
        return found

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        state = [
            {
                name: value
                for name, value in vars(fold).items()
                if name in ("model", "step", "fit_s", "failure", "total")
            }
            for fold in self._folds or []
        ]
        return {"folds": state}

    def load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        task = self._task
        self._folds = [Fold(task, self._parameters, train, test) for train, test in task.splits]
        for fold, state in zip(self._folds, checkpoint["folds"], strict=True):
            vars(fold).update(state)
            fold.last = fold.model.steps[-1][1] if isinstance(fold.model, Pipeline) else fold.model
            head = fold.model[:-1] if isinstance(fold.model, Pipeline) else None
            fold.seen = head.transform(fold.X) if head is not None and len(head.steps) else fold.X
