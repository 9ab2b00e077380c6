"""scikit-learn's own tests of its search classes, with ours in the place of its four."""

from __future__ import annotations

from sklearn import model_selection

from daybreak.tune.sklearn import searches

REQUIREMENTS = [
    "scikit-learn==1.9.1",
    "pytest==9.2.0",
    "pytest-timeout==2.4.0",
    "numpy==2.4.6",
    "pandas==3.1.1",
    "cloudpickle==3.1.2",
]
PACKAGE = "sklearn"
TESTS = [
    "-c",
    "/dev/null",
    "--rootdir=.",
    "--confcutdir=.",
    "-W",
    "ignore",
    "model_selection/tests/test_search.py",
    "model_selection/tests/test_successive_halving.py",
]
SAMPLE = 6  # all of it takes two minutes
ENV = {"OMP_NUM_THREADS": "1"}

for _name in searches.__all__:
    setattr(model_selection, _name, getattr(searches, _name))
