"""The maker of environments: a list of packages becomes a virtual environment, made once and kept in the cache.

    from daybreak.runtime.env import maker

    made = maker.make(maker.Spec(("six==1.16.0",)))     # by uv; the second time it is there
    subprocess.run([made.python, "-c", "import six"])
    made.close()                                         # until then nobody sweeps it

In it the packages of the interpreter that made it can be imported, too; its own go before them. Packages that are there already
count as installed: what fits is not installed again. It needs no runtime.

It is known by what goes into it: the lines, the contents of local files that they name, the options, the variables of uv and
pip that choose packages, the interpreter and what that has installed. What an index says is looked at only when it is made.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import exceptions
from . import cache, requirements

__all__ = ["Environment", "Spec", "find_uv", "folders_below", "make"]

_FORMAT = 1  # of an environment; another number: those that are there are made anew
# Variables that choose what is installed, beside those that say how it is fetched.
_CHOOSING = (
    "INDEX INDEX_URL DEFAULT_INDEX EXTRA_INDEX_URL FIND_LINKS NO_INDEX CONSTRAINT OVERRIDE EXCLUDE EXCLUDE_NEWER PRERELEASE PRE "
    "RESOLUTION INDEX_STRATEGY TORCH_BACKEND NO_BINARY ONLY_BINARY NO_BUILD NO_BUILD_PACKAGE NO_BINARY_PACKAGE NO_DEPS NO_SOURCES"
).split()
# pip's variables that uv does not read, by the name that it has for them.
_OF_PIP = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_FIND_LINKS": "UV_FIND_LINKS",
    "PIP_CONSTRAINT": "UV_CONSTRAINT",
    "PIP_TRUSTED_HOST": "UV_INSECURE_HOST",
    "PIP_CERT": "SSL_CERT_FILE",
}
# Those that are options for it: without a value, and with the variable's.
_FLAGS_OF_PIP = {
    "PIP_NO_INDEX": ("--no-index",),
    "PIP_NO_DEPS": ("--no-deps",),
    "PIP_PRE": ("--prerelease", "allow"),
    "PIP_REQUIRE_HASHES": ("--require-hashes",),
}
_VALUES_OF_PIP = {"PIP_NO_BINARY": "--no-binary", "PIP_ONLY_BINARY": "--only-binary"}
_MISLEADING = (
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "PYTHONHOME",
    "PYTHONPATH",
    "PIP_USER",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_PYTHON",
)
_COMMAS = ("UV_FIND_LINKS",)  # lists that uv separates so
_BELOW = "daybreak-below"  # a file in the records of packages that lie in the interpreter below
_PTH = "_daybreak_below.pth"


@dataclass(frozen=True)
class Spec:
    """What an environment is to have."""

    packages: tuple[str, ...]  # requirements, or lines of a requirement file
    tool: str = "uv"  # or "pip": whose words `options` and `version` are; uv installs for both where it can
    options: tuple[str, ...] = ()  # of `uv pip install`, or `pip install`
    check: bool = False  # whether what is installed must fit together
    version: str = ""  # of the tool: "==0.9.2"
    wheels: tuple[str, ...] = ()  # paths of local ones, installed with the packages

    @property
    def what(self) -> str:
        """For a person."""
        lines = [*self.packages, *map(os.path.basename, self.wheels)]
        shown = [
            line.split("://", 1)[0] + "://..." if "://" in line else line.split(" --hash", 1)[0] for line in lines[:4]
        ]
        return ", ".join(shown) + (f" and {len(lines) - 4} more" if len(lines) > 4 else "")


@dataclass
class Environment:
    """One that is there. While `lock` is open it is not removed; a process that inherits the descriptor holds it, too."""

    path: str
    python: str
    lock: int

    def variables(self) -> dict[str, str]:
        """Of a process in it, as its `activate` sets them."""
        return {"VIRTUAL_ENV": self.path, "PATH": f"{self.path}/bin{os.pathsep}{os.environ.get('PATH', os.defpath)}"}

    def close(self) -> None:
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1


@dataclass(frozen=True)
class _Below:
    """The interpreter that the program was started with, also in a process of an environment."""

    executable: str
    prefix: str
    folders: tuple[str, ...]  # of its packages


def make(spec: Spec, timeout_s: float = 600) -> Environment:
    """The environment, which is made if it is not there: once, when several processes ask at the same time.

    timeout_s: for all, waiting for another process that makes it included; -1: none.

    Raises:
        RuntimeEnvSetupError: it cannot be made: the text has what uv said. Or time is over.
    """
    deadline = None if timeout_s == -1 else time.monotonic() + timeout_s
    below = _below()
    folder = os.path.join(cache.root(), "environments", _key(spec, below))

    def fill(lock: int) -> dict[str, Any]:
        _fill(spec, below, folder, lock, deadline, timeout_s)
        return {"what": spec.what, "tool": spec.tool, "below": [below.executable, below.prefix, list(below.folders)]}

    fresh = cache.ready(folder) is None
    try:
        lock = cache.entry(folder, fill, deadline)
    except TimeoutError:
        raise _too_slow(spec, timeout_s) from None
    except OSError as error:
        raise exceptions.RuntimeEnvSetupError(f"runtime_env[{spec.tool!r}]: {folder} cannot be made: {error}") from None
    if fresh:
        cache.sweep(keep=folder)
    return Environment(folder, os.path.join(folder, "bin", "python"), lock)


def find_uv() -> str | None:
    """uv's program: the package `uv` of this interpreter, else that of the PATH."""
    import shutil

    below = _below()
    for folder in (
        os.path.dirname(below.executable),
        *(os.path.join(each, "bin") for each in (below.prefix, sys.base_prefix)),
    ):
        path = os.path.join(folder, "uv")
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    return shutil.which("uv")


