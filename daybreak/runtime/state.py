"""What runs, what waits, what is held: of the engine of this process, or of another one of this user on this machine.

    from daybreak.runtime import state
    state.list_actors(filters=[("state", "=", "ALIVE")])
    state.summarize_tasks()

The names, keys and values are those of `ray.util.state`. What is said is read from the engine's shared memory, which nobody has to
answer for: a driver that is busy, or hangs, is seen all the same. There is no history: a task is listed as long as somebody
holds a reference to its result.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from typing import Any

from daybreak.base import errors

from .._core import runtime as _native
from . import engine as _engine
from . import history
from . import session as _session
from .ids import actor_of, job_of, node_of, task_of, worker_of
from .logs import get_log, list_logs

__all__ = [
    "ActorState",
    "NodeState",
    "ObjectState",
    "PlacementGroupState",
    "Row",
    "TaskState",
    "WorkerState",
    "engines",
    "get_actor",
    "get_log",
    "get_placement_group",
    "get_task",
    "list_actors",
    "list_logs",
    "list_named_actors",
    "list_nodes",
    "list_objects",
    "list_placement_groups",
    "list_stacks",
    "list_tasks",
    "list_workers",
    "status",
    "summarize_actors",
    "summarize_objects",
    "summarize_tasks",
]

_MAX_ROWS = 10_000  # of one list, as Ray has it
_SCANNED = 1 << 22  # the most objects that an engine has


class Row(dict[str, Any]):
    """One task, actor, object or worker: a dict whose keys are attributes, too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"{name!r}: there is {', '.join(self)}") from None

    def asdict(self) -> dict[str, Any]:
        return dict(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.items())})"


class TaskState(Row):
    pass


class ActorState(Row):
    pass


class ObjectState(Row):
    pass


class WorkerState(Row):
    pass


class NodeState(Row):
    pass


class PlacementGroupState(Row):
    pass


def engines() -> list[Row]:
    """The engines of this user that run here: path (of the directory with their socket), pid, session."""
    return [Row(engine) for engine in _native._engines()]


def _view(address: str | int | None) -> Any:
    if address is None and _native._is_initialized():
        return _native._view(None)
    if isinstance(address, str) and os.sep in address:
        return _native._view(os.path.abspath(os.path.expanduser(address)))
    return _native._view(engine_at(address)["path"])


def engine_at(address: str | int | None) -> Any:
    """The one of `engines()` that the address names: its process, its session, or None where there is but one."""
    found = _native._engines()
    if address is not None:
        found = [engine for engine in found if str(address) in (str(engine["pid"]), engine["session"])]
    if len(found) == 1:
        return found[0]
    running = ", ".join(f"{engine['pid']} ({engine['path']})" for engine in _native._engines()) or "none"
    if not found:
        asked = "" if address is None else f" of address={address!r}"
        raise errors.InvalidArgumentError(f"no engine{asked} runs here for this user; running: {running}")
    raise errors.InvalidArgumentError(f"several engines run here: say which by address=PID; running: {running}")


def _filtered(what: str, rows: list[Any], filters: Any, limit: int) -> list[Any]:
    """Those that the filters let through, the first `limit` of them; a warning says where that is not all."""
    for each in filters or ():
        try:
            key, operator, value = each
        except (TypeError, ValueError):
            raise errors.InvalidArgumentError(f"filters: {each!r} is no (key, '=' or '!=', value)") from None
        if operator not in ("=", "!="):
            raise errors.InvalidArgumentError(f"filters: the operator {operator!r} is neither '=' nor '!='")
        if rows and key not in rows[0]:
            raise errors.InvalidArgumentError(f"filters: {key!r} is no key; there is {', '.join(rows[0])}")
        rows = [row for row in rows if (_same(row[key], value)) == (operator == "=")]
    if not 0 < limit <= _MAX_ROWS:
        raise errors.InvalidArgumentError(f"limit={limit!r}: it must be between 1 and {_MAX_ROWS}")
    if len(rows) > limit:
        warnings.warn(f"{what}: the first {limit} of {len(rows)}; limit= shows more, up to {_MAX_ROWS}", stacklevel=3)
    return rows[:limit]


