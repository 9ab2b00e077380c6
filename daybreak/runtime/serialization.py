"""Pickling: of functions, of values that the native codec leaves to pickle, and the explanation when something does not pickle."""

from __future__ import annotations

import os
import sys

from .._core.runtime import _actor_at, _actor_from_bytes, _ref_at, _ref_from_bytes

TYPE_CHECKING = False  # typing costs 5 ms of what `import daybreak` may
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["dumps", "dumps_alone", "enter_world", "explain", "world"]

_ref_at = _ref_at  # found here by the native codec
_ref_from_bytes = _ref_from_bytes
_actor_at = _actor_at
_actor_from_bytes = _actor_from_bytes

_MAX_PARTS = 2000
_MAX_DEPTH = 12


def dumps(value: Any, buffer_callback: Callable[[Any], Any]) -> bytes:
    """cloudpickle, protocol 5, with large buffers handed out; the error names the part that does not pickle."""
    import cloudpickle

    try:
        # Always cloudpickle: a function or class of __main__ must travel by value.
        return cloudpickle.dumps(value, protocol=5, buffer_callback=buffer_callback)  # type: ignore[no-any-return]
    except Exception as error:
        raise TypeError(explain(value, error)) from error


def dumps_alone(value: Any) -> bytes:
    """cloudpickle with everything in one string."""
    import cloudpickle

    return cloudpickle.dumps(value, protocol=5)  # type: ignore[no-any-return]


def world() -> bytes:
    """What a worker needs to find a function's modules: the driver's module path and working directory."""
    import pickle

    return pickle.dumps((list(sys.path), _cwd()), protocol=5)


def enter_world(pickled: bytes) -> None:
    """In a worker, before a function is unpickled."""
    import pickle

    path, cwd = pickle.loads(pickled)
    for entry in path:
        if entry not in sys.path:
            sys.path.append(entry)
    if cwd and cwd != _cwd():
        try:
            os.chdir(cwd)
        except OSError:
            pass  # it is gone; the function may not care


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""


def explain(value: Any, error: BaseException) -> str:
    """Says which part of `value` cannot be pickled: the innermost that fails on its own."""
    import cloudpickle

    seen: set[int] = set()
    budget = _MAX_PARTS

    def fails(part: Any) -> bool:
        try:
            cloudpickle.dumps(part, protocol=5)
        except Exception:
            return True
        return False

    def children(part: Any) -> list[tuple[str, Any]]:
        if isinstance(part, dict):
            found: list[tuple[str, Any]] = []
            for key, item in part.items():
                found += [(f"[{key!r:.60}]", item), (f" key {key!r:.60}", key)]
            return found
        if isinstance(part, (list, tuple)):
            return [(f"[{i}]", item) for i, item in enumerate(part)]
        if isinstance(part, (set, frozenset)):
            return [(" element", item) for item in part]
        found = []
        code = getattr(part, "__code__", None)
        if code is not None:
            closure = getattr(part, "__closure__", None) or ()
            for name, cell in zip(code.co_freevars, closure, strict=False):
                try:
                    found.append((f" variable '{name}' of the enclosing function", cell.cell_contents))
                except ValueError:
                    continue
            names = set(code.co_names)
            for name in sorted(names & set(getattr(part, "__globals__", {}))):
                found.append((f" global '{name}'", part.__globals__[name]))
            for i, default in enumerate(getattr(part, "__defaults__", None) or ()):
                found.append((f" default argument {i}", default))
            return found
        if isinstance(part, type):
            return [(f".{name}", item) for name, item in vars(part).items() if not name.startswith("__")]
        state = getattr(part, "__dict__", None)
        if isinstance(state, dict):
            found += [(f".{name}", item) for name, item in state.items()]
        return found

    def search(part: Any, path: str, depth: int) -> tuple[str, Any] | None:
        nonlocal budget
        budget -= 1
        if id(part) in seen or depth > _MAX_DEPTH or budget < 0:
            return None
        seen.add(id(part))
        for name, child in children(part):
            if fails(child):
                return search(child, path + name, depth + 1) or (path + name, child)
        return None

    found = search(value, type(value).__name__ if not callable(value) else getattr(value, "__qualname__", "value"), 0)
    if found is None:
        return f"{type(value).__name__} cannot be pickled: {error}"
    path, part = found
    return (
        f"{path} ({type(part).__module__}.{type(part).__name__}: {part!r:.80}) cannot be pickled: {error}. "
        "Make it inside the task, or leave it out with __getstate__"
    )