def folders_below() -> tuple[str, ...]:
    """Where the packages of the interpreter lie that the program was started with."""
    return _below().folders


def _below() -> _Below:
    said = cache.ready(sys.prefix)
    if said is not None and "below" in said:  # this process is in an environment of ours
        executable, prefix, folders = said["below"]
        return _Below(executable, prefix, tuple(folders))
    import site

    folders = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
    return _Below(sys.executable, sys.prefix, tuple(each for each in folders if os.path.isdir(each)))


def _key(spec: Spec, below: _Below) -> str:
    """Of what goes into the environment."""
    lines = [*spec.packages, *spec.options]
    named = requirements.expanded_names(lines)
    variables = {name: _value(name) for name in sorted(named)}
    for tool in ("UV", "PIP"):
        variables |= {name: os.environ[name] for each in _CHOOSING if (name := f"{tool}_{each}") in os.environ}
    installed = sorted(
        name for folder in below.folders for name in os.listdir(folder) if name.endswith((".dist-info", ".egg-info"))
    )
    said = [
        _FORMAT,
        [spec.packages, spec.tool, spec.options, spec.check, spec.version],
        sorted(requirements.local_files(spec.packages, spec.options).items()),
        [[os.path.basename(path), _digest(path)] for path in spec.wheels],
        sorted(variables.items()),
        [sys.version, os.uname().machine, below.executable, below.prefix, below.folders, installed],
    ]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]


def _value(name: str) -> str:
    """Of a variable that a line names. The workers' folder is another one in each session: its name there says what is in it."""
    value = os.environ.get(name, "")
    return os.path.basename(value.rstrip("/")) if name == "RAY_RUNTIME_ENV_CREATE_WORKING_DIR" else value


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ----------------------------------------------------------------------------------------------------------------------
# Making.


