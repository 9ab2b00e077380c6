"""Pools, queues, an executor and the like, on tasks and actors. Also reachable as `daybreak.util`; names as in `ray.util`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from daybreak.runtime.session import get_node_ip_address
    from daybreak.runtime.state import list_named_actors

    from .actor_group import ActorGroup
    from .actor_pool import ActorPool
    from .check_serialize import inspect_serializability
    from .executor import Executor
    from .helpers import as_completed, map_unordered
    from .serialization import deregister_serializer, register_serializer

_LAZY = {  # name: its module; all are loaded when they are touched
    "ActorGroup": ".actor_group",
    "ActorPool": ".actor_pool",
    "Executor": ".executor",
    "as_completed": ".helpers",
    "deregister_serializer": ".serialization",
    "get_node_ip_address": "daybreak.runtime.session",
    "inspect_serializability": ".check_serialize",
    "list_named_actors": "daybreak.runtime.state",
    "map_unordered": ".helpers",
    "register_serializer": ".serialization",
}
MODULES = (
    "actor_group",
    "actor_pool",
    "annotations",
    "check_serialize",
    "collective",
    "executor",
    "helpers",
    "iter",
    "iter_metrics",
    "joblib",
    "metrics",
    "multiprocessing",
    "queue",
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
    "list_named_actors",
    "map_unordered",
    "register_serializer",
]


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name in _LAZY:
        return getattr(import_module(_LAZY[name], __name__), name)
    if name in MODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module 'daybreak.util' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *MODULES})
