"""What the pickler does otherwise than cloudpickle, by the type of an object.

- An exception is taken apart by `crossing`.
- A slice of an Arrow table or of a torch tensor drags along the buffers of the whole: a copy of the slice goes instead.
- The state of a Starlette or FastAPI app goes as the dict that it is.
- A memoryview comes back as one, and not as bytes.
- A cached function (`functools.lru_cache`) goes as other functions do, its cache empty.
- A function, class or module that a worker could not import by its name (loaded from a path, made by hand) goes by value.
"""

from __future__ import annotations

import functools
import operator
import os
import pickle
import sys
from types import FunctionType, ModuleType

from . import crossing

TYPE_CHECKING = False  # typing costs 5 ms of what `import daybreak` may
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Reducer = Callable[[Any, Any], Any]  # of an object and its pickler: what __reduce_ex__ gives, or NotImplemented

__all__ = ["deregister", "reducer_of", "register"]

_LruCache = type(functools.lru_cache(len))
_WASTE_BYTES = 4096  # beside what is used itself; less of unused buffers is not worth a copy
_MAX_KNOWN = 10_000
_MAX_LISTED = 100_000  # elements
_known: dict[type, Reducer | None] = {}
_registered: dict[type, Reducer] = {}  # by users


def reducer_of(kind: type) -> Reducer | None:
    """The function for objects of this type; None: cloudpickle's way."""
    try:
        return _known[kind]
    except KeyError:
        pass
    if len(_known) >= _MAX_KNOWN:
        _known.clear()
    found = _known[kind] = _find(kind)
    return found


def register(kind: type, reducer: Reducer) -> None:
    """From now on this is how objects of exactly this type are pickled here."""
    _registered[kind] = _known[kind] = reducer


def deregister(kind: type) -> None:
    """Undoes it, if there is anything to undo."""
    _registered.pop(kind, None)
    _known.pop(kind, None)


def _find(kind: type) -> Reducer | None:
    if kind in _registered:
        return _registered[kind]
    if issubclass(kind, BaseException):
        return crossing.reduced
    if issubclass(kind, (FunctionType, type, ModuleType)):
        return _of_a_module
    if kind is memoryview:
        return _memoryview
    if kind is _LruCache:
        return _cached_function
    for base in kind.__mro__:
        package = base.__module__.partition(".")[0]
        if package == "pyarrow" and base.__name__ == "Array":
            return _arrow
        if package == "torch" and base.__name__ == "Tensor":
            return _torch
        if package == "starlette" and base.__name__ == "State":
            return _state_of_an_app
    return None


# ----------------------------------------------------------------------------------------------------------------------
# Slices.


def _arrow(value: Any, pickler: Any) -> Any:
    """Of an Array, which tables, batches and columns consist of."""
    whole = value.get_total_buffer_size()
    views = "view" in str(value.type)  # of these even nbytes counts what is not used
    if whole <= _WASTE_BYTES or (not views and whole <= 2 * value.nbytes + _WASTE_BYTES):
        return NotImplemented
    pyarrow = sys.modules["pyarrow"]
    for copied in (_joined, _taken, _cast, _listed):
        try:
            compact = copied(value, pyarrow)
        except (pyarrow.ArrowException, NotImplementedError, TypeError, ValueError):
            continue  # not for this type
        if 2 * compact.get_total_buffer_size() + _WASTE_BYTES < whole and compact.type == value.type:
            return compact.__reduce_ex__(5)
    return NotImplemented


def _joined(value: Any, pyarrow: Any) -> Any:
    return pyarrow.concat_arrays([value, value.slice(0, 0)])


def _taken(value: Any, pyarrow: Any) -> Any:
    return value.take(pyarrow.array(range(len(value)), pyarrow.int64()))


def _cast(value: Any, pyarrow: Any) -> Any:
    large = {pyarrow.string_view(): pyarrow.large_string(), pyarrow.binary_view(): pyarrow.large_binary()}
    return value.cast(large[value.type]).cast(value.type) if value.type in large else value