def _fill(spec: Spec, below: _Below, folder: str, lock: int, deadline: float | None, timeout_s: float) -> None:
    import venv

    print(f"daybreak: makes an environment with {spec.what}", file=sys.stderr, flush=True)
    run = _Runner(spec, folder, lock, deadline, timeout_s)
    venv.EnvBuilder(symlinks=True).create(folder)
    packages = _packages_of(folder)
    _note_what_is_below(below, packages)
    lines = os.path.join(folder, "requirements.txt")
    with open(lines, "w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in (*spec.packages, *map(requirements.as_written, spec.wheels)))
    python = os.path.join(folder, "bin", "python")
    install, check = _commands(spec, below, python, deadline)
    run([*install, "-r", lines, *spec.options])
    if spec.check:
        run(check)
    for name in os.listdir(packages):
        record = os.path.join(packages, name)
        if os.path.isfile(os.path.join(record, _BELOW)):
            _remove_record(record)
        elif name == "daybreak" or name.lower().startswith("daybreak-") and name.endswith(".dist-info"):
            raise exceptions.RuntimeEnvSetupError(
                f"runtime_env[{spec.tool!r}]: the packages bring another daybreak ({name}); workers have that of the program: "
                "leave it out"
            )
    with open(os.path.join(packages, _PTH), "w") as file:
        for each in below.folders:
            file.write(f"import site; site.addsitedir({each!r})\n")


def _packages_of(folder: str) -> str:
    return os.path.join(folder, "lib", f"python{sys.version_info[0]}.{sys.version_info[1]}", "site-packages")


def _note_what_is_below(below: _Below, packages: str) -> None:
    """Records of the packages of the interpreter below, so that the installer counts them as installed. One that must be replaced
    is removed by it, as far as these few files go; the others are removed afterwards. The packages stay where they are."""
    import shutil

    seen = set()
    for folder in below.folders:
        for name in os.listdir(folder):
            source = os.path.join(folder, name)
            if not name.endswith(".dist-info") or not os.path.isfile(os.path.join(source, "METADATA")):
                continue
            project = name.split("-")[0].lower().replace(".", "_")
            if project in seen:  # in a folder before this one: that is imported
                continue
            seen.add(project)
            target = os.path.join(packages, name)
            os.makedirs(target, exist_ok=True)
            files = [
                each for each in ("METADATA", "WHEEL", "direct_url.json") if os.path.isfile(os.path.join(source, each))
            ]
            for each in files:
                shutil.copyfile(os.path.join(source, each), os.path.join(target, each))
            for each, text in ((_BELOW, ""), ("INSTALLER", "daybreak\n")):
                with open(os.path.join(target, each), "w") as file:
                    file.write(text)
            with open(os.path.join(target, "RECORD"), "w") as file:
                file.writelines(f"{name}/{each},,\n" for each in (*files, _BELOW, "INSTALLER", "RECORD"))


def _remove_record(record: str) -> None:
    for name in os.listdir(record):
        os.unlink(os.path.join(record, name))
    os.rmdir(record)


def _commands(spec: Spec, below: _Below, python: str, deadline: float | None) -> tuple[list[str], list[str]]:
    """What installs into the environment, and what looks whether that fits together."""
    uv = find_uv()
    if spec.tool == "pip" and (spec.version or uv is None):
        return _commands_of_pip(spec, below, python, deadline)
    if uv is None:
        raise exceptions.RuntimeEnvSetupError(
            f"runtime_env['uv']: there is no uv, neither in the environment of {below.executable} nor in the PATH: pip install uv"
        )
    if spec.version and not _is(uv, spec.version):
        other = os.path.join(_tool(f"uv{spec.version}", deadline), "bin", "uv")
        uv = other if os.path.exists(other) else uv  # else the one that is installed below will do
    how = ["--no-progress", "--color", "never", "--no-python-downloads"]
    more = _options_of_pip(os.environ, spec.options)
    return [uv, "pip", "install", *how, "--python", python, *more], [uv, "pip", "check", *how, "--python", python]


def _commands_of_pip(spec: Spec, below: _Below, python: str, deadline: float | None) -> tuple[list[str], list[str]]:
    installer = below.executable
    if spec.version:
        installer = os.path.join(_tool(f"pip{spec.version}", deadline), "bin", "python")
    elif subprocess.run([installer, "-c", "import pip"], capture_output=True).returncode != 0:
        raise exceptions.RuntimeEnvSetupError(
            f"runtime_env['pip']: {installer} has neither uv nor pip, and there is no uv in the PATH: install uv"
        )
    pip = [installer, "-m", "pip", "--disable-pip-version-check", "--no-input", "--no-color", "--python", python]
    return [*pip, "install", "--progress-bar", "off"], [*pip, "check"]


def _tool(requirement: str, deadline: float | None) -> str:
    """The folder of an environment that has this version of an installer. It stays as long as this process lives."""
    left = -1.0 if deadline is None else max(0.001, deadline - time.monotonic())
    pip = requirement.startswith("pip") and find_uv() is None
    return make(Spec((requirement,), "pip" if pip else "uv"), left).path


def _is(uv: str, version: str) -> bool:
    """Whether this uv is of exactly that version; what else a specifier may say is for the resolver."""
    if not version.startswith("=="):
        return False
    said = subprocess.run([uv, "--version"], capture_output=True, text=True)
    return said.stdout.split()[1:2] == [version[2:].strip()]


class _Runner:
    """Runs installers: with their variables, until the deadline, and with what they said in the error."""

    def __init__(self, spec: Spec, folder: str, lock: int, deadline: float | None, timeout_s: float) -> None:
        self.spec = spec
        self.folder = folder
        self.lock = lock
        self.deadline = deadline
        self.timeout_s = timeout_s

    def __call__(self, command: Sequence[str]) -> None:
        import signal

        # It inherits the lock: should this process be killed, nobody begins anew while it still writes. A group of its own, so that
        # what it starts ends with it.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            env=_variables(os.environ, self.spec.tool),
            pass_fds=(self.lock,),
            process_group=0,
        )
        left = None if self.deadline is None else max(0.0, self.deadline - time.monotonic())
        try:
            output, _ = process.communicate(timeout=left)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                raise _too_slow(self.spec, self.timeout_s) from None
            raise
        if process.returncode != 0:
            said = output.decode(errors="replace").strip() or "nothing"
            name = "uv" if os.path.basename(command[0]) == "uv" else "pip"
            raise exceptions.RuntimeEnvSetupError(
                f"runtime_env[{self.spec.tool!r}]: {name} ended with exit status {process.returncode} and said:\n{said}"
            )