def _same(found: Any, asked: Any) -> bool:
    if isinstance(found, str) and isinstance(asked, str):
        return found.lower() == asked.lower()
    return bool(found == asked) or str(found) == str(asked)


def _error_names() -> dict[int, str]:
    kinds = _native.ErrorKind
    return {getattr(kinds, name): name for name in dir(kinds) if name.isupper()}


def _actor_id(id: str | None, session: str) -> str | None:
    return None if id is None else actor_of(id, session).hex()


def _tasks(address: str | int | None) -> list[TaskState]:
    view = _view(address)
    session, names = view.session(), _error_names()
    found = []
    ended = history.ended_tasks(view)
    rows = list(view.tasks(_SCANNED)[0])
    for row in rows:
        times = ended.pop(row["task_id"], {})
        row["start_time_ms"], row["end_time_ms"] = times.get("start_time_ms"), times.get("end_time_ms")
        row["worker_pid"] = row["worker_pid"] or times.get("worker_pid")
    for row in [*ended.values(), *rows]:
        kind = row.pop("error_kind")
        row["task_id"] = task_of(row["task_id"]).hex()
        row["parent_task_id"] = None if row["parent_task_id"] is None else task_of(row["parent_task_id"]).hex()
        row["actor_id"] = _actor_id(row["actor_id"], session)
        row["error_type"] = names.get(kind, "NONE") if row["state"] == "FAILED" else None
        found.append(TaskState(row, func_or_class_name=row["name"], job_id=job_of(session).hex()))
    return found


def _actors(address: str | int | None) -> list[ActorState]:
    view = _view(address)
    session = view.session()
    found = []
    rows = view.actors()
    there = {row["actor_id"] for row in rows}
    for row in [*(row for row in view.dead_actors() if row["actor_id"] not in there), *rows]:
        full_name = row.pop("full_name")
        namespace, name = _session.namespace_of(full_name), full_name.partition("/")[2]
        row["actor_id"] = _actor_id(row["actor_id"], session)
        node = node_of(session).hex() if row["pid"] else ""
        found.append(
            ActorState(row, name=name, ray_namespace=namespace or None, job_id=job_of(session).hex(), node_id=node)
        )
    return found


def list_tasks(
    address: str | int | None = None, filters: Any = None, limit: int = 100, timeout: float = 30, detail: bool = False,
    raise_on_missing_output: bool = True,
) -> list[Row]:  # fmt: skip
    """The tasks, actors' constructors and calls that are not done or whose results somebody holds, and the last 2,048 of each
    process that have ended: task_id, name, type, state (PENDING_ARGS_AVAIL, PENDING_NODE_ASSIGNMENT, SUBMITTED_TO_WORKER, RUNNING,
    FINISHED, FAILED), worker_pid, waits_for, error_type, start_time_ms, end_time_ms ...

    Args:
        address: the engine: None (that of this process, or the only one of this user), its process number, or its directory.
        filters: [(key, "=" or "!=", value), ...]: all must hold.
        limit: at most so many rows, 1 to 10,000.
        timeout, detail, raise_on_missing_output: taken for Ray's programs; nothing here waits, hides or truncates silently.

    Raises:
        ValueError: no such engine, or several; a filter that cannot be.
    """
    return _filtered("list_tasks", _tasks(address), filters, limit)


def list_actors(
    address: str | int | None = None, filters: Any = None, limit: int = 100, timeout: float = 30, detail: bool = False,
    raise_on_missing_output: bool = True,
) -> list[Row]:  # fmt: skip
    """The actors: actor_id, class_name, state (PENDING_CREATION, ALIVE, RESTARTING, DEAD), name, ray_namespace, pid,
    num_restarts, death_cause; of dead ones the last 1,024. Arguments: see list_tasks."""
    return _filtered("list_actors", _actors(address), filters, limit)


