"""Pools, queues, an executor and the like, on tasks and actors. Also reachable as `daybreak.util`; names as in `ray.util`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .actor_group import ActorGroup
    from .actor_pool import ActorPool
    from .check_serialize import inspect_serializability
    from .executor import Executor
    from .helpers import as_completed, map_unordered
    from .serialization import deregister_serializer, register_serializer

_LAZY = {  # name: its module; all are loaded when they are touched
    "ActorGroup": "actor_group",
    "ActorPool": "actor_pool",
    "Executor": "executor",
    "as_completed": "helpers",
    "deregister_serializer": "serialization",
    "inspect_serializability": "check_serialize",
    "map_unordered": "helpers",
    "register_serializer": "serialization",
}
_MODULES = (
    "actor_group",
    "actor_pool",
    "annotations",
    "check_serialize",
    "executor",
    "helpers",
    "iter",
    "iter_metrics",
    "joblib",
    "metrics",
    "multiprocessing",
    "serialization",
    "shuffle",
)

__all__ = [
    "ActorGroup",
    "ActorPool",
    "Executor",
    "as_completed",
    "deregister_serializer",
    "get_node_ip_address",
    "inspect_serializability",
    "map_unordered",
    "register_serializer",
]


def get_node_ip_address() -> str:
    """The address of this machine for programs on it: the runtime does not leave it."""
    return "127.0.0.1"


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name in _LAZY:
        return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module 'daybreak.util' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
