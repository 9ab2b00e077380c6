"""What Lithops asks of each back end's module `config`: to fill in what the user's configuration leaves open."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from daybreak.base import numbers
from daybreak.base.errors import InvalidArgumentError
from daybreak.base.options import close

__all__ = ["DEFAULTS", "of_compute", "of_monitoring", "of_storage"]

NAME = "daybreak"

# max_workers, worker_processes: calls at the same time are at most their product, and as many as the runtime has CPUs for.
# runtime_memory: MiB that a call needs; 0: not looked at. num_cpus, address: of `daybreak.init`, if nothing runs yet.
DEFAULTS: dict[str, Any] = {
    "runtime": "python3",
    "runtime_memory": 0,
    "runtime_timeout": 1800,
    "max_workers": 1000,
    "worker_processes": 1,
}
_OTHERS = ("num_cpus", "address", "user_agent", "runtime_include_function", "storage_bucket")
_RANGES = {
    "runtime_memory": (0, 1 << 30),
    "runtime_timeout": (1, 1 << 31),
    "max_workers": (1, 1 << 20),
    "worker_processes": (1, 1 << 16),
    "num_cpus": (1, 4096),
}


def _load_compute(config_data: dict[str, Any]) -> None:
    section = config_data.get(NAME) or {}
    for key in section:
        if key not in DEFAULTS and key not in _OTHERS:
            hint = ", ".join(close(key, DEFAULTS)) or "known are " + ", ".join([*DEFAULTS, "num_cpus", "address"])
            raise InvalidArgumentError(f"Lithops' configuration: {NAME}.{key} is no option of this back end: {hint}")
    filled = {**DEFAULTS, **{key: value for key, value in section.items() if value is not None}}
    for key, (low, high) in _RANGES.items():
        if key in filled:
            filled[key] = numbers.integer(filled[key], f"{NAME}.{key}", minimum=low, maximum=high)
    if filled.get("runtime_include_function"):
        raise InvalidArgumentError(
            f"{NAME}.runtime_include_function: there is no image that a function could be put into; leave it out"
        )
    config_data[NAME] = filled
    common = config_data["lithops"]
    if common.get("storage") in (None, "localhost"):  # the same files, and Lithops refuses its own name for them here
        common["storage"] = NAME
    if not common.get("monitoring"):
        common["monitoring"] = NAME


def _load_storage(config_data: dict[str, Any]) -> None:
    section = config_data.get(NAME) or {}
    section.setdefault("storage_bucket", "storage")
    config_data[NAME] = section
    config_data["lithops"].setdefault("monitoring_interval", 0.1)


def _load_monitoring(config_data: dict[str, Any]) -> None:
    config_data.setdefault(NAME, {})


def _module(name: str, load_config: Any) -> ModuleType:
    made = ModuleType(name)
    made.load_config = load_config  # type: ignore[attr-defined]
    return made


of_compute = _module("of_compute", _load_compute)
of_storage = _module("of_storage", _load_storage)
of_monitoring = _module("of_monitoring", _load_monitoring)
