"""Actors: a class whose instances live in processes of their own. And `remote`, which makes tasks and actors."""

from __future__ import annotations

from .._core import runtime as _native
from .._core.runtime import ActorHandle, ObjectRef
from . import engine as _engine
from . import options as _options
from . import session as _session
from .tasks import Exported, RemoteFunction

TYPE_CHECKING = False  # typing costs 5 ms of what `import daybreak` may
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    F = TypeVar("F", bound=Callable[..., Any])

__all__ = ["ActorClass", "exit_actor", "get_actor", "kill", "method", "remote"]

_FIND_TRIES = 10  # of get_if_exists, where actors of that name come and go


def _find_if_alive(full_name: str) -> Any:
    try:
        return _native._find_actor(full_name, _session.from_json)
    except ValueError:
        return None


class ActorClass:
    """A class whose instances live in processes of their own: `A.remote(...)` returns a handle at once."""

    def __init__(self, cls: type, options: dict[str, Any]) -> None:
        self._class = cls
        self._options = options
        self._exported = Exported()
        self.__name__ = cls.__name__
        self.__qualname__ = cls.__qualname__
        self.__doc__ = cls.__doc__
        self.__module__ = cls.__module__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"actors are not made by calling the class: use {self.__name__}.remote()")

    def __getattr__(self, name: str) -> Any:
        """Constants of the class. (A function found here would be pickled by this name, for another copy of the class.)"""
        if name.startswith("__") or "_class" not in self.__dict__:
            raise AttributeError(name)
        found = getattr(self._class, name)
        if callable(found):
            raise AttributeError(
                f"{self.__name__}.{name}: methods are those of an actor, handle = {self.__name__}.remote(...)"
            )
        return found

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, self._class)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        """`class Special(Counter)` is one of the class itself: decorate it, too."""
        return (self._class,)

    def options(self, **options: Any) -> ActorClass:
        """The same class with other options, for the actors made through what is returned."""
        other = ActorClass(self._class, self._options | _options.checked(options, _options.ACTOR_OPTIONS, "an actor"))
        other._exported = self._exported
        return other

    def remote(self, *args: Any, **kwargs: Any) -> Any:
        """Makes an actor. An exception of its constructor surfaces at the first call.

        Raises:
            ValueError: the name is taken.
            TypeError: the arguments do not fit the constructor, or a method is a coroutine function.
        """
        engine = _engine.current()
        if engine is not None:
            return engine.create_actor(self, args, kwargs)
        import json

        if not _session.is_initialized():
            _session._auto_init()
        options = self._options
        name = options.get("name")
        full_name = _session.full_name(name, options.get("namespace")) if name else ""
        if options.get("get_if_exists"):
            if not name:
                raise ValueError("The actor name must be specified to use `get_if_exists`.")
            found = _find_if_alive(full_name)
            if found is not None:
                return found
        self._check_arguments(args, kwargs)
        info = self._info()
        create = (
            self._exported.get(self._class),
            args,
            kwargs,
            _options.resource_set(options, _session.default_cpus_of_actor(), self.__qualname__),
            full_name,
            json.dumps(info),
            info,
            options.get("max_restarts") or 0,
            options.get("max_task_retries") or 0,
            options.get("max_concurrency") or 1,
            (options.get("lifetime") or _session.default_lifetime()) == "detached",
        )
        for tries_left in reversed(range(_FIND_TRIES if options.get("get_if_exists") else 1)):
            try:
                return _native._create_actor(*create)
            except ValueError:
                # Somebody was faster. His may have ended by now, and then it is our turn again.
                found = _find_if_alive(full_name) if options.get("get_if_exists") else None
                if found is not None:
                    return found
                if tries_left == 0:
                    raise
        raise AssertionError("not reached")

    def _remote(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """`options(**options).remote(*args, **kwargs)`, in Ray's older form."""
        return (self.options(**options) if options else self).remote(*(args or ()), **(kwargs or {}))

    def _info(self) -> dict[str, Any]:
        import inspect

        methods = {}
        for name, function in inspect.getmembers(self._class, callable):
            if name.startswith("__") and name != "__call__":
                continue
            if name == "__call__" and "__call__" not in dir(self._class):
                continue
            if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
                raise TypeError(
                    f"{self.__name__}.{name} is a coroutine function, which this version does not run: "
                    "make it an ordinary one, or use max_concurrency=N for N threads"
                )
            methods[name] = getattr(function, "__daybreak_num_returns__", 1)
        methods |= {"__ray_ready__": 1, "__ray_terminate__": 1, "__ray_call__": 1}
        return {"class_name": self.__name__[:60], "methods": methods}

    def _check_arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        import inspect

        try:
            signature = inspect.signature(self._class)
        except (ValueError, TypeError):
            return  # a class of an extension module may have none
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.__name__}.remote(): {error}") from None

    def __reduce__(self) -> Any:
        return ActorClass, (self._class, self._options)

    def __repr__(self) -> str:
        return f"ActorClass({self.__name__})"


