"""Daybreak: run Python across cores, train agents, track, serve and guard them.

The runtime's verbs are here (``init``, ``remote``, ``get``, ``put``, ``wait``, ...). Each folder is a room (``daybreak.rl``,
``daybreak.tensor``, ...), loaded when it is first touched: ``import daybreak`` itself loads neither numpy nor cloudpickle.
"""

from .runtime import *  # noqa: F403
from .runtime import __all__ as _verbs

__version__ = "0.1.0"

_ROOMS = ("base", "cli", "tensor", "runtime", "rl", "demo")
_MOVED = {"exceptions": "daybreak.runtime.exceptions"}

__all__ = ["Error", "__version__", *_verbs, *_ROOMS]

TYPE_CHECKING = False  # typing.TYPE_CHECKING without the import
if TYPE_CHECKING:
    from daybreak import base, cli, runtime, tensor
    from daybreak.base.errors import Error


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name in _ROOMS:
        return import_module(f"daybreak.{name}")
    if name in _MOVED:
        return import_module(_MOVED[name])
    if name == "Error":
        return import_module("daybreak.base.errors").Error
    raise AttributeError(f"module 'daybreak' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
