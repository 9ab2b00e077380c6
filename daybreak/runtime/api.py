"""The verbs of the runtime that are not native: start and end, `remote`, actors, names, resources, context."""

from __future__ import annotations

import os
import sys
from _thread import RLock

from .._core import runtime as _native
from .._core.runtime import ActorHandle, ObjectRef
from . import engine as _engine

TYPE_CHECKING = False  # typing and json cost 25 ms, nearly all of what `import daybreak` may
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    F = TypeVar("F", bound=Callable[..., Any])
    _Info = dict[str, Any]
else:
    _Info = dict


__all__ = [
    "ActorClass",
    "RemoteFunction",
    "RuntimeContext",
    "available_resources",
    "cancel",
    "cluster_resources",
    "cpp_function",
    "exit_actor",
    "get_actor",
    "get_gpu_ids",
    "get_runtime_context",
    "init",
    "is_initialized",
    "kill",
    "method",
    "nodes",
    "remote",
    "shutdown",
]

_MIN_STORE_BYTES = 1 << 20
_MAX_NUM_RETURNS = 1000
_MAX_RETRIES = 32_000
_AWAITED_WORKERS = 1  # runs when init returns; the others follow at one in 2 ms
_WORKERS_WITHIN_S = 10.0
_FIND_TRIES = 10  # of get_if_exists, where actors of that name come and go
_lock = RLock()
_namespace = "default"
_retired: list[ObjectRef] = []  # functions whose RemoteFunction is gone, while tasks may still need them
_MAX_RETIRED = 1000
_exit_hook = False

# Ray's arguments that have no meaning on one machine without a dashboard: accepted, so that its programs run.
_IGNORED = {
    "include_dashboard", "include_webui", "dashboard_host", "dashboard_port", "job_config", "configure_logging",
    "logging_level", "logging_format", "logging_config", "labels", "local_mode", "object_ref_seed",
}  # fmt: skip


class RuntimeInfo(_Info):
    """What `init` returns: a dict, and a context manager that shuts down."""

    @property
    def address_info(self) -> dict[str, Any]:
        return self

    def disconnect(self) -> None:
        shutdown()

    def __enter__(self) -> RuntimeInfo:
        return self

    def __exit__(self, *exc: object) -> None:
        shutdown()


