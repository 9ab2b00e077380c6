"""The runtime of this process: its start and end, its resources, and where the code that asks runs."""

from __future__ import annotations

import os
import sys
from _thread import RLock

from .._core import runtime as _native
from . import engine as _engine
from . import memory_monitor as _memory_monitor
from . import options as _options
from . import spilling as _spilling
from . import told as _told

TYPE_CHECKING = False  # typing and json cost 25 ms, nearly all of what `import daybreak` may
if TYPE_CHECKING:
    from typing import Any

    from .._core.runtime import ObjectRef

    _Info = dict[str, Any]
else:
    _Info = dict

__all__ = [
    "RuntimeInfo",
    "available_resources",
    "cluster_resources",
    "get_gpu_ids",
    "get_node_ip_address",
    "init",
    "is_initialized",
    "nodes",
    "shutdown",
]

_MIN_STORE_BYTES = 1 << 20
_AWAITED_WORKERS = 1  # runs when init returns; the others follow at one in 2 ms
_WORKERS_WITHIN_S = 10.0
_lock = RLock()
_DEFAULT_NAMESPACE = "default"
_namespace = _DEFAULT_NAMESPACE
_labels: dict[str, str] = {}  # of this node
_lifetime = "non_detached"  # of actors that do not say
_visible: list[
    str
] = []  # GPUs of this machine that the runtime's are, by CUDA_VISIBLE_DEVICES of the driver; none: 0, 1, ...
patient = (
    False  # of the next init: what asks for more than there is waits, as on a cluster that may grow, with a warning
)
_retired: list[ObjectRef] = []  # functions whose RemoteFunction is gone, while tasks may still need them
_exit_hook = False
worker_setup: list[str] = []  # "module:function" that workers call before anything else; of the next init

# Ray's arguments that have no meaning on one machine without a dashboard: accepted, so that its programs run.
_IGNORED = {
    "include_dashboard", "include_webui", "dashboard_host", "dashboard_port", "job_config", "configure_logging",
    "logging_level", "logging_format", "logging_config", "object_ref_seed", "redis_address", "storage",
    "redis_password", "redirect_output", "ignore_version", "enable_resource_isolation", "system_reserved_cpu",
    "system_reserved_memory",
}  # fmt: skip
_HOST = "127.0.0.1"
_RAYS_MARK = "/tmp/ray/ray_current_cluster"  # where a Ray that runs here leaves its address


