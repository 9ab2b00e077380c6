"""Daybreak behind Optuna's interfaces: an existing ``study.optimize`` program keeps its code. Needs optuna 5."""

from daybreak.tune.optuna.journals import export_journal, import_journal
from daybreak.tune.optuna.storage import Storage

__all__ = ["Storage", "export_journal", "import_journal"]
