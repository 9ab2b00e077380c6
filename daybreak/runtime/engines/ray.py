"""The second engine: a real Ray cluster under the same verbs.

    daybreak.init("ray://head:10001")   # Ray Client, from a laptop
    daybreak.init(address="auto")       # in a Ray job, or on a node of the cluster
    daybreak.init(engine="ray")         # a Ray of this machine's own

Tasks, actors, objects, waits and cancellations are Ray's: what a reference or a handle is, Ray says. Exceptions become Daybreak's
classes, which are also those that a task raised. What goes to a worker goes by value: Daybreak need not be installed there
(`ray_worker.py`). It needs the extra: `pip install 'daybreak[ray]'`.
"""

from __future__ import annotations

import atexit
import importlib
import operator
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import engine as _engine
from .. import exceptions as _exceptions
from .. import options as _settings
from . import ray_actors, ray_worker

__all__ = ["MIN_VERSION", "RayEngine", "attach", "connect"]

MIN_VERSION = (2, 60)
_COLOURS = re.compile("\x1b\\[[0-9;]*m")
_TASK = re.compile(r"ray::([^(\s]+)\(")
_UNPICKLABLE = re.compile("isn't serializable")
# Ray's exception -> ours; the first that fits. What is not here is one of the runtime.
_CLASSES: tuple[tuple[str, str], ...] = (
    ("GetTimeoutError", "GetTimeoutError"),
    ("TaskCancelledError", "TaskCancelledError"),
    ("TaskUnschedulableError", "TaskUnschedulableError"),
    ("ActorUnschedulableError", "ActorUnschedulableError"),
    ("ActorUnavailableError", "ActorUnavailableError"),
    ("RayActorError", "ActorDiedError"),
    ("OutOfMemoryError", "OutOfMemoryError"),
    ("RuntimeEnvSetupError", "RuntimeEnvSetupError"),
    ("PendingCallsLimitExceeded", "PendingCallsLimitExceeded"),
    ("OwnerDiedError", "OwnerDiedError"),
    ("ObjectStoreFullError", "ObjectStoreFullError"),
    ("ObjectLostError", "ObjectLostError"),
    ("NodeDiedError", "WorkerCrashedError"),
    ("WorkerCrashedError", "WorkerCrashedError"),
    ("LocalRayletDiedError", "WorkerCrashedError"),
)


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ImportError(f"the engine 'ray' needs Ray: pip install 'daybreak[ray]' ({error})") from error
    version = tuple(int(part) for part in ray.__version__.split(".")[:2])
    if version < MIN_VERSION:
        need = ".".join(map(str, MIN_VERSION))
        raise ImportError(
            f"the engine 'ray' needs Ray {need} or later, this is {ray.__version__}: pip install -U 'ray[client]'"
        )
    for sent in (ray_worker, ray_actors):
        ray.cloudpickle.register_pickle_by_value(sent)
    return ray


def connect(
    address: str | None, *, namespace: str | None = None, runtime_env: dict[str, Any] | None = None, **arguments: Any
) -> dict[str, Any]:
    """Joins the Ray cluster at `address` (None: one of this machine's own is started, "auto": the one that this process belongs
    to) and sends the verbs there. Gives what `init` returns.

    Raises:
        ImportError: there is no Ray, or one that is too old.
        ConnectionError: nobody answers at the address.
        ValueError: an argument that a running cluster cannot take.
    """
    ray = _ray()
    started = address is None
    if not ray.is_initialized():
        environment = dict(runtime_env or {})
        if address is not None and address.startswith("ray://"):
            environment["py_modules"] = [*(environment.get("py_modules") or []), _as_package()]
        else:
            environment["worker_process_setup_hook"] = _hook(environment.get("worker_process_setup_hook"))
        given = {name: value for name, value in arguments.items() if value is not None}
        of_a_start = {"num_cpus", "num_gpus", "resources", "object_store_memory", "object_spilling_directory"}
        if not started and (fixed := of_a_start & set(given)):
            raise ValueError(f"{sorted(fixed)[0]}: the cluster at {address!r} has what it has; leave it out")
        context = ray.init(address, namespace=namespace, runtime_env=environment, **given)
        info = dict(context.address_info) if hasattr(context, "address_info") else {}
    else:
        info = {}
    joined = RayEngine(ray, {**info, "address": address or "local", "engine": "ray", "namespace": namespace})
    _engine.use(joined)
    return joined.info()