def init(
    address: str | None = None,
    *,
    num_cpus: int | None = None,
    num_gpus: float | None = None,
    resources: dict[str, float] | None = None,
    object_store_memory: int | None = None,
    ignore_reinit_error: bool = False,
    namespace: str | None = None,
    log_to_driver: bool = True,
    runtime_env: dict[str, Any] | None = None,
    **ray_arguments: Any,
) -> RuntimeInfo:
    """Starts the runtime of this process: a zygote, workers, an object store in shared memory.

    The other verbs call it when it has not been called. After `shutdown` it may be called again.

    Args:
        address: None or "local"; this machine.
        num_cpus: logical CPUs, free of the machine's cores. The default are the cores that this process may use: its
            affinity (`taskset`), at most the CPU quota of its control group (a container's `--cpus`).
        num_gpus: logical GPUs; ids 0, 1, ... are handed out, no hardware is needed.
        resources: custom resources, e.g. {"license": 2}.
        object_store_memory: bytes; the default is 30% of the machine's memory, or of its control group's limit if that is
            less. The store lies in memory of its own: the size of /dev/shm does not matter.
        ignore_reinit_error: return quietly when it is running already.
        namespace: of actor names.
        log_to_driver: print what workers print, with a prefix.
        runtime_env: {"env_vars": {...}} for the workers.

    Raises:
        RuntimeError: it is running already.
        ValueError: an argument is out of range; the text says which and what is possible.

    Example:
        >>> import daybreak
        >>> _ = daybreak.init(num_cpus=2, ignore_reinit_error=True)
        >>> daybreak.is_initialized()
        True
    """
    global _namespace, _exit_hook
    with _lock:
        if _native._is_worker():
            return RuntimeInfo(address="local", session_id=_native._context()["session"])
        if is_initialized():
            if ignore_reinit_error:
                return _info()
            raise RuntimeError(
                "the runtime is running already: call shutdown() first, or init(ignore_reinit_error=True)"
            )
        unknown = set(ray_arguments) - _IGNORED
        unknown = {name for name in unknown if not name.startswith("_")}
        if unknown:
            raise ValueError(
                f"init() has no argument {sorted(unknown)[0]!r}; valid are {', '.join(sorted(_init_arguments()))}"
            )
        if address not in (None, "local", "auto"):
            raise ValueError(
                f"address={address!r}: only None and 'local' are possible, this version runs on one machine"
            )
        cpus = _native._machine()[0] if num_cpus is None else num_cpus
        cpus = _whole("num_cpus", cpus, 4096)
        gpus = float(0 if num_gpus is None else _whole("num_gpus", num_gpus, 64))
        custom = _custom_resources(resources, "init")
        store = _store_bytes(object_store_memory)
        environment = dict((runtime_env or {}).get("env_vars", {}))
        others = set(runtime_env or {}) - {"env_vars"}
        if others:
            raise ValueError(f"runtime_env[{sorted(others)[0]!r}] is not supported; valid is 'env_vars'")
        _namespace = namespace or "default"
        _retired.clear()
        preload = ",".join(name for name in ("numpy",) if name in sys.modules)
        before = {name: os.environ.get(name) for name in [*environment, "DAYBREAK_PRELOAD"]}
        try:
            os.environ.update({str(k): str(v) for k, v in environment.items()})
            os.environ["DAYBREAK_PRELOAD"] = preload
            _native._init(int(cpus), gpus, custom, store, _zygote_command(), log_to_driver)
            _load_pickling()  # while they start
            _native._await_workers(min(int(cpus), _AWAITED_WORKERS), _WORKERS_WITHIN_S)
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
        if not _exit_hook:
            import atexit

            atexit.register(shutdown)
            _exit_hook = True
        return _info()


def _load_pickling() -> None:
    from . import serialization

    serialization.pickler_type()


def _to_json(info: dict[str, Any]) -> str:
    import json

    return json.dumps(info)


def _from_json(text: str) -> Any:
    import json

    return json.loads(text)


def _init_arguments() -> list[str]:
    code = init.__code__
    return list(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])


def _info() -> RuntimeInfo:
    return RuntimeInfo(address="local", session_id=_native._context()["session"], namespace=_namespace)


def _auto_init() -> None:
    init(ignore_reinit_error=True)


def _zygote_command() -> list[str]:
    code = f"import sys; sys.path[:] = {list(sys.path)!r}; from daybreak.runtime.worker import main; main()"
    flags = ["-X", "frozen_modules=on"]
    if sys.flags.optimize:
        flags.append("-" + "O" * sys.flags.optimize)
    return [sys.executable or "python3", *flags, "-c", code]


def _store_bytes(asked: int | None) -> int:
    _, total, limited_by = _native._machine()
    if asked is None:
        return int(total * 0.3)
    size = _number(asked)
    if size is None or not _MIN_STORE_BYTES <= size <= total:
        raise ValueError(
            f"object_store_memory={asked!r}: it must lie between {_MIN_STORE_BYTES} bytes and "
            f"{f'the limit in {limited_by}' if limited_by else 'the memory of this machine'}, {total} bytes"
        )
    return int(size)


def _number(value: Any) -> float | int | None:
    """A number of Python, numpy or the like as Python's; None for anything else, flags too."""
    if type(value) is int or type(value) is float:
        return value
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
        return None
    from daybreak.base import errors, numbers

    try:
        found = numbers.real(value, "number")
        return int(found) if found == int(found) else found
    except (errors.InvalidArgumentError, ValueError, OverflowError):
        return None


