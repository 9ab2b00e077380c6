"""Optuna's storage tests, whole, over a journal and over memory. Run by `./dev test --suite=optuna_storages`."""

from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="needs optuna: ./dev test --suite=optuna_storages")

from optuna.testing.pytest_storages import StorageTestCase

from daybreak.tune.optuna import Storage


class TestInJournal(StorageTestCase):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        return Storage(tmp_path / "studies.journal")


class TestInMemory(StorageTestCase):
    @pytest.fixture
    def storage(self) -> Storage:
        return Storage()