def list_objects(
    address: str | int | None = None, filters: Any = None, limit: int = 100, timeout: float = 30, detail: bool = False,
    raise_on_missing_output: bool = True,
) -> list[Row]:  # fmt: skip
    """The objects, the largest first: object_id (what `ref.hex()` says), object_size (bytes), type (PUT or the task's), state,
    pins (tasks and other objects that refer to it), pids (processes that hold references), spilled (its value is on disk); without
    functions and actors. Arguments: see list_tasks."""
    view = _view(address)
    session = view.session()
    rows = [row for row in view.objects(_SCANNED)[0] if row["type"] not in ("FUNCTION", "ACTOR_CREATION_TASK")]
    for row in rows:
        row["object_id"] = session + row["object_id"]
    return _filtered(
        "list_objects", sorted(map(ObjectState, rows), key=lambda row: -row["object_size"]), filters, limit
    )


def list_workers(
    address: str | int | None = None, filters: Any = None, limit: int = 100, timeout: float = 30, detail: bool = False,
    raise_on_missing_output: bool = True,
) -> list[Row]:  # fmt: skip
    """The processes: worker_id, worker_type (DRIVER, WORKER, ACTOR), pid, is_alive, blocked (waits in get or wait), actor_id,
    task_id. Arguments: see list_tasks."""
    view = _view(address)
    session = view.session()
    found = []
    for row in view.workers():
        row["worker_id"] = worker_of(row["worker_id"]).hex()
        row["actor_id"] = _actor_id(row["actor_id"], session)
        row["task_id"] = None if row["task_id"] is None else task_of(row["task_id"]).hex()
        found.append(WorkerState(row))
    return _filtered("list_workers", found, filters, limit)


def list_nodes(
    address: str | int | None = None, filters: Any = None, limit: int = 100, timeout: float = 30, detail: bool = False,
    raise_on_missing_output: bool = True,
) -> list[Row]:  # fmt: skip
    """This machine. Arguments: see list_tasks."""
    import platform

    view = _view(address)
    total = {name: amounts[0] for name, amounts in view.resources().items()}
    own = address is None and _native._is_initialized()
    labels = _session.nodes()[0]["Labels"] if own else {}
    node = NodeState(node_id=node_of(view.session()).hex(), node_ip=_session.get_node_ip_address(), node_name=platform.node(),
                     is_head_node=True, state="ALIVE", resources_total=total, labels=labels)  # fmt: skip
    return _filtered("list_nodes", [node], filters, limit)


def list_placement_groups(
    address: str | int | None = None, filters: Any = None, limit: int = 100, timeout: float = 30, detail: bool = False,
    raise_on_missing_output: bool = True,
) -> list[PlacementGroupState]:  # fmt: skip
    """This process's engine's placement groups, with the last that were removed. Arguments: see list_tasks."""
    from .placement_group import placement_group_table

    return _filtered(
        "list_placement_groups",
        [PlacementGroupState(**each) for each in placement_group_table().values()],
        filters,
        limit,
    )


def get_placement_group(id: str, address: str | None = None, timeout: float = 30) -> PlacementGroupState | None:
    """The placement group of this id; None: there is none."""
    return next(iter(list_placement_groups(filters=[("placement_group_id", "=", id)])), None)


def list_named_actors(all_namespaces: bool = False) -> list[Any]:
    """Names of actors that are alive, in the namespace; of all namespaces as {"name", "namespace"}."""
    engine = _engine.current()
    if engine is not None:
        return engine.list_named_actors(all_namespaces)
    rows = [row for row in _actors(None) if row.name and row.state != "DEAD"]
    named = dict.fromkeys((row.ray_namespace, row.name) for row in rows if _has_its_name(row))
    if all_namespaces:
        return [{"name": name, "namespace": namespace} for namespace, name in named]
    return [name for namespace, name in named if namespace == _session._namespace]


def _has_its_name(row: ActorState) -> bool:
    """Who was killed has given it away, though his process may still be ending. Of another process's engine nobody knows."""
    from .actors import _find_if_alive

    return not _native._session() or _find_if_alive(_session.full_name(row.name, row.ray_namespace)) is not None


_UNRECORDED = (
    "get_job", "get_node", "get_objects", "get_worker", "list_cluster_events", "list_jobs", "list_runtime_envs",
)  # fmt: skip


