"""Where code runs: the ids, names and resources of the task, actor or driver that asks."""

from __future__ import annotations

import os

from .._core import runtime as _native
from . import engine as _engine
from . import options as _options
from . import session as _session
from .ids import (
    ActorID,
    JobID,
    NodeID,
    PlacementGroupID,
    TaskID,
    actor_of,
    group_of,
    job_of,
    node_of,
    task_of,
    worker_of,
)

TYPE_CHECKING = False  # typing costs 5 ms of what `import daybreak` may
if TYPE_CHECKING:
    from typing import Any

    from .ids import WorkerID

__all__ = ["RuntimeContext", "get_runtime_context", "global_worker"]


def _deprecated(instead: str) -> None:
    import warnings

    warnings.warn(f"Use {instead}() instead", DeprecationWarning, stacklevel=3)


class RuntimeContext:
    """Where this code runs, as it was when the context was asked for."""

    def __init__(self) -> None:
        self._context = _native._context()

    def get(self) -> dict[str, Any]:
        """Ids by name: job_id and node_id, and task_id and actor_id where there are such."""
        found: dict[str, Any] = {"job_id": self._job(), "node_id": self._node(), "namespace": self.namespace}
        task, actor = self._task(), self._actor()
        if task is not None:
            found["task_id"] = task
        if actor is not None:
            found["actor_id"] = actor
        return found

    def _job(self) -> JobID:
        return job_of(self._context["session"])

    def _node(self) -> NodeID:
        return node_of(self._context["session"])

    def _worker(self) -> WorkerID:
        return worker_of(self._context["worker"])

    def _task(self) -> TaskID | None:
        task = self._context["task"]
        return None if task is None else task_of(task)

    def _actor(self) -> ActorID | None:
        actor = self._context.get("actor")
        return None if actor is None else actor_of(actor, self._context["session"])

    def _group(self) -> PlacementGroupID | None:
        group = self._context["group"]
        return None if group is None else group_of(group[:3], self._context["session"])

    def get_job_id(self) -> str:
        """Of what one `init` began, as hexadecimal digits, as all that follow."""
        return self._job().hex()

    def get_node_id(self) -> str:
        return self._node().hex()

    def get_worker_id(self) -> str:
        """Of this process."""
        return self._worker().hex()

    def get_task_id(self) -> str | None:
        """None outside of a task. In a thread that a task has started, the task's."""
        task = self._task()
        return None if task is None else task.hex()

    def get_actor_id(self) -> str | None:
        """None outside of an actor."""
        actor = self._actor()
        return None if actor is None else actor.hex()

    def get_placement_group_id(self) -> str | None:
        """None outside of a placement group."""
        group = self._group()
        return None if group is None else group.hex()

    def get_actor_name(self) -> str | None:
        """None outside of an actor, empty in one that has no name."""
        name = self._context.get("actor_name")
        return None if name is None else str(name).partition("/")[2]

    def get_task_name(self) -> str | None:
        """What was given as `name=`, else the function's name; of an actor's method "Class.method". None outside of a task."""
        if self._context["task"] is None:
            return None
        function, name, method = _native._running()
        if function is None:
            return str(name) if name else f"{self._context.get('class_name', '')}.{method}" if method else None
        from .tasks import name_of

        return str(name or name_of(function).rpartition("<locals>.")[2])

    def get_task_function_name(self) -> str | None:
        """The function's name with its module's. None outside of a task."""
        if self._context["task"] is None:
            return None
        function, _, method = _native._running()
        if function is not None:
            from .tasks import name_of

            return f"{function.__module__}.{name_of(function).rpartition('<locals>.')[2]}"
        actor = _native._actor_instance() if method else None
        if actor is None:
            return None
        its: Any = getattr(type(actor), method, None)
        if _options.code_flags(its) & (_options.CO_COROUTINE | _options.CO_ASYNC_GENERATOR):
            return f"{type(actor).__module__}.{its.__qualname__}"  # with <locals>, as Ray says it
        return f"{type(actor).__module__}.{type(actor).__name__}.{method}"

    def get_assigned_resources(self) -> dict[str, float]:
        return dict(self._context["assigned"])

    def get_resource_ids(self) -> dict[str, list[tuple[int, float]]]:
        """(id, amount) by resource; ids of GPUs are theirs, those of others 0."""
        found = {name: [(0, amount)] for name, amount in self._context["assigned"].items()}
        if self._context["gpu_ids"]:
            found["GPU"] = [(i, 1.0) for i in self._context["gpu_ids"]]
        return found

    def get_accelerator_ids(self) -> dict[str, list[str]]:
        """By kind; of those that are no GPUs there are none here."""
        gpus = [str(_session.visible_gpu(i)) for i in self._context["gpu_ids"]]
        return {"GPU": gpus, "neuron_cores": [], "TPU": [], "NPU": [], "HPU": [], "RBLN": []}

    def get_runtime_env_string(self) -> str:
        """The environment of this process, as JSON."""
        return self.runtime_env.serialize()  # type: ignore[no-any-return]

    def get_dashboard_url(self) -> str:
        """Empty: there is none. The variable RAY_OVERRIDE_DASHBOARD_URL says otherwise."""
        return os.environ.get("RAY_OVERRIDE_DASHBOARD_URL", "")

    def get_node_labels(self) -> dict[str, str]:
        return dict(_session._labels)

    @property
    def runtime_env(self) -> Any:
        """The environment of this process, as a RuntimeEnv."""
        from . import env

        made = env.RuntimeEnv()
        made.update(env.own())
        return made

    @property
    def namespace(self) -> str:
        return _session._namespace

    @property
    def gcs_address(self) -> str:
        return str(_session._address())

    @property
    def was_current_actor_reconstructed(self) -> bool:
        """Whether this actor has been started again."""
        return bool(self._context.get("restarted", False))

    @property
    def should_capture_child_tasks_in_placement_group(self) -> bool:
        group = self._context["group"]
        return group is not None and bool(group[3])

    @property
    def current_actor(self) -> Any:
        """The handle of this actor."""
        if self._context.get("actor") is None:
            raise RuntimeError("This method is only available in an actor: current_actor is there only inside an actor")
        return _native._current_actor(_session.from_json)

    # Old names: the ids as objects.

    @property
    def job_id(self) -> JobID:
        _deprecated("get_job_id")
        return self._job()

    @property
    def node_id(self) -> NodeID:
        _deprecated("get_node_id")
        return self._node()

    @property
    def worker_id(self) -> WorkerID:
        _deprecated("get_worker_id")
        return self._worker()

    @property
    def task_id(self) -> TaskID | None:
        _deprecated("get_task_id")
        return self._task()

    @property
    def actor_id(self) -> ActorID | None:
        _deprecated("get_actor_id")
        return self._actor()

    @property
    def current_placement_group_id(self) -> PlacementGroupID | None:
        _deprecated("get_placement_group_id")
        return self._group()


def get_runtime_context() -> RuntimeContext:
    """Ids and resources of the task, actor or driver that asks."""
    engine = _engine.current()
    return RuntimeContext() if engine is None else engine.runtime_context()


class _GlobalWorker:
    """What programs of Ray ask its `global_worker` for."""

    @property
    def task_depth(self) -> int:
        """How many tasks and calls have submitted each other down to the one that asks: 1 where the driver submitted it, 0 in the
        driver."""
        return int(_native._task_depth())


global_worker = _GlobalWorker()
