"""Exceptions that cross a process: taken apart where they were raised, put together where they are caught.

pickle makes an exception anew by calling its class with `args`. That loses what is not in `args` (`errno`, `start`, notes, the
cause), and fails where the constructor takes something else. Here no constructor of the user's runs: the bare instance is made by
the built-in class below it and gets back its `args`, the fields of built-in classes, its slots and its `__dict__`; causes and
contexts go beside it in one flat list, so that a chain of any length and a ring are no recursion. A class that says itself how it
is pickled (`__reduce__`) is asked.

    data, missing = pack(error)  # missing: sentences about what could not come along
    error = unpack(data)
"""

from __future__ import annotations

from types import MemberDescriptorType

TYPE_CHECKING = False  # typing costs 5 ms of what `import daybreak` may
if TYPE_CHECKING:
    from typing import Any

__all__ = ["MAX_EXCEPTIONS", "copy_links", "copy_state", "pack", "reduced", "unpack"]

MAX_EXCEPTIONS = 1000  # of one chain: causes, contexts, members of groups, exceptions in arguments and attributes
_BASE = vars(BaseException)
_LINKS = ("__cause__", "__context__", "__suppress_context__")


# ----------------------------------------------------------------------------------------------------------------------
# One exception.


def _is_builtin(cls: type) -> bool:
    return cls.__module__ == "builtins"


def _says_how_itself(cls: type) -> bool:
    """Whether the user's class, or one of a library, defines how it is pickled."""
    import copyreg

    if cls in copyreg.dispatch_table:
        return True
    for name in ("__reduce__", "__reduce_ex__", "__setstate__"):
        owner = next(base for base in cls.__mro__ if name in vars(base) or base is object)
        if not _is_builtin(owner):
            return True
    return False


def _fields(cls: type) -> dict[str, Any]:
    """The descriptors that hold data beside `__dict__`: of built-in classes (`errno`, `start`, ...) and of `__slots__`."""
    found: dict[str, Any] = {}
    for base in cls.__mro__:
        if (
            base is BaseException or base is BaseExceptionGroup
        ):  # args and links, message and members, are set otherwise
            continue
        for name, descriptor in vars(base).items():
            if base is AttributeError and name == "obj":
                continue  # an object of the process that raised, of any size, there for the traceback's suggestions
            if isinstance(descriptor, MemberDescriptorType) or (base is OSError and name == "characters_written"):
                found.setdefault(name, descriptor)
    return found


def _attributes(error: BaseException) -> dict[str, Any]:
    return _BASE["__dict__"].__get__(error)  # type: ignore[no-any-return]  # whatever the class's __getattribute__ does


def _members(error: BaseException) -> tuple[Any, ...]:
    """What the built-in class needs to make the bare instance."""
    if isinstance(error, BaseExceptionGroup):
        group = vars(BaseExceptionGroup)
        return group["message"].__get__(error), list(group["exceptions"].__get__(error))
    return ()


def _bare(cls: type, *members: Any) -> BaseException:
    refused = f"{cls.__name__} has no built-in class below it"
    for below in cls.__mro__:
        if _is_builtin(below):
            try:
                return below.__new__(cls, *members)  # type: ignore[no-any-return]
            except TypeError as error:  # MemoryError's own is not for classes with another first base
                refused = str(
                    error
                )  # the error itself would keep this frame, and it its callers' with all that they hold
    raise TypeError(refused)


def _state(error: BaseException) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    fields = {}
    for name, descriptor in _fields(type(error)).items():
        try:
            value = descriptor.__get__(error)
        except AttributeError:  # a slot that was never set
            continue
        if value is not None or not _is_builtin(descriptor.__objclass__):  # there None means never set, too
            fields[name] = value
    return _BASE["args"].__get__(error), fields, dict(_attributes(error))


def _restore(error: BaseException, state: tuple[Any, dict[str, Any], dict[str, Any]]) -> None:
    args, fields, attributes = state
    _BASE["args"].__set__(error, args)
    descriptors = _fields(type(error))
    for name, value in fields.items():
        descriptors[name].__set__(error, value)
    _attributes(error).update(attributes)  # not setattr: the class may be frozen


def copy_state(made: type, error: BaseException) -> BaseException:
    """A bare instance of `made`, a class below the error's own (or below one above it, which then has fewer fields), with
    all that the error has but its links."""
    args, fields, attributes = _state(error)
    copied = _bare(made, *_members(error))
    known = _fields(made)
    _restore(copied, (args, {name: value for name, value in fields.items() if name in known}, attributes))
    return copied


def copy_links(error: BaseException, to: BaseException) -> None:
    """Cause and context."""
    if error is to:
        return
    for name in _LINKS:  # the flag last: setting the cause sets it
        value = _BASE[name].__get__(error)
        _BASE[name].__set__(to, None if value is to else value)