def list_stacks(address: str | int | None = None, pids: Any = ()) -> list[Row]:
    """Where the processes are: pid, worker_type, task (the name of what it runs), stack (of each thread, the innermost call
    first), error (why there is none). Also of processes that hang; nothing in them is stopped.

    Args:
        address: the engine; see list_tasks.
        pids: only these.

    Raises:
        ValueError: a process is none of the engine's.
    """
    from . import stacks

    asked = set(pids)
    names = {row.task_id: row.name for row in _tasks(address)}
    workers = [row for row in list_workers(address, limit=_MAX_ROWS) if row.is_alive and row.pid]
    if strangers := asked - {row.pid for row in workers}:
        running = ", ".join(str(row.pid) for row in workers) or "none"
        raise errors.InvalidArgumentError(f"process {min(strangers)} is none of this engine's: {running}")
    found = []
    for row in workers:
        if asked and row.pid not in asked:
            continue
        about = {
            "pid": row.pid,
            "worker_type": row.worker_type,
            "task": names.get(row.task_id),
            "stack": "",
            "error": None,
        }
        try:
            about["stack"] = stacks.stack_of(row.pid)
        except stacks.NoStackError as error:
            about["error"] = str(error)
        found.append(Row(about))
    return found


def __getattr__(name: str) -> Any:
    """Ray's others: there to be imported, and refused when they are called."""
    if name not in _UNRECORDED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def refused(*args: Any, **kwargs: Any) -> Any:
        raise errors.UnimplementedError(f"{name}(): this is not recorded; {', '.join(__all__)} are")

    refused.__name__ = refused.__qualname__ = name
    return globals().setdefault(name, refused)


def get_task(id: str, address: str | int | None = None, timeout: float = 30) -> Any:
    """The task of that id, None when nobody holds its result any more."""
    return next((row for row in _tasks(address) if row["task_id"] == id), None)


def get_actor(id: str, address: str | int | None = None, timeout: float = 30) -> Any:
    """The actor of that id, None when there is none."""
    return next((row for row in _actors(address) if row["actor_id"] == id), None)


def summarize_tasks(address: str | int | None = None, timeout: float = 30) -> dict[str, Any]:
    """How many tasks of each name are in which state."""
    summary: dict[str, dict[str, Any]] = {}
    for row in _tasks(address):
        of_name = summary.setdefault(row["name"], {"type": row["type"], "state_counts": Counter()})
        of_name["state_counts"][row["state"]] += 1
    return {name: {**found, "state_counts": dict(found["state_counts"])} for name, found in summary.items()}


def summarize_actors(address: str | int | None = None, timeout: float = 30) -> dict[str, Any]:
    """How many actors of each class are in which state."""
    summary: dict[str, Counter[str]] = {}
    for row in _view(address).actors():
        summary.setdefault(row["class_name"], Counter())[row["state"]] += 1
    return {name: {"state_counts": dict(counts)} for name, counts in summary.items()}


def summarize_objects(address: str | int | None = None, timeout: float = 30) -> dict[str, Any]:
    """How many objects of each kind there are, and their bytes; of how many the value is on disk."""
    summary: dict[str, dict[str, int]] = {}
    rows, _ = _view(address).objects(_SCANNED)
    for row in rows:
        of_type = summary.setdefault(
            row["type"], {"total_objects": 0, "total_size_bytes": 0, "spilled_objects": 0, "spilled_size_bytes": 0}
        )
        of_type["total_objects"] += 1
        of_type["total_size_bytes"] += row["object_size"]
        of_type["spilled_objects"] += row["spilled"]
        of_type["spilled_size_bytes"] += row["object_size"] if row["spilled"] else 0
    return summary


def status(address: str | int | None = None) -> Row:
    """An engine at a glance: session, resources (name -> (total, free)), store (used, all bytes), what is spilled (folder,
    objects and bytes on disk now, and totals), and how many workers, actors and tasks are in which state."""
    view = _view(address)
    tasks, _ = view.tasks(_SCANNED)
    return Row(
        session=view.session(),
        resources=dict(view.resources()),
        store=tuple(view.store()),
        spilled=dict(view.spilled()),
        workers=dict(Counter(row["worker_type"] for row in view.workers())),
        actors=dict(Counter(row["state"] for row in view.actors())),
        tasks=dict(Counter(row["state"] for row in tasks)),
    )