def _as_package() -> str:
    """A folder that holds `ray_worker` as the package `daybreak`: Ray Client sends folders with a program, but no function."""
    folder = Path(tempfile.mkdtemp(prefix="daybreak-on-ray-")) / "daybreak"
    atexit.register(shutil.rmtree, folder.parent, ignore_errors=True)
    folder.mkdir()
    shutil.copyfile(ray_worker.__file__, folder / "__init__.py")
    return str(folder)


def _hook(own: Any) -> Callable[[], None]:
    """What workers call first: ours, then the user's."""
    if own is None:
        return ray_worker.set_up
    if not callable(own):
        raise TypeError(f"worker_process_setup_hook={own!r}: with the engine 'ray' it must be a function, not a name")
    ours = ray_worker.set_up

    def both() -> None:
        ours()
        own()

    both.__module__ = "__main__"  # by value
    return both


def attach() -> None:
    """In a worker of the cluster that has Daybreak: its verbs are the cluster's."""
    _engine.use(RayEngine(_ray(), {"address": "auto", "engine": "ray"}))


class RayEngine:
    """See `runtime/engine.py`. One for each process that is part of a cluster."""

    def __init__(self, ray: Any, info: dict[str, Any]) -> None:
        self.ray = ray
        self._info = info
        self._errors = [
            (getattr(ray.exceptions, theirs), getattr(_exceptions, ours))
            for theirs, ours in _CLASSES
            if hasattr(ray.exceptions, theirs) and hasattr(_exceptions, ours)
        ]

    # ------------------------------------------------------------------------------------------------------------------
    # Functions and classes.

    def _made(self, target: Any, what: Any) -> Any:
        """Ray's own of a RemoteFunction or ActorClass: made once for each engine."""
        known = target.__dict__.get("_on_ray")
        if known is None or known[0] is not self:
            options = _options(self.ray, target._options)
            self._refuse_streams(what, options)
            if isinstance(what, type):
                what = _with_ray_methods(self.ray, what)
            made = self.ray.remote(**options)(what) if options else self.ray.remote(what)
            known = target.__dict__["_on_ray"] = (self, made)
        return known[1]

    def _refuse_streams(self, what: Any, options: dict[str, Any]) -> None:
        """Ray Client would give one reference to a generator that nobody can read."""
        if not self.ray.util.client.ray.is_connected():
            return
        streams = {name for name in vars(what) if _streams(getattr(what, name), {})} if isinstance(what, type) else ()
        if streams or not isinstance(what, type) and _streams(what, options):
            which = f"{what.__name__}.{min(streams)}" if streams else getattr(what, "__name__", repr(what))
            raise NotImplementedError(
                f"{which} yields, and Ray Client (ray://) streams no results: run the program as a Ray job, with "
                'init("auto"), or give it num_returns as a number'
            )

    def reduced(self, target: Any, what: Any) -> Any:
        """How a RemoteFunction or ActorClass is pickled for a worker: as Ray's, so that no Daybreak is needed there."""
        return operator.itemgetter(0), ((self._made(target, what),),)

    def submit(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        return self._tried(self._made(function, function._function).remote, *args, **kwargs)

    def create_actor(self, actor_class: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._tried(self._made(actor_class, actor_class._class).remote, *args, **kwargs)

    # ------------------------------------------------------------------------------------------------------------------
    # The verbs.

    def get(self, refs: Any, *, timeout: float | None = None) -> Any:
        return self._tried(self.ray.get, refs, timeout=timeout)

    def put(self, value: Any) -> Any:
        return self._tried(self.ray.put, value)

    def wait(
        self, refs: list[Any], *, num_returns: int = 1, timeout: float | None = None, fetch_local: bool = True
    ) -> tuple[list[Any], list[Any]]:
        return self._tried(  # type: ignore[no-any-return]
            self.ray.wait, refs, num_returns=num_returns, timeout=timeout, fetch_local=fetch_local
        )

    def kill(self, actor: Any, no_restart: bool) -> None:
        self._tried(self.ray.kill, actor, no_restart=no_restart)

    def cancel(self, ref: Any, force: bool, recursive: bool) -> None:
        self._tried(self.ray.cancel, ref, force=force, recursive=recursive)

    def list_named_actors(self, all_namespaces: bool) -> list[Any]:
        return list(self.ray.util.list_named_actors(all_namespaces))

    def get_actor(self, name: str, namespace: str | None) -> Any:
        return self._tried(self.ray.get_actor, name, namespace)

    def resources(self, available: bool) -> dict[str, float]:
        return dict(self.ray.available_resources() if available else self.ray.cluster_resources())

    def info(self) -> dict[str, Any]:
        return dict(self._info)

    def nodes(self) -> list[dict[str, Any]]:
        return list(self.ray.nodes())

    def gpu_ids(self) -> list[int]:
        return list(self.ray.get_gpu_ids())

    def runtime_context(self) -> Any:
        return self.ray.get_runtime_context()

    def placement_groups(self) -> Any:
        return _Translated(
            self, importlib.import_module("ray.util.placement_group")
        )  # whose name is also its function's

    def exit_actor(self) -> None:
        ray_worker.exit_actor()

    def shutdown(self) -> None:
        self.ray.shutdown()

    # ------------------------------------------------------------------------------------------------------------------
    # Exceptions.

    def _tried(self, verb: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return verb(*args, **kwargs)
        except self.ray.exceptions.RayError as error:
            failure = self.translated(error)
        raise failure  # outside: the two are one error, not one that came of the other

    def translated(self, error: Any) -> BaseException:
        """Ray's exception as Daybreak's: with the same text, and of the class that the task raised too."""
        if isinstance(error, self.ray.exceptions.RayTaskError):
            return self._task_error(error)
        text = str(error)
        if type(error) is self.ray.exceptions.RayError and _UNPICKLABLE.search(text):  # of what a task raised
            return _exceptions._task_error("", text, 0, None)
        if type(error).__name__ == "ActorAlreadyExistsError":
            return _exceptions.InvalidArgumentError(text)
        for theirs, ours in self._errors:
            if isinstance(error, theirs):
                return ours(text)  # type: ignore[no-any-return]
        return _exceptions._RuntimeFailure(f"{type(error).__name__}: {text}")

    def _task_error(self, error: Any) -> BaseException:
        cause = getattr(error, "cause", None)
        while isinstance(cause, self.ray.exceptions.RayTaskError):  # of a task that the task waited for
            cause = getattr(cause, "cause", None)
        if isinstance(cause, _exceptions.TaskError):
            cause = cause.cause
        if isinstance(cause, self.ray.exceptions.RayError):
            return self.translated(cause)
        text = _COLOURS.sub("", str(getattr(error, "traceback_str", "") or error))
        named = _TASK.search(text)  # of the innermost task: its name is nowhere else once the error has crossed
        name = str(getattr(error, "function_name", "") or (named[1] if named else ""))
        return _exceptions._task_error(name, text, int(getattr(error, "pid", 0) or 0), cause)


def _streams(function: Any, options: dict[str, Any]) -> bool:
    given = options.get("num_returns", getattr(function, "__daybreak_method__", {}).get("num_returns"))
    return (
        given in ("streaming", "dynamic")
        or callable(function)
        and _settings.returns_of(function, given) == _settings.STREAMING
    )


class _Translated:
    """A module of Ray's whose functions raise our exceptions."""

    def __init__(self, engine: RayEngine, module: Any) -> None:
        self._engine, self._module = engine, module

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._module, name)
        return lambda *args, **kwargs: self._engine._tried(function, *args, **kwargs)


def _with_ray_methods(ray: Any, cls: type) -> type:
    """Options that `daybreak.method` gave a method are where Ray looks for them."""
    for base in cls.__mro__:
        for member in list(vars(base).values()):
            options = _options(ray, getattr(member, "__daybreak_method__", {}))
            if options:
                ray.method(**options)(member)
    return cls


def _options(ray: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Ours are named as Ray's are; what is an object of ours becomes Ray's of the same name."""
    found = {}
    for name, value in options.items():
        if value is None:
            continue
        if isinstance(value, tuple):
            value = list(value)
        elif name == "num_returns":
            value = {_settings.STREAMING: "streaming", _settings.DYNAMIC: "dynamic"}.get(value, value)
        elif name == "scheduling_strategy" and not isinstance(value, str):
            theirs = getattr(ray.util.scheduling_strategies, type(value).__name__, None)
            if theirs is None:
                raise TypeError(f"scheduling_strategy={value!r}: the engine 'ray' knows no {type(value).__name__}")
            value = theirs(**{key: each for key, each in vars(value).items() if not key.startswith("_")})
        elif name == "runtime_env":
            value = _without_folders(dict(value))
        found[name] = value
    return found


def _without_folders(environment: dict[str, Any]) -> dict[str, Any]:
    """Ray sends folders of this machine with a job alone."""
    for key in ("working_dir", "py_modules"):
        given = environment.get(key)
        for folder in given if isinstance(given, (list, tuple)) else [given]:
            if folder is not None and "://" not in str(folder):
                raise ValueError(
                    f"{key}={folder!r}: a Ray cluster takes a folder of this machine for the whole program, "
                    f"init(runtime_env={{{key!r}: ...}}), or a URI (https, s3, gs) of a zip for one task"
                )
    return environment
