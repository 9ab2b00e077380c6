"""Optuna's own tests of samplers and importances, with ours in them, and ours beside Optuna's on the same inputs."""

REQUIREMENTS = ["optuna==5.0.0", "pytest==8.4.2", "numpy", "scipy", "cmaes==0.13.1", "scikit-learn"]
FOLDER = "optuna_samplers"
TESTS = [
    "-c",
    "/dev/null",
    "--rootdir=.",
    "--confcutdir=.",
    "-W",
    "ignore",
    "theirs.py",
    "same_numbers.py",
    "same_decisions.py",
    "words_are_all.py",
]
ENV = {"OMP_NUM_THREADS": "1"}
