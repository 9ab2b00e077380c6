"""Environments of workers: Ray's `runtime_env`.

    daybreak.init(runtime_env={"env_vars": {"MODE": "fast"}})                  # of all workers
    f.options(runtime_env={"uv": ["numpy==1.26.4"]}).remote()                  # of this task's worker

A task or actor with an environment of its own runs in a process that was started with it: a fresh interpreter, which other
tasks of the same environment use again, and no other task. What it submits has the same environment, changed by what is said
there. Packages (`uv`, `pip`) are made by `maker`, folders (`working_dir`, `py_modules`) are copied by `folders`.

>>> merged({"env_vars": {"A": "1", "B": "2"}}, RuntimeEnv(env_vars={"B": "3"}))
{'env_vars': {'A': '1', 'B': '3'}}
>>> RuntimeEnv(uv=["six==1.16.0", "six==1.16.0"])["uv"]
{'packages': ['six==1.16.0'], 'uv_check': False}
>>> RuntimeEnv(env_vars={"A": 1})
Traceback (most recent call last):
    ...
TypeError: runtime_env['env_vars'] must be of type Dict[str, str], got {'A': 1}
>>> RuntimeEnv(conda="base")
Traceback (most recent call last):
    ...
ValueError: runtime_env['conda'] is not supported: name its packages as uv=[...], or start the program in it
"""

from __future__ import annotations

import os
import sys

from .description import NO_EFFECT, REFUSED, VALID, RuntimeEnv, RuntimeEnvConfig, checked

TYPE_CHECKING = False  # typing costs 5 ms of what `import daybreak` may
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = [
    "NO_EFFECT",
    "REFUSED",
    "VALID",
    "RuntimeEnv",
    "RuntimeEnvConfig",
    "checked",
    "describe",
    "enter",
    "leave",
    "may_change",
    "merged",
    "number",
    "own",
    "prepare_job",
    "resolved",
    "shortened",
    "start_afresh",
]

_OWN = "DAYBREAK_ENVIRONMENT"  # in the environment of a process that starts: its description
_DESCRIBED = ("env_vars", "working_dir", "py_modules", "worker_process_setup_hook", "uv", "pip", "job")
_LONG_LIST = 2048  # bytes: longer lists of packages lie in a file, as a description has 8 KB

# ----------------------------------------------------------------------------------------------------------------------
# Of this process, and of what it submits.

_own: dict[str, Any] = {}


def own() -> dict[str, Any]:
    """The environment of this process."""
    global _own
    text = os.environ.pop(_OWN, "")
    if text:
        _own = loaded(text)
    return _own


def set_own(environment: dict[str, Any]) -> None:
    """The runtime's own, which a process has that was not started with another."""
    global _own
    _own = restored(environment)


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Fields of `above` win; variables are joined. `uv` and `pip` are one field with two names."""
    found = {**below, **above}
    for name, other in (("uv", "pip"), ("pip", "uv")):
        if name in above and other not in above:
            found.pop(other, None)
    variables = {**below.get("env_vars", {}), **above.get("env_vars", {})}
    return {**found, "env_vars": variables} if variables else found


def may_change(environment: dict[str, Any]) -> bool:
    """Whether the next submission must look again at what the environment names on the disk."""
    if "working_dir" in environment or "py_modules" in environment:
        return True
    return any(_local_files(environment, name) for name in ("uv", "pip"))


def _local_files(environment: dict[str, Any], name: str) -> dict[str, str]:
    from . import requirements

    said = environment.get(name) or {}
    options = said.get("uv_pip_install_options" if name == "uv" else "pip_install_options", ())
    return requirements.local_files(said.get("packages", ()), options)


def resolved(environment: dict[str, Any]) -> dict[str, Any]:
    """With copies in place of the user's folders, and what local files say that his packages name.

    Raises:
        ValueError: a folder cannot be copied.
        RuntimeEnvSetupError: there is no place for copies.
    """
    found = {name: environment[name] for name in _DESCRIBED if name in environment}
    excludes = environment.get("excludes") or ()
    if "working_dir" in found:
        from . import folders

        found["working_dir"] = folders.copied("working_dir", found["working_dir"], excludes, named=False)
    if "py_modules" in found:
        from . import folders

        found["py_modules"] = [folders.copied("py_modules", each, excludes, named=True) for each in found["py_modules"]]
    timeout = (environment.get("config") or {}).get("setup_timeout_seconds", 600)
    if timeout != 600:
        found["config"] = {"setup_timeout_seconds": timeout}
    return found


def describe(environment: dict[str, Any]) -> str:
    """The text that a worker's environment is known by: equal texts, the same workers."""
    import json

    found = resolved(environment)
    for name in ("uv", "pip"):
        if files := _local_files(found, name):
            found[name] = {**found[name], "files": _digest(sorted(files.items()))}
    return json.dumps(shortened(found), sort_keys=True)


