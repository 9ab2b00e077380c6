"""Options of tasks and actors: each value is looked at where it is given, and the error names it."""

from __future__ import annotations

from daybreak.base.options import checked

from .._core import runtime as _native

TYPE_CHECKING = False  # typing costs 5 ms of what `import daybreak` may
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = [
    "ACTOR_OPTIONS",
    "DYNAMIC",
    "METHOD_OPTIONS",
    "STREAMING",
    "TASK_OPTIONS",
    "amount",
    "check_task",
    "checked",
    "code_flags",
    "custom_resources",
    "may_change",
    "num_returns",
    "number",
    "resource_set",
    "returns_of",
    "whole",
]

_MAX_NUM_RETURNS = 32_000  # 16 bits hold it, with a sign
_MAX_RETRIES = 32_000
_MAX_CONCURRENCY = 2**31 - 1
_MAX_GROUPS = 100
_MAX_WINDOW = 65_535  # items of a stream that its producer may be ahead
_MAX_AMOUNT = 1e9
_MAX_MEMORY = 1e14  # bytes
_UNITS = 10_000  # of a resource
_WHOLE = ("GPU", "TPU", "neuron_cores", "NPU", "HPU")  # more than one of these is a whole number
_NAMED = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory", "object_store_memory": "init(object_store_memory=)"}


def number(value: Any) -> float | int | None:
    """A number of Python, numpy or the like as Python's; None for anything else, flags too."""
    if type(value) is int or type(value) is float:
        return value
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
        return None
    from daybreak.base import errors, numbers

    try:
        found = numbers.real(value, "number")
        return int(found) if found == int(found) else found
    except (errors.InvalidArgumentError, ValueError, OverflowError):
        return None


def _not_of_type(name: str, types: tuple[type, ...], value: Any) -> str:
    return f"{name}={value!r}: The type of keyword '{name}' must be {types}, but received type {type(value)}"


def whole(name: str, value: Any, high: int) -> int:
    found = number(value)
    if found is None or found != found or not 0 <= found <= high or found != int(found):
        raise ValueError(f"{name}={value!r}: it must be a whole number from 0 to {high}")
    return int(found)


def amount(name: str, value: Any) -> float:
    """Of a resource. What is finer than 1e-4 is cut off."""
    found = number(value)
    if found is None:
        raise TypeError(_not_of_type(name, (float, int, type(None)), value))
    high = _MAX_MEMORY if name == "memory" else _MAX_AMOUNT
    if found < 0:
        raise ValueError(f"{name}={value!r}: The quantity of resource {name} cannot be negative")
    if not found < high:
        raise ValueError(f"{name}={value!r}: it must be less than {high:g}")
    if name == "memory" or isinstance(found, int):
        return int(found)  # bytes are whole
    cut = int(found * _UNITS + 1e-6) / _UNITS
    if found > 0 and cut == 0:
        raise ValueError(
            f"{name}={value!r}: The precision of the fractional quantity of resource {name} cannot go beyond 0.0001"
        )
    return cut


def custom_resources(resources: dict[str, float] | None, where: str) -> list[tuple[str, float]]:
    if resources is None:
        return []
    if not isinstance(resources, dict):
        raise TypeError(
            f"{_not_of_type('resources', (dict, type(None)), resources)}: {where} takes a dict of names and amounts"
        )
    found = []
    for name, value in resources.items():
        if name in _NAMED:
            words = ("num_cpus", "num_gpus", "CPU", "GPU")
            if name in ("memory", "object_store_memory"):
                words = ("memory", "object_store_memory") * 2
            raise ValueError(
                f"resources={{{name!r}: ...}}: use {_NAMED[name]} instead (Use the '{words[0]}' and '{words[1]}' keyword "
                f"instead of '{words[2]}' and '{words[3]}' in 'resources' keyword)"
            )
        if not isinstance(name, str) or not name:
            raise ValueError(f"resource name {name!r}: it must be a string that is not empty")
        checked_text("resource name", name)
        try:
            found.append((name, amount(name, value)))
        except (TypeError, ValueError) as error:
            raise ValueError(f"resources[{name!r}]={value!r}: {error}") from None
    return found


