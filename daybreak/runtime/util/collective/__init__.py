"""Collective operations between actors, on numpy arrays and PyTorch tensors in main memory: the data goes through the object store,
which all of them see.

    class Trainer:
        def __init__(self, rank):
            collective.init_collective_group(world_size=2, rank=rank)

        def step(self, gradient):
            gradient = gradient.copy()
            collective.allreduce(gradient)  # in place

Every rank calls the same operations in the same order. An operation waits for the others, `gloo_timeout` milliseconds at most.
"""

from __future__ import annotations

import threading

from .types import Backend, ReduceOp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .group import Group

__all__ = [
    "Backend",
    "ReduceOp",
    "allgather",
    "allreduce",
    "barrier",
    "broadcast",
    "create_collective_group",
    "destroy_collective_group",
    "get_collective_group_size",
    "get_rank",
    "init_collective_group",
    "is_group_initialized",
    "recv",
    "reduce",
    "reducescatter",
    "send",
]

_TIMEOUT_MS = 30_000
_lock = threading.Lock()
_groups: dict[str, Group] = {}  # of this process


def init_collective_group(
    world_size: int,
    rank: int,
    backend: str = Backend.GLOO,
    group_name: str = "default",
    gloo_timeout: int = _TIMEOUT_MS,
) -> None:
    """Makes this actor a member of a group. Does not wait for the others.

    Args:
        world_size: how many members there are, at most 500.
        rank: which of them this is, from 0.
        backend: "gloo"; see Backend.
        group_name: members meet by it.
        gloo_timeout: milliseconds that an operation waits for the other members.

    Raises:
        RuntimeError: outside of an actor; this process is a member already.
        ValueError: a number is out of range, a backend is not possible.
    """
    from . import group

    _check_in_actor()
    Backend(backend)
    if not isinstance(group_name, str) or not group_name:
        raise ValueError(f"group_name={group_name!r}: it must be a string that is not empty")
    if not 1 <= world_size <= group.MAX_WORLD_SIZE:
        raise ValueError(f"world_size={world_size}: it must be from 1 to {group.MAX_WORLD_SIZE}")
    if not 0 <= rank < world_size:
        raise ValueError(f"rank={rank}: it must be from 0 to {world_size - 1}")
    if gloo_timeout <= 0:
        raise ValueError(f"gloo_timeout={gloo_timeout}: it must be above 0")
    with _lock:
        if group_name in _groups:
            raise RuntimeError(f"this process is in the group {group_name!r} already: destroy_collective_group() first")
        _groups[group_name] = group.Group(group_name, world_size, rank, gloo_timeout / 1000)


def create_collective_group(
    actors: list[Any],
    world_size: int,
    ranks: list[int],
    backend: str = Backend.GLOO,
    group_name: str = "default",
    gloo_timeout: int = _TIMEOUT_MS,
) -> None:
    """Makes actors members of a group, from outside: `init_collective_group` in each. Waits until they have done it.

    Raises:
        RuntimeError: the ranks are not 0 to world_size - 1, one for each actor; what `init_collective_group` raises.
    """
    if len(actors) != len(ranks) or sorted(ranks) != list(range(world_size)):
        raise RuntimeError(
            f"{len(actors)} actors, world_size={world_size}, ranks={ranks}: one actor for each rank from 0 to {world_size - 1}"
        )
    Backend(backend)
    from daybreak.runtime import get

    calls = [
        actor.__ray_call__.remote(_init_here, world_size, rank, backend, group_name, gloo_timeout)
        for actor, rank in zip(actors, ranks, strict=True)
    ]
    get(calls)


def _init_here(_: Any, *arguments: Any) -> None:
    init_collective_group(*arguments)


def destroy_collective_group(group_name: str = "default") -> None:
    """This process is no member any more. Nothing happens when it is none."""
    _check_in_actor()
    with _lock:
        _groups.pop(group_name, None)


def is_group_initialized(group_name: str = "default") -> bool:
    """Whether this process is a member of the group."""
    return group_name in _groups


def get_rank(group_name: str = "default") -> int:
    """The rank of this process, -1 where it is no member."""
    _check_in_actor()
    return _groups[group_name].rank if group_name in _groups else -1


