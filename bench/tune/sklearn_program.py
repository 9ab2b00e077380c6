"""The row `sklearn_grid`: the same search by scikit-learn's class over loky, and by ours on the runtime. task.py takes it in."""

import time

from bench.rows import Measure, Row

PEER = "loky"
ROWS = [
    Row(
        "sklearn_grid",
        "s",
        "lower",
        "GridSearchCV of 40 candidates of an SVC on digits, 5 folds each, on all CPUs, the processes there (scikit-learn: by loky)",
        must=1,
        rounds=3,
    )
]

GRID = {"C": [0.1, 0.3, 1, 3, 10], "gamma": [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3]}
FOLDS = 5  # 200 fits


def searched(search_class, jobs, quick):
    """Seconds of the second of two searches (the first starts the processes), and its scores."""
    from sklearn.datasets import load_digits
    from sklearn.svm import SVC

    x, y = load_digits(return_X_y=True)
    x, y = (x[:600], y[:600]) if quick else (x, y)
    search_class(SVC(), {"C": [1, 10]}, cv=FOLDS, n_jobs=jobs).fit(x[:200], y[:200])
    search = search_class(SVC(), GRID, cv=FOLDS, n_jobs=jobs)
    started = time.perf_counter()
    search.fit(x, y)
    took = time.perf_counter() - started
    return Measure(took, [round(score, 12) for score in search.cv_results_["mean_test_score"].tolist()])