class RuntimeInfo(_Info):
    """What `init` returns: a dict, and a context manager that shuts down. There is no dashboard: its address is empty."""

    @property
    def address_info(self) -> dict[str, Any]:
        return self

    @property
    def dashboard_url(self) -> str:
        return str(self["webui_url"])

    @property
    def python_version(self) -> str:
        return ".".join(map(str, sys.version_info[:3]))

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
    labels: dict[str, str] | None = None,
    namespace: str | None = None,
    log_to_driver: bool = True,
    runtime_env: dict[str, Any] | None = None,
    object_spilling_directory: str | os.PathLike[str] | None = None,
    object_spilling_threshold: float | None = None,
    local_mode: bool = False,
    **ray_arguments: Any,
) -> RuntimeInfo:
    """Starts the runtime of this process: a zygote, workers, an object store in shared memory.

    The other verbs call it when it has not been called. After `shutdown` it may be called again.

    Args:
        address: None or "local": an engine of this process's own. "auto": the engine of this user that runs on this machine,
            the newest of several, else the Ray cluster that this process belongs to. A process number, a session or a path,
            as init() gives it in "address": that engine (see `daybreak.runtime.attaching`). "ray://HOST:10001" (Ray Client)
            or "HOST:6379" (a node of the cluster): a Ray cluster. Without one DAYBREAK_ADDRESS and RAY_ADDRESS are heeded.
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
        labels: of this node, for a task's label_selector and NodeLabelSchedulingStrategy.
        runtime_env: the workers' environment, see `daybreak.runtime.env.RuntimeEnv`.
        object_spilling_directory: where large objects are written that do not fit into the store any more; the default is the
            temporary folder (TMPDIR). A folder of the engine's own is made there, and removed at the end.
        object_spilling_threshold: the part of the store in use from which on that begins, 0.8 by default.
        local_mode: all that is submitted runs at once in this process and thread, for the debugger's sake.
        **ray_arguments: Ray's others (include_dashboard, logging_level, ...) and those that begin with an underscore are taken
            and have no effect here, but for _memory: bytes that tasks can ask for as memory=; the default is what the object
            store leaves; _system_config, of which what it says of spilling and of the memory monitor (memory_usage_threshold,
            0.95; memory_monitor_refresh_ms, 250) is heeded.

    Raises:
        RuntimeError: it is running already.
        ConnectionError: no engine and no cluster is where `address` says.
        ValueError: an argument is out of range; the text says which and what is possible.

    Example:
        >>> import daybreak
        >>> _ = daybreak.init(num_cpus=2, ignore_reinit_error=True)
        >>> daybreak.is_initialized()
        True
    """
    with _lock:
        if _native._is_worker():
            return _info()
        if is_initialized():
            if ignore_reinit_error:
                return _info()
            raise RuntimeError(
                "the runtime is running already. Maybe you called ray.init twice by accident? Call shutdown() first, "
                "or init(ignore_reinit_error=True)"
            )
        address = address or os.environ.get("DAYBREAK_ADDRESS") or os.environ.get("RAY_ADDRESS") or None
        door = _door_of(address, engine)
        if door is not None or _is_for_ray(address, engine):
            given = {"num_cpus": num_cpus, "num_gpus": num_gpus, "resources": resources, "log_to_driver": log_to_driver}
            given |= {"object_store_memory": object_store_memory}
            given |= _spilling.for_ray(object_spilling_directory, object_spilling_threshold)
            if door is not None:
                return _attach(door, namespace, runtime_env, local_mode, given | {"labels": labels} | ray_arguments)
            return RuntimeInfo(_join_ray(address, namespace, runtime_env, local_mode, given | ray_arguments))
        _check_names(ray_arguments)
        _check_address(address)
        if local_mode:
            return RuntimeInfo(_start_inline(num_cpus, num_gpus, resources, namespace, runtime_env))
        cpus = _native._machine()[0] if num_cpus is None else num_cpus
        cpus = _options.whole("num_cpus", cpus, 4096)
        gpus = float(0 if num_gpus is None else _options.whole("num_gpus", num_gpus, 64))
        store = _store_bytes(object_store_memory)
        config = ray_arguments.get("_system_config")
        spill = _spilling.settings(object_spilling_directory, object_spilling_threshold, config)
        memory = _memory_monitor.settings(config)
        custom = _resources_of_node(resources, ray_arguments.get("_memory"), store)
        job = ray_arguments.get("job_config")
        environment = _job_environment(runtime_env, job)
        namespace = getattr(job, "ray_namespace", None) if namespace is None else namespace
        _enter_session(
            {
                "namespace": _options._namespace("namespace", _DEFAULT_NAMESPACE if namespace is None else namespace),
                "labels": {} if labels is None else _options._labels("labels", labels),
                "environment": environment,
                "lifetime": getattr(job, "default_actor_lifetime", "non_detached"),
                "visible": _visible_gpus(gpus),
            }
        )
        _retired.clear()
        _start(int(cpus), gpus, custom, store, environment, log_to_driver, spill, memory, _told.is_recorded(config))
        _shut_down_at_exit()
        return _info()


def _shut_down_at_exit() -> None:
    global _exit_hook
    if not _exit_hook:
        import atexit

        atexit.register(shutdown)
        _exit_hook = True


def _start(
    cpus: int,
    gpus: float,
    custom: list[tuple[str, float]],
    store: int,
    environment: dict[str, Any],
    log_to_driver: bool,
    spill: tuple[str, bool, float],
    memory: tuple[float, int, str],
    recorded: bool,
) -> None:
    preload = ",".join([*(name for name in ("numpy",) if name in sys.modules), *worker_setup])
    variables = _variables_of_workers(environment, preload)
    before = {name: os.environ.get(name) for name in (*variables, "PATH", "VIRTUAL_ENV")}
    try:
        os.environ.update(variables)
        command = _zygote_command()
        if environment:
            from . import env

            command = env.prepare_job(environment, command)
        from . import attaching

        told = (attaching.identity(), _told.fold_ns(), recorded)
        _native._init(cpus, gpus, custom, store, command, log_to_driver, patient, *spill, *memory, *told)
        attaching.describe_engine(_labels, _visible)
        _load_pickling()  # while they start
        _native._await_workers(min(cpus, _AWAITED_WORKERS), _WORKERS_WITHIN_S)
        from . import stacks

        stacks.offer()  # `daybreak stack` shows where this process is
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _door_of(address: str | None, engine: str | None) -> str | None:
    """Of the engine that `address` names, if it names one that another process has started."""
    if engine == "ray" or address in (None, "local") or not isinstance(address, str):
        return None
    from . import attaching

    return attaching.engine_of(address)


def _attach(door: str, namespace: str | None, runtime_env: Any, local_mode: bool, given: dict[str, Any]) -> RuntimeInfo:
    from . import attaching

    if local_mode:
        raise ValueError("local_mode: everything runs in this process, without an engine; leave out the address")
    _check_names({name: value for name, value in given.items() if name not in _init_arguments()})
    attaching.attach(door, namespace, _job_environment(runtime_env, given.get("job_config")), given)
    _shut_down_at_exit()
    return _info()


