"""Placement groups: resources that are set apart together, for tasks and actors that run in them.

    group = placement_group([{"CPU": 2}, {"GPU": 1}])
    daybreak.get(group.ready())
    f.options(scheduling_strategy=PlacementGroupSchedulingStrategy(group, 0)).remote()
    remove_placement_group(group)

On the embedded engine all bundles lie on this machine: PACK, STRICT_PACK and SPREAD reserve the same; STRICT_SPREAD with more
than one bundle wants more machines than there are, and waits. On a Ray cluster a group is Ray's.
"""

from __future__ import annotations

from .._core import runtime as _native
from . import engine as _engine
from . import options as _options
from . import session as _session
from .ids import PlacementGroupID, group_of, native_group

TYPE_CHECKING = False  # typing costs 5 ms of what `import daybreak` may
if TYPE_CHECKING:
    from typing import Any

    from .._core.runtime import ObjectRef

__all__ = [
    "PlacementGroup",
    "get_current_placement_group",
    "get_placement_group",
    "placement_group",
    "placement_group_table",
    "remove_placement_group",
]

_STRATEGIES = ("PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD")  # in the order of the native half's numbers
_STATES = {2: "PENDING", 3: "CREATED", 4: "REMOVED"}
_MAX_BUNDLES = 256


class PlacementGroup:
    """A placement group, by its id. Copies and pickles of it are the same group."""

    def __init__(self, id: PlacementGroupID, bundle_cache: list[dict[str, float]] | None = None) -> None:
        self.id = id
        self.bundle_cache = bundle_cache

    @staticmethod
    def empty() -> PlacementGroup:
        """None at all, where a group is asked for: what is submitted with it is of no group."""
        return PlacementGroup(PlacementGroupID.nil())

    @property
    def is_empty(self) -> bool:
        return self.id.is_nil()

    def ready(self) -> ObjectRef:
        """A reference that is ready when the bundles are reserved. Its value is the group."""
        ref = None if self.is_empty else _native._hold_group(native_group(self.id))
        if ref is None:
            from .exceptions import PlacementGroupRemovedError

            raise PlacementGroupRemovedError(f"the placement group {self.id.hex()} was removed, or was never there")
        return ref  # type: ignore[no-any-return]

    def wait(self, timeout_seconds: float = 30) -> bool:
        """Whether the bundles were reserved in time."""
        ref = None if self.is_empty else _native._hold_group(native_group(self.id))
        if ref is None:
            return False
        return bool(_native.wait([ref], timeout=timeout_seconds)[0]) and _status(self) == "CREATED"

    @property
    def bundle_specs(self) -> list[dict[str, float]]:
        """What each bundle has."""
        if self.bundle_cache is None:
            found = _find(self.id)
            self.bundle_cache = list(found[3]) if found is not None else []
        return self.bundle_cache

    @property
    def bundle_count(self) -> int:
        return len(self.bundle_specs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PlacementGroup) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"PlacementGroup({self.id.hex()})"

    def __reduce__(self) -> Any:
        return PlacementGroup, (self.id, self.bundle_cache)


def placement_group(
    bundles: list[dict[str, float]],
    strategy: str = "PACK",
    name: str = "",
    lifetime: str | None = None,
    _soft_target_node_id: str | None = None,
    bundle_label_selector: list[dict[str, str]] | None = None,
    _max_cpu_fraction_per_node: float | None = None,
) -> PlacementGroup:
    """Asks for bundles of resources, all of them or none; returns at once, see `ready` and `wait`.

    Args:
        bundles: what each has, e.g. [{"CPU": 1, "GPU": 0.5}, {"license": 1}, {"memory": 1e9}].
        strategy: "PACK", "SPREAD", "STRICT_PACK" or "STRICT_SPREAD".
        name: by which `get_placement_group` finds it, in the namespace.
        lifetime: None: it goes with the actor that makes it, or with the runtime; "detached": with the runtime.

    Raises:
        ValueError: the bundles are empty, or a value is out of range; the text says which.
    """
    checked = _checked_bundles(bundles)
    if (elsewhere := _elsewhere()) is not None:
        more = {
            "_max_cpu_fraction_per_node": _max_cpu_fraction_per_node,
            "bundle_label_selector": bundle_label_selector,
        }
        given = {key: value for key, value in more.items() if value is not None}
        found = elsewhere.placement_group(bundles, strategy, name, lifetime, _soft_target_node_id, **given)
        return found  # type: ignore[no-any-return]
    if strategy not in _STRATEGIES:
        raise ValueError(
            f"Invalid placement group strategy {strategy!r}: supported strategies are {', '.join(_STRATEGIES)}"
        )
    if lifetime not in (None, "detached"):
        raise ValueError(
            f"lifetime={lifetime!r}: placement group `lifetime` argument must be either `None` or 'detached'"
        )
    if name is None or not isinstance(name, str):
        raise TypeError(f"name={name!r}: it must be a string, empty for none")
    _check_extras(len(checked), strategy, bundle_label_selector, _soft_target_node_id, _max_cpu_fraction_per_node)
    if not _session.is_initialized():
        _session._auto_init()
    sets = [_options.resource_set(_as_options(bundle), 0.0) for bundle in checked]
    full_name = _session.full_name(name, None) if name else ""
    native, ref = _native._reserve_group(sets, _STRATEGIES.index(strategy), lifetime == "detached", full_name)
    group = PlacementGroup(group_of(native, _native._session()), checked)
    _native._start_group(native, group)
    del ref
    return group


