"""Contents by the SHA-256 of their bytes, and the journal: what is written down as it happens.

>>> import tempfile
>>> folder = tempfile.mkdtemp()
>>> store = Store(folder)
>>> store.read(store.put(b"kept").id)
b'kept'
>>> with Journal(f"{folder}/trials.journal", "tune.trials") as journal:
...     journal.append(b"lr=0.1", durability="synced")
0
>>> [record.body for record in JournalReader(f"{folder}/trials.journal", "tune.trials").read().records]
[b'lr=0.1']
"""

from daybreak._core.store import Journal, JournalBatch, JournalReader, JournalRecord, JournalStats
from daybreak.store.contents import (
    Damage,
    Diff,
    GcReport,
    Info,
    RangeDiff,
    Store,
    Stored,
    TensorDiff,
    TensorInfo,
    VerifyReport,
)

__all__ = [
    "Damage",
    "Diff",
    "GcReport",
    "Info",
    "Journal",
    "JournalBatch",
    "JournalReader",
    "JournalRecord",
    "JournalStats",
    "RangeDiff",
    "Store",
    "Stored",
    "TensorDiff",
    "TensorInfo",
    "VerifyReport",
]
