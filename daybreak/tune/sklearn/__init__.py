"""scikit-learn's search classes on the runtime: the same results, the fits in its processes.

>>> from sklearn.datasets import load_iris
>>> from sklearn.svm import SVC
>>> from daybreak.tune.sklearn import GridSearchCV
>>> search = GridSearchCV(SVC(), {"C": [0.1, 1, 10]}, n_jobs=1).fit(*load_iris(return_X_y=True))
>>> search.best_params_
{'C': 10}
"""

from .searches import GridSearchCV, HalvingGridSearchCV, HalvingRandomSearchCV, RandomizedSearchCV
from .tune_search import TuneGridSearchCV, TuneSearchCV

__all__ = [
    "GridSearchCV",
    "HalvingGridSearchCV",
    "HalvingRandomSearchCV",
    "RandomizedSearchCV",
    "TuneGridSearchCV",
    "TuneSearchCV",
]