def _count(low: int, high: int, minus_one: bool = False) -> Callable[[str, Any], int]:
    def check(name: str, value: Any) -> int:
        found = None if isinstance(value, float) and not hasattr(value, "dtype") else number(value)
        if not isinstance(found, int):
            raise TypeError(_not_of_type(name, (int, type(None)), value))
        if not (low <= found <= high or (minus_one and found == -1)):
            words = ["None", *(["0"] if low == 0 else []), *(["-1"] if minus_one else [])]
            accepts = f"{', '.join(words)} or a positive integer"
            also = ", where -1 represents infinity" if minus_one else ""
            raise ValueError(
                f"{name}={value}: The keyword '{name}' only accepts {accepts}{also}. Here: {low} to {high}"
            )
        return found

    return check


CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR = 0x20, 0x80, 0x200  # inspect's, which takes 10 ms to load
STREAMING, DYNAMIC = -1, -2  # num_returns as the native half knows them


def num_returns(name: str, value: Any) -> int:
    """A number, STREAMING or DYNAMIC."""
    if isinstance(value, str):
        if value == "streaming":
            return STREAMING
        if value == "dynamic":
            return DYNAMIC
    elif isinstance(number(value), int) and 0 <= value <= _MAX_NUM_RETURNS:
        return int(value)
    elif not isinstance(number(value), int):
        raise TypeError(_not_of_type(name, (int, str, type(None)), value))
    raise ValueError(
        f"num_returns={value!r}: The keyword 'num_returns' only accepts None, a non-negative integer, 'streaming' (for "
        f"generators), or 'dynamic'. Here: 0 to {_MAX_NUM_RETURNS}"
    )


def returns_of(function: Any, given: int | None) -> int:
    """num_returns of a function or method: what was given, else a stream of what yields, and one of all others."""
    if given is not None:
        return given
    return STREAMING if code_flags(function) & (CO_GENERATOR | CO_ASYNC_GENERATOR) else 1


def code_flags(function: Any) -> int:
    """Of the function's code, or of that below a partial or a method; 0: it has none."""
    for _ in range(100):
        code = getattr(function, "__code__", None)
        if code is not None:
            return int(getattr(code, "co_flags", 0))
        function = getattr(function, "__func__", None) or getattr(function, "func", None)
        if function is None:
            break
    return 0


def _concurrency_groups(name: str, value: Any) -> dict[str, int]:
    groups = {g["name"]: g["max_concurrency"] for g in value} if isinstance(value, list) else value
    if not isinstance(groups, dict) or not all(isinstance(group, str) and group for group in groups):
        raise TypeError(f"{name}={value!r}: it must be a dict of names and numbers, e.g. {{'io': 2}}")
    if len(groups) > _MAX_GROUPS:
        raise ValueError(f"{name}: {len(groups)} groups, at most {_MAX_GROUPS} are possible")
    return {group: _count(1, _MAX_CONCURRENCY)(f"{name}[{group!r}]", limit) for group, limit in groups.items()}


def _retry_exceptions(name: str, value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(c, type) and issubclass(c, BaseException) for c in value):
        return tuple(value)
    raise TypeError(f"{name}={value!r}: it must be True, False or a list of exception classes")


def checked_text(what: str, text: str) -> str:
    """A name that is kept as it is: one with a zero byte would end there, and be another's."""
    if "\0" in text:
        raise ValueError(f"{what}={text!r}: it has a zero byte, which no name has")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{what}={text!r}: it is no Unicode (a lone surrogate)") from None
    return text


def _text(name: str, value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or not value):
        raise TypeError(f"{name}={value!r}: it must be a string that is not empty")
    return value and checked_text(name, value)