def _listed(value: Any, pyarrow: Any) -> Any:
    """By way of Python's objects: for views below lists and structs, where that changes nothing."""
    if len(value) > _MAX_LISTED:
        return value
    compact = pyarrow.array(value.to_pylist(), value.type)
    return compact if compact.equals(value) else value


def _torch(value: Any, pickler: Any) -> Any:
    """Of a tensor of torch in ordinary memory."""
    torch = sys.modules["torch"]

    if value.device.type != "cpu" or value.layout is not torch.strided or value.is_quantized:
        return NotImplemented
    used = value.numel() * value.element_size()
    if value.untyped_storage().nbytes() <= 2 * used + _WASTE_BYTES or type(value) is not torch.Tensor:
        return NotImplemented
    return value.detach().clone().requires_grad_(value.requires_grad).__reduce_ex__(5)


def _state_of_an_app(value: Any, pickler: Any) -> Any:
    """Of starlette.datastructures.State, which asks itself for an attribute for ever while it is empty."""
    return type(value), (value._state,)


def _memoryview(value: memoryview, pickler: Any) -> Any:
    if value.ndim == 0 or value.nbytes == 0 or len(value.format) != 1:
        return NotImplemented  # cannot be cast back
    flat = pickle.PickleBuffer(value) if value.c_contiguous else value.tobytes()
    return _viewed, (flat, value.format, value.shape)


def _viewed(data: Any, form: str, shape: tuple[int, ...]) -> memoryview:
    flat = memoryview(data).cast("B")
    return flat.cast(form) if len(shape) == 1 else flat.cast(form, shape)  # type: ignore[call-overload,no-any-return]


# ----------------------------------------------------------------------------------------------------------------------
# Modules.

_importable: dict[str, tuple[ModuleType, bool]] = {}  # by name: the module that was looked at, and what was found


def _of_a_module(value: Any, pickler: Any) -> Any:
    """Leaves the object to cloudpickle, which takes its module by value where a worker cannot import that."""
    _is_importable(value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None))
    return NotImplemented


def _cached_function(value: Any, pickler: Any) -> Any:
    """By its name where that leads to it, else as what was cached and how."""
    if _is_importable(value.__module__):
        try:
            if operator.attrgetter(value.__qualname__)(sys.modules[value.__module__]) is value:
                return NotImplemented
        except AttributeError:
            pass
    return _cached, (value.__wrapped__, value.cache_parameters())


def _cached(function: Any, parameters: dict[str, Any]) -> Any:
    return functools.lru_cache(**parameters)(function)


def _is_importable(name: object) -> bool:
    """Whether a worker can import the module of this name. One that it cannot goes by value from now on."""
    module = sys.modules.get(name) if isinstance(name, str) else None
    if module is None or not isinstance(name, str) or name == "__main__":
        return False  # cloudpickle knows
    known = _importable.get(name)
    if known is None or known[0] is not module:
        known = _importable[name] = (module, _can_import(name, module))
        if not known[1]:
            import cloudpickle

            cloudpickle.register_pickle_by_value(module)
    return bool(known[1])


def _can_import(name: str, module: ModuleType) -> bool:
    """Whether `import name` in a fresh process with our `sys.path` gives this module."""
    if name in sys.builtin_module_names:
        return True
    file = getattr(module, "__file__", None)
    parent, _, _ = name.rpartition(".")
    if file is None and parent:  # a part of an extension module, a namespace: as its parent
        above = sys.modules.get(parent)
        return above is None or _can_import(parent, above)
    path = None
    if parent:
        above = sys.modules.get(parent)
        path = getattr(above, "__path__", None)
        if path is None or (above is not None and not _can_import(parent, above)):
            return False
    for finder in sys.meta_path:
        try:
            spec = finder.find_spec(name, path)
        except Exception:  # a finder of somebody's; a worker would fail in it, too
            continue
        if spec is not None:
            break
    else:
        return False
    origin = spec.origin  # none or no file: built in, frozen, a namespace, in a zip
    if file is None or origin is None or not spec.has_location or not os.path.exists(origin):
        return True  # also where the working directory has a folder named "frozen"
    try:
        return bool(os.path.samefile(origin, file))
    except OSError:  # compiled alone, or gone meanwhile
        return bool(os.path.dirname(origin) == os.path.dirname(file))
