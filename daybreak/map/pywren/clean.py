"""A call in a new interpreter: it has its own environment's packages and those modules of the caller's that were shipped."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import sysconfig
import tempfile
import types
from typing import Any

import cloudpickle

__all__ = ["Clean", "caller_modules"]

_MAX_MODULES = 1000
_CHILD = """
import os, pickle, sys
folder = sys.argv[1]
sys.path.insert(0, folder)
out = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)  # what the call prints goes to the standard error, which its caller reads
try:
    import cloudpickle
    function, data = pickle.load(sys.stdin.buffer)
    answer = (True, pickle.loads(function)(pickle.loads(data)))
    packed = cloudpickle.dumps(answer)
except BaseException as error:
    import traceback
    text = traceback.format_exc()
    if isinstance(error, SystemExit):
        error = RuntimeError("the call ended with sys.exit(%r), non-zero return code" % (error.code,))
    try:
        packed = cloudpickle.dumps((False, (error, text)))
        pickle.loads(packed)
    except Exception:
        packed = cloudpickle.dumps((False, (None, text)))
out.write(packed)
out.close()
"""


def _is_the_callers(module: types.ModuleType) -> bool:
    """Pure Python, and of no installed package: what a worker cannot have."""
    file = getattr(module, "__file__", None)
    if not file or not file.endswith(".py"):
        return False
    path = os.path.realpath(file)
    installed = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    inside = any(path.startswith(os.path.realpath(each) + os.sep) for each in installed if each)
    return not inside and f"{os.sep}site-packages{os.sep}" not in path and not module.__name__.startswith("daybreak")


def caller_modules(function: Any) -> dict[str, str]:
    """The caller's modules that a function reaches, by its globals, closure and what those modules import: name -> path."""
    found: dict[str, str] = {}
    waiting: list[Any] = [function]
    seen: set[int] = set()
    while waiting and len(found) < _MAX_MODULES:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, types.ModuleType):
            if each.__name__ == "__main__" or not _is_the_callers(each):
                continue
            found[each.__name__] = os.path.realpath(str(each.__file__))
            waiting += [
                value
                for value in vars(each).values()
                if isinstance(value, (types.ModuleType, types.FunctionType, type))
            ]
            package = sys.modules.get(each.__name__.rpartition(".")[0])
            waiting += [package] if package is not None else []
            continue
        home = sys.modules.get(getattr(each, "__module__", None) or "")
        if home is not None and home.__name__ != "__main__":
            waiting.append(home) if "<locals>" not in getattr(each, "__qualname__", "<locals>") else None
        code = getattr(each, "__code__", None)
        if code is not None:
            names = each.__globals__
            waiting += [names[name] for name in _names_in(code) if name in names]
            waiting += [cell.cell_contents for cell in each.__closure__ or () if _is_filled(cell)]
    return found


def _names_in(code: types.CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names_in(constant)
    return names


def _is_filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


class Clean:
    """Stands for the function in a worker; runs it in an interpreter of its own."""

    def __init__(self, function: Any, exclude_modules: tuple[str, ...] = ()) -> None:
        self.__name__ = getattr(function, "__name__", type(function).__name__)
        self.__qualname__ = getattr(function, "__qualname__", self.__name__)
        self.packed = cloudpickle.dumps(function)
        self.files: dict[str, bytes] = {}
        for name, path in caller_modules(function).items():
            if any(text in path for text in exclude_modules):
                continue
            is_package = os.path.basename(path) == "__init__.py"
            place = name.replace(".", os.sep) + (f"{os.sep}__init__.py" if is_package else ".py")
            with open(path, "rb") as file:
                self.files[place] = file.read()

    def __call__(self, data: Any) -> Any:
        with tempfile.TemporaryDirectory(prefix="daybreak-map-") as folder:
            for place, content in self.files.items():
                path = os.path.join(folder, place)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "wb") as file:
                    file.write(content)
            environment = {
                name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONSTARTUP")
            }
            done = subprocess.run(
                [sys.executable, "-P", "-c", _CHILD, folder],
                input=pickle.dumps((self.packed, cloudpickle.dumps(data))),
                capture_output=True,
                env=environment,
                cwd=folder,
            )
        printed = done.stderr.decode(errors="replace")
        if printed:
            sys.stdout.write(printed)
        if not done.stdout:
            raise RuntimeError(
                f"the interpreter of the call ended with a non-zero return code, {done.returncode}: {printed[-2000:]}"
            )
        succeeded, value = pickle.loads(done.stdout)
        if succeeded:
            return value
        error, text = value
        if error is None:
            raise RuntimeError(text)
        error.add_note(text)
        raise error
