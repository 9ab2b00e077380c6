"""Optuna's own tests of samplers, with ours in them."""

REQUIREMENTS = ["optuna==5.0.0", "pytest==8.4.2", "numpy", "scipy", "cmaes==0.13.1"]
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
]
ENV = {"OMP_NUM_THREADS": "1"}