def _digest(value: Any) -> str:
    import hashlib

    return hashlib.sha256(repr(value).encode()).hexdigest()[:32]


def shortened(environment: dict[str, Any]) -> dict[str, Any]:
    """Fit to be handed on: a long list of packages lies in a file, until the process that wrote it ends."""
    import json

    found = dict(environment)
    for name in ("uv", "pip"):
        text = json.dumps((found.get(name) or {}).get("packages"))
        if len(text) > _LONG_LIST:
            from . import folders

            found[name] = {**found[name], "packages": folders.kept(text)}
    return found


def restored(environment: dict[str, Any]) -> dict[str, Any]:
    """What was `shortened`, and is not to be told from another any more."""
    import json

    found = dict(environment)
    for name in ("uv", "pip"):
        if name in found:
            found[name] = {field: value for field, value in found[name].items() if field != "files"}
            if isinstance(found[name]["packages"], str):
                with open(found[name]["packages"]) as file:
                    found[name]["packages"] = json.load(file)
    return found


def loaded(text: str) -> dict[str, Any]:
    """What `describe` has written."""
    import json

    return restored(json.loads(text))


def number(environment: dict[str, Any] | None) -> int:
    """Of the environment that a task submitted here with this runtime_env has; 0: the runtime's own."""
    from ..._core import runtime as _native

    if not environment:
        return int(_native._context()["environment"])
    return int(_native._environment(describe(merged(own(), environment))))


# ----------------------------------------------------------------------------------------------------------------------
# In a process that starts.


def expanded(environment: dict[str, Any]) -> dict[str, str]:
    """Its variables, with the values of this process for "${NAME}"; "${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}" is its folder."""
    import re

    variables = environment.get("env_vars", {})

    def value(found: Any) -> str:
        folder = environment.get("working_dir") if found.group(1) == "RAY_RUNTIME_ENV_CREATE_WORKING_DIR" else None
        return str(folder or os.environ.get(found.group(1), ""))

    return {name: re.sub(r"\$\{(\w+)\}", value, text) for name, text in variables.items()}


def start_afresh(slot: int, text: str, told: dict[str, str], path: Sequence[str]) -> None:
    """In a fork of the zygote: becomes a fresh interpreter with the environment, which takes up the work as this slot. path: the
    driver's, of modules."""
    from . import start

    description = loaded(text)
    variables = expanded(description)
    path = description.get("job", {}).get("path", path)
    start.start_afresh(text, description, {**variables, **told, _OWN: text, "DAYBREAK_SLOT": str(slot)}, path)


def prepare_job(environment: dict[str, Any], command: list[str]) -> list[str]:
    """The command of the zygote whose workers all have the environment."""
    if not any(name in environment for name in ("uv", "pip", "py_modules")):
        return command
    from . import start

    return start.prepare_job(environment, command)


def leave() -> None:
    """The runtime of this process has ended: nothing that was made for it is held any more."""
    for name, end in (("start", "end_job"), ("cache", "end_session")):
        if module := sys.modules.get(f"{__name__}.{name}"):
            getattr(module, end)()


def enter() -> None:
    """Folders and modules of the own environment, then its hook; variables and packages are there already."""
    environment = own()
    for descriptor in filter(None, os.environ.pop("DAYBREAK_HELD", "").split(",")):
        os.set_inheritable(int(descriptor), False)  # of this process, and of none that a task starts
    if "job" in environment:
        _enter_job(environment["job"])
    for module in reversed(environment.get("py_modules", ())):
        if not module.endswith(".whl"):  # which is installed among the packages
            sys.path.insert(0, os.path.dirname(module))
    folder = environment.get("working_dir")
    if folder is not None:
        os.chdir(folder)
        sys.path.insert(0, folder)
    hook = environment.get("worker_process_setup_hook")
    if hook is not None:
        _call(hook)


def _enter_job(job: dict[str, Any]) -> None:
    """Of an attached driver (attaching.py): it begins in its folder; it imports from where that does since it started."""
    from .. import session

    session._enter_job(job)
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