def _lifetime(name: str, value: Any) -> str | None:
    if value not in (None, "detached", "non_detached"):
        raise ValueError(f"lifetime={value!r}: it must be None, 'detached' or 'non_detached'")
    return value  # type: ignore[no-any-return]


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name}={value!r}: it must be True or False")
    return value


def _window(name: str, value: Any) -> int:
    if value == -1:
        return 0
    return _count(1, _MAX_WINDOW)(name, value)


def _text_or_empty(name: str, value: Any) -> Any:
    """A name. Ray takes an empty one of a task."""
    if not isinstance(value, str):
        raise TypeError(f"{name}={value!r}: it must be a string, but received type {type(value)}")
    return checked_text(name, value) or None


def _actor_name(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be None or a string, got: '{type(value)}'.")
    if not value:
        raise ValueError("Actor name cannot be an empty string.")
    return value


def _namespace(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name}={value!r}: namespace must be None or a string.")
    if not value:
        raise ValueError(f'{name}={value!r}: "" is not a valid namespace. Pass None to not specify a namespace.')
    return checked_text(name, value)


def _runtime_env(name: str, value: Any) -> Any:
    from . import env

    return env.checked(name, value)


def _strategy(name: str, value: Any) -> Any:
    if value in ("DEFAULT", "SPREAD"):
        return value
    from . import scheduling

    return scheduling.checked(name, value)


def _labels(name: str, value: Any) -> Any:
    from . import labels

    return labels.checked_labels(name, value)


def _selector(name: str, value: Any) -> Any:
    from . import labels

    return labels.checked_selector(name, value)


def _fallback(name: str, value: Any) -> Any:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise TypeError(f"{name}={value!r}: it must be a list of dicts, each with a label_selector")
    for each in value:
        if set(each) != {"label_selector"}:
            raise ValueError(f"{name}={value!r}: each of them has a label_selector, and nothing else")
        _selector(name, each["label_selector"])
    return value


def _dictionary(name: str, value: Any) -> Any:
    if not isinstance(value, dict):
        raise TypeError(_not_of_type(name, (dict, type(None)), value))
    return value


def _no_transport(name: str, value: Any) -> bool:
    if value is False:
        return False
    raise ValueError(
        f"{name}={value!r}: tensors go through the object store here, without a copy on this machine; leave it out"
    )


def _accelerator(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name}={value!r}: it must be a string, but received type {type(value)}")
    return value


def _group(name: str, value: Any) -> Any:
    from .placement_group import PlacementGroup

    if value == "default":
        return None
    if not isinstance(value, PlacementGroup):
        raise TypeError(f"{name}={value!r}: it must be a PlacementGroup")
    return value


_COMMON: dict[str, Callable[[str, Any], Any]] = {
    "num_cpus": amount,
    "num_gpus": amount,
    "memory": amount,
    "resources": lambda name, value: dict(custom_resources(value, "a task")),
    "accelerator_type": _accelerator,
    "runtime_env": _runtime_env,
    "scheduling_strategy": _strategy,
    "placement_group": _group,
    "placement_group_bundle_index": _count(0, 255, minus_one=True),
    "placement_group_capture_child_tasks": _flag,
    "label_selector": _selector,
    "fallback_strategy": _fallback,
    "enable_task_events": _flag,
    "_labels": _labels,
    "_metadata": _dictionary,
}
TASK_OPTIONS = _COMMON | {
    "name": _text_or_empty,
    "num_returns": num_returns,
    "max_calls": _count(0, 2**31 - 1),
    "max_retries": _count(0, _MAX_RETRIES, minus_one=True),
    "retry_exceptions": _retry_exceptions,
    "_generator_backpressure_num_objects": _window,
}
ACTOR_OPTIONS = _COMMON | {
    "name": _actor_name,
    "namespace": _namespace,
    "lifetime": _lifetime,
    "get_if_exists": _flag,
    "max_restarts": _count(0, 2**31 - 1, minus_one=True),
    "max_task_retries": _count(0, _MAX_RETRIES, minus_one=True),
    "max_concurrency": _count(1, _MAX_CONCURRENCY),
    "concurrency_groups": _concurrency_groups,
    "max_pending_calls": _count(1, 2**31 - 1, minus_one=True),
    "allow_out_of_order_execution": _flag,
    "enable_tensor_transport": _no_transport,
}
METHOD_OPTIONS = {
    "num_returns": num_returns,
    "concurrency_group": _text,
    "max_task_retries": _count(0, _MAX_RETRIES, minus_one=True),
    "retry_exceptions": _retry_exceptions,
    "enable_task_events": _flag,
    "name": _text,
    "_generator_backpressure_num_objects": _window,
}


def check_task(options: dict[str, Any]) -> dict[str, Any]:
    """Of `f.options(...)`, checked by name and value."""
    if "max_calls" in options:
        raise ValueError("Setting 'max_calls' is not supported in '.options()': give it to the decorator")
    return checked(options, TASK_OPTIONS, "a task")


def resource_set(options: dict[str, Any], default_cpus: float, what: str = "a task") -> int:
    """The number of what these options ask for: amounts, environment, placement group."""
    cpus = options.get("num_cpus")
    cpus = default_cpus if cpus is None else cpus
    custom = dict(options.get("resources") or {})
    if options.get("memory"):
        custom["memory"] = options["memory"]
    if options.get("accelerator_type"):
        custom[f"accelerator_type:{options['accelerator_type']}"] = 0.001
    environment = _environment_number(options.get("runtime_env"))
    gpus = options.get("num_gpus") or 0.0
    for name, wanted in (("GPU", gpus), *custom.items()):
        if name in _WHOLE and wanted > 1 and wanted != int(wanted):
            raise ValueError(
                f"{name} resource quantity must be whole numbers. The specified quantity {wanted} is invalid."
            )
    group, bundle, capture = 0, -1, False
    strategy = _strategy_of(options)
    if strategy is not None or _native._captured_group() != 0:
        from . import placement_group

        group, bundle, capture = placement_group.place(strategy, {**options, "num_cpus": cpus}, what)
    if _native._is_patient() and group == 0:
        from . import session

        session.warn_of_infeasible(what, {"CPU": cpus, "GPU": gpus, **custom})
    return int(_native._resource_set(cpus, gpus, list(custom.items()), environment, group, bundle, capture))


def _environment_number(environment: Any) -> int:
    if not environment and not _native._is_worker() and not _native._is_attached():
        return 0
    from . import env

    return env.number(environment)


def may_change(options: dict[str, Any]) -> bool:
    """Whether what the options name is looked up again at the next call: a group may be removed, a folder edited."""
    if options.get("placement_group") is not None or hasattr(options.get("scheduling_strategy"), "placement_group"):
        return True
    environment = options.get("runtime_env")
    if not environment:
        return False
    from . import env

    return env.may_change(environment)


def _strategy_of(options: dict[str, Any]) -> Any:
    """As given, or made of the old options of a placement group; checked against this node where it is of nodes."""
    strategy = options.get("scheduling_strategy")
    group = options.get("placement_group")
    if group is not None:
        if strategy is not None:
            raise ValueError(
                "Placement groups should be specified via the scheduling_strategy option. "
                "The placement_group option is deprecated."
            )
        from .scheduling import PlacementGroupSchedulingStrategy

        index = options.get("placement_group_bundle_index")
        capture = options.get("placement_group_capture_child_tasks")
        return PlacementGroupSchedulingStrategy(group, -1 if index is None else index, capture)
    if options.get("placement_group_bundle_index") not in (None, -1):
        raise ValueError(
            f"placement_group_bundle_index={options['placement_group_bundle_index']} without a placement_group: give "
            "scheduling_strategy=PlacementGroupSchedulingStrategy(group, index)"
        )
    if options.get("label_selector") or not (strategy is None or isinstance(strategy, str)):
        from . import session

        session.check_node(strategy, options.get("label_selector"))
    return strategy
