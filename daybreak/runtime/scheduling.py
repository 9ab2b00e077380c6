"""Where a task or an actor is to run: Ray's scheduling strategies.

One machine runs everything here, so "DEFAULT", "SPREAD" and the affinity for its own node are taken and change nothing. A
placement group's bundle does: its resources are set apart.

>>> PlacementGroupSchedulingStrategy(None)
Traceback (most recent call last):
    ...
ValueError: placement_group=None: it must be a PlacementGroup, made with placement_group([{"CPU": 1}, ...])
>>> checked("scheduling_strategy", "FAST")
Traceback (most recent call last):
    ...
ValueError: Invalid scheduling_strategy value 'FAST': it must be 'DEFAULT', 'SPREAD' or a strategy's object
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs 5 ms of what `import daybreak` may
if TYPE_CHECKING:
    from typing import Any

    from .placement_group import PlacementGroup

__all__ = [
    "DoesNotExist",
    "Exists",
    "In",
    "NodeAffinitySchedulingStrategy",
    "NodeLabelSchedulingStrategy",
    "NotIn",
    "PlacementGroupSchedulingStrategy",
    "check_node",
    "checked",
]

_NAMES = ("DEFAULT", "SPREAD")


class PlacementGroupSchedulingStrategy:
    """In a bundle of a placement group.

    placement_group_bundle_index: which; -1: any that has what is asked for. placement_group_capture_child_tasks: what the
    task or actor submits is of the group, too, unless it says otherwise.
    """

    def __init__(
        self,
        placement_group: PlacementGroup,
        placement_group_bundle_index: int = -1,
        placement_group_capture_child_tasks: bool | None = None,
    ) -> None:
        if placement_group is None:
            raise ValueError(
                'placement_group=None: it must be a PlacementGroup, made with placement_group([{"CPU": 1}, ...])'
            )
        self.placement_group = placement_group
        self.placement_group_bundle_index = placement_group_bundle_index
        self.placement_group_capture_child_tasks = placement_group_capture_child_tasks


class NodeAffinitySchedulingStrategy:
    """On the node of this id; there is one here. soft: elsewhere when it is not there."""

    def __init__(
        self,
        node_id: str,
        soft: bool,
        _spill_on_unavailable: bool = False,
        _fail_on_unavailable: bool = False,
    ) -> None:
        from .ids import NodeID

        if isinstance(node_id, str):
            try:
                node_id = NodeID.from_hex(node_id).hex()
            except ValueError as error:
                raise ValueError(
                    f"node_id={node_id!r}: it must be a node's id as hexadecimal digits ({error})"
                ) from None
        elif isinstance(node_id, NodeID):
            node_id = node_id.hex()
        else:
            raise TypeError(f"node_id={node_id!r}: it must be a node's id as hexadecimal digits")
        if not soft and _spill_on_unavailable:
            raise ValueError("_spill_on_unavailable=True needs soft=True")
        if soft and _fail_on_unavailable:
            raise ValueError("_fail_on_unavailable=True needs soft=False")
        self.node_id = node_id
        self.soft = soft
        self._spill_on_unavailable = _spill_on_unavailable
        self._fail_on_unavailable = _fail_on_unavailable


class _Values:
    """One or more values of a label."""

    def __init__(self, *values: str) -> None:
        for value in values:
            if not isinstance(value, str):
                raise ValueError(f"{type(self).__name__}({value!r}): the values of a label are strings")
        self.values = list(values)


class In(_Values):
    """The label has one of these values."""


class NotIn(_Values):
    """The label has none of these values, or is not there."""


class Exists:
    """The label is there."""


class DoesNotExist:
    """The label is not there."""


class NodeLabelSchedulingStrategy:
    """On a node with these labels: `hard={"zone": In("a", "b")}`. The node here has those that init(labels=) gave it."""

    def __init__(self, hard: dict[str, Any], *, soft: dict[str, Any] | None = None) -> None:
        for which, conditions in (("hard", hard), ("soft", soft)):
            if conditions is None:
                continue
            if not isinstance(conditions, dict):
                raise ValueError(f"{which}={conditions!r}: it must be a dict of labels and conditions")
            for key, condition in conditions.items():
                if not isinstance(key, str):
                    raise ValueError(f"{which} has the label {key!r}: a label is a string")
                if not isinstance(condition, (In, NotIn, Exists, DoesNotExist)):
                    raise ValueError(
                        f"{which}[{key!r}]={condition!r}: it must be In(...), NotIn(...), Exists() or DoesNotExist()"
                    )
        if not hard and not soft:
            raise ValueError("NodeLabelSchedulingStrategy needs conditions: hard, soft or both")
        self.hard = hard
        self.soft = soft

    def matches(self, labels: dict[str, str]) -> bool:
        """Whether a node with these labels meets the hard conditions."""
        for key, condition in (self.hard or {}).items():
            there = key in labels
            if isinstance(condition, In):
                met = there and labels[key] in condition.values
            elif isinstance(condition, NotIn):
                met = not there or labels[key] not in condition.values
            else:
                met = there is isinstance(condition, Exists)
            if not met:
                return False
        return True


def checked(name: str, value: Any) -> Any:
    """The option `scheduling_strategy`."""
    if value is None or isinstance(
        value, (PlacementGroupSchedulingStrategy, NodeAffinitySchedulingStrategy, NodeLabelSchedulingStrategy)
    ):
        return value
    if isinstance(value, str):
        if value in _NAMES:
            return value
        raise ValueError(f"Invalid {name} value {value!r}: it must be 'DEFAULT', 'SPREAD' or a strategy's object")
    raise TypeError(f"{name}={value!r}: it must be 'DEFAULT', 'SPREAD' or a strategy's object")


def check_node(strategy: Any, node_id: str, labels: dict[str, str]) -> None:
    """TaskUnschedulableError where a strategy that is not a placement group's asks for another node than this one."""
    from .exceptions import TaskUnschedulableError

    if isinstance(strategy, NodeAffinitySchedulingStrategy) and strategy.node_id != node_id and not strategy.soft:
        raise TaskUnschedulableError(
            f"The node {strategy.node_id} of the scheduling strategy is not there, and soft=False: "
            f"the only one is {node_id}"
        )
    if isinstance(strategy, NodeLabelSchedulingStrategy) and not strategy.matches(labels):
        raise TaskUnschedulableError(
            f"no node has the labels that the scheduling strategy asks for: the only one has {labels}; "
            "give init(labels=) those"
        )