def _whole(name: str, value: Any, high: int) -> int:
    number = _number(value)
    if number is None or number != number or not 0 <= number <= high or number != int(number):
        raise ValueError(f"{name}={value!r}: it must be a whole number from 0 to {high}")
    return int(number)


def _custom_resources(resources: dict[str, float] | None, where: str) -> list[tuple[str, float]]:
    if resources is None:
        return []
    if not isinstance(resources, dict):
        raise TypeError(f"resources={resources!r}: {where} takes a dict of names and amounts")
    for name, amount in resources.items():
        if name in ("CPU", "GPU"):
            raise ValueError(f"resources={{{name!r}: ...}}: use num_{name.lower()}s instead")
        if not isinstance(name, str) or not name:
            raise ValueError(f"resource name {name!r}: it must be a string that is not empty")
        number = _number(amount)
        if number is None or not 0 <= number < 1e9:
            raise ValueError(f"resources[{name!r}]={amount!r}: it must be a number between 0 and 1e9")
    return [(name, float(_number(amount) or 0)) for name, amount in resources.items()]


def shutdown() -> None:
    """Ends all workers and actors and frees the object store. Nothing to do when it is not running."""
    with _lock:
        engine = _engine.current()
        if engine is not None:
            engine.shutdown()
            _engine.use(None)
            return
        _retired.clear()
        _native._shutdown()


def is_initialized() -> bool:
    """Whether the runtime is running in this process."""
    return bool(_native._is_initialized())


# ----------------------------------------------------------------------------------------------------------------------
# Options.


def _amount(name: str, value: Any) -> float:
    number = _number(value)
    if number is None:
        raise TypeError(f"{name}={value!r}: it must be a number")
    if not 0 <= number < 1e9:
        raise ValueError(f"{name}={value!r}: it must not be negative")
    return float(number)


def _count(low: int, high: int, minus_one: bool = False) -> Callable[[str, Any], int]:
    def check(name: str, value: Any) -> int:
        number = None if isinstance(value, float) and not hasattr(value, "dtype") else _number(value)
        if not isinstance(number, int):
            raise TypeError(f"{name}={value!r}: it must be an integer")
        if not (low <= number <= high or (minus_one and number == -1)):
            also = ", or -1 for no limit" if minus_one else ""
            raise ValueError(f"{name}={value}: it must be between {low} and {high}{also}")
        return number

    return check


def _num_returns(name: str, value: Any) -> int:
    if isinstance(value, str):
        raise ValueError(f"num_returns={value!r}: this version takes a number, generators of references come later")
    return _count(0, _MAX_NUM_RETURNS)(name, value)


def _retry_exceptions(name: str, value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(c, type) and issubclass(c, BaseException) for c in value):
        return tuple(value)
    raise TypeError(f"{name}={value!r}: it must be True, False or a list of exception classes")


def _text(name: str, value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or not value):
        raise TypeError(f"{name}={value!r}: it must be a string that is not empty")
    return value


def _lifetime(name: str, value: Any) -> str | None:
    if value not in (None, "detached", "non_detached"):
        raise ValueError(f"lifetime={value!r}: it must be None, 'detached' or 'non_detached'")
    return value  # type: ignore[no-any-return]


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name}={value!r}: it must be True or False")
    return value


_COMMON: dict[str, Callable[[str, Any], Any]] = {
    "num_cpus": _amount,
    "num_gpus": _amount,
    "resources": lambda name, value: dict(_custom_resources(value, "a task")),
    "name": _text,
}
_TASK_OPTIONS = _COMMON | {
    "num_returns": _num_returns,
    "max_retries": _count(0, _MAX_RETRIES, minus_one=True),
    "retry_exceptions": _retry_exceptions,
}
_ACTOR_OPTIONS = _COMMON | {
    "namespace": _text,
    "lifetime": _lifetime,
    "get_if_exists": _flag,
    "max_restarts": _count(0, 2**31 - 1, minus_one=True),
    "max_task_retries": _count(0, _MAX_RETRIES, minus_one=True),
    "max_concurrency": _count(1, 1000),
}


