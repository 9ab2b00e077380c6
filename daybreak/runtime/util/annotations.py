"""Marks of an interface's stability, which programs for Ray use, and its class of warnings."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Deprecated", "DeveloperAPI", "PublicAPI", "RayDeprecationWarning"]


class RayDeprecationWarning(DeprecationWarning):
    """Something works, and will not for ever."""


def _mark(kind: str, args: tuple[Any, ...]) -> Any:
    def decorate(target: Any) -> Any:
        target._annotated_type = kind
        return target

    return decorate(args[0]) if args else decorate


def PublicAPI(*args: Any, **_: Any) -> Any:
    """Marks a class or function, and changes nothing about it: `@PublicAPI`, `@PublicAPI(stability="beta")`."""
    return _mark("public", args)


def DeveloperAPI(*args: Any, **_: Any) -> Any:
    return _mark("developer", args)


def Deprecated(*args: Any, **_: Any) -> Any:
    return _mark("deprecated", args)
