"""Actors: a class whose instances live in processes of their own. And `remote`, which makes tasks and actors."""

from __future__ import annotations

from .._core import runtime as _native
from .._core.runtime import ActorHandle
from . import engine as _engine
from . import options as _options
from . import session as _session
from .tasks import Exported, RemoteFunction, library_path, no_graphs, refuse_cpp_elsewhere

TYPE_CHECKING = False  # typing costs 5 ms of what `import daybreak` may
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    F = TypeVar("F", bound=Callable[..., Any])

__all__ = ["ActorClass", "cpp_actor_class", "exit_actor", "get_actor", "kill", "method", "remote"]

_COROUTINES = 1000  # calls of a coroutine actor that run at once, if nobody says otherwise
_MAX_PACKED = 254  # arguments of a method that fit with its num_returns into one number
_BY_PLACE = (0, 1)  # kinds of inspect.Parameter: POSITIONAL_ONLY, POSITIONAL_OR_KEYWORD
_ACTORS_RETRIES = -2  # max_task_retries of a method: those of its actor
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
        self._takes: dict[str, tuple[int, int]] = {}  # of methods, how many arguments
        self.__name__ = cls.__name__
        self.__qualname__ = cls.__qualname__
        self.__doc__ = cls.__doc__
        self.__module__ = cls.__module__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            f"actor classes cannot be instantiated directly: {self.__name__}.remote(...) makes one in a process of its own"
        )

    def __getattr__(self, name: str) -> Any:
        """Constants and class methods. (A function found here would be pickled by this name, for another copy of the class.)"""
        if name.startswith("__") or "_class" not in self.__dict__:
            raise AttributeError(name)
        found = getattr(self._class, name)
        if (
            callable(found) and getattr(found, "__self__", None) is not self._class
        ):  # a class method is called right here
            raise AttributeError(
                f"{self.__name__}.{name}: methods are those of an actor, handle = {self.__name__}.remote(...)"
            )
        return found

    def __dir__(self) -> list[str]:
        return [*object.__dir__(self), *(name for name, _ in self._methods() if not name.startswith("_"))]

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, self._class)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        """`class Special(Counter)`."""
        from .exceptions import ActorClassInheritanceException

        raise ActorClassInheritanceException(
            f"Inheriting from actor classes is not currently supported. {self.__name__} is one: leave the class above "
            "undecorated and inherit from that, then make an actor of each that you need with remote(...)"
        )

    def options(self, **options: Any) -> ActorClass:
        """The same class with other options, for the actors made through what is returned."""
        other = ActorClass(self._class, self._options | _options.checked(options, _options.ACTOR_OPTIONS, "an actor"))
        other._exported = self._exported
        other._takes = self._takes
        return other

    def bind(self, *args: Any, **kwargs: Any) -> Any:
        """Refused: see `tasks.no_graphs`."""
        return no_graphs(self.__name__)

    def remote(self, *args: Any, **kwargs: Any) -> Any:
        """Makes an actor. An exception of its constructor surfaces at the first call.

        Raises:
            ValueError: the name is taken.
            TypeError: the arguments do not fit the constructor.
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
        self._check_order()
        if options.get("get_if_exists"):
            if not name:
                raise ValueError("The actor name must be specified to use `get_if_exists`.")
            found = _find_if_alive(full_name)
            if found is not None:
                return found
        self._check_arguments(args, kwargs)
        info = self._info()
        create = (
            self._exported_class(),
            args,
            kwargs,
            _options.resource_set(options, _session.default_cpus_of_actor(), self.__qualname__),
            full_name,
            json.dumps(info),
            info,
            options.get("max_restarts") or 0,
            options.get("max_task_retries") or 0,
            options.get("max_concurrency") or (_COROUTINES if "coroutines" in info.get("shape", ()) else 1),
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

    def _exported_class(self) -> Any:
        return self._exported.get(self._class)

    def _info(self) -> dict[str, Any]:
        """What the handles and the actor's process have to know of the class; as JSON it goes with the constructor's call."""
        groups = self._options.get("concurrency_groups") or {}
        names = list(groups)
        info: dict[str, Any] = {"class_name": self.__name__[:60]}
        shape: dict[str, Any] = {}
        methods: dict[str, Any] = {"__ray_ready__": 1, "__ray_terminate__": 1, "__ray_call__": 1}
        for name, function in self._methods():
            takes = self._takes.get(name)
            if takes is None:
                takes = self._takes[name] = _positional(self._class, name, function)
            methods[name] = _described(f"{self.__name__}.{name}", function, names, takes)
        info["methods"] = methods
        if self._is_async():
            shape["coroutines"] = True
        if groups:
            info["groups"], shape["group_limits"] = names, list(groups.values())
        if self._options.get("allow_out_of_order_execution"):
            shape["out_of_order"] = True
        if shape:
            info["shape"] = shape
        if (self._options.get("max_pending_calls") or -1) > 0:
            info["max_pending_calls"] = self._options["max_pending_calls"]
        return info

    def _methods(self) -> list[tuple[str, Any]]:
        import inspect

        own_call = "__call__" in dir(self._class)
        return [
            (name, function)
            for name, function in inspect.getmembers(self._class, callable)
            if not name.startswith("__") or (name == "__call__" and own_call)
        ]

    def _is_async(self) -> bool:
        flags = _options.CO_COROUTINE | _options.CO_ASYNC_GENERATOR
        return any(_options.code_flags(function) & flags for _, function in self._methods())

    def _check_order(self) -> None:
        if self._options.get("allow_out_of_order_execution") is not False:
            return
        concurrent = (self._options.get("max_concurrency") or 1) > 1 or self._options.get("concurrency_groups")
        if concurrent or self._is_async():
            raise ValueError(
                f"allow_out_of_order_execution=False: {self.__name__} runs several calls at once, which end in any order; "
                "leave it out, or make the methods ordinary ones with max_concurrency=1"
            )

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
        engine = _engine.current()
        if engine is not None:
            return engine.reduced(self, self._class)
        return ActorClass, (self._class, self._options)

    def __repr__(self) -> str:
        return f"ActorClass({self.__name__})"


class _CppActorClass(ActorClass):
    """Of a class in a library, which says itself which methods it has."""

    _described: tuple[str, list[str]] | None = None

    def options(self, **options: Any) -> ActorClass:
        checked = _options.checked(options, _options.ACTOR_OPTIONS, "an actor")
        return _CppActorClass(self._class, self._options | checked)

    def remote(self, *args: Any, **kwargs: Any) -> Any:
        refuse_cpp_elsewhere(self.__name__)
        if kwargs:
            raise TypeError(
                f"{self.__name__}.remote(): C++ takes positional arguments only, {sorted(kwargs)[0]!r} has a name"
            )
        before = _native._submits_to_cpp(True)
        try:
            return super().remote(*args)
        finally:
            _native._submits_to_cpp(before)

    def _exported_class(self) -> Any:
        if self._exported.ref is None or self._exported.life != _native._life():
            self._exported.adopt(_native._native_function(self._class.__name__))
        return self._exported.ref

    def _info(self) -> dict[str, Any]:
        groups = [name for name in ("concurrency_groups", "allow_out_of_order_execution") if self._options.get(name)]
        if groups:
            raise ValueError(f"{groups[0]}: an actor of C++ has none; give it max_concurrency, and its class locks")
        if self._described is None:
            self._described = _native._native_class(self._class.__name__)
        name, methods = self._described
        return {"class_name": name[:60], "methods": dict.fromkeys(methods, 1)}

    def _methods(self) -> list[tuple[str, Any]]:
        return []

    def _check_arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """The class does that where it is made."""

    def __reduce__(self) -> Any:
        return _rebuild_cpp_class, (self._class.__name__, self._options)


def _rebuild_cpp_class(name: str, options: dict[str, Any]) -> ActorClass:
    return _CppActorClass(type(name, (), {}), options)


def cpp_actor_class(name: str, **options: Any) -> ActorClass:
    """A C++ class as an actor: "library.so:symbol", of a function that returns daybreak::construct<Class, ...>(call).

    Its methods are those that the class names in daybreak_methods(). A path with a '/' is meant from the working directory of
    now; a bare name is looked for as the system does. What crosses is in docs/cpp.md.

    Raises, at `remote`:
        ValueError: there is no such library or symbol, or it makes no actor.
    """
    return _rebuild_cpp_class(
        library_path(name, "cpp_actor_class"), _options.checked(options, _options.ACTOR_OPTIONS, "an actor")
    )


def _positional(cls: type, name: str, function: Any) -> tuple[int, int]:
    """How many arguments a call of the method without names may have, at least and at most; (0, -1): it does not say, or takes
    any number."""
    import inspect

    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError):
        return 0, -1
    own = inspect.getattr_static(cls, name, None)
    if not isinstance(own, (staticmethod, classmethod)) and parameters and parameters[0].kind in _BY_PLACE:
        del parameters[0]  # self
    if any(p.kind is p.VAR_POSITIONAL or (p.kind is p.KEYWORD_ONLY and p.default is p.empty) for p in parameters):
        return 0, -1
    places = [p for p in parameters if p.kind in _BY_PLACE]
    return sum(p.default is p.empty for p in places), len(places)


def _described(method: str, function: Any, groups: list[str], takes: tuple[int, int]) -> int | list[int]:
    """How the method is called: num_returns and how many arguments it takes in one number, or these and the rest of what `method`
    has said, as the native half takes it."""
    options = getattr(function, "__daybreak_method__", {})
    returns = _options.returns_of(function, options.get("num_returns"))
    least, most = takes
    described = [returns, 0, _ACTORS_RETRIES, 0, 0, least, most]
    _apply(described, options, groups, method)
    if described[1:5] == [0, _ACTORS_RETRIES, 0, 0] and 0 <= least <= _MAX_PACKED and most < _MAX_PACKED:
        return (described[0] & 0xFFFF) | least << 16 | (most + 1) << 24
    return described


def _apply(described: list[int], options: dict[str, Any], groups: list[str], method: str) -> None:
    if options.get("num_returns") is not None:
        described[0] = options["num_returns"]
    group = options.get("concurrency_group")
    if group is not None:
        if group not in groups and group != "_default":
            known = f"it has {', '.join(groups)}" if groups else "give the class some with concurrency_groups={...}"
            raise ValueError(f"concurrency_group={group!r} of {method}: the actor has no such group; {known}")
        described[1] = groups.index(group) + 1 if group in groups else 0
    if options.get("max_task_retries") is not None:
        described[2] = options["max_task_retries"]
    if options.get("retry_exceptions") is not None:
        described[3] = int(bool(options["retry_exceptions"]))
    if options.get("_generator_backpressure_num_objects") is not None:
        described[4] = options["_generator_backpressure_num_objects"]


def _changed_method_options(
    info: dict[str, Any], described: list[int], options: dict[str, Any], said: dict[str, Any] | None
) -> tuple[list[int], dict[str, Any] | None]:
    """`handle.method.options(...)`, and what the actor's process must know of each call; called by the native half."""
    checked = _options.checked(options, _options.METHOD_OPTIONS, "a method")
    _apply(described, checked, info.get("groups", []), f"a method of {info['class_name']}")
    said = dict(said or {})
    if checked.get("retry_exceptions"):
        classes = checked["retry_exceptions"]
        said["retry_on"] = classes if isinstance(classes, tuple) else None
    if checked.get("name") is not None:
        said["name"] = checked["name"]
    return described, said or None


