"""Names of tasks and programs, as Ray's ids are: text, with `hex()` and `binary()`."""

from __future__ import annotations

__all__ = ["JobID", "TaskID"]


class _Id(str):
    __slots__ = ()

    def hex(self) -> str:
        return str(self)

    def binary(self) -> bytes:
        return bytes.fromhex(self)

    def is_nil(self) -> bool:
        return set(self) <= {"f"}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self})"


class TaskID(_Id):
    """Of the task that makes an object, 32 hexadecimal digits; of one that was put: of the object."""


class JobID(_Id):
    """Of the runtime's session, 16 hexadecimal digits."""
