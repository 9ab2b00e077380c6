"""PyWren's word for the Python that calls run in."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from typing import Any

__all__ = ["get_runtime_info", "runtime_valid", "version_str"]

_VERSION = re.compile(r"(?<!\d)(\d\.\d+)(?=\.meta|$|[^\d.])")


def version_str(version_info: Any) -> str:
    """
    >>> version_str((3, 11, 2))
    '3.11'
    """
    return f"{version_info[0]}.{version_info[1]}"


def get_runtime_info(runtime_config: dict[str, Any]) -> dict[str, Any]:
    """What the workers have: `python_ver`, and `pkg_ver_list`, the installed packages with their versions.

    Raises:
        Exception: the configuration names a runtime of another Python version than this one.
    """
    meta: dict[str, Any] = {"python_ver": version_str(sys.version_info)}
    named = _VERSION.search(str(runtime_config.get("s3_key", "")))
    if named:
        meta["python_ver"] = named.group(1)
    if not runtime_valid(meta):
        raise Exception(
            f"The indicated runtime: {runtime_config} is not appropriate for this python version: it is of {meta['python_ver']}, "
            f"this is {version_str(sys.version_info)}"
        )
    there = ((each.metadata["Name"], each.version) for each in importlib.metadata.distributions())
    meta["pkg_ver_list"] = sorted([name, version] for name, version in there if name)
    return meta


def runtime_valid(runtime_meta: dict[str, Any]) -> bool:
    return bool(version_str(sys.version_info) == runtime_meta["python_ver"])
