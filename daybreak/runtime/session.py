"""The runtime of this process: its start and end, its resources, and where the code that asks runs."""

from __future__ import annotations

import os
import sys
from _thread import RLock

from .._core import runtime as _native
from . import engine as _engine
from . import options as _options

TYPE_CHECKING = False  # typing and json cost 25 ms, nearly all of what `import daybreak` may
if TYPE_CHECKING:
    from typing import Any

    from .._core.runtime import ObjectRef

    _Info = dict[str, Any]
else:
    _Info = dict

__all__ = [
    "RuntimeContext",
    "RuntimeInfo",
    "available_resources",
    "cluster_resources",
    "get_gpu_ids",
    "get_runtime_context",
    "init",
    "is_initialized",
    "nodes",
    "shutdown",
]

_MIN_STORE_BYTES = 1 << 20
_AWAITED_WORKERS = 1  # runs when init returns; the others follow at one in 2 ms
_WORKERS_WITHIN_S = 10.0
_lock = RLock()
_namespace = "default"
_retired: list[ObjectRef] = []  # functions whose RemoteFunction is gone, while tasks may still need them
_exit_hook = False
worker_setup: list[str] = []  # "module:function" that workers call before anything else; of the next init

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
    engine: str | None = None,
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
        address: None or "local": this machine. "ray://HOST:10001" (Ray Client) or "HOST:6379" (a node of the cluster): a Ray
            cluster. "auto": the Ray cluster that this process belongs to, else this machine.
        engine: "local" or "ray". "ray" without an address starts a Ray of this machine's own. See `daybreak.runtime.engines.ray`.
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
        if _is_for_ray(address, engine):
            from .engines import ray as ray_engine

            given = {"num_cpus": num_cpus, "num_gpus": num_gpus, "resources": resources}
            given |= {"object_store_memory": object_store_memory, "log_to_driver": log_to_driver}
            return RuntimeInfo(
                ray_engine.connect(address, namespace=namespace, runtime_env=runtime_env, **given, **ray_arguments)
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
        cpus = _options.whole("num_cpus", cpus, 4096)
        gpus = float(0 if num_gpus is None else _options.whole("num_gpus", num_gpus, 64))
        custom = _options.custom_resources(resources, "init")
        store = _store_bytes(object_store_memory)
        environment = dict((runtime_env or {}).get("env_vars", {}))
        others = set(runtime_env or {}) - {"env_vars"}
        if others:
            raise ValueError(f"runtime_env[{sorted(others)[0]!r}] is not supported; valid is 'env_vars'")
        _namespace = namespace or "default"
        _retired.clear()
        preload = ",".join([*(name for name in ("numpy",) if name in sys.modules), *worker_setup])
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


def _is_for_ray(address: str | None, engine: str | None) -> bool:
    if engine not in (None, "local", "ray"):
        raise ValueError(f"engine={engine!r}: it must be None, 'local' or 'ray'")
    if engine is not None:
        return engine == "ray"
    if address == "auto":
        return bool(os.environ.get("RAY_ADDRESS")) or os.path.exists("/tmp/ray/ray_current_cluster")
    return isinstance(address, str) and ":" in address


def _load_pickling() -> None:
    from . import serialization

    serialization.pickler_type()


def _init_arguments() -> list[str]:
    code = init.__code__
    return list(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])


def _info() -> RuntimeInfo:
    engine = _engine.current()
    if engine is not None:
        return RuntimeInfo(engine.info())
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
    size = _options.number(asked)
    if size is None or not _MIN_STORE_BYTES <= size <= total:
        raise ValueError(
            f"object_store_memory={asked!r}: it must lie between {_MIN_STORE_BYTES} bytes and "
            f"{f'the limit in {limited_by}' if limited_by else 'the memory of this machine'}, {total} bytes"
        )
    return int(size)


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
    engine = _engine.current()
    if engine is not None:
        return engine.nodes()
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
    engine = _engine.current()
    if engine is not None:
        return engine.gpu_ids()
    return list(_native._context()["gpu_ids"])


def full_name(name: str, namespace: str | None) -> str:
    """An actor's, with its namespace or the one of this process."""
    return f"{namespace or _namespace}/{name}"


def from_json(text: str) -> Any:
    import json

    return json.loads(text)


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
        return _native._current_actor(from_json)


def get_runtime_context() -> RuntimeContext:
    """Ids and resources of the task, actor or driver that asks."""
    engine = _engine.current()
    if engine is not None:
        return engine.runtime_context()  # type: ignore[no-any-return]
    return RuntimeContext()
