"""scikit-learn's GridSearchCV as it is: joblib's loky."""

import os

from bench.tune.sklearn_program import searched

REQUIREMENTS = ["scikit-learn==1.9.1", "numpy==2.4.6", "scipy==1.17.1"]
ENV = {"OMP_NUM_THREADS": "1"}
QUICK = False


def sklearn_grid():
    from sklearn.model_selection import GridSearchCV

    return searched(GridSearchCV, os.cpu_count(), QUICK)
