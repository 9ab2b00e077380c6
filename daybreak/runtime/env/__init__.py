"""Environments of workers: Ray's `runtime_env`.

    daybreak.init(runtime_env={"env_vars": {"MODE": "fast"}})                  # of all workers
    f.options(runtime_env={"env_vars": {"MODE": "slow"}}).remote()             # of this task's worker

A task or actor with an environment of its own runs in a process that was started with it: a fresh interpreter, which other
tasks of the same environment use again, and no other task. What it submits has the same environment, changed by what is said
there.

>>> merged({"env_vars": {"A": "1", "B": "2"}}, RuntimeEnv(env_vars={"B": "3"}))
{'env_vars': {'A': '1', 'B': '3'}}
>>> RuntimeEnv(env_vars={"A": 1})
Traceback (most recent call last):
    ...
TypeError: runtime_env['env_vars'] must be of type Dict[str, str], got {'A': 1}
>>> RuntimeEnv(conda="base")
Traceback (most recent call last):
    ...
ValueError: runtime_env['conda'] is not supported: start the program in an environment that has what it needs
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing costs 5 ms of what `import daybreak` may
if TYPE_CHECKING:
    from typing import Any

    _Dict = dict[str, Any]
else:
    _Dict = dict

__all__ = ["RuntimeEnv", "RuntimeEnvConfig", "checked", "describe", "enter", "merged", "number", "own", "start_afresh"]

_OWN = "DAYBREAK_ENVIRONMENT"  # in the environment of a process that starts: its description
_PROGRAM = "start the program in an environment that has what it needs"
_REFUSED = {
    "pip": _PROGRAM,
    "uv": _PROGRAM,
    "conda": _PROGRAM,
    "container": "start the program in the container",
    "image_uri": "start the program in the container",
    "java_jars": "there is no Java here",
    "java_jvm_options": "there is no Java here",
    "mpi": "start the ranks as actors",
    "nsight": "start the program below the profiler",
    "_nsight": "start the program below the profiler",
    "rocprof_sys": "start the program below the profiler",
}
_NO_EFFECT = ("config", "excludes", "_ray_release", "_ray_commit", "_inject_current_ray")
_VALID = ("env_vars", "working_dir", "py_modules", "worker_process_setup_hook")


class RuntimeEnvConfig(_Dict):
    """Ray's: how an environment is set up. Nothing is downloaded here: it has no effect."""

    def __init__(self, setup_timeout_seconds: int = 600, eager_install: bool = True) -> None:
        if not isinstance(setup_timeout_seconds, int):
            raise TypeError(f"setup_timeout_seconds must be of type int, got: {type(setup_timeout_seconds)}")
        if setup_timeout_seconds <= 0 and setup_timeout_seconds != -1:
            raise ValueError(
                f"setup_timeout_seconds must be greater than zero or equals to -1, got: {setup_timeout_seconds}"
            )
        if not isinstance(eager_install, bool):
            raise TypeError(f"eager_install must be a boolean. got {type(eager_install)}")
        super().__init__(setup_timeout_seconds=setup_timeout_seconds, eager_install=eager_install)


class RuntimeEnv(_Dict):
    """A description of an environment, each field looked at.

    env_vars: texts by name; "${NAME}" in one stands for the variable's value before. working_dir: a folder, in which workers
    start and from which they import; it is used where it lies, not copied. py_modules: folders of packages, files of modules, or
    modules, which workers can import. worker_process_setup_hook: a function without arguments, or its name "module.function",
    that each worker calls first. config, excludes: taken, without an effect, as nothing is copied.
    """

    def __init__(self, **fields: Any) -> None:
        super().__init__()
        for name, value in fields.items():
            if value is None:
                continue
            if name in _REFUSED:
                raise ValueError(f"runtime_env[{name!r}] is not supported: {_REFUSED[name]}")
            if name in _NO_EFFECT:
                self[name] = value
            elif name in _VALID:
                self[name] = _CHECKS[name](value)
            else:
                raise ValueError(f"runtime_env[{name!r}] is not supported; valid are {', '.join(_VALID)}")

    def to_dict(self) -> dict[str, Any]:
        return dict(self)

    def serialize(self) -> str:
        import json

        return json.dumps(self, sort_keys=True)

    @classmethod
    def deserialize(cls, text: str) -> RuntimeEnv:
        import json

        return cls(**json.loads(text))

    def env_vars(self) -> dict[str, str]:
        return dict(self.get("env_vars", {}))

    def working_dir(self) -> str | None:
        found: str | None = self.get("working_dir")
        return found

    def py_modules(self) -> list[str]:
        return list(self.get("py_modules", ()))

    def __reduce__(self) -> Any:
        return _remade, (dict(self),)


def _remade(fields: dict[str, Any]) -> RuntimeEnv:
    made = RuntimeEnv()
    made.update(fields)
    return made


# ----------------------------------------------------------------------------------------------------------------------
# Fields.


