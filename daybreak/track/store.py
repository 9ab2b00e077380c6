"""The content store under the name that it had while it lay in this room: see :mod:`daybreak.store`."""

from daybreak.store import Damage, Diff, GcReport, Info, RangeDiff, Store, Stored, TensorDiff, TensorInfo, VerifyReport

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
