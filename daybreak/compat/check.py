"""What of a Ray program is the same here, what differs and what is refused: read from its text, nothing of it runs.

    daybreak ray check program.py            # or a folder
    from daybreak.compat import check
    check.check_source("import ray\\nray.data.range(3)")

Every name of `ray` and every option is listed with its line. A name that is only known when the program runs (`getattr(ray, name)`)
is not seen.
"""

from __future__ import annotations

import ast
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daybreak.base import errors
from daybreak.runtime import options as _options
from daybreak.runtime import session as _session

from . import ray as _ray

__all__ = ["Finding", "check_path", "check_source"]

_MAX_BYTES = 16 << 20  # of one file
_NO_EFFECT = "taken without an effect"
# Options that mean something else here than in Ray, and how.
_OPTIONS_DIFFER = {
    "enable_task_events": _NO_EFFECT,
    "_labels": _NO_EFFECT,
    "_metadata": _NO_EFFECT,
    "fallback_strategy": _NO_EFFECT,
}
_OPTIONS_REFUSED = {"enable_tensor_transport": "tensors go through the object store, without a copy on this machine"}
_VERBS_WITH_OPTIONS = {
    "ray.get": {"timeout"},
    "ray.wait": {"num_returns", "timeout", "fetch_local"},
    "ray.kill": {"no_restart"},
    "ray.cancel": {"force", "recursive"},
    "ray.get_actor": {"namespace"},
}


@dataclass(frozen=True, order=True)
class Finding:
    """One name or option at one place. verdict: "same", "differs" or "refused"; note: how, or what to do instead."""

    path: str
    line: int
    name: str
    verdict: str
    note: str = ""

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.name}: {self.verdict}{f' ({self.note})' if self.note else ''}"


def check_path(path: str | Path) -> list[Finding]:
    """Of a program, or of all in a folder (`*.py` at any depth), in the order of files and lines.

    Raises:
        NotFoundError: there is no such file or folder, or no program in it.
        InvalidArgumentError: a file that is no Python program, or larger than 16 MiB; the text says where.
    """
    place = Path(path)
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
    if not files or not all(file.is_file() for file in files):
        raise errors.NotFoundError(f"{place}: there is no Python program")
    found: list[Finding] = []
    for file in files:
        if file.stat().st_size > _MAX_BYTES:
            raise errors.InvalidArgumentError(f"{file}: {file.stat().st_size} bytes, at most {_MAX_BYTES} are read")
        found += check_source(file.read_bytes(), str(file))
    return found


def check_source(source: str | bytes, path: str = "<program>") -> list[Finding]:
    """Of one program's text.

    >>> for finding in check_source("import ray\\nray.get(1, timeout=2)\\nray.data.range(3)"):
    ...     print(finding)
    <program>:1: ray: same
    <program>:2: ray.get: same
    <program>:2: ray.get(timeout=): same
    <program>:3: ray.data.range: refused (read the files with pandas, polars or pyarrow in tasks of your own)
    """
    try:
        tree = ast.parse(source, path)
    except (SyntaxError, ValueError) as error:
        raise errors.InvalidArgumentError(f"{path}: no Python program: {error}") from None
    reader = _Reader(path)
    reader.gather(tree)
    reader.visit(tree)
    return sorted(set(reader.found))