def _join_ray(
    address: str | None, namespace: str | None, runtime_env: Any, local_mode: bool, given: dict[str, Any]
) -> dict[str, Any]:
    from .engines import ray as ray_engine

    if local_mode:
        raise ValueError(
            "local_mode: everything runs in this process, without a cluster; leave out the address or the engine"
        )
    return ray_engine.connect(address, namespace=namespace, runtime_env=runtime_env, **given)


def _start_inline(
    num_cpus: Any, num_gpus: Any, resources: dict[str, float] | None, namespace: str | None, runtime_env: Any
) -> dict[str, Any]:
    """`local_mode`."""
    from .engines import inline

    if runtime_env:
        raise ValueError("runtime_env: with local_mode everything runs in this process; set its environment before")
    cpus = _options.whole("num_cpus", _native._machine()[0] if num_cpus is None else num_cpus, 4096)
    gpus = _options.whole("num_gpus", num_gpus or 0, 64)
    custom = dict(_resources_of_node(resources, None, 0))
    space = _options._namespace("namespace", _DEFAULT_NAMESPACE if namespace is None else namespace)
    return inline.start({"CPU": float(cpus), **({"GPU": float(gpus)} if gpus else {}), **custom}, space)


def _is_for_ray(address: str | None, engine: str | None) -> bool:
    if engine not in (None, "local", "ray"):
        raise ValueError(f"engine={engine!r}: it must be None, 'local' or 'ray'")
    if engine is not None:
        return engine == "ray"
    if address == "auto":
        if os.environ.get("RAY_ADDRESS") or os.path.exists(_RAYS_MARK):
            return True
        raise ConnectionError(
            "address='auto': no engine of this user runs on this machine, and no Ray cluster is known here: start one "
            "(init() in another process), or leave the address out for an engine of this process's own"
        )
    return isinstance(address, str) and ":" in address


def _check_names(ray_arguments: dict[str, Any]) -> None:
    unknown = {name for name in set(ray_arguments) - _IGNORED if not name.startswith("_")}
    if unknown:
        raise ValueError(
            f"init() has no argument {sorted(unknown)[0]!r}; valid are {', '.join(sorted(_init_arguments()))}"
        )


def _check_address(address: str | None) -> None:
    if address not in (None, "local"):
        raise ValueError(
            f"address={address!r} (the argument, or the variable DAYBREAK_ADDRESS or RAY_ADDRESS): 'local', 'auto', the number, "
            "session or door of an engine that runs here, 'ray://HOST:10001' or 'HOST:PORT' of a Ray cluster expected"
        )


def _resources_of_node(resources: dict[str, float] | None, memory: int | None, store: int) -> list[tuple[str, float]]:
    """Custom ones, memory, and a little of the node itself, by which a task can ask for it."""
    found = _options.custom_resources(resources, "init")
    total = max(0, _native._machine()[1] - store) if memory is None else memory
    found.append(("memory", _options.amount("memory", total)))
    names = [name for name, _ in found]
    return [*found, *((f"node:{name}", 1.0) for name in (_HOST, "__internal_head__") if f"node:{name}" not in names)]


def _job_environment(runtime_env: Any, job_config: Any) -> dict[str, Any]:
    given = runtime_env
    if given is None and job_config is not None:
        given = getattr(job_config, "runtime_env", None)
    if not given:
        return {}
    from . import env

    return env.resolved(env.checked("runtime_env", given))


def _variables_of_workers(environment: dict[str, Any], preload: str) -> dict[str, str]:
    """What the zygote, and with it the workers, find in their environment."""
    found = {"DAYBREAK_PRELOAD": preload}
    if environment:
        from . import env

        found |= env.expanded(environment)
        environment = env.shortened(environment)
    told = {
        "namespace": _namespace,
        "labels": _labels,
        "environment": environment,
        "lifetime": _lifetime,
        "visible": _visible,
    }
    if told != _PLAIN:
        import json

        found["DAYBREAK_SESSION"] = json.dumps(told)
    return found


_PLAIN = {"namespace": _DEFAULT_NAMESPACE, "labels": {}, "environment": {}, "lifetime": "non_detached", "visible": []}


def _visible_gpus(gpus: float) -> list[str]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    if not gpus or not visible:
        return []
    found = visible.split(",")
    if len(found) < gpus:
        raise ValueError(
            f"num_gpus={int(gpus)}: CUDA_VISIBLE_DEVICES has {len(found)} ({visible}): lower num_gpus or show it more"
        )
    return found


def _enter_session(told: dict[str, Any]) -> None:
    """In the driver, and in each process that works for it."""
    global _namespace, _labels, _lifetime, _visible
    _namespace, _labels = told["namespace"], told["labels"]
    _lifetime, _visible = told["lifetime"], told["visible"]
    if told["environment"] or "daybreak.runtime.env" in sys.modules:
        from . import env

        env.set_own(told["environment"])