def _too_slow(spec: Spec, timeout_s: float) -> exceptions.RuntimeEnvSetupError:
    return exceptions.RuntimeEnvSetupError(
        f"runtime_env[{spec.tool!r}]: an environment with {spec.what} was not there within "
        f"setup_timeout_seconds={timeout_s:g}: raise it in runtime_env['config'] (-1: no limit)"
    )


def _options_of_pip(environ: Mapping[str, str], given: Sequence[str]) -> list[str]:
    """What pip's variables say and uv has no variable for; not what the user's options say already."""
    found: list[str] = []
    for variable, option in _FLAGS_OF_PIP.items():
        if environ.get(variable, "").lower() in ("1", "true", "yes", "on") and option[0] not in given:
            found += option
    for variable, name in _VALUES_OF_PIP.items():
        if environ.get(variable) and name not in given:
            found += [name, environ[variable]]
    return found


def _variables(environ: Mapping[str, str], tool: str) -> dict[str, str]:
    """uv's, with what only pip's say; and none that would lead it to another environment."""
    found = {name: value for name, value in environ.items() if name not in _MISLEADING}
    for of_pip, of_uv in _OF_PIP.items():
        value = environ.get(of_pip)
        if value and of_uv not in found and not (of_uv == "UV_DEFAULT_INDEX" and "UV_INDEX_URL" in found):
            found[of_uv] = ",".join(value.split()) if of_uv in _COMMAS else value
    if "UV_CACHE_DIR" in found:
        found["UV_CACHE_DIR"] = os.path.abspath(found["UV_CACHE_DIR"])  # uv runs in another folder
    if tool == "pip":  # pip looks for the best version in all indexes, uv in the first that has the package
        found.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    return found
