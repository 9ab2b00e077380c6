"""The runtime: tasks, actors, and objects in shared memory. Its verbs are also those of `daybreak` itself."""

from __future__ import annotations

from .._core.runtime import ActorHandle, ObjectRef, get, put, wait
from .api import (
    ActorClass,
    RemoteFunction,
    RuntimeContext,
    available_resources,
    cancel,
    cluster_resources,
    cpp_function,
    exit_actor,
    get_actor,
    get_gpu_ids,
    get_runtime_context,
    init,
    is_initialized,
    kill,
    method,
    nodes,
    remote,
    shutdown,
)

ObjectID = ObjectRef

__all__ = [
    "ActorClass",
    "ActorHandle",
    "ObjectID",
    "ObjectRef",
    "RemoteFunction",
    "RuntimeContext",
    "available_resources",
    "cancel",
    "cluster_resources",
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
