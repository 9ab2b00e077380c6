"""Daybreak: run Python across cores, train agents, track, serve and guard them.

Each folder here is a room (``daybreak.tensor``, ``daybreak.rl``, ...), loaded when it is first touched: ``import daybreak`` itself
loads neither numpy nor any room.
"""

from daybreak.base.errors import Error

__version__ = "0.1.0"

_ROOMS = ("base", "cli", "tensor")

__all__ = ["Error", "__version__", "base", "cli", "tensor"]

TYPE_CHECKING = False  # typing.TYPE_CHECKING without the import
if TYPE_CHECKING:
    from daybreak import base, cli, tensor


def __getattr__(name: str) -> object:
    if name in _ROOMS:
        from importlib import import_module

        return import_module(f"daybreak.{name}")
    raise AttributeError(f"module 'daybreak' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