def _checked(options: dict[str, Any], valid: dict[str, Callable[[str, Any], Any]], what: str) -> dict[str, Any]:
    checked = {}
    for name, value in options.items():
        if name not in valid:
            raise ValueError(f"{what} has no option {name!r}; valid are {', '.join(sorted(valid))}")
        checked[name] = value if value is None else valid[name](name, value)
    return checked


def _resource_set(options: dict[str, Any], default_cpus: float) -> int:
    cpus = options.get("num_cpus")
    return int(
        _native._resource_set(
            default_cpus if cpus is None else cpus,
            options.get("num_gpus") or 0.0,
            list((options.get("resources") or {}).items()),
        )
    )


class _Exported:
    """A function or class in the store: its reference, and the session that it belongs to."""

    def __init__(self) -> None:
        self.ref: ObjectRef | None = None
        self.session = ""
        self.lock = RLock()

    def get(self, function: Any, retry_on: tuple[type, ...] | None = None) -> ObjectRef:
        """The reference. Pickling the function may ask for it again, when the function refers to itself."""
        with self.lock:
            session = _native._session()
            if self.ref is not None and self.session == session:
                return self.ref
            ref = _native._reserve()
            self.ref, self.session = ref, session
            try:
                from . import serialization

                _native._fill(ref, serialization.world(), (function, retry_on))
            except BaseException:
                _native._abandon(ref)
                self.ref = None
                raise
            return ref  # type: ignore[no-any-return]

    def adopt(self, ref: ObjectRef) -> None:
        """In the process that unpickled it."""
        self.ref, self.session = ref, _native._session()

    def __del__(self) -> None:
        if self.ref is None or self.session != _native._session():
            return
        _retired.append(self.ref)
        if len(_retired) > _MAX_RETIRED:
            _retired[:] = _native._functions_in_use(_retired)


# ----------------------------------------------------------------------------------------------------------------------
# Tasks.


def name_of(function: Any) -> str:
    """What to call it, also where it has no name: a partial, an object with `__call__`.

    >>> import functools
    >>> name_of(functools.partial(max, 3)), name_of(name_of), name_of([].append)
    ('partial(max)', 'name_of', 'list.append')
    """
    found = getattr(function, "__qualname__", None) or getattr(function, "__name__", None)
    if isinstance(found, str):
        return found
    inner = getattr(function, "func", None)  # of functools.partial and its like
    if callable(inner):
        return f"{type(function).__name__}({name_of(inner)})"
    return type(function).__qualname__


class RemoteFunction(_native.RemoteFunctionBase):
    """A function that runs in a worker: `f.remote(...)` returns an ObjectRef at once."""

    __qualname__: str
    _function: Any
    _options: dict[str, Any]
    _exported: _Exported

    def __new__(cls, function: Any, options: dict[str, Any]) -> RemoteFunction:
        self = super().__new__(cls)
        self._function = function
        self._options = options
        self._exported = _Exported()
        self.__qualname__ = name_of(function)
        name = getattr(function, "__name__", None)
        self.__name__ = name if isinstance(name, str) else self.__qualname__
        self.__doc__ = getattr(function, "__doc__", None)
        self.__module__ = getattr(function, "__module__", None) or type(function).__module__
        self.__wrapped__ = function
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"remote functions are not called directly: use {self.__name__}.remote()")

    def options(self, **options: Any) -> RemoteFunction:
        """The same function with other options, for the calls through what is returned."""
        checked = _checked(options, _TASK_OPTIONS, "a task")
        other = RemoteFunction(self._function, self._options | checked)
        if "retry_exceptions" not in checked:
            other._exported = self._exported  # the same bytes
        return other

    def _export(self) -> None:
        """Called by the native `remote` once in each session."""
        options = self._options
        retry = options.get("retry_exceptions") or False
        retry_on = retry if isinstance(retry, tuple) else None
        retries = options.get("max_retries")
        returns = options.get("num_returns")
        self._bind(
            self._exported_function(retry_on),
            _resource_set(options, 1.0),
            1 if returns is None else returns,
            3 if retries is None else retries,
            bool(retry),
        )

    def _exported_function(self, retry_on: tuple[type, ...] | None) -> ObjectRef:
        return self._exported.get(self._function, retry_on)

    def __reduce__(self) -> Any:
        # With its reference, so that the process that unpickles it need not pickle the function again.
        ref = None
        if is_initialized() and _engine.current() is None:
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
    def _exported_function(self, retry_on: tuple[type, ...] | None) -> ObjectRef:
        if self._exported.ref is None or self._exported.session != _native._session():
            self._exported.adopt(_native._native_function(self._function.__name__))
        assert self._exported.ref is not None
        return self._exported.ref

    def __reduce__(self) -> Any:
        return cpp_function, (self._function.__name__,)


