"""Pickling: of functions, of values that the native codec leaves to pickle, and the explanation when something does not pickle."""

from __future__ import annotations

import os
import sys
from types import AsyncGeneratorType, CoroutineType, GeneratorType

from .._core.runtime import _actor_at, _actor_from_bytes, _ref_at, _ref_from_bytes

TYPE_CHECKING = False  # typing costs 5 ms of what `import daybreak` may
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["dumps", "dumps_alone", "enter_world", "explain", "pickler_type", "world"]

_ref_at = _ref_at  # found here by the native codec
_ref_from_bytes = _ref_from_bytes
_actor_at = _actor_at
_actor_from_bytes = _actor_from_bytes

_MAX_PARTS = 2000
_MAX_DEPTH = 12


def dumps(value: Any, buffer_callback: Callable[[Any], Any]) -> bytes:
    """cloudpickle, protocol 5, with large buffers handed out; the error names the part that does not pickle."""
    try:
        return _dump(value, buffer_callback)
    except Exception as error:
        raise TypeError(explain(value, error)) from error


def dumps_alone(value: Any, careful: Any = None) -> bytes:
    """cloudpickle with everything in one string. careful: of crossing.py, takes exceptions apart that do not pickle."""
    return _dump(value, None, careful)


def _dump(value: Any, buffer_callback: Callable[[Any], Any] | None, careful: Any = None) -> bytes:
    import io

    out = io.BytesIO()
    # Always cloudpickle: a function or class of __main__ must travel by value.
    pickler = pickler_type()(out, protocol=5, buffer_callback=buffer_callback)
    pickler.careful = careful
    pickler.dump(value)
    return out.getvalue()


_pickler: Any = None


def pickler_type() -> Any:
    """cloudpickle's, which is loaded now, with what `reducers` does otherwise."""
    global _pickler
    if _pickler is None:
        import cloudpickle

        from .reducers import reducer_of

        of_cloudpickle = cloudpickle.Pickler.reducer_override

        class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
            careful: Any = None  # of `crossing`

            def reducer_override(self, obj: Any) -> Any:
                reducer = reducer_of(type(obj))
                if reducer is not None:
                    found = reducer(obj, self)
                    if found is not NotImplemented:
                        return found
                found = of_cloudpickle(self, obj)
                return _with_slots(obj, found) if isinstance(obj, type) and "__slots__" in vars(obj) else found

        _pickler = Pickler
    return _pickler


def _with_slots(cls: type, reduced: Any) -> Any:
    """A class by value is made with its ``__slots__``: cloudpickle (3.1) sets them when it is too late, its objects there have a
    ``__dict__``, and what they pickle to does not load where the class came from."""
    made_so = isinstance(reduced, tuple) and getattr(reduced[0], "__name__", "") == "_make_skeleton_class"
    if not made_so or issubclass(cls, tuple):  # what makes named tuples says it itself
        return reduced
    make, (metaclass, name, bases, body, *more), *rest = reduced
    return (make, (metaclass, name, bases, {**body, "__slots__": vars(cls)["__slots__"]}, *more), *rest)


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
    env = sys.modules.get("daybreak.runtime.env")
    if env is not None and env.own().get("working_dir"):
        return  # of the runtime_env: the function runs there
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


def _way_out(part: Any) -> str:
    if isinstance(part, (GeneratorType, AsyncGeneratorType)):
        return "A generator stays in its process: return list(...), or give num_returns=N for N references to its items"
    if isinstance(part, CoroutineType):
        return "A coroutine stays in its process: return asyncio.run(...) of it"
    return "Make it inside the task, or leave it out with __getstate__"


def explain(value: Any, error: BaseException) -> str:
    """Says which part of `value` cannot be pickled: the innermost that fails on its own."""
    seen: set[int] = set()
    budget = _MAX_PARTS

    def fails(part: Any) -> bool:
        try:
            dumps_alone(part)
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
        return f"{type(value).__name__} cannot be pickled: {error}. {_way_out(value)}"
    path, part = found
    return f"{path} ({type(part).__module__}.{type(part).__name__}: {part!r:.80}) cannot be pickled: {error}. {_way_out(part)}"
