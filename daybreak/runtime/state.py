"""What there is in the runtime: actors, placement groups, nodes and workers, as lists of what is known of each.

>>> list_actors(filters=[("state", "=", "LOST")], limit=0)
Traceback (most recent call last):
    ...
ValueError: limit=0: it must be 1 or more
"""

from __future__ import annotations

from .._core import runtime as _native
from . import session as _session
from .ids import actor_of, job_of

TYPE_CHECKING = False  # typing costs 5 ms of what `import daybreak` may
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "ActorState",
    "NodeState",
    "PlacementGroupState",
    "get_actor",
    "get_placement_group",
    "list_actors",
    "list_named_actors",
    "list_nodes",
    "list_placement_groups",
    "summarize_actors",
]

_LIMIT = 100


class _State:
    """What is known of one thing: `state.pid`, `state["pid"]`, `state.get("pid")`."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    def __getitem__(self, name: str) -> Any:
        return self.__dict__[name]

    def __contains__(self, name: object) -> bool:
        return name in self.__dict__

    def get(self, name: str, default: Any = None) -> Any:
        return self.__dict__.get(name, default)

    def asdict(self) -> dict[str, Any]:
        return dict(self.__dict__)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.__dict__ == self.__dict__

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__dict__.items())})"


class ActorState(_State):
    pass


class NodeState(_State):
    pass


class PlacementGroupState(_State):
    pass


def _matching(found: list[Any], filters: Any, limit: int) -> list[Any]:
    """Those whose fields are as the filters say, (name, "=" or "!=", value) each, texts of any case; the first `limit`."""
    if limit < 1:
        raise ValueError(f"limit={limit!r}: it must be 1 or more")
    for each in filters or ():
        if not isinstance(each, (tuple, list)) or len(each) != 3 or each[1] not in ("=", "!="):
            raise ValueError(f"filter {each!r}: (name, '=' or '!=', value) expected")

    def met(state: Any, name: str, sign: str, value: Any) -> bool:
        if name not in state:
            raise ValueError(
                f"filter {name!r}: {type(state).__name__} has no such field; it has {', '.join(state.asdict())}"
            )
        return (str(state[name]).lower() == str(value).lower()) is (sign == "=")

    return [state for state in found if all(met(state, *each) for each in filters or ())][:limit]


def list_actors(
    address: str | None = None,
    filters: list[tuple[str, str, Any]] | None = None,
    limit: int = _LIMIT,
    timeout: float = 30,
    detail: bool = False,
    raise_on_missing_output: bool = True,
) -> list[ActorState]:
    """Actors that are there, and those that are dead and have handles. `address` and the last three are Ray's, without
    an effect here: nothing is asked of other machines.

    Raises:
        ValueError: a filter names no field, or another sign than = and !=.
    """
    session = _native._context()["session"]
    node = _session.node_id()
    found = []
    for id, class_name, state, name, pid, restarts, death, resources in _native._actors():
        namespace, _, own_name = name.partition("/")
        found.append(
            ActorState(
                actor_id=actor_of(id, session).hex(),
                class_name=class_name,
                state=state,
                job_id=job_of(session).hex(),
                name=own_name,
                node_id=node if pid else "",
                pid=pid,
                ray_namespace=namespace or _session._namespace,
                death_cause=death or None,
                num_restarts=restarts,
                required_resources=resources,
            )
        )
    return _matching(found, filters, limit)


def get_actor(id: str, address: str | None = None, timeout: float = 30) -> ActorState | None:
    """The actor of this id; None: there is none."""
    return next(iter(list_actors(filters=[("actor_id", "=", id)])), None)


def summarize_actors(address: str | None = None, timeout: float = 30) -> dict[str, dict[str, int]]:
    """How many actors of each class are in each state."""
    found: dict[str, dict[str, int]] = {}
    for actor in list_actors(limit=1 << 30):
        of_class = found.setdefault(actor["class_name"], {})
        of_class[actor["state"]] = of_class.get(actor["state"], 0) + 1
    return found


def list_named_actors(all_namespaces: bool = False) -> list[Any]:
    """Names of actors that are alive, in the namespace; of all namespaces as {"name", "namespace"}."""
    found = []
    for _, _, state, name, *_ in _native._actors():
        namespace, _, own_name = name.partition("/")
        if not own_name or state == "DEAD":
            continue
        if all_namespaces:
            found.append({"name": own_name, "namespace": namespace})
        elif namespace == _session._namespace:
            found.append(own_name)
    return found


def list_placement_groups(
    address: str | None = None,
    filters: list[tuple[str, str, Any]] | None = None,
    limit: int = _LIMIT,
    timeout: float = 30,
    detail: bool = False,
    raise_on_missing_output: bool = True,
) -> list[PlacementGroupState]:
    """Placement groups, with the last that were removed."""
    from .placement_group import placement_group_table

    return _matching([PlacementGroupState(**each) for each in placement_group_table().values()], filters, limit)


def get_placement_group(id: str, address: str | None = None, timeout: float = 30) -> PlacementGroupState | None:
    """The placement group of this id; None: there is none."""
    return next(iter(list_placement_groups(filters=[("placement_group_id", "=", id)])), None)


_UNRECORDED = (
    "get_job", "get_log", "get_node", "get_objects", "get_task", "get_worker", "list_cluster_events", "list_jobs", "list_logs",
    "list_objects", "list_runtime_envs", "list_tasks", "list_workers", "summarize_objects", "summarize_tasks",
)  # fmt: skip


def __getattr__(name: str) -> Any:
    """Ray's others: there to be imported, and refused when they are called."""
    if name not in _UNRECORDED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def refused(*args: Any, **kwargs: Any) -> Any:
        from daybreak.base.errors import UnimplementedError

        raise UnimplementedError(
            f"{name}(): this is not recorded; actors, placement groups and nodes are (list_actors, list_placement_groups, "
            "list_nodes)"
        )

    refused.__name__ = refused.__qualname__ = name
    return globals().setdefault(name, refused)


def list_nodes(
    address: str | None = None,
    filters: list[tuple[str, str, Any]] | None = None,
    limit: int = _LIMIT,
    timeout: float = 30,
    detail: bool = False,
    raise_on_missing_output: bool = True,
) -> list[NodeState]:
    """This machine."""
    node = _session.nodes()[0]
    found = NodeState(
        node_id=node["NodeID"],
        node_ip=node["NodeManagerAddress"],
        is_head_node=True,
        state="ALIVE",
        node_name=node["NodeName"],
        resources_total=node["Resources"],
        labels=node["Labels"],
    )
    return _matching([found], filters, limit)
