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
    "demo",
    "compat",
    "cli",
)
_NOT_STARRED = {"map"}  # `from daybreak import *` would hide the builtin

__all__ = ["Error", "__version__", "exceptions", *_verbs, *(room for room in _ROOMS if room not in _NOT_STARRED)]

TYPE_CHECKING = False  # typing.TYPE_CHECKING without the import
if TYPE_CHECKING:
    from daybreak import base, cli, compat, crypto, demo, grant, net, rl, runtime, serve, store, tensor, track


def __getattr__(name: str) -> object:
    if name in _ROOMS:
        from importlib import import_module

        return import_module(f"daybreak.{name}")
    raise AttributeError(f"module 'daybreak' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
