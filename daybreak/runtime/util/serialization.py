"""How instances of a class are pickled, said from outside of it."""

from __future__ import annotations

from daybreak.runtime import reducers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["deregister_serializer", "register_serializer"]


def register_serializer(cls: type, *, serializer: Callable[[Any], Any], deserializer: Callable[[Any], Any]) -> None:
    """From now on this process sends an instance of `cls` (not of classes below it) as `serializer(instance)`, and whoever receives
    it makes `deserializer(...)` of that. A worker that sends instances registers it, too.

    Args:
        serializer: gives something that can be pickled.
        deserializer: makes the instance of it; travels with the instance.

    Raises:
        TypeError: cls is no class, one of the functions is not callable.

    Example:
        >>> import threading, daybreak
        >>> from daybreak.util import deregister_serializer, register_serializer
        >>> class Guarded:
        ...     def __init__(self, value):
        ...         self.value, self.lock = value, threading.Lock()
        >>> register_serializer(Guarded, serializer=lambda guarded: guarded.value, deserializer=Guarded)
        >>> daybreak.get(daybreak.put(Guarded(7))).value
        7
        >>> deregister_serializer(Guarded)
    """
    if not isinstance(cls, type):
        raise TypeError(f"cls={cls!r}: a class expected")
    for name, function in (("serializer", serializer), ("deserializer", deserializer)):
        if not callable(function):
            raise TypeError(f"{name}={function!r}: a function expected")
    reducers.register(cls, lambda instance, _: (deserializer, (serializer(instance),)))


def deregister_serializer(cls: type) -> None:
    """Undoes it. Nothing happens when none was registered."""
    reducers.deregister(cls)