def _enter_job(job: dict[str, Any]) -> None:
    """In a process that works for an attached driver, beside what `_enter_session` was told of the engine."""
    global _namespace, _lifetime
    _namespace, _lifetime = job["namespace"], job["lifetime"]


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
    address = _address()
    return RuntimeInfo(
        address=address,
        session_id=_native._context()["session"],
        namespace=_namespace,
        node_ip_address=_HOST,
        node_id=node_id(),
        gcs_address=address,
        webui_url=os.environ.get("RAY_OVERRIDE_DASHBOARD_URL", ""),
    )


def _address() -> str:
    """By which another process may join this engine; "local" where none can."""
    found = _native._door()[0]
    if found is None and _native._is_worker():
        ours = _native._session()
        found = next((engine["path"] for engine in _native._engines() if engine["session"] == ours), None)
    return str(found or "local")


def get_node_ip_address() -> str:
    """Of this machine, as far as the runtime goes."""
    return _HOST


def node_id() -> str:
    """Of this machine in this runtime, as hexadecimal digits."""
    from .ids import node_of

    return node_of(_native._context()["session"]).hex()


def check_node(strategy: Any, selector: dict[str, str] | None) -> None:
    """TaskUnschedulableError where one of these asks for another node than this one."""
    from . import labels, scheduling

    scheduling.check_node(strategy, node_id(), _labels)
    if selector and not labels.matches(selector, _labels):
        from .exceptions import TaskUnschedulableError

        raise TaskUnschedulableError(
            f"label_selector={selector}: no node has such labels, the only one has {_labels}: give init(labels=) those"
        )


def _auto_init() -> None:
    init(ignore_reinit_error=True)


def _zygote_command() -> list[str]:
    code = (
        f"import gc, sys; gc.disable(); path = {list(sys.path)!r}; sys.path[:] = path; "
        "from daybreak.runtime.worker import main; main(path)"
    )
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
        if env := sys.modules.get("daybreak.runtime.env"):
            env.leave()
        if stacks := sys.modules.get("daybreak.runtime.stacks"):
            stacks.withdraw()


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
    """One dict, for this machine: NodeID, Alive, NodeManagerHostname, Resources, Labels. It has no ports."""
    engine = _engine.current()
    if engine is not None:
        return engine.nodes()
    import platform

    return [
        {
            "NodeID": node_id(),
            "Alive": True,
            "NodeManagerAddress": _HOST,
            "NodeManagerHostname": platform.node(),
            "NodeName": _HOST,
            "Resources": cluster_resources(),
            "Labels": {"ray.io/node-id": node_id(), **_labels},
            "alive": True,
        }
    ]


def get_gpu_ids() -> list[int | str]:
    """The GPU ids that this task or actor was given. Where the driver had CUDA_VISIBLE_DEVICES, they are of that."""
    engine = _engine.current()
    if engine is not None:
        return list(engine.gpu_ids())
    found: list[int | str] = [visible_gpu(i) for i in _native._context()["gpu_ids"]]
    return [int(each) if isinstance(each, str) and each.isdigit() else each for each in found]


def visible_gpu(number: int) -> int | str:
    """How CUDA knows the runtime's GPU of this number."""
    return _visible[number] if number < len(_visible) else number


def default_lifetime() -> str:
    """Of an actor that does not say."""
    return _lifetime


def default_cpus_of_actor() -> int:
    """An actor that does not say holds no CPU. Where what cannot be waits it wants one to be there, as in Ray."""
    return 1 if _native._is_patient() and not _native._resources(False).get("CPU") else 0


_warned: set[str] = set()


def warn_of_infeasible(what: str, asked: dict[str, float]) -> None:
    """On the standard error, once, for what will wait because there is not as much."""
    there = _native._resources(False)
    for name, amount in asked.items():
        has = there.get(name, 0)
        text = f"daybreak: {what} asks for {name}={amount:g}, the runtime has {has:g}: it waits until there is more"
        if amount > has and text not in _warned:
            _warned.add(text)
            print(text, file=sys.stderr)


def full_name(name: str, namespace: str | None) -> str:
    """An actor's, with its namespace or the one of this process; a "/" of the namespace is not that between the two."""
    _options.checked_text("name", name)
    return f"{(namespace or _namespace).replace('%', '%25').replace('/', '%2F')}/{name}"


def namespace_of(full_name: str) -> str:
    """What `full_name` was given, "" where it was none."""
    return full_name.partition("/")[0].replace("%2F", "/").replace("%25", "%")


def from_json(text: str) -> Any:
    import json

    return json.loads(text)
