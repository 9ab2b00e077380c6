"""The caller's own modules, by value: which a function needs, and their text as it is now.

A module is the caller's when its file lies neither in the standard library nor among the installed packages: a script's neighbour,
an editable installation. Its top package is shipped whole (its .py files); what it imports is looked for in its text, so that an
`import` within a function counts, too. What is shipped is known by its contents: an edited module is another one.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import io
import os
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import cloudpickle

from daybreak.base.errors import FailedPreconditionError, InvalidArgumentError, ResourceExhaustedError

__all__ = ["MAX_MODULES_BYTES", "Modules", "dumps", "modules_of"]

MAX_MODULES_BYTES = 64 << 20
_BUILT = (".so", ".pyd", ".dll", ".dylib")
_LEFT_OUT = ("__pycache__", ".git", ".venv", "venv", "node_modules")


@dataclass(frozen=True)
class Modules:
    """What is shipped with a function: files by their names below a folder of the path, and why each top module is among them."""

    files: dict[str, bytes] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)  # by top module: who needs it
    left_out: dict[str, str] = field(default_factory=dict)  # by top module: why it is not shipped

    @property
    def size_bytes(self) -> int:
        return sum(len(data) for data in self.files.values())

    @property
    def digest(self) -> str:
        """Of names and contents; "" for none."""
        if not self.files:
            return ""
        seen = hashlib.sha256()
        for name in sorted(self.files):
            seen.update(repr((name, hashlib.sha256(self.files[name]).hexdigest())).encode())
        return seen.hexdigest()

    def explain(self) -> str:
        """What ships and why, a line each."""
        lines = [f"{self.size_bytes} bytes in {len(self.files)} files of {len(self.why)} modules are shipped"]
        for top in sorted(self.why):
            size = sum(len(data) for name, data in self.files.items() if name.split("/")[0].removesuffix(".py") == top)
            lines.append(f"  {top}: {size} bytes, {self.why[top]}")
        lines += [f"  {top}: not shipped, {why}" for top, why in sorted(self.left_out.items())]
        return "\n".join(lines)


class _Recording(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles, and keeps the names of the modules that what is pickled is of."""

    def __init__(self, file: Any) -> None:
        super().__init__(file, protocol=5)
        self.modules: set[str] = set()

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        for each in (obj, kind):
            name = each.__name__ if kind is type(sys) else getattr(each, "__module__", None)
            if isinstance(name, str):
                self.modules.add(name)
        code = getattr(obj, "__code__", None)
        if code is not None:
            self.modules.update(_imports_of_code(code))
        return super().reducer_override(obj)


def dumps(value: Any) -> tuple[bytes, set[str]]:
    """The pickle, and the names of the modules that it refers to."""
    file = io.BytesIO()
    pickler = _Recording(file)
    pickler.dump(value)
    return file.getvalue(), pickler.modules


def _imports_of_code(code: Any) -> set[str]:
    import dis

    found = {each.argval for each in dis.get_instructions(code) if each.opname == "IMPORT_NAME" and each.argval}
    for constant in code.co_consts:
        if hasattr(constant, "co_code"):
            found |= _imports_of_code(constant)
    return found


def modules_of(names: Iterable[str], include: Sequence[str] | None = None, exclude: Sequence[str] = ()) -> Modules:
    """The caller's modules among `names` and what those import.

    include: these modules, and no others, whatever `names` are; None: those that are found. exclude: these are not shipped, nor is
    what they import: modules of these names, and those whose file's path contains the text, as PyWren has it.

    Raises:
        FailedPreconditionError: a module of the caller is compiled.
        InvalidArgumentError: a module of `include` is not there.
        ResourceExhaustedError: they are larger than 64 MiB together.
    """
    found = Modules()
    reasons = {name.split(".")[0]: "the function or an input refers to it" for name in names}
    if include is not None:
        reasons = {name.split(".")[0]: "include_modules names it" for name in include}
    waiting = sorted(reasons)
    while waiting:
        top = waiting.pop()
        if top in found.why or top in found.left_out or top in sys.stdlib_module_names or top == "__main__":
            continue
        if top == "daybreak":
            found.left_out[top] = "it is Daybreak: a worker whose calls import it must have it installed"
            continue
        origin = _origin(top)
        if origin is None:
            if include is not None:
                raise InvalidArgumentError(f"include_modules: there is no module {top!r}")
            continue
        excluded = next((text for text in exclude if text == top or text in origin), None)
        if excluded is not None:
            found.left_out[top] = f"exclude_modules has {excluded!r}"
            continue
        if _is_installed(origin) and include is None:
            found.left_out[top] = "it is an installed package: the worker's environment must have it"
            continue
        files = _files_of(top, origin)
        found.files.update(files)
        found.why[top] = reasons[top]
        if found.size_bytes > MAX_MODULES_BYTES:
            raise ResourceExhaustedError(
                f"modules of the caller: {found.size_bytes} bytes with {top!r}, more than {MAX_MODULES_BYTES}: make a package "
                "of them for the workers' environment, or name some in exclude_modules"
            )
        for name in files:
            if name.endswith(".py"):
                for needed in _imports_of_text(files[name], name):
                    reasons.setdefault(needed, f"{name} imports it")
                    waiting.append(needed)
    return found


def _origin(top: str) -> str | None:
    """The file of a top module, or the folder of a package without __init__.py."""
    module = sys.modules.get(top)
    if module is not None and getattr(module, "__file__", None):
        return os.path.realpath(str(module.__file__))
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if spec.origin not in (None, "built-in", "frozen"):
        return os.path.realpath(str(spec.origin))
    places = list(spec.submodule_search_locations or ())
    return os.path.realpath(places[0]) if places else None


def _is_installed(origin: str) -> bool:
    paths = sysconfig.get_paths()
    places = [os.path.realpath(paths[name]) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return any(origin.startswith(place) for place in places) or f"{os.sep}site-packages{os.sep}" in origin


def _files_of(top: str, origin: str) -> dict[str, bytes]:
    if origin.endswith(_BUILT):
        raise _compiled(top, origin)
    if os.path.basename(origin) != "__init__.py" and os.path.isfile(origin):
        return {f"{top}.py": _read(origin)}
    folder = origin if os.path.isdir(origin) else os.path.dirname(origin)
    found = {}
    for path, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _LEFT_OUT)
        for name in sorted(names):
            full = os.path.join(path, name)
            if name.endswith(_BUILT):
                raise _compiled(top, full)
            if name.endswith((".py", ".pyi", ".json", ".txt", ".toml", ".yaml", ".yml", ".typed")):
                found["/".join([top, *os.path.relpath(full, folder).split(os.sep)])] = _read(full)
    return found


def _compiled(top: str, path: str) -> FailedPreconditionError:
    return FailedPreconditionError(
        f"module {top!r} has compiled code ({path}), which may not run on the worker's machine: put it into the environment "
        f"of the workers as a package, or leave it out by exclude_modules=[{top!r}]"
    )


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _imports_of_text(text: bytes, name: str) -> set[str]:
    """Top modules that are imported anywhere in it; what does not parse here is left to the worker to complain about."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return set()
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(each.name.split(".")[0] for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found
