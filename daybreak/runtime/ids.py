"""Ids: what a context, a handle or a placement group is known by, as bytes and as hexadecimal digits.

>>> JobID(bytes(4)).is_nil(), JobID.from_hex("0a000000").hex(), len(ActorID.nil().binary())
(True, '0a000000', 16)
>>> JobID(b"12345")
Traceback (most recent call last):
    ...
ValueError: b'12345' has 5 bytes: a JobID has 4
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs 5 ms of what `import daybreak` may
if TYPE_CHECKING:
    from typing import Any, Self

__all__ = [
    "ActorClassID",
    "ActorID",
    "FunctionID",
    "JobID",
    "NodeID",
    "PlacementGroupID",
    "TaskID",
    "UniqueID",
    "WorkerID",
]


class _BaseID:
    """Bytes of a length of its class. Equal, hashed and pickled by value."""

    __slots__ = ("_bytes",)
    SIZE = 0

    def __init__(self, id: bytes) -> None:
        if not isinstance(id, (bytes, bytearray)):
            raise TypeError(f"{id!r}: a {type(self).__name__} is made of {self.SIZE} bytes")
        if len(id) != self.SIZE:
            raise ValueError(f"{bytes(id)!r} has {len(id)} bytes: a {type(self).__name__} has {self.SIZE}")
        self._bytes = bytes(id)

    @classmethod
    def from_hex(cls, hex_id: str | bytes) -> Self:
        return cls(bytes.fromhex(hex_id.decode() if isinstance(hex_id, bytes) else hex_id))

    @classmethod
    def from_binary(cls, id: bytes) -> Self:
        return cls(id)

    @classmethod
    def from_random(cls) -> Self:
        import os

        return cls(os.urandom(cls.SIZE))

    @classmethod
    def nil(cls) -> Self:
        return cls(cls._nil())

    @classmethod
    def _nil(cls) -> bytes:
        return b"\xff" * cls.SIZE

    @classmethod
    def size(cls) -> int:
        return cls.SIZE

    def binary(self) -> bytes:
        return self._bytes

    def hex(self) -> str:
        return self._bytes.hex()

    def is_nil(self) -> bool:
        return self._bytes == self._nil()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._bytes == self._bytes

    def __hash__(self) -> int:
        return hash(self._bytes)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.hex()})"

    def __reduce__(self) -> Any:
        return type(self), (self._bytes,)


class UniqueID(_BaseID):
    __slots__ = ()
    SIZE = 28


class NodeID(UniqueID):
    """Of this machine in this runtime."""

    __slots__ = ()


class WorkerID(UniqueID):
    """Of a process."""

    __slots__ = ()


class FunctionID(UniqueID):
    __slots__ = ()


class ActorClassID(UniqueID):
    __slots__ = ()


class JobID(_BaseID):
    """Of what one `init` began."""

    __slots__ = ()
    SIZE = 4

    @classmethod
    def _nil(cls) -> bytes:
        return bytes(cls.SIZE)

    @classmethod
    def from_int(cls, value: int) -> JobID:
        return cls(value.to_bytes(cls.SIZE, "little"))

    def int(self) -> int:
        return int.from_bytes(self._bytes, "little")


class TaskID(_BaseID):
    """Begins with its job's."""

    __slots__ = ()
    SIZE = 24

    def job_id(self) -> JobID:
        return JobID(self._bytes[: JobID.SIZE])


class ActorID(_BaseID):
    """Ends with its job's."""

    __slots__ = ()
    SIZE = 16

    @property
    def job_id(self) -> JobID:
        return JobID(self._bytes[-JobID.SIZE :])


class PlacementGroupID(_BaseID):
    __slots__ = ()
    SIZE = 18


# ----------------------------------------------------------------------------------------------------------------------
# Made of what the native half knows things by: hexadecimal digits, and numbers.


def job_of(session: str) -> JobID:
    """Of a session's 16 digits."""
    return JobID(bytes.fromhex(session)[:4])


def node_of(session: str) -> NodeID:
    return NodeID(bytes.fromhex(session).ljust(NodeID.SIZE, b"\0"))


def worker_of(worker: str) -> WorkerID:
    return WorkerID(bytes.fromhex(worker).ljust(WorkerID.SIZE, b"\1"))


def task_of(task: str) -> TaskID:
    return TaskID(bytes.fromhex(task).ljust(TaskID.SIZE, b"\0"))


def actor_of(actor: str, session: str) -> ActorID:
    """Of an actor's 16 digits: the job's four bytes are the last."""
    return ActorID(bytes.fromhex(actor).ljust(ActorID.SIZE - JobID.SIZE, b"\0") + job_of(session).binary())


def actor_of_handle(generation: int, index: int) -> ActorID:
    from .._core import runtime as _native

    return actor_of(f"{generation:08x}{index:08x}", _native._session())


def group_of(native: tuple[int, int, int], session: str) -> PlacementGroupID:
    """Of a group's slot, generation and index."""
    slot, generation, index = native
    packed = slot.to_bytes(2, "big") + generation.to_bytes(4, "big") + index.to_bytes(4, "big")
    return PlacementGroupID(packed + bytes.fromhex(session)[:8])


def native_group(id: PlacementGroupID) -> tuple[int, int, int]:
    """The other way."""
    data = id.binary()
    return int.from_bytes(data[:2], "big"), int.from_bytes(data[2:6], "big"), int.from_bytes(data[6:10], "big")
