"""One process's part in a group: arrays go through the object store, an actor tells who put what where."""

from __future__ import annotations

import threading

import numpy as np

from daybreak.runtime import get, put, remote
from daybreak.runtime.util.collective.types import ReduceOp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = ["Group", "array_of"]

MAX_WORLD_SIZE = 500
_SMALL_BYTES = 32 << 10  # arrays up to that size are told themselves, in one round: two would cost more than the copies
_UFUNCS = {
    ReduceOp.SUM: np.add,
    ReduceOp.PRODUCT: np.multiply,
    ReduceOp.MIN: np.minimum,
    ReduceOp.MAX: np.maximum,
}


class _Meeting:
    """The actor where the members of a group meet. Each call has a thread of its own and waits there for the others."""

    def __init__(self, world_size: int) -> None:
        self._world_size = world_size
        self._changed = threading.Condition()
        self._joined: dict[int, int] = {}
        self._told: dict[Any, dict[int, Any]] = {}
        self._read: dict[Any, int] = {}
        self._posted: dict[Any, Any] = {}

    def join(self, rank: int) -> int:
        """How often this rank has joined: who destroys a group and makes it again meets others who have done so."""
        with self._changed:
            self._joined[rank] = self._joined.get(rank, 0) + 1
            return self._joined[rank]

    def tell(self, key: Any, rank: int, what: Any, limit_s: float) -> tuple[list[Any], list[int]]:
        """What each rank has told under this key, in order; or, when time is over, [] and who is missing."""
        with self._changed:
            told = self._told.setdefault(key, {})
            told[rank] = what
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: len(told) == self._world_size, limit_s):
                missing = [other for other in range(self._world_size) if other not in told]
                del told[rank]
                return [], missing
            self._read[key] = self._read.get(key, 0) + 1
            if self._read[key] == self._world_size:
                del self._told[key], self._read[key]
            return [told[other] for other in range(self._world_size)], []

    def post(self, key: Any, what: Any) -> None:
        with self._changed:
            self._posted[key] = what
            self._changed.notify_all()

    def take(self, key: Any, limit_s: float) -> Any:
        """What was posted under this key; None when time is over."""
        with self._changed:
            self._changed.wait_for(lambda: key in self._posted, limit_s)
            return self._posted.pop(key, None)


def array_of(tensor: Any, what: str, written: bool) -> np.ndarray[Any, Any]:
    """The memory of a numpy array or of a PyTorch tensor in main memory, as one row.

    Raises:
        TypeError: it is neither, or of elements that are no numbers.
        ValueError: it is not contiguous, or cannot be written to and should be.
    """
    if type(tensor).__module__.partition(".")[0] == "torch" and hasattr(tensor, "detach"):
        if tensor.device.type != "cpu":
            raise TypeError(
                f"{what} lies on {tensor.device}: only tensors in main memory are moved here, take {what}.cpu()"
            )
        try:
            array = tensor.detach().numpy()
        except TypeError as error:
            raise TypeError(
                f"{what} has elements of {tensor.dtype}: {error}; convert it, as in {what}.float()"
            ) from None
    elif isinstance(tensor, np.ndarray):
        array = tensor
    else:
        raise TypeError(f"{what} is a {type(tensor).__name__}: a numpy array or a PyTorch tensor expected")
    if array.dtype.kind not in "biufc":
        raise TypeError(f"{what} has elements of {array.dtype}: numbers expected")
    if not array.flags.c_contiguous:
        raise ValueError(f"{what} is not contiguous: make it so, as in numpy.ascontiguousarray")
    if written and not array.flags.writeable:
        raise ValueError(f"{what} is read-only, perhaps a view of the object store: give a copy of it")
    return array.reshape(-1)  # type: ignore[no-any-return]


