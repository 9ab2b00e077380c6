"""Optuna's own storage tests (optuna.testing.pytest_storages) over our Storage, in a journal and in memory; and our own."""

from __future__ import annotations

REQUIREMENTS = ["optuna==5.0.0", "pytest==9.2.0", "numpy==2.4.6", "pandas==3.1.1", "rustuna==0.2.0"]
FOLDER = "../tests/optuna"
TESTS = ["test_storages.py", "test_journals.py"]
