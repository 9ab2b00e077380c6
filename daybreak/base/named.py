"""Objects of a person's own that a command line names: "module:object", or "path/to/file.py:object"."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from types import ModuleType
from typing import Any

from daybreak.base.errors import InvalidArgumentError, NotFoundError

__all__ = ["found"]


def found(text: str, what: str) -> tuple[ModuleType, Any]:
    """The module and the object; the current directory is looked at first.

    InvalidArgumentError for another form, NotFoundError where there is none; what the module itself raises is raised.

    >>> found("json:dumps", "function")[1]([1])
    '[1]'
    """
    module_name, colon, name = text.rpartition(":")
    if not colon or not module_name or not name:
        raise InvalidArgumentError(f"{what} {text!r}: module:object expected, such as my_models:predict")
    try:
        module = _of_file(module_name) if module_name.endswith(".py") else _of_name(module_name)
        one: Any = module
        for part in name.split("."):
            one = getattr(one, part)
    except (ImportError, AttributeError, FileNotFoundError) as error:
        raise NotFoundError(f"{what} {text!r}: {error}") from error
    return module, one


def _of_name(name: str) -> ModuleType:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    return importlib.import_module(name)


def _of_file(path: str) -> ModuleType:
    """Under its own name, beside what lies in its folder, as `python file.py` finds it."""
    folder, file = os.path.split(os.path.abspath(os.path.expanduser(path)))
    if not os.path.isfile(os.path.join(folder, file)):
        raise FileNotFoundError(f"there is no file {os.path.join(folder, file)}")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    name = file.removesuffix(".py")
    spec = importlib.util.spec_from_file_location(name, os.path.join(folder, file))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
