"""What runs in the workers of a Ray cluster. It is sent there, so it may import Ray and the standard library alone.

By value, as the hook that each worker calls first; or, through Ray Client, which takes no such hook, as a file: the package
`daybreak` of the program's environment, which makes place for an installed one.

A task that says `daybreak.get(...)` finds a module of that name: the installed Daybreak where there is one, which then speaks to
this cluster, or else a stand-in with the runtime's verbs, which are Ray's own.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
import types
from typing import Any

VERBS = (
    "init", "shutdown", "is_initialized", "remote", "method", "get", "put", "wait", "cancel", "kill", "get_actor", "nodes",
    "cluster_resources", "available_resources", "get_gpu_ids", "get_runtime_context", "ObjectRef",
)  # fmt: skip
# Daybreak's name of an exception -> Ray's.
EXCEPTIONS = {
    "Error": "RayError",
    "TaskError": "RayTaskError",
    "RayError": "RayError",
    "RayTaskError": "RayTaskError",
    "RayActorError": "RayActorError",
    **{
        name: name
        for name in (
            "ActorDiedError", "ActorUnavailableError", "ActorUnschedulableError", "GetTimeoutError", "ObjectLostError",
            "ObjectStoreFullError", "OutOfMemoryError", "OwnerDiedError", "PendingCallsLimitExceeded",
            "RuntimeEnvSetupError", "TaskCancelledError", "TaskUnschedulableError", "WorkerCrashedError",
        )
    },
}  # fmt: skip


def exit_actor() -> None:
    """Daybreak's verb; Ray has it elsewhere."""
    import ray.actor

    ray.actor.exit_actor()


def stand_in() -> types.ModuleType:
    """A module `daybreak` for a worker that has none."""
    import ray

    module = types.ModuleType("daybreak", "The verbs of Daybreak's runtime on this Ray cluster.")
    module.__path__ = []
    for name in VERBS:
        setattr(module, name, getattr(ray, name))
    module.exit_actor = exit_actor  # type: ignore[attr-defined]
    exceptions = types.ModuleType("daybreak.exceptions", "Ray's exceptions under Daybreak's names.")
    for ours, theirs in EXCEPTIONS.items():
        setattr(exceptions, ours, getattr(ray.exceptions, theirs))
    module.exceptions = exceptions  # type: ignore[attr-defined]

    runtime = types.ModuleType("daybreak.runtime", module.__doc__)
    runtime.__path__ = []
    runtime.__dict__.update({name: value for name, value in vars(module).items() if not name.startswith("__")})
    module.runtime = runtime  # type: ignore[attr-defined]
    for name, theirs in (("placement_group", "placement_group"), ("scheduling", "scheduling_strategies")):
        found = importlib.import_module(f"ray.util.{theirs}")
        setattr(runtime, name, found)
        sys.modules[f"daybreak.runtime.{name}"] = found

    def missing(name: str) -> Any:
        raise AttributeError(
            f"daybreak.{name}: this worker has no Daybreak installed, only the runtime's verbs: install it there, "
            "or run what needs it in the driver"
        )

    module.__getattr__ = missing  # type: ignore[method-assign]
    sys.modules["daybreak"] = module
    sys.modules["daybreak.exceptions"] = exceptions
    sys.modules["daybreak.runtime"] = runtime
    return module


def set_up() -> None:
    """Called in each worker before its first task."""
    try:
        import daybreak  # noqa: F401
    except ImportError:
        stand_in()
        return
    from daybreak.runtime.engines import ray as engine

    engine.attach()


def make_place() -> None:
    """This file as the package `daybreak`: what is installed behind it, or the stand-in."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    behind = [entry for entry in sys.path if os.path.abspath(entry) != here]
    found = importlib.machinery.PathFinder.find_spec("daybreak", behind)
    if found is None or found.loader is None:
        stand_in()
        return
    module = sys.modules["daybreak"] = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    set_up()


if __name__ == "daybreak":
    make_place()