class Group:
    """A rank of a group. Its operations are called by all ranks in the same order, one at a time."""

    def __init__(self, name: str, world_size: int, rank: int, limit_s: float) -> None:
        self.name = name
        self.world_size = world_size
        self.rank = rank
        self._limit_s = limit_s
        self._meeting = (
            remote(_Meeting)
            .options(
                name=f"collective/{world_size}/{name}",
                namespace="_daybreak",
                get_if_exists=True,
                num_cpus=0,
                max_concurrency=2 * world_size + 1,  # each rank may wait in one operation and in one recv
            )
            .remote(world_size)
        )
        self._epoch = get(self._meeting.join.remote(rank))
        self._round = 0
        self._sent: dict[tuple[int, int], int] = {}

    def allreduce(self, array: np.ndarray[Any, Any], op: ReduceOp) -> None:
        """The reduction of all ranks' arrays, in place."""
        if array.nbytes <= _SMALL_BYTES:
            arrays = self._tell("allreduce", op, array, array)
            array[:] = _reduced(arrays, op)
            return
        bounds = [array.size * i // self.world_size for i in range(self.world_size + 1)]
        parts = [array[bounds[i] : bounds[i + 1]] for i in range(self.world_size)]
        mine = parts[self.rank]
        refs = [None if i == self.rank else put(part) for i, part in enumerate(parts)]
        told = self._tell("allreduce", op, array, refs)
        others = [get(each[self.rank]) for i, each in enumerate(told) if i != self.rank]
        _reduce_into(mine, [*others[: self.rank], mine, *others[self.rank :]], op)
        del refs, told, others
        for i, ref in enumerate(self._tell("allreduce (second half)", op, array, [put(mine)])):
            if i != self.rank:
                parts[i][:] = get(ref[0])

    def reduce(self, array: np.ndarray[Any, Any], to: int, op: ReduceOp) -> None:
        """As that, for one rank; the arrays of the others are as they were."""
        told = self._tell(f"reduce to {to}", op, array, None if self.rank == to else [put(array)])
        if self.rank == to:
            _reduce_into(array, [array if i == to else get(ref[0]) for i, ref in enumerate(told)], op)

    def broadcast(self, array: np.ndarray[Any, Any], source: int) -> None:
        """The array of one rank, for all."""
        told = self._tell(f"broadcast from {source}", None, array, [put(array)] if self.rank == source else None)
        if self.rank != source:
            array[:] = get(told[source][0])

    def allgather(self, arrays: Sequence[np.ndarray[Any, Any]], array: np.ndarray[Any, Any]) -> None:
        """The arrays of all ranks, for all."""
        for i, ref in enumerate(self._tell("allgather", None, array, [put(array)])):
            arrays[i][:] = array if i == self.rank else get(ref[0])

    def reducescatter(self, array: np.ndarray[Any, Any], arrays: Sequence[np.ndarray[Any, Any]], op: ReduceOp) -> None:
        """The reduction of what all ranks have for this one."""
        refs = [None if i == self.rank else put(each) for i, each in enumerate(arrays)]
        told = self._tell("reducescatter", op, array, refs)
        found = [arrays[i] if i == self.rank else get(each[self.rank]) for i, each in enumerate(told)]
        _reduce_into(array, found, op)

    def barrier(self) -> None:
        """Waits for all ranks."""
        self._tell("barrier", None, np.empty(0), None)

    def send(self, array: np.ndarray[Any, Any], to: int) -> None:
        """Does not wait for the receiver."""
        get(self._meeting.post.remote(self._letter(self.rank, to), [put(array)]))

    def recv(self, array: np.ndarray[Any, Any], source: int) -> None:
        """Waits for what the other rank sends."""
        found = get(self._meeting.take.remote(self._letter(source, self.rank), self._limit_s))
        if found is None:
            raise TimeoutError(
                f"group {self.name!r}: rank {source} has sent nothing to rank {self.rank} in {self._limit_s} s"
            )
        value = get(found[0])
        if value.dtype != array.dtype or value.size != array.size:
            raise ValueError(
                f"rank {source} sent {value.size} elements of {value.dtype}, the tensor has {array.size} of {array.dtype}"
            )
        array[:] = value

    def _letter(self, source: int, to: int) -> tuple[int, int, int, int]:
        number = self._sent[source, to] = self._sent.get((source, to), 0) + 1
        return self._epoch, source, to, number

    def _tell(self, operation: str, op: ReduceOp | None, array: np.ndarray[Any, Any], what: Any) -> list[Any]:
        """What all ranks tell in this round; each must do the same with the same kind of array."""
        self._round += 1
        same = (operation, op and op.name, str(array.dtype), array.size)
        told, missing = get(
            self._meeting.tell.remote((self._epoch, self._round), self.rank, (same, what), self._limit_s)
        )
        if missing:
            raise TimeoutError(
                f"group {self.name!r}: {operation} of rank {self.rank} waited {self._limit_s} s for the ranks "
                f"{', '.join(map(str, missing))}"
            )
        for rank, (other, _) in enumerate(told):
            if tuple(other) != same:
                raise ValueError(
                    f"group {self.name!r}: rank {self.rank} calls {_said(same)}, rank {rank} calls {_said(other)}"
                )
        return [each for _, each in told]


def _said(what: Any) -> str:
    operation, op, dtype, size = what
    return f"{operation}{f' ({op})' if op else ''} with {size} elements of {dtype}"


def _reduced(arrays: list[Any], op: ReduceOp) -> Any:
    result = arrays[0].copy()
    for each in arrays[1:]:
        _UFUNCS[op](result, each, out=result)
    return result


def _reduce_into(array: np.ndarray[Any, Any], arrays: list[Any], op: ReduceOp) -> None:
    """In the order of ranks, so that all have the same bits. `array` may be one of them."""
    if len(arrays) == 1:
        array[:] = arrays[0]
    elif len(arrays) == 2:
        _UFUNCS[op](arrays[0], arrays[1], out=array)
    else:
        array[:] = _reduced(arrays, op)