def _env_vars(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise TypeError(f"runtime_env['env_vars'] must be of type Dict[str, str], got {value!r}")
    for name, text in value.items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise TypeError(f"runtime_env['env_vars'] must be of type Dict[str, str], got {value!r}")
        if not name or "=" in name or "\0" in name or "\0" in text:
            raise ValueError(f"runtime_env['env_vars'][{name!r}]={text!r}: no variable can have this name or value")
    return dict(value)


def _path(field: str, value: Any) -> str:
    path: str = os.fspath(value)
    for here in ("file://localhost/", "file:///"):  # such an address is as good as the path
        if path.startswith(here):
            path = f"/{path.removeprefix(here)}"
    if "://" in path:
        raise ValueError(
            f"runtime_env[{field!r}]={path!r}: only folders and files of this machine are possible, copy it here"
        )
    path = os.path.abspath(os.path.expanduser(path))
    if not os.path.exists(path):
        raise ValueError(f"runtime_env[{field!r}]: {path} does not exist")
    return path


def _working_dir(value: Any) -> str:
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"`working_dir` must be a string (either a local path or remote URI), got {type(value)}.")
    path = _path("working_dir", value)
    if not os.path.isdir(path):
        raise ValueError(f"runtime_env['working_dir']={path!r}: it must be a folder; unpack an archive")
    return path


def _py_modules(value: Any) -> list[str]:
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"`py_modules` must be a list of strings, local paths, or imported modules, got {type(value)}.")
    found = []
    for module in value:
        if not isinstance(module, (str, os.PathLike)):
            file = getattr(module, "__file__", None)
            paths = list(getattr(module, "__path__", ())) or ([file] if file else [])
            if not paths:
                raise TypeError(
                    f"`py_modules` must be a list of strings, local paths, or imported modules, got {module!r}."
                )
            module = paths[0]
        found.append(_path("py_modules", module))
    return found


def _hook(value: Any) -> str:
    if callable(value):
        import base64

        from .. import serialization

        return "pickled:" + base64.b85encode(serialization.dumps_alone(value)).decode()
    if not isinstance(value, str) or not value:
        raise TypeError(
            f"worker_process_setup_hook={value!r}: it must be a function without arguments or its name 'module.function'"
        )
    return value


_CHECKS = {
    "env_vars": _env_vars,
    "working_dir": _working_dir,
    "py_modules": _py_modules,
    "worker_process_setup_hook": _hook,
}


def checked(name: str, value: Any) -> RuntimeEnv:
    """The option `runtime_env`."""
    if isinstance(value, RuntimeEnv):
        return value
    if not isinstance(value, dict):
        raise TypeError(f"{name}={value!r}: runtime_env must be a dict or a RuntimeEnv, not {type(value).__name__}")
    return RuntimeEnv(**value)


# ----------------------------------------------------------------------------------------------------------------------
# Of this process, and of what it submits.

_own: dict[str, Any] = {}


def own() -> dict[str, Any]:
    """The environment of this process."""
    global _own
    text = os.environ.pop(_OWN, "")
    if text:
        import json

        _own = json.loads(text)
    return _own


def set_own(environment: dict[str, Any]) -> None:
    """The runtime's own, which a process has that was not started with another."""
    global _own
    _own = dict(environment)


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Fields of `above` win; variables are joined."""
    found = {**below, **above}
    variables = {**below.get("env_vars", {}), **above.get("env_vars", {})}
    return {**found, "env_vars": variables} if variables else found


def describe(environment: dict[str, Any]) -> str:
    import json

    return json.dumps({name: environment[name] for name in (*_VALID, "job") if name in environment}, sort_keys=True)


def number(environment: dict[str, Any] | None) -> int:
    """Of the environment that a task submitted here with this runtime_env has; 0: the runtime's own."""
    from ..._core import runtime as _native

    if not environment:
        return int(_native._context()["environment"])
    return int(_native._environment(describe(merged(own(), environment))))


# ----------------------------------------------------------------------------------------------------------------------
# In a process that starts.


def expanded(variables: dict[str, str]) -> dict[str, str]:
    """With the values of this process for "${NAME}"."""
    import re

    def value(found: Any) -> str:
        return os.environ.get(found.group(1), "")

    return {name: re.sub(r"\$\{(\w+)\}", value, text) for name, text in variables.items()}


def start_afresh(slot: int, text: str, told: dict[str, str]) -> None:
    """In a fork of the zygote: becomes a fresh interpreter with the environment, which takes up the work as this slot."""
    import json

    variables = expanded(json.loads(text).get("env_vars", {}))
    os.environ.update({**variables, **told, _OWN: text, "DAYBREAK_SLOT": str(slot)})
    for descriptor in (3, 4):  # kZygoteControlFd, kZygoteDataFd
        os.set_inheritable(descriptor, True)
    os.execv(sys.executable, sys.orig_argv)


def enter() -> None:
    """Folders and modules of the own environment, then its hook; variables are there already."""
    environment = own()
    if "job" in environment:
        _enter_job(environment["job"])
    for module in reversed(environment.get("py_modules", ())):
        sys.path.insert(0, os.path.dirname(module))
    folder = environment.get("working_dir")
    if folder is not None:
        os.chdir(folder)
        sys.path.insert(0, folder)
    hook = environment.get("worker_process_setup_hook")
    if hook is not None:
        _call(hook)


def _enter_job(job: dict[str, Any]) -> None:
    """Of an attached driver (attaching.py): it imports from where that does, and begins in its folder."""
    from .. import session

    session._enter_job(job)
    sys.path[:] = job["path"]
    try:
        os.chdir(job["cwd"])
    except OSError as error:
        print(
            f"daybreak: the worker begins in {os.getcwd()}, the driver's folder cannot be entered: {error}",
            file=sys.stderr,
        )


def _call(hook: str) -> None:
    if hook.startswith("pickled:"):
        import base64
        import pickle

        pickle.loads(base64.b85decode(hook.removeprefix("pickled:")))()
        return
    import importlib

    module, _, function = hook.rpartition(".")
    getattr(importlib.import_module(module), function)()
