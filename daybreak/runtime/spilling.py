"""What init() is told of spilling: where objects go that do not fit into the store, and from when on."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT_THRESHOLD = 0.8
_FOLDERS = ("TMPDIR", "TEMP", "TMP")  # variables, as `tempfile` takes them


def settings(
    directory: str | os.PathLike[str] | None, threshold: float | None, system_config: dict[str, Any] | None
) -> tuple[str, bool, float]:
    """The folder ("": nothing is spilled), whether it must be usable, and the part of the store from which on.

    Ray's older `_system_config` has the same under three names: automatic_object_spilling_enabled, object_spilling_threshold,
    and object_spilling_config, which is JSON. What is given as an argument of init() goes before it.

    Example:
        >>> settings("/var/tmp", 0.5, None)
        ('/var/tmp', True, 0.5)
        >>> settings(None, None, {"automatic_object_spilling_enabled": False})
        ('', False, 0.8)
    """
    config = system_config or {}
    if not config.get("automatic_object_spilling_enabled", True):
        if directory is not None:
            raise ValueError(
                f"object_spilling_directory={directory!r} with automatic_object_spilling_enabled=False: leave one of them out"
            )
        return "", False, DEFAULT_THRESHOLD
    if threshold is None:
        threshold = config.get("object_spilling_threshold", DEFAULT_THRESHOLD)
    if directory is None and config.get("object_spilling_config"):
        directory = _folder_of(config["object_spilling_config"])
    found = _checked_threshold(threshold)
    if directory is None:
        return _default_folder(), False, found
    return _checked_folder(directory), True, found


def for_ray(directory: str | os.PathLike[str] | None, threshold: float | None) -> dict[str, Any]:
    """The same for the init of a Ray cluster, which has its own name for the threshold."""
    if threshold is not None:
        raise ValueError(
            f"object_spilling_threshold={threshold!r}: with the engine 'ray' it is a part of _system_config, "
            f"{{'object_spilling_threshold': {threshold!r}}}, where the cluster is started"
        )
    return {"object_spilling_directory": None if directory is None else _checked_folder(directory)}


def _checked_threshold(threshold: Any) -> float:
    from . import options

    found = options.number(threshold)
    if found is None or not 0 < found <= 1:
        raise ValueError(
            f"object_spilling_threshold={threshold!r}: it must be more than 0 and at most 1, the whole store"
        )
    return float(found)


def _checked_folder(directory: Any) -> str:
    try:
        path = os.fspath(directory)
    except TypeError:
        path = None
    if not isinstance(path, str) or not path:
        raise ValueError(
            f"object_spilling_directory={directory!r}: a folder's path is expected, or None for the temporary one"
        )
    path = os.path.abspath(path)
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise ValueError(f"object_spilling_directory={directory!r} cannot be made: {error}") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ValueError(f"object_spilling_directory={directory!r}: this user may not write there, choose another")
    return path


def _default_folder() -> str:
    """The temporary folder, or "" where there is none to write to; not by `tempfile`, whose import takes too long."""
    named = [os.environ[name] for name in _FOLDERS if os.environ.get(name)]
    for path in (*named, "/tmp", "/var/tmp"):
        if os.path.isdir(path) and os.access(path, os.W_OK | os.X_OK):
            return os.path.abspath(path)
    return ""


def _folder_of(config: Any) -> str:
    import json

    try:
        parsed = json.loads(config) if isinstance(config, str) else config
        kind, path = parsed["type"], parsed.get("params", {})["directory_path"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"object_spilling_config={config!r}: expected is "
            '{"type": "filesystem", "params": {"directory_path": "/some/folder"}}'
        ) from error
    if kind != "filesystem":
        raise ValueError(
            f"object_spilling_config={config!r}: objects are spilled to a 'filesystem' only, not to {kind!r}"
        )
    if isinstance(path, list) and len(path) == 1:
        path = path[0]
    if not isinstance(path, str):
        raise ValueError(f"object_spilling_config={config!r}: one directory_path is possible, {path!r} was given")
    return path