def _elsewhere() -> Any:
    """The module of these names of the engine in use; None: it is the embedded one. A group is what that engine makes."""
    engine = _engine.current()
    return None if engine is None else engine.placement_groups()


def _checked_bundles(bundles: Any) -> list[dict[str, float]]:
    if not isinstance(bundles, list):
        raise ValueError(f"Placement group bundles must be a list, got {type(bundles)}.")
    if not bundles:
        raise ValueError("Placement group `bundles` argument cannot contain an empty list: give it one bundle or more")
    if len(bundles) > _MAX_BUNDLES:
        raise ValueError(f"{len(bundles)} bundles: a placement group has at most {_MAX_BUNDLES}")
    found = []
    for bundle in bundles:
        if not isinstance(bundle, dict):
            raise ValueError(f"Bundles must be a list of resource dictionaries, one of these is {bundle!r}")
        for name, amount in bundle.items():
            if not isinstance(name, str) or _options.number(amount) is None:
                raise ValueError(f"Bundles must be a list of resource dictionaries, one of these is {bundle!r}")
            if amount < 0:
                raise ValueError(f"bundle {bundle}: the quantity of resource {name} cannot be negative")
            if name in ("bundle", "object_store_memory"):
                raise ValueError(f"bundle {bundle}: {name!r} is no resource that a bundle can have")
        if not any(amount > 0 for amount in bundle.values()):
            raise ValueError(
                f"Bundles cannot be an empty dictionary or resources with only 0 values, one of these is {bundle!r}"
            )
        found.append({name: float(amount) for name, amount in bundle.items() if amount > 0})
    return found


def _check_extras(count: int, strategy: str, selectors: Any, node: Any, fraction: Any) -> None:
    if fraction is not None and not 0 < fraction <= 1:
        raise ValueError(f"_max_cpu_fraction_per_node={fraction!r}: it must be between 0 and 1")
    if node is not None:
        if strategy != "STRICT_PACK":
            raise ValueError(f"_soft_target_node_id goes with the strategy STRICT_PACK only, not with {strategy}")
        from .ids import NodeID

        NodeID.from_hex(node)
    if selectors is not None:
        from .labels import checked_selector

        if not isinstance(selectors, list) or len(selectors) != count:
            raise ValueError(f"bundle_label_selector={selectors!r}: it must be a list of one dict for each bundle")
        for selector in selectors:
            checked_selector("bundle_label_selector", selector)


def _as_options(bundle: dict[str, float]) -> dict[str, Any]:
    named = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
    found: dict[str, Any] = {named[name]: amount for name, amount in bundle.items() if name in named}
    found["resources"] = {name: amount for name, amount in bundle.items() if name not in named}
    return found


def remove_placement_group(placement_group: PlacementGroup) -> None:
    """Gives the resources back. Tasks and actors that run in the group end; what waits for it fails. Twice does no harm."""
    if (elsewhere := _elsewhere()) is not None:
        elsewhere.remove_placement_group(placement_group)
        return
    if not isinstance(placement_group, PlacementGroup):
        raise TypeError(f"remove_placement_group() takes a PlacementGroup, not {placement_group!r}")
    if not placement_group.is_empty and _known_here(placement_group.id):
        _native._remove_group(native_group(placement_group.id))