def _method_of(handle: Any, name: str, described: list[int], said: dict[str, Any] | None = None) -> Any:
    """A method that was pickled."""
    return _native._actor_method(handle, name, described, said)


def _call_method(method: Any, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
    """`method._remote(...)`."""
    return (method.options(**options) if options else method).remote(*(args or ()), **(kwargs or {}))


def method(**options: Any) -> Callable[[F], F]:
    """Options of an actor's method, as a decorator: `@method(num_returns=2)`.

    Options: num_returns (a number, "streaming", "dynamic"), concurrency_group (of the class's concurrency_groups),
    max_task_retries (the actor's), retry_exceptions (False, True or classes), enable_task_events (accepted).

    Raises:
        ValueError: an unknown option, or a value out of range.
        TypeError: an option of the wrong type.
    """
    if not options:
        raise ValueError("method() takes options, e.g. num_returns=2")
    checked = _options.checked(options, _options.METHOD_OPTIONS, "a method")

    def decorate(function: F) -> F:
        function.__daybreak_method__ = checked  # type: ignore[attr-defined]
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
    try:
        return _native._find_actor(_session.full_name(name, namespace), _session.from_json)
    except ValueError as error:
        from . import attaching

        if namespace is None and (others := attaching.named_elsewhere(name)):
            raise ValueError(f"{error}; there is one in {', '.join(map(repr, others))}: say namespace=") from None
        raise


def kill(actor: ActorHandle, *, no_restart: bool = True) -> None:
    """Ends an actor's process at once. With no_restart=False it may start again, if its max_restarts allows."""
    engine = _engine.current()
    if engine is not None:
        engine.kill(actor, no_restart)
        return
    if not isinstance(actor, ActorHandle):
        raise ValueError(
            f"ray.kill() only supported for actors. For tasks, try ray.cancel(). Got: {type(actor)}: kill() takes an actor handle"
        )
    _native._kill(actor, no_restart)


def exit_actor() -> None:
    """Inside a method: ends this actor after the call, which raises ActorDiedError for its caller."""
    engine = _engine.current()
    if engine is not None:
        engine.exit_actor()
    if not _native._is_worker() or not _native._context().get("actor"):
        raise TypeError("exit_actor API is called on a non-actor worker: it ends the actor that calls it in a method")
    raise SystemExit(0)


def remote(*args: Any, **options: Any) -> Any:
    """Makes a function a task or a class an actor: `@remote`, `@remote(num_cpus=2)`, `remote(f)`.

    Options of both: num_cpus (1; of actors 0), num_gpus, memory (bytes), resources (fractions to 1e-4), accelerator_type (asks
    for 0.001 of the resource "accelerator_type:NAME"), name, runtime_env, scheduling_strategy, label_selector. Of tasks:
    num_returns (0 to 32000, "streaming" for an ObjectRefGenerator, which is what a generator function has, "dynamic"),
    max_retries (3), retry_exceptions (False, True or classes), max_calls (after so many its worker ends; not in `.options`).
    Of actors: namespace, lifetime, get_if_exists, max_restarts (0), max_task_retries (0), max_concurrency (1; 1,000 if a method
    is `async def`: then all its methods run on an event loop), concurrency_groups ({name: concurrency}, for
    `@method(concurrency_group=)`), max_pending_calls, allow_out_of_order_execution.

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
