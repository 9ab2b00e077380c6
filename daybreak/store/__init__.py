"""Contents by the SHA-256 of their bytes.

>>> import tempfile
>>> store = Store(tempfile.mkdtemp())
>>> store.read(store.put(b"kept").id)
b'kept'
"""

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
    "RangeDiff",
    "Store",
    "Stored",
    "TensorDiff",
    "TensorInfo",
    "VerifyReport",
]
