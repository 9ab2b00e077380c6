"""The runtime: tasks, actors, and objects in shared memory. Its verbs are also those of `daybreak` itself."""

from __future__ import annotations

from .._core.runtime import ActorHandle, ObjectRef
from .actors import ActorClass, cpp_actor_class, exit_actor, get_actor, kill, method, remote
from .generators import DynamicObjectRefGenerator, ObjectRefGenerator
from .runtime_context import RuntimeContext, get_runtime_context
from .session import (
    available_resources,
    cluster_resources,
    get_gpu_ids,
    init,
    is_initialized,
    nodes,
    shutdown,
)
from .tasks import RemoteFunction, cancel, cpp_function

TYPE_CHECKING = False  # typing.TYPE_CHECKING without the import
if TYPE_CHECKING:  # the native verbs' types, which a stub made of their text signatures cannot say
    from typing import Any

    def get(refs: Any, *, timeout: float | None = None) -> Any: ...
    def put(value: Any) -> ObjectRef: ...
    def wait(
        refs: list[ObjectRef], *, num_returns: int = 1, timeout: float | None = None, fetch_local: bool = True
    ) -> tuple[list[ObjectRef], list[ObjectRef]]: ...

else:
    from .._core.runtime import get, put, wait

ObjectID = ObjectRef

__all__ = [
    "ActorClass",
    "ActorHandle",
    "DynamicObjectRefGenerator",
    "ObjectID",
    "ObjectRef",
    "ObjectRefGenerator",
    "RemoteFunction",
    "RuntimeContext",
    "available_resources",
    "cancel",
    "cluster_resources",
    "cpp_actor_class",
    "cpp_function",
    "exit_actor",
    "get",
    "get_actor",
    "get_gpu_ids",
    "get_runtime_context",
    "init",
    "is_initialized",
    "kill",
    "method",
    "nodes",
    "put",
    "remote",
    "shutdown",
    "wait",
]
