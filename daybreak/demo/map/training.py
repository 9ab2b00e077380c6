"""What is mapped: the notebook of 2018, as anybody would write it."""

from __future__ import annotations

from typing import Any

__all__ = ["CHOICES", "folds", "scored"]

CHOICES: list[dict[str, Any]] = [
    {"C": 10.0, "kernel": "rbf"},
    {"C": 1.0, "kernel": "rbf"},
    {"C": 0.1, "kernel": "rbf"},
]


def folds(count: int, seed: int) -> list[Any]:
    """Splits of the breast cancer data that scikit-learn has: (x_train, x_test, y_train, y_test) each."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split

    data = load_breast_cancer()
    return [train_test_split(data["data"], data["target"], test_size=0.4, random_state=seed + i) for i in range(count)]


def scored(args: Any) -> float:
    """Fits a pipeline on a fold, and gives its accuracy on the rest."""
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    (x_train, x_test, y_train, y_test), choice = args
    pipeline = Pipeline([("standardize", StandardScaler()), ("learn", SVC(**choice))])
    score = float(pipeline.fit(x_train, y_train).score(x_test, y_test))
    print(f"{choice}: {score:.3f}")
    return score