class _Reader(ast.NodeVisitor):
    """First what the program calls the names of Ray (`gather`), then where it uses them."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.found: list[Finding] = []
        self.called: dict[str, str] = {}  # a name of the program -> the name of Ray
        self.remote: set[str] = set()  # functions and classes that `ray.remote` has made

    def gather(self, tree: ast.AST) -> None:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for each in node.names:
                    if _is_ray(each.name):
                        self.called[each.asname or "ray"] = each.name if each.asname else "ray"
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module and _is_ray(node.module):
                for each in node.names:
                    if each.name != "*":
                        self.called[each.asname or each.name] = f"{node.module}.{each.name}"
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                if any(self._is_remote(each) for each in node.decorator_list):
                    self.remote.add(node.name)
            elif isinstance(node, ast.Assign) and self._is_remote(node.value):
                self.remote |= {target.id for target in node.targets if isinstance(target, ast.Name)}

    def _is_remote(self, node: ast.AST) -> bool:
        """Of `ray.remote`, `ray.remote(...)` and `ray.remote(...)(f)`."""
        while isinstance(node, ast.Call):
            node = node.func
        return self.full_name(node) == "ray.remote"

    def full_name(self, node: ast.AST) -> str:
        """The name of Ray that an expression is; "" for others."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or node.id not in self.called:
            return ""
        return ".".join([self.called[node.id], *reversed(parts)])

    def say(self, node: Any, name: str, verdict: str, note: str = "") -> None:
        self.found.append(Finding(self.path, node.lineno, name, verdict, note))

    def name(self, node: Any, name: str) -> None:
        self.say(node, name, *_verdict(name))

    def visit_Import(self, node: ast.Import) -> None:
        for each in node.names:
            if _is_ray(each.name):
                self.name(node, each.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level == 0 and node.module and _is_ray(node.module):
            for each in node.names:
                self.name(node, node.module if each.name == "*" else f"{node.module}.{each.name}")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        name = self.full_name(node)
        if name:
            self.name(node, name)
        else:
            self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if node.id in self.called and self.called[node.id] != "ray":
            self.name(node, self.called[node.id])

    def visit_Call(self, node: ast.Call) -> None:
        name = self.full_name(node.func)
        if name in ("ray.remote", "ray.method"):
            known = set(_options.METHOD_OPTIONS) if name == "ray.method" else _task_and_actor_options()
            self._options(node, name, known)
        elif name == "ray.init":
            self._init(node)
        elif name in _VERBS_WITH_OPTIONS:
            self._options(node, name, _VERBS_WITH_OPTIONS[name])
        elif isinstance(node.func, ast.Attribute) and node.func.attr == "bind" and self._made_remote(node.func.value):
            self.say(node, "bind()", "refused", _ray.ALIASES.refused["ray.dag"])
        elif isinstance(node.func, ast.Attribute) and node.func.attr == "remote":
            self._options_of_call(node.func.value)
        self.generic_visit(node)

    def _made_remote(self, node: ast.AST) -> bool:
        return (isinstance(node, ast.Name) and node.id in self.remote) or self._is_remote(node)

    def _options_of_call(self, made: ast.AST) -> None:
        """`f.options(...).remote(...)`, which is Ray's whatever f is."""
        if isinstance(made, ast.Call) and isinstance(made.func, ast.Attribute) and made.func.attr == "options":
            self._options(made, "options", _task_and_actor_options() | set(_options.METHOD_OPTIONS))

    def _options(self, node: ast.Call, of: str, known: set[str]) -> None:
        for keyword in node.keywords:
            if keyword.arg is None:  # **something
                self.say(node, f"{of}(**)", "differs", "which options these are is known only when it runs")
                continue
            name = f"{of}({keyword.arg}=)"
            if keyword.arg in _OPTIONS_REFUSED:
                self.say(node, name, "refused", _OPTIONS_REFUSED[keyword.arg])
            elif keyword.arg not in known:
                self.say(node, name, "refused", f"there is {', '.join(sorted(known))}")
            elif keyword.arg in _OPTIONS_DIFFER:
                self.say(node, name, "differs", _OPTIONS_DIFFER[keyword.arg])
            else:
                self.say(node, name, "same")
            if keyword.arg == "runtime_env":
                self._environment(keyword.value)

    def _init(self, node: ast.Call) -> None:
        known = {name for name in _session._init_arguments() if name not in ("ray_arguments", "engine")}
        for keyword in node.keywords:
            name = f"ray.init({keyword.arg}=)"
            if keyword.arg is None:
                self.say(node, "ray.init(**)", "differs", "which arguments these are is known only when it runs")
            elif keyword.arg in known:
                self.say(node, name, "same")
            elif keyword.arg in _session._IGNORED or keyword.arg.startswith("_"):
                self.say(node, name, "same" if keyword.arg == "_memory" else "differs", _NO_EFFECT)
            else:
                self.say(node, name, "refused", f"there is {', '.join(sorted(known))}")
            if keyword.arg == "runtime_env":
                self._environment(keyword.value)

    def _environment(self, node: ast.AST) -> None:
        """Of a `runtime_env` that is written down: a dict, or RuntimeEnv(...)."""
        from daybreak.runtime import env

        names: list[tuple[ast.AST, str]] = []
        if isinstance(node, ast.Dict):
            names = [
                (key, key.value) for key in node.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)
            ]
        elif isinstance(node, ast.Call) and self.full_name(node.func).endswith("RuntimeEnv"):
            names = [(node, keyword.arg) for keyword in node.keywords if keyword.arg]
        for at, name in names:
            if name in env.REFUSED:
                self.say(at, f"runtime_env[{name!r}]", "refused", env.REFUSED[name])
            elif name in env.NO_EFFECT:
                self.say(at, f"runtime_env[{name!r}]", "differs", _NO_EFFECT)
            elif name in env.VALID:
                self.say(at, f"runtime_env[{name!r}]", "same")
            else:
                self.say(at, f"runtime_env[{name!r}]", "refused", f"there is {', '.join(env.VALID)}")


def _task_and_actor_options() -> set[str]:
    return {*_options.TASK_OPTIONS, *_options.ACTOR_OPTIONS}


def _is_ray(name: str) -> bool:
    return name == "ray" or name.startswith("ray.")


def _verdict(name: str) -> tuple[str, str]:
    """(verdict, note) of a name of Ray, or of what hangs on one (`ray.ObjectRef.nil`)."""
    aliases = _ray.ALIASES
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        first = ".".join(parts[:end])
        if first in aliases.refused:
            return "refused", aliases.refused[first]
        if first in aliases.names:
            return "same", ""
        room = aliases.room_of(first)
        if room is not None and end < len(parts) and hasattr(importlib.import_module(room), parts[end]):
            return "same", ""
        if (first in aliases.modules or room is not None) and end == len(parts):
            return "same", ""
    private = any(part.startswith("_") and not part.startswith("__") for part in parts)
    return "refused", "a private name of Ray" if private else "Daybreak has no such name"
