"""Words of collective operations."""

from __future__ import annotations

from enum import Enum

__all__ = ["Backend", "ReduceOp"]


class Backend:
    """Ray's names of what carries the data. Here it is always shared memory: GLOO, for arrays in main memory, means that."""

    GLOO = "GLOO"
    NCCL = "NCCL"

    def __new__(cls, name: str) -> str:  # type: ignore[misc]
        upper = name.upper() if isinstance(name, str) else ""
        if upper in ("GLOO", "TORCH_GLOO", "MPI"):
            return cls.GLOO
        if upper == "NCCL":
            raise ValueError(
                "backend='nccl': arrays on a GPU are not moved here; take 'gloo', for arrays in main memory"
            )
        raise ValueError(f"backend={name!r}: 'gloo' is possible, which is shared memory here")


class ReduceOp(Enum):
    """How values are put together."""

    SUM = 0
    PRODUCT = 1
    MIN = 2
    MAX = 3