def cpp_function(name: str, **options: Any) -> RemoteFunction:
    """A C++ function as a task: "library.so:symbol", or a name that the program has registered (runtime/native.h).

    A path with a '/' is meant from the working directory of now; a bare name is looked for as the system does."""
    library, colon, symbol = name.rpartition(":")
    if colon and "/" in library:
        from daybreak.base import paths

        name = f"{paths.given(library, 'cpp_function')}:{symbol}"

    def stand_in() -> None:
        """Only its name is used."""

    stand_in.__name__ = stand_in.__qualname__ = name
    return _CppFunction(stand_in, _checked(options, _TASK_OPTIONS, "a task"))


# ----------------------------------------------------------------------------------------------------------------------
# Actors.


def _find_if_alive(full_name: str) -> Any:
    try:
        return _native._find_actor(full_name, _from_json)
    except ValueError:
        return None


class ActorClass:
    """A class whose instances live in processes of their own: `A.remote(...)` returns a handle at once."""

    def __init__(self, cls: type, options: dict[str, Any]) -> None:
        self._class = cls
        self._options = options
        self._exported = _Exported()
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
        other = ActorClass(self._class, self._options | _checked(options, _ACTOR_OPTIONS, "an actor"))
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
        if not is_initialized():
            _auto_init()
        options = self._options
        name = options.get("name")
        full_name = f"{options.get('namespace') or _namespace}/{name}" if name else ""
        if options.get("get_if_exists"):
            if not name:
                raise ValueError("get_if_exists=True needs a name")
            found = _find_if_alive(full_name)
            if found is not None:
                return found
        self._check_arguments(args, kwargs)
        info = self._info()
        create = (
            self._exported.get(self._class),
            args,
            kwargs,
            _resource_set(options, 0.0),
            full_name,
            _to_json(info),
            info,
            options.get("max_restarts") or 0,
            options.get("max_task_retries") or 0,
            options.get("max_concurrency") or 1,
            options.get("lifetime") == "detached",
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
    checked = _num_returns("num_returns", num_returns)

    def decorate(function: F) -> F:
        function.__daybreak_num_returns__ = checked  # type: ignore[attr-defined]
        return function

    return decorate


def remote(*args: Any, **options: Any) -> Any:
    """Makes a function a task or a class an actor: `@remote`, `@remote(num_cpus=2)`, `remote(f)`.

    Options of tasks: num_cpus, num_gpus, resources (fractions to 1e-4), num_returns (0 to 1000), max_retries (3),
    retry_exceptions (False, True or classes), name. Of actors: num_cpus (0), num_gpus, resources, name, namespace, lifetime,
    get_if_exists, max_restarts (0), max_task_retries (0), max_concurrency (1).

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
        return ActorClass(target, _checked(options, _ACTOR_OPTIONS, "an actor"))
    if isinstance(target, (RemoteFunction, ActorClass)):
        raise TypeError(f"{target!r} is remote already")
    if not callable(target):
        raise TypeError(f"remote takes a function or a class, not {type(target).__name__}")
    return RemoteFunction(target, _checked(options, _TASK_OPTIONS, "a task"))


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
    return _native._find_actor(f"{namespace or _namespace}/{name}", _from_json)


def kill(actor: ActorHandle, *, no_restart: bool = True) -> None:
    """Ends an actor's process at once. With no_restart=False it may start again, if its max_restarts allows."""
    engine = _engine.current()
    if engine is not None:
        engine.kill(actor, no_restart)
        return
    if isinstance(actor, ObjectRef):
        raise TypeError("kill() takes an actor handle; for a task use cancel(ref)")
    _native._kill(actor, no_restart)


def cancel(ref: ObjectRef, *, force: bool = False, recursive: bool = True) -> None:
    """Cancels a task: `get` of its result raises TaskCancelledError.

    One that waits does not start. One that runs gets a KeyboardInterrupt; with force=True its worker is killed. recursive:
    the tasks that it has submitted too. A task that is done stays done.
    """
    engine = _engine.current()
    if engine is not None:
        engine.cancel(ref, force, recursive)
        return
    _native._cancel(ref, force, recursive)


def exit_actor() -> None:
    """Inside a method: ends this actor after the call, which raises ActorDiedError for its caller."""
    if not _native._context().get("actor"):
        raise TypeError("exit_actor() is for the inside of an actor")
    raise SystemExit(0)


# ----------------------------------------------------------------------------------------------------------------------
# What there is.


def cluster_resources() -> dict[str, float]:
    """All resources: {"CPU": 4.0, "GPU": 1.0, "object_store_memory": bytes, ...}."""
    engine = _engine.current()
    return dict(engine.resources(False) if engine is not None else _native._resources(False))


def available_resources() -> dict[str, float]:
    """What is free of them now; a resource that is used up is left out."""
    engine = _engine.current()
    return dict(engine.resources(True) if engine is not None else _native._resources(True))


def nodes() -> list[dict[str, Any]]:
    """One dict, for this machine: NodeID, Alive, NodeManagerHostname, Resources."""
    import platform

    return [
        {
            "NodeID": _native._context()["session"],
            "Alive": True,
            "NodeManagerAddress": "127.0.0.1",
            "NodeManagerHostname": platform.node(),
            "Resources": cluster_resources(),
            "alive": True,
        }
    ]


def get_gpu_ids() -> list[int]:
    """The GPU ids that this task or actor was given."""
    return list(_native._context()["gpu_ids"])


class RuntimeContext:
    """Where this code runs."""

    def __init__(self) -> None:
        self._context = _native._context()

    def get_job_id(self) -> str:
        return str(self._context["session"])

    def get_node_id(self) -> str:
        return str(self._context["session"])

    def get_worker_id(self) -> str:
        return str(self._context["worker"])

    def get_task_id(self) -> str | None:
        """None outside of a task."""
        return self._context["task"]  # type: ignore[no-any-return]

    def get_actor_id(self) -> str | None:
        """None outside of an actor."""
        return self._context.get("actor")  # type: ignore[no-any-return]

    def get_actor_name(self) -> str | None:
        name = str(self._context.get("actor_name") or "")
        return name.split("/", 1)[1] if name else None

    def get_assigned_resources(self) -> dict[str, float]:
        return dict(self._context["assigned"])

    def get_accelerator_ids(self) -> dict[str, list[str]]:
        return {"GPU": [str(i) for i in self._context["gpu_ids"]]}

    @property
    def namespace(self) -> str:
        return _namespace

    @property
    def was_current_actor_reconstructed(self) -> bool:
        return bool(self._context.get("restarted", False))

    @property
    def current_actor(self) -> Any:
        return _native._current_actor(_from_json)


def get_runtime_context() -> RuntimeContext:
    """Ids and resources of the task, actor or driver that asks."""
    return RuntimeContext()
