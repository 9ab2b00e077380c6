"""A process becomes one of an environment: its packages are made, or found, and it is a fresh interpreter with them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from ..._core import runtime as _native
from .. import exceptions
from . import cache, maker

__all__ = ["BELOW", "HELD", "code", "end_job", "prepare_job", "start_afresh"]

BELOW = "DAYBREAK_BELOW"  # the socket of a process that becomes the zygote of its environment
HELD = "DAYBREAK_HELD"  # in the environment of a process that starts: descriptors of locks, which it keeps
_CREATED = "RAY_RUNTIME_ENV_CREATE_WORKING_DIR"  # Ray's: the workers' folder, while their packages are made
_job: maker.Environment | None = None  # of all workers of this process's runtime


def code(path: Sequence[str], made: maker.Environment | None) -> str:
    """The program of a worker: the driver's module path, then the runtime's loop.

    The packages of an environment come before what PYTHONPATH names, that before those of the driver's interpreter; the standard
    library comes before them all, and what the program itself put in front (its own folder) stays there.
    """
    given = list(path)
    variable = os.environ.get("PYTHONPATH", "")
    named = [os.path.abspath(each) for each in variable.split(os.pathsep)] if variable else []
    library = os.path.dirname(os.__file__)
    zipped = os.path.join(os.path.dirname(library), f"python{sys.version_info[0]}{sys.version_info[1]}.zip")
    standard = [each for each in given if each in (library, zipped, os.path.join(library, "lib-dynload"))]
    below = maker.folders_below()
    first = next((at for at, each in enumerate(given) if each in (*named, *standard, *below)), len(given))
    own = f"[each for each in sys.path if each and each not in path and each not in {named!r}]" if made else "[]"
    if made is None and all(each in given for each in named):
        places = "path"
    else:
        places = f"dict.fromkeys([*path[:{first}], *{standard!r}, *{own}, *{named!r}, *path])"
    return (
        f"import gc, sys; gc.disable(); path = {given!r}; sys.path[:] = {places}; "
        "from daybreak.runtime.worker import main; main(path)"
    )


def made_for(description: dict[str, Any]) -> maker.Environment | None:
    """The packages of a described environment; None: it has none of its own.

    Raises:
        RuntimeEnvSetupError: they cannot be made.
    """
    field = next((name for name in ("uv", "pip") if description.get(name)), None)
    wheels = tuple(path for path in description.get("py_modules", ()) if path.endswith(".whl"))
    if field is None and not wheels:
        return None
    field = field or "uv"
    said = description.get(field) or {}
    spec = maker.Spec(
        tuple(said.get("packages", ())),
        field,
        tuple(said.get("uv_pip_install_options" if field == "uv" else "pip_install_options", ())),
        bool(said.get(f"{field}_check")),
        said.get(f"{field}_version", ""),
        wheels,
    )
    timeout_s = description.get("config", {}).get("setup_timeout_seconds", 600)
    before = os.environ.get(_CREATED)
    if "working_dir" in description:
        os.environ[_CREATED] = description["working_dir"]
    try:
        return maker.make(spec, timeout_s)
    finally:
        os.environ.pop(_CREATED, None)
        if before is not None:
            os.environ[_CREATED] = before


def start_afresh(text: str, description: dict[str, Any], variables: dict[str, str], path: Sequence[str]) -> None:
    """In a fork of the zygote: becomes a fresh interpreter with the environment. What cannot be set up is said, and ends it."""
    os.environ.update(variables)
    try:
        copies = [description.get("working_dir"), *description.get("py_modules", ())]
        held = [cache.share(path) for path in copies if path is not None]
        made = made_for(description)
    except exceptions.RuntimeEnvSetupError as error:
        os.write(2, f"{error}\n".encode(errors="backslashreplace"))
        os._exit(1)
    python = sys.executable
    if made is not None:
        held.append(made.lock)
        python = made.python
        os.environ.update(made.variables())
        os.environ.pop("PYTHONHOME", None)
    os.environ[HELD] = ",".join(map(str, held))
    below = _native._below_socket()
    if (
        below >= 0 and "worker_process_setup_hook" not in description
    ):  # each worker calls it: no two can be forks of one
        os.environ[BELOW] = str(below)
        held.append(below)
    for descriptor in (3, 4, *held):  # kZygoteControlFd, kZygoteDataFd
        os.set_inheritable(descriptor, True)
    os.execv(python, [python, *sys.orig_argv[1:-1], code(path, made)])


def prepare_job(description: dict[str, Any], command: list[str]) -> list[str]:
    """The command of the zygote whose workers all have the environment. This process holds it until `end_job`, and has its
    variables from here on, until somebody sets them back."""
    global _job
    end_job()
    _job = made_for(description)
    if _job is None:
        return command
    os.environ.update(_job.variables())
    return [_job.python, *command[1:-1], code(list(sys.path), _job)]


def end_job() -> None:
    global _job
    if _job is not None:
        _job.close()
        _job = None