def method(*, num_returns: int = 1) -> Callable[[F], F]:
    """Options of an actor's method, as a decorator: `@method(num_returns=2)`."""
    checked = _options.num_returns("num_returns", num_returns)

    def decorate(function: F) -> F:
        function.__daybreak_num_returns__ = checked  # type: ignore[attr-defined]
        return function

    return decorate


def get_actor(name: str, namespace: str | None = None) -> Any:
    """The handle of a named actor that is alive.

    Raises:
        ValueError: there is none of that name in the namespace.
    """
    engine = _engine.current()
    if engine is not None:
        return engine.get_actor(name, namespace)
    if not isinstance(name, str) or not name:
        raise ValueError(f"name={name!r}: it must be a string that is not empty")
    if namespace is not None:
        _options._namespace("namespace", namespace)
    return _native._find_actor(_session.full_name(name, namespace), _session.from_json)


def kill(actor: ActorHandle, *, no_restart: bool = True) -> None:
    """Ends an actor's process at once. With no_restart=False it may start again, if its max_restarts allows."""
    engine = _engine.current()
    if engine is not None:
        engine.kill(actor, no_restart)
        return
    if isinstance(actor, ObjectRef):
        raise TypeError("kill() takes an actor handle; for a task use cancel(ref)")
    _native._kill(actor, no_restart)


def exit_actor() -> None:
    """Inside a method: ends this actor after the call, which raises ActorDiedError for its caller."""
    if not _native._context().get("actor"):
        raise TypeError("exit_actor() is for the inside of an actor")
    raise SystemExit(0)


def remote(*args: Any, **options: Any) -> Any:
    """Makes a function a task or a class an actor: `@remote`, `@remote(num_cpus=2)`, `remote(f)`.

    Options of both: num_cpus (1; of actors 0), num_gpus, memory (bytes), resources (fractions to 1e-4), accelerator_type (asks
    for 0.001 of the resource "accelerator_type:NAME"), name, runtime_env, scheduling_strategy, label_selector; of tasks:
    num_returns (0 to 1000), max_retries (3), retry_exceptions (False, True or classes), max_calls (not in `.options`); of
    actors: namespace, lifetime, get_if_exists, max_restarts (0), max_task_retries (0), max_concurrency (1), max_pending_calls,
    concurrency_groups, allow_out_of_order_execution.

    Taken without an effect: enable_task_events, _labels, _metadata, fallback_strategy. Refused: enable_tensor_transport.

    Raises:
        ValueError: an unknown option (the text lists the valid ones) or a value out of range.
        TypeError: an option of the wrong type.

    Example:
        >>> import daybreak
        >>> @daybreak.remote
        ... def square(x):
        ...     return x * x
        >>> daybreak.get([square.remote(i) for i in range(4)])
        [0, 1, 4, 9]
    """
    if args and (len(args) > 1 or options):
        raise TypeError("remote takes a function or class alone, or options as keywords")
    if args:
        return _make_remote(args[0], {})
    return lambda target: _make_remote(target, options)


def _make_remote(target: Any, options: dict[str, Any]) -> Any:
    if isinstance(target, type):
        return ActorClass(target, _options.checked(options, _options.ACTOR_OPTIONS, "an actor"))
    if isinstance(target, (RemoteFunction, ActorClass)):
        raise TypeError(f"{target!r} is remote already")
    if not callable(target):
        raise TypeError(f"remote takes a function or a class, not {type(target).__name__}")
    return RemoteFunction(target, _options.checked(options, _options.TASK_OPTIONS, "a task"))