def get_collective_group_size(group_name: str = "default") -> int:
    """How many members the group has, -1 where this process is none."""
    _check_in_actor()
    return _groups[group_name].world_size if group_name in _groups else -1


def allreduce(tensor: Any, group_name: str = "default", op: ReduceOp = ReduceOp.SUM) -> None:
    """Each member's tensor becomes the reduction of all. In place; to the bit the same in all."""
    _group(group_name).allreduce(_array(tensor, "tensor", True), _op(op))


def reduce(tensor: Any, dst_rank: int = 0, group_name: str = "default", op: ReduceOp = ReduceOp.SUM) -> None:
    """The tensor of one member becomes the reduction of all."""
    group = _group(group_name)
    _check_rank(group, "dst_rank", dst_rank)
    group.reduce(_array(tensor, "tensor", group.rank == dst_rank), dst_rank, _op(op))


def broadcast(tensor: Any, src_rank: int = 0, group_name: str = "default") -> None:
    """Each member's tensor becomes that of one."""
    group = _group(group_name)
    _check_rank(group, "src_rank", src_rank)
    group.broadcast(_array(tensor, "tensor", group.rank != src_rank), src_rank)


def allgather(tensor_list: list[Any], tensor: Any, group_name: str = "default") -> None:
    """Each member's tensor_list, one tensor for each rank, becomes the tensors of all."""
    group = _group(group_name)
    own = _array(tensor, "tensor", False)
    group.allgather(_arrays(group, tensor_list, own, True), own)


def reducescatter(
    tensor: Any, tensor_list: list[Any], group_name: str = "default", op: ReduceOp = ReduceOp.SUM
) -> None:
    """Member r's tensor becomes the reduction of all members' tensor_list[r]."""
    group = _group(group_name)
    own = _array(tensor, "tensor", True)
    group.reducescatter(own, _arrays(group, tensor_list, own, False), _op(op))


def barrier(group_name: str = "default") -> None:
    """Waits until all members are here."""
    _group(group_name).barrier()


def send(tensor: Any, dst_rank: int, group_name: str = "default") -> None:
    """Sends a copy of the tensor to one member, who calls `recv`. Does not wait for that."""
    group = _group(group_name)
    _check_rank(group, "dst_rank", dst_rank, other=True)
    group.send(_array(tensor, "tensor", False), dst_rank)


def recv(tensor: Any, src_rank: int, group_name: str = "default") -> None:
    """The tensor becomes what a member sends: the first that has not been received."""
    group = _group(group_name)
    _check_rank(group, "src_rank", src_rank, other=True)
    group.recv(_array(tensor, "tensor", True), src_rank)


def _check_in_actor() -> None:
    from daybreak.runtime import get_runtime_context

    if get_runtime_context().get_actor_id() is None:
        raise RuntimeError("collective operations are for the inside of actors")


def _group(name: str) -> Group:
    _check_in_actor()
    try:
        return _groups[name]
    except KeyError:
        raise RuntimeError(f"this process is in no group {name!r}: init_collective_group() first") from None


def _check_rank(group: Group, what: str, rank: int, other: bool = False) -> None:
    if not 0 <= rank < group.world_size:
        raise ValueError(f"{what}={rank}: it must be from 0 to {group.world_size - 1}")
    if other and rank == group.rank:
        raise RuntimeError(f"{what}={rank} is this member itself")


def _op(op: ReduceOp) -> ReduceOp:
    if not isinstance(op, ReduceOp):
        raise TypeError(f"op={op!r}: one of {', '.join(f'ReduceOp.{each.name}' for each in ReduceOp)} expected")
    return op


def _array(tensor: Any, what: str, written: bool) -> Any:
    from .group import array_of

    return array_of(tensor, what, written)


def _arrays(group: Group, tensors: Any, like: Any, written: bool) -> list[Any]:
    if not isinstance(tensors, (list, tuple)) or len(tensors) != group.world_size:
        raise RuntimeError(f"tensor_list: a list of {group.world_size} tensors expected, one for each rank")
    found = [_array(each, f"tensor_list[{i}]", written) for i, each in enumerate(tensors)]
    for i, each in enumerate(found):
        if each.dtype != like.dtype or each.size != like.size:
            raise ValueError(
                f"tensor_list[{i}] has {each.size} elements of {each.dtype}, the tensor {like.size} of {like.dtype}"
            )
    return found
