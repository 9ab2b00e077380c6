"""Daybreak: run Python across cores, train agents, track, serve and guard them.

The runtime's verbs are here (``init``, ``remote``, ``get``, ``put``, ``wait``, ...). Each folder is a room (``daybreak.rl``,
``daybreak.tensor``, ...), loaded when it is first touched: ``import daybreak`` itself loads neither numpy nor cloudpickle.
"""

import sys as _sys

from .base.errors import Error
from .runtime import *  # noqa: F403
from .runtime import __all__ as _verbs
from .runtime import exceptions

_sys.modules["daybreak.exceptions"] = exceptions  # its public name; the file lies in its room


class _UtilFinder:
    """`import daybreak.util.queue`: public names of modules that lie in daybreak/runtime/util, loaded when they are touched."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> object:
        if name != "daybreak.util" and not name.startswith("daybreak.util."):
            return None
        from importlib.machinery import ModuleSpec

        return ModuleSpec(name, self, is_package=True)  # type: ignore[arg-type]

    def create_module(self, spec: object) -> object:
        from importlib import import_module

        module = import_module(f"daybreak.runtime.{spec.name[len('daybreak.') :]}")  # type: ignore[attr-defined]
        spec.loader_state = module.__spec__  # type: ignore[attr-defined]
        return module

    def exec_module(self, module: object) -> None:
        module.__spec__ = module.__spec__.loader_state  # type: ignore[attr-defined]  # under its own name, too, it is one module


_sys.meta_path.insert(0, _UtilFinder())  # type: ignore[arg-type]  # before the files are found under these names, too

__version__ = "0.1.0"

_ROOMS = (
    "base",
    "net",
    "tensor",
    "crypto",
    "runtime",
    "store",
    "rl",
    "track",
    "grant",
    "serve",
    "map",
    "tune",
    "linalg",
    "frame",
    "demo",
    "compat",
    "cli",
)
_NOT_STARRED = {"map"}  # `from daybreak import *` would hide the builtin

__all__ = ["Error", "__version__", "exceptions", *_verbs, *(room for room in _ROOMS if room not in _NOT_STARRED)]

TYPE_CHECKING = False  # typing.TYPE_CHECKING without the import
if TYPE_CHECKING:
    from daybreak import (
        base,
        cli,
        compat,
        crypto,
        demo,
        frame,
        grant,
        linalg,
        map,
        net,
        rl,
        runtime,
        serve,
        store,
        tensor,
        track,
        tune,
    )
    from daybreak.runtime import util


def __getattr__(name: str) -> object:
    if name in _ROOMS or name == "util":
        from importlib import import_module

        return import_module(f"daybreak.{name}")
    raise AttributeError(f"module 'daybreak' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
