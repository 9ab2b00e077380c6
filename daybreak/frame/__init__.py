"""pandas, exactly, with kernels of our own where they are faster: ``import daybreak.frame as pd``.

>>> import daybreak.frame as pd
>>> pd.DataFrame({"k": ["a", "b", "a"], "v": [1, 2, 3]}).groupby("k")["v"].sum().to_dict()
{'a': 4, 'b': 2}
"""

from __future__ import annotations

import importlib
import sys
import warnings
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from typing import TYPE_CHECKING, Any

import pandas

from . import hook as _hook
from .explain import explain, reset

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from pandas import *  # noqa: F403

    from .bridge import DataFrame as DataFrame
    from .bridge import Series as Series

__all__ = [*pandas.__all__, "explain", "load_ipython_extension", "reset"]
__version__ = pandas.__version__


def load_ipython_extension(ipython: Any) -> None:
    """``%load_ext daybreak.frame``: `pandas` of this notebook is ours."""
    _hook.install()
    if "pd" in ipython.user_ns and ipython.user_ns["pd"] is not pandas:
        warnings.warn("pd of this notebook is not pandas: it stays what it is", stacklevel=2)


class _Submodules(MetaPathFinder, Loader):
    """`daybreak.frame.api.types` is `pandas.api.types`."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if not name.startswith(f"{__name__}.") or PathFinder.find_spec(name, path) is not None:
            return None
        theirs = "pandas" + name[len(__name__) :]
        try:
            self._found = importlib.import_module(theirs)
        except ModuleNotFoundError as error:
            if error.name is not None and theirs.startswith(error.name):
                return None
            raise
        return ModuleSpec(name, self, is_package=hasattr(self._found, "__path__"))

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        self._spec = self._found.__spec__
        return self._found

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec


def _fill() -> None:
    functions: dict[str, Any] = {}
    if _hook.is_known(pandas.__version__):
        from . import bridge

        functions = {**bridge.FUNCTIONS, "DataFrame": bridge.DataFrame, "Series": bridge.Series}
    else:
        _hook.say_unknown(pandas.__version__)
    for name in dir(pandas):
        if not name.startswith("_"):
            globals().setdefault(name, functions.get(name, getattr(pandas, name)))


_fill()
sys.meta_path.append(_Submodules())


def __getattr__(name: str) -> Any:
    return getattr(pandas, name)
