"""Tasks: a function becomes remote, is exported once in each session, and called."""

from __future__ import annotations

import sys
from _thread import RLock

from .._core import runtime as _native
from .._core.runtime import ObjectRef
from . import engine as _engine
from . import options as _options
from . import session as _session

TYPE_CHECKING = False  # typing costs 5 ms of what `import daybreak` may
if TYPE_CHECKING:
    from typing import Any

__all__ = ["RemoteFunction", "cancel", "cpp_function", "library_path", "name_of", "no_graphs", "refuse_cpp_elsewhere"]

_MAX_RETIRED = 1000
_MAX_FIT = 100  # kinds of calls of one function that are known to fit
_ANY_NUMBER = sys.maxsize


class Exported:
    """A function or class in the store: its reference, and this process's part in the session that it belongs to."""

    def __init__(self) -> None:
        self.ref: ObjectRef | None = None
        self.life = 0
        self.lock = RLock()

    def get(
        self, function: Any, retry_on: tuple[type, ...] | None = None, max_calls: int = 0, name: str | None = None
    ) -> ObjectRef:
        """The reference. Pickling the function may ask for it again, when the function refers to itself."""
        with self.lock:
            life = _native._life()
            if self.ref is not None and self.life == life:
                return self.ref
            ref = _native._reserve()
            self.ref, self.life = ref, life
            try:
                from . import serialization

                parts = (function, retry_on, max_calls, name)
                _native._fill(ref, serialization.world(), parts, name or name_of(function))
            except BaseException:
                _native._abandon(ref)
                self.ref = None
                raise
            return ref  # type: ignore[no-any-return]

    def adopt(self, ref: ObjectRef) -> None:
        """In the process that unpickled it."""
        self.ref, self.life = ref, _native._life()

    def __del__(self) -> None:
        if self.ref is None or self.life != _native._life():
            return
        _session._retired.append(self.ref)
        if len(_session._retired) > _MAX_RETIRED:
            _session._retired[:] = _native._functions_in_use(_session._retired)


def name_of(function: Any) -> str:
    """What to call it, as Ray does: without the function in which it was made. Also where it has no name: a partial, an object
    with `__call__`.

    >>> import functools
    >>> name_of(functools.partial(max, 3)), name_of(name_of), name_of([].append)
    ('partial(max)', 'name_of', 'list.append')
    """
    found = getattr(function, "__qualname__", None) or getattr(function, "__name__", None)
    if isinstance(found, str):
        return found.rpartition("<locals>.")[2] or found
    inner = getattr(function, "func", None)  # of functools.partial and its like
    if callable(inner):
        return f"{type(function).__name__}({name_of(inner)})"
    return type(function).__qualname__


def no_graphs(name: str) -> Any:
    """What `.bind()` says of a function or class."""
    raise NotImplementedError(
        f"{name}.bind(): graphs of calls are not supported; call it with .remote(), whose references may be arguments of "
        "other calls"
    )


def _refuse_coroutine(function: Any) -> None:
    if _options.code_flags(function) & (_options.CO_COROUTINE | _options.CO_ASYNC_GENERATOR):
        from .exceptions import InvalidArgumentError

        raise InvalidArgumentError(
            f"{name_of(function)} is a coroutine function, and a task has no event loop: call asyncio.run(...) in an "
            "ordinary function, or make it a method of an actor"
        )


