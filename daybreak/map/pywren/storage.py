"""The names under which PyWren keeps what belongs to a call. Ours keeps nothing there: results go from the workers to who waits."""

from __future__ import annotations

from typing import Any

from .runtime import get_runtime_info

__all__ = ["Storage", "create_agg_data_key", "create_func_key", "create_keys", "get_runtime_info", "get_storage_path"]


def create_func_key(prefix: str, callset_id: str) -> str:
    """
    >>> create_func_key("pywren.jobs", "set")
    'pywren.jobs/set/func.pickle'
    """
    return f"{prefix}/{callset_id}/func.pickle"


def create_agg_data_key(prefix: str, callset_id: str) -> str:
    return f"{prefix}/{callset_id}/aggdata.pickle"


def create_keys(prefix: str, callset_id: str, call_id: str) -> tuple[str, str, str, str]:
    """Of a call: data, output, status, cancel."""
    names = ("data.pickle", "output.pickle", "status.json", "cancel")
    data, output, status, cancel = (f"{prefix}/{callset_id}/{call_id}/{name}" for name in names)
    return data, output, status, cancel


def get_storage_path(config: dict[str, Any]) -> list[Any]:
    """Back end, bucket and prefix."""
    backend = config.get("backend_config", {})
    return [config["storage_backend"], backend.get("bucket"), config["storage_prefix"]]


class Storage:
    """The configuration, for who asks the executor's."""

    def __init__(self, storage_config: dict[str, Any]) -> None:
        self.storage_config = storage_config
        self.prefix = storage_config["storage_prefix"]

    def get_storage_config(self) -> dict[str, Any]:
        return self.storage_config
