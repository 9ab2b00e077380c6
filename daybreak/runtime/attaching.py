"""Further drivers of a running engine: `init("auto")` in another process of the same user.

    daybreak.init(namespace="shop")                      # terminal 1: the engine is this process's
    daybreak.init(address="auto", namespace="shop")      # terminal 2: submits there, finds its named actors

What an attached driver submits runs in workers of its own, which import from where it does and begin in its folder; the resources
are the engine's. With it end its tasks and actors, but for detached ones, and what its workers print is its own to print. The
engine ends with the process that started it.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from .._core import runtime as _native
from . import options as _options
from . import session as _session
from . import stacks

__all__ = ["attach", "describe_engine", "engine_of", "identity", "named_elsewhere"]

_ABOUT = "about"  # a file beside the engine's sockets: what drivers know of it that is not in its memory
_FIXED = (
    "num_cpus",
    "num_gpus",
    "resources",
    "object_store_memory",
    "labels",
    "object_spilling_directory",
    "object_spilling_threshold",
    "_memory",
    "_system_config",
)


def identity() -> str:
    """Which program this is: what crosses between drivers and workers is of one Daybreak and one Python."""
    from .. import __version__

    return f"Daybreak {__version__} on Python {sys.version_info.major}.{sys.version_info.minor}"


def describe_engine(labels: dict[str, str], visible: list[str]) -> None:
    """In the process that has started it."""
    path = _native._door()[0]
    if path is not None:
        import json

        with open(os.path.join(path, _ABOUT), "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            json.dump({"labels": labels, "visible": visible}, file)


def _engine_is(path: str) -> dict[str, Any]:
    import json

    try:
        with open(os.path.join(path, _ABOUT)) as file:
            return dict(json.load(file))
    except (OSError, ValueError):  # it has just begun, or ends: attaching says more
        return {"labels": {}, "visible": []}


def engine_of(address: str) -> str | None:
    """The door of the engine of this user that `address` names: "auto" (the newest), a process, a session or the path of its door.
    None: it names none, and is for others to understand."""
    if os.sep in address and "://" not in address:
        return os.path.abspath(os.path.expanduser(address))
    running = [engine for engine in _native._engines() if engine["pid"] != os.getpid()]
    if address != "auto":
        found = [engine["path"] for engine in running if address in (str(engine["pid"]), engine["session"])]
        return found[0] if found else None
    if not running or os.environ.get("RAY_ADDRESS"):
        return None
    newest = max(running, key=lambda engine: _begun_ns(engine["path"]))
    if len(running) > 1:
        others = ", ".join(str(engine["pid"]) for engine in running if engine is not newest)
        print(
            f"daybreak: address='auto': {len(running)} engines run here; this is the newest, of process {newest['pid']}. "
            f"The others: {others}; address='PID' names one",
            file=sys.stderr,
        )
    return str(newest["path"])


def _begun_ns(path: str) -> int:
    try:
        return os.stat(os.path.join(path, "lock")).st_mtime_ns
    except OSError:  # it has ended meanwhile
        return 0


def attach(path: str, namespace: str | None, runtime_env: dict[str, Any], given: dict[str, Any]) -> None:
    """This process becomes a driver of the engine behind `path`. given: the other arguments of init.

    Raises:
        ConnectionError: no engine runs there, or it has no room for one more process.
        ValueError: an argument that only who starts an engine can give; or it is another version's.
    """
    fixed = [name for name in _FIXED if given.get(name) is not None]
    if fixed:
        raise ValueError(
            f"{fixed[0]}={given[fixed[0]]!r}: When connecting to an existing cluster, num_cpus and num_gpus must not be provided, "
            "nor what else is the engine's to say; leave it out"
        )
    job_config = given.get("job_config")
    namespace = getattr(job_config, "ray_namespace", None) if namespace is None else namespace
    if namespace is not None:
        namespace = _options._namespace("namespace", namespace)
    lifetime = getattr(job_config, "default_actor_lifetime", "non_detached")
    _session._retired.clear()
    _native._attach_driver(path, identity(), bool(given["log_to_driver"]))
    try:
        about = _engine_is(path)
        told = {"namespace": namespace or _anonymous(), "lifetime": lifetime}
        job = {**told, "path": _import_path(), "cwd": os.getcwd()}
        environment = {**runtime_env, "job": job}
        _session._enter_session({**about, **told, "environment": environment})
        from . import env

        _native._set_job(env.describe(environment))
        _session._load_pickling()
        stacks.offer()
    except BaseException:
        _native._shutdown()
        raise


def _import_path() -> list[str]:
    """From where this process imports; "" is the folder that it is in now."""
    return [os.path.abspath(entry) for entry in sys.path]


def _anonymous() -> str:
    """A namespace in which there is nobody yet."""
    slot = int(_native._context()["worker"][-8:], 16)
    taken = {_session.namespace_of(row["full_name"]) for row in _native._view(None).actors()}
    name, turn = f"anonymous-{slot}", 0
    while name in taken:
        turn += 1
        name = f"anonymous-{slot}-{turn}"
    return name


def named_elsewhere(name: str) -> list[str]:
    """The namespaces in which an actor of this name lives."""
    living = (row["full_name"] for row in _native._view(None).actors() if row["state"] != "DEAD")
    found = {_session.namespace_of(full) for full in living if full.partition("/")[2] == name}
    return sorted(found - {_session._namespace})