class RemoteFunction(_native.RemoteFunctionBase):
    """A function that runs in a worker: `f.remote(...)` returns an ObjectRef at once."""

    __qualname__: str
    _function: Any
    _options: dict[str, Any]
    _exported: Exported
    _fit: set[tuple[int, tuple[str, ...] | None]]
    _fit_names: tuple[str, ...] | None

    def __new__(cls, function: Any, options: dict[str, Any]) -> RemoteFunction:
        _refuse_coroutine(function)
        self = super().__new__(cls)
        self._function = function
        self._options = options
        self._exported = Exported()
        self._fit = set()
        self.__qualname__ = name_of(function)
        name = getattr(function, "__name__", None)
        self.__name__ = name if isinstance(name, str) else self.__qualname__
        self.__doc__ = getattr(function, "__doc__", None)
        self.__module__ = getattr(function, "__module__", None) or type(function).__module__
        self.__wrapped__ = function
        decorator = getattr(function, "__ray_invocation_decorator__", None)
        if decorator is not None:
            submit = self.remote
            invoke = decorator(lambda args, kwargs: submit(*args, **kwargs))
            self.remote = lambda *args, **kwargs: invoke(args, kwargs)  # type: ignore[method-assign]
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"remote functions are not called directly: use {self.__name__}.remote()")

    def options(self, **options: Any) -> RemoteFunction:
        """The same function with other options, for the calls through what is returned."""
        checked = _options.check_task(options)
        other = RemoteFunction(self._function, self._options | checked)
        if "retry_exceptions" not in checked and "name" not in checked:
            other._exported = self._exported  # the same bytes
        return other

    def _remote(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """`options(**options).remote(*args, **kwargs)`, in Ray's older form."""
        return (self.options(**options) if options else self).remote(*(args or ()), **(kwargs or {}))

    def bind(self, *args: Any, **kwargs: Any) -> Any:
        """Refused: see `no_graphs`."""
        return no_graphs(self.__name__)

    def _export(self) -> None:
        """Called by the native `remote` once in each session."""
        options = self._options
        retry = options.get("retry_exceptions") or False
        retry_on = retry if isinstance(retry, tuple) else None
        retries = options.get("max_retries")
        self._bind(
            self._exported_function(retry_on),
            _options.resource_set(options, 1, self.__qualname__),
            _options.returns_of(self._function, options.get("num_returns")),
            3 if retries is None else retries,
            bool(retry),
            options.get("_generator_backpressure_num_objects") or 0,
            _options.may_change(options),  # before the next call
            *self._positional(),
        )

    def _positional(self) -> tuple[int, int]:
        """How many arguments a call without names may have, at least and at most."""
        signature = self._signature()
        if signature is None:
            return 0, _ANY_NUMBER
        least = most = 0
        for parameter in signature.parameters.values():
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
                most += 1
                least += parameter.default is parameter.empty
            elif parameter.kind is parameter.VAR_POSITIONAL:
                most = _ANY_NUMBER
            elif parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
                return _ANY_NUMBER, 0  # none fits
        return least, most

    def _signature(self) -> Any:
        """None: the function does not say what it takes."""
        import inspect

        try:
            return inspect.signature(self._function)
        except (ValueError, TypeError):
            return None

    def _check_call(self, positional: int, names: tuple[str, ...] | None) -> None:
        """Called by the native `remote` for a call of a kind that it has not seen. TypeError: it does not fit the function."""
        kind = (positional, names)
        if kind not in self._fit:
            signature = self._signature()
            if signature is not None:
                try:
                    signature.bind(*([None] * positional), **dict.fromkeys(names or ()))
                except TypeError as error:
                    raise TypeError(f"{self.__name__}.remote(): {error}") from None
            if len(self._fit) >= _MAX_FIT:
                self._fit.clear()
            self._fit.add(kind)
        self._fit_names = names  # alive for the native half, which knows it by its address

    def _exported_function(self, retry_on: tuple[type, ...] | None) -> ObjectRef:
        options = self._options
        return self._exported.get(self._function, retry_on, options.get("max_calls") or 0, options.get("name"))

    def __reduce__(self) -> Any:
        engine = _engine.current()
        if engine is not None:
            return engine.reduced(self, self._function)
        # With its reference, so that the process that unpickles it need not pickle the function again.
        ref = None
        if _session.is_initialized():
            retry = self._options.get("retry_exceptions")
            ref = self._exported_function(retry if isinstance(retry, tuple) else None)
        return _rebuild_remote, (self._function, self._options, ref)

    def __repr__(self) -> str:
        return f"RemoteFunction({self.__name__})"


def _rebuild_remote(function: Any, options: dict[str, Any], ref: ObjectRef | None) -> RemoteFunction:
    rebuilt = RemoteFunction(function, options)
    if ref is not None:
        rebuilt._exported.adopt(ref)
    return rebuilt


class _CppFunction(RemoteFunction):
    def remote(self, *args: Any, **kwargs: Any) -> Any:
        refuse_cpp_elsewhere(self.__name__)
        before = _native._submits_to_cpp(True)  # what it is given is written as C++ reads it
        try:
            return super().remote(*args, **kwargs)
        finally:
            _native._submits_to_cpp(before)

    def options(self, **options: Any) -> RemoteFunction:
        other = _CppFunction(self._function, self._options | _options.check_task(options))
        other._exported = self._exported
        return other

    def _signature(self) -> Any:
        return None

    def _exported_function(self, retry_on: tuple[type, ...] | None) -> ObjectRef:
        if self._exported.ref is None or self._exported.life != _native._life():
            self._exported.adopt(_native._native_function(self._function.__name__))
        assert self._exported.ref is not None
        return self._exported.ref

    def __reduce__(self) -> Any:
        return cpp_function, (self._function.__name__,)


def refuse_cpp_elsewhere(name: str) -> None:
    """NotImplementedError where another engine than this machine's is in use."""
    if _engine.current() is not None:
        raise NotImplementedError(
            f"{name}: C++ runs in processes of this machine's engine alone: init() without an address, an engine or local_mode"
        )


def library_path(name: str, verb: str) -> str:
    """ "library.so:symbol" with the path as it is meant now."""
    library, colon, symbol = name.rpartition(":")
    if colon and "/" in library:
        from daybreak.base import paths

        return f"{paths.given(library, verb)}:{symbol}"
    return name


def cpp_function(name: str, **options: Any) -> RemoteFunction:
    """A C++ function as a task: "library.so:symbol", or a name that the program has registered (runtime/native.h).

    A path with a '/' is meant from the working directory of now; a bare name is looked for as the system does."""
    name = library_path(name, "cpp_function")

    def stand_in() -> None:
        """Only its name is used."""

    stand_in.__name__ = stand_in.__qualname__ = name
    return _CppFunction(stand_in, _options.checked(options, _options.TASK_OPTIONS, "a task"))


def cancel(ref: ObjectRef, *, force: bool = False, recursive: bool = True) -> None:
    """Cancels a task or an actor's call: `get` of its result raises TaskCancelledError.

    One that waits does not start. One that runs gets a KeyboardInterrupt, a coroutine an asyncio.CancelledError; with
    force=True a task's worker is killed. recursive: what it has submitted too. What is done stays done.

    Raises:
        ValueError: force=True for an actor's call, which would end the actor: that is kill().
    """
    if not isinstance(ref, ObjectRef):
        ref = getattr(ref, "_task", ref)  # a generator
    engine = _engine.current()
    if engine is not None:
        engine.cancel(ref, force, recursive)
        return
    if not isinstance(ref, ObjectRef):
        raise TypeError(f"ray.cancel() only supported for object refs. For actors, try ray.kill(). Got: {type(ref)}")
    _native._cancel(ref, force, recursive)