def reduced(error: BaseException, pickler: Any = None) -> Any:
    """For a pickler's `reducer_override`: how to make `error` again, without its links. NotImplemented: ask its class.

    pickler: one that takes `careful` apart, see `_Careful`.
    """
    cls: type = type(error)
    careful = getattr(pickler, "careful", None)
    if _says_how_itself(cls):
        if careful is None or careful.pickles(error):
            return NotImplemented
        careful.tell(f"the {cls.__name__} itself, which its own __reduce__ does not take apart")
    members, state = _members(error), _state(error)
    if careful is not None:
        cls, state = careful.what_pickles(cls, state)
    return _bare, (cls, *members), state, None, None, _restore


class _Careful:
    """Finds what of an exception cannot be pickled, and says so."""

    def __init__(self) -> None:
        self.missing: list[str] = []

    def tell(self, what: str) -> None:
        if what not in self.missing:
            self.missing.append(what)

    def pickles(self, value: Any) -> bool:
        from . import serialization

        if isinstance(value, BaseException) and not _says_how_itself(type(value)):
            return True  # it is taken apart in its turn
        try:
            serialization.dumps_alone(value)
        except Exception:
            return False
        return True

    def what_pickles(self, cls: type, state: Any) -> tuple[type, Any]:
        kind = next(base for base in cls.__mro__ if self.pickles(base))
        if kind is not cls:
            self.tell(f"the class {cls.__qualname__}, which does not pickle: {kind.__name__} stands for it")
        args, fields, attributes = state
        kept_args = []
        for i, value in enumerate(args):
            if not self.pickles(value):
                self.tell(f"args[{i}], a {type(value).__name__}: its repr() stands there")
                value = repr(value)
            kept_args.append(value)
        kept: list[dict[str, Any]] = []
        allowed = _fields(kind)
        for part in (fields, attributes):
            kept.append({})
            for name, value in part.items():
                if part is fields and name not in allowed:
                    continue
                if self.pickles(value):
                    kept[-1][name] = value
                else:
                    self.tell(f"the attribute {name}, a {type(value).__name__}")
        return kind, (tuple(kept_args), *kept)


# ----------------------------------------------------------------------------------------------------------------------
# An exception and what hangs on it.


def _neighbours(error: BaseException) -> list[Any]:
    found = [_BASE["__cause__"].__get__(error), _BASE["__context__"].__get__(error)]
    found += _members(error)[1] if isinstance(error, BaseExceptionGroup) else ()
    found += _BASE["args"].__get__(error)
    found += _attributes(error).values()
    return [each for each in found if isinstance(each, BaseException)]


def _gathered(error: BaseException) -> tuple[list[BaseException], int]:
    """The exception and those that it leads to, the nearest first; and how many were too many."""
    found, seen, too_many = [error], {id(error)}, 0
    for each in found:  # which grows
        for other in _neighbours(each):
            if id(other) in seen:
                continue
            seen.add(id(other))
            if len(found) < MAX_EXCEPTIONS:
                found.append(other)
            else:
                too_many += 1
    return found, too_many


def _extras(error: BaseException, careful: _Careful) -> dict[str, Any]:
    """What a class that says itself how it is pickled does not know of: notes, and attributes that somebody gave it."""
    from .exceptions import TaskError

    if not _says_how_itself(type(error)):
        return {}
    names = ["__notes__"] if isinstance(error, TaskError) else list(_attributes(error))
    found = {name: _attributes(error)[name] for name in names if name in _attributes(error)}
    return {name: value for name, value in found.items() if careful.pickles(value)}


def pack(error: BaseException) -> tuple[bytes, list[str]]:
    """The exception with its chain as bytes, and sentences about what could not come along: usually none."""
    from . import serialization

    found, too_many = _gathered(error)
    number = {id(each): i for i, each in enumerate(found)}
    links = []
    for each in found:
        cause, context, suppress = (_BASE[name].__get__(each) for name in _LINKS)
        links.append((number.get(id(cause)), number.get(id(context)), bool(suppress)))
    careful = _Careful()
    extras = [_extras(each, careful) for each in found]
    try:
        data = serialization.dumps_alone((found, links, extras))
    except Exception:
        data = serialization.dumps_alone((found, links, extras), careful)
    if too_many:
        careful.tell(f"exceptions that hang on it beyond the first {MAX_EXCEPTIONS}")
    return data, careful.missing


def unpack(data: bytes) -> BaseException:
    """The exception that was packed. Raises what unpickling raises, which may be anything."""
    import pickle

    found, links, extras = pickle.loads(data)
    for error, (cause, context, suppress), more in zip(found, links, extras, strict=True):
        if not isinstance(error, BaseException):
            raise TypeError(f"the exception unpickled to {type(error).__name__}, which is not one")
        _BASE["__cause__"].__set__(error, None if cause is None else found[cause])
        _BASE["__context__"].__set__(error, None if context is None else found[context])
        _BASE["__suppress_context__"].__set__(error, suppress)
        attributes = _attributes(error)
        for name, value in more.items():
            attributes.setdefault(name, value)
    return found[0]  # type: ignore[no-any-return]