def get_placement_group(placement_group_name: str) -> PlacementGroup:
    """The placement group of this name in the namespace.

    Raises:
        ValueError: there is none.
    """
    if not placement_group_name:
        raise ValueError("Please supply a non-empty value to get_placement_group")
    if (elsewhere := _elsewhere()) is not None:
        return elsewhere.get_placement_group(placement_group_name)  # type: ignore[no-any-return]
    try:
        native, _ = _native._find_group(_session.full_name(placement_group_name, None))
    except ValueError:
        raise ValueError(f"Failed to look up placement group with name: {placement_group_name}") from None
    return PlacementGroup(group_of(native, _native._session()))


def get_current_placement_group() -> PlacementGroup | None:
    """That in which the task or actor runs that asks; None: in none."""
    if (elsewhere := _elsewhere()) is not None:
        return elsewhere.get_current_placement_group()  # type: ignore[no-any-return]
    found = _native._context()["group"]
    return None if found is None else PlacementGroup(group_of(found[:3], _native._session()))


def placement_group_table(placement_group: PlacementGroup | None = None) -> dict[str, Any]:
    """State, strategy and bundles of a group; of all of them by their ids' digits when none is given."""
    if (elsewhere := _elsewhere()) is not None:
        return dict(elsewhere.placement_group_table(placement_group))
    session = _native._context()["session"]
    node = _session.node_id()
    found = {}
    for native, status, strategy, bundles, name in _native._groups():
        id = group_of(native, session)
        state = _STATES[status]
        found[id.hex()] = {
            "placement_group_id": id.hex(),
            "name": name.partition("/")[2],
            "bundles": dict(enumerate(bundles)),
            "bundles_to_node_id": {i: node if state == "CREATED" else "" for i in range(len(bundles))},
            "strategy": _STRATEGIES[strategy],
            "state": state,
            "stats": {"scheduling_state": {"PENDING": "QUEUED", "CREATED": "FINISHED"}.get(state, state)},
        }
    if placement_group is None:
        return found
    return found.get(placement_group.id.hex(), {})


def _known_here(id: PlacementGroupID) -> bool:
    return bool(_native._session()) and id.binary()[10:] == bytes.fromhex(_native._session())


def _find(id: PlacementGroupID) -> Any:
    native = native_group(id)
    return next((found for found in _native._groups() if found[0] == native), None) if _known_here(id) else None


def _status(group: PlacementGroup) -> str:
    found = _find(group.id)
    return "REMOVED" if found is None else _STATES[found[1]]


def place(strategy: Any, options: dict[str, Any], what: str) -> tuple[int, int, bool]:
    """(slot + 1, bundle, capture) for what is submitted with these options: as the strategy says, or, without one, as what
    runs here says of its children. (0, -1, False): in no group. ValueError where no bundle could ever hold it."""
    from .scheduling import PlacementGroupSchedulingStrategy

    if not isinstance(strategy, PlacementGroupSchedulingStrategy):
        inherited = _native._captured_group() if strategy is None else 0
        return (inherited, -1, True) if inherited else (0, -1, False)
    group, index = strategy.placement_group, strategy.placement_group_bundle_index
    capture = strategy.placement_group_capture_child_tasks
    if not isinstance(group, PlacementGroup):
        raise TypeError(f"placement_group={group!r}: it must be a PlacementGroup")
    if group.is_empty:
        return 0, -1, False
    found = _find(group.id)
    if found is None or _STATES[found[1]] == "REMOVED":
        from .exceptions import PlacementGroupRemovedError

        raise PlacementGroupRemovedError(f"the placement group {group.id.hex()} was removed: {what} cannot run in it")
    bundles = found[3]
    if not -1 <= index < len(bundles):
        raise ValueError(
            f"placement group bundle index {index} is invalid. Valid placement group indexes: 0-{len(bundles) - 1}"
        )
    asked = {name: value for name, value in _amounts(options).items() if value > 0}
    held = bundles if index < 0 else [bundles[index]]
    if not any(all(bundle.get(name, 0) >= amount for name, amount in asked.items()) for bundle in held):
        if index < 0:
            problem = f"the resource request {asked} cannot fit into any bundles for the placement group, {bundles}"
        else:
            problem = f"the resource request {asked} cannot fit into bundle {index} of the placement group, {held[0]}"
        raise ValueError(f"Cannot schedule {what} with the placement group because {problem}.")
    return found[0][0] + 1, index, bool(capture)


def _amounts(options: dict[str, Any]) -> dict[str, float]:
    names = (("num_cpus", "CPU"), ("num_gpus", "GPU"), ("memory", "memory"))
    found: dict[str, float] = {name: options[option] for option, name in names if options.get(option)}
    found |= options.get("resources") or {}
    return found
