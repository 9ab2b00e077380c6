"""An unchanged program on ours: ``python -m daybreak.frame script.py``, and its child processes.

`install()` puts our names on the module `pandas`, in this process and, by two variables of the environment, in Python processes
that it starts. pandas' own modules keep theirs. Versions of pandas that this room does not know stay plain, with one warning.
"""

from __future__ import annotations

import os
import sys
import warnings
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

__all__ = ["ENVIRONMENT", "install", "is_known", "say_unknown", "uninstall"]

ENVIRONMENT = "DAYBREAK_FRAME"
_KNOWN = ("3.0.", "3.1.")
_CHILD = str(Path(__file__).parent / "child")  # a folder whose sitecustomize installs


def is_known(version: str) -> bool:
    return version.startswith(_KNOWN)


def say_unknown(version: str) -> None:
    warnings.warn(
        f"daybreak.frame knows pandas 3.0 and 3.1, and this is {version}: it stays as it is. "
        "`pip install 'pandas>=3.0,<3.2'` gives one that is known",
        stacklevel=3,
    )


def _take_names() -> None:
    import pandas

    if not is_known(pandas.__version__):
        say_unknown(pandas.__version__)
        return
    from . import bridge

    bridge.take_names()


class _WhenImported(MetaPathFinder, Loader):
    """A program that never asks for pandas does not pay for it."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "pandas":
            return None
        found = PathFinder.find_spec(name, path, target)
        if found is None or found.loader is None:
            return None
        self._inner: Any = found.loader
        found.loader = self
        return found

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._inner.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._inner
        sys.meta_path.remove(self)
        self._inner.exec_module(module)
        _take_names()


_finder = _WhenImported()


def install(children: bool = True) -> None:
    """``children``: Python processes that this one starts have it, too."""
    if children:
        os.environ[ENVIRONMENT] = "1"
        paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        if _CHILD not in paths:
            os.environ["PYTHONPATH"] = os.pathsep.join([_CHILD, *(path for path in paths if path)])
    if "pandas" in sys.modules:
        _take_names()
    elif _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


def uninstall() -> None:
    """`pandas` is as it was, here and for processes that are started from now on."""
    os.environ.pop(ENVIRONMENT, None)
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != _CHILD]
    os.environ.pop("PYTHONPATH", None)
    if paths:
        os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
    if "daybreak.frame.bridge" in sys.modules:
        from . import bridge

        bridge.give_names_back()
