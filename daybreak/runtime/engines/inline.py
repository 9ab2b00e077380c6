"""`init(local_mode=True)`: every task and call runs at once where it is submitted, in this thread, for the debugger's sake.

The same program, one thing after the other: a breakpoint stops in a task, a stack shows who submitted it, a profile is of one
process. Arguments and results are still copied, as they are between processes: what a task changes of an argument nobody else
sees, arrays come back read-only, and what cannot be pickled is refused. Global variables and those that a function closes over
are the program's own, though. What needs a second process (a worker that dies, a call that waits for another) is not there.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import secrets
import threading
import traceback
import weakref
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from typing import Any

from .. import engine as _engine
from .. import exceptions as _exceptions
from .. import options as _options
from ..tasks import name_of

__all__ = ["InlineEngine", "start"]

_made: weakref.WeakValueDictionary[str, Any] = (
    weakref.WeakValueDictionary()
)  # references and handles, by id: they cross as such
_held: list[list[Any]] = []  # of each value that is being pickled now: the references in it


class Reference:
    """An ObjectRef of this engine: its value is there from the start, or its error."""

    def __init__(self, packed: Any = None, error: BaseException | None = None) -> None:
        self._id, self._packed, self._error = secrets.token_hex(28), packed, error
        _made[self._id] = self

    def hex(self) -> str:
        return self._id

    def binary(self) -> bytes:
        return bytes.fromhex(self._id)

    def value(self) -> Any:
        if self._error is not None:
            raise self._error
        return _unpacked(self._packed)

    def future(self) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(self.value())
        except BaseException as error:
            future.set_exception(error)
        return future

    def __await__(self) -> Generator[Any, None, Any]:
        yield from asyncio.sleep(0).__await__()
        return self.value()

    def __copy__(self) -> Reference:
        return self

    def __deepcopy__(self, memo: Any) -> Reference:
        return self

    def __reduce__(self) -> Any:
        return _crossing(self)

    def __repr__(self) -> str:
        return f"ObjectRef({self._id})"


class Stream:
    """What a generator has given, as references; an error is the last one's."""

    def __init__(self, references: list[Reference]) -> None:
        self._left: Iterator[Reference] = iter(references)
        self._task = Reference(_packed(None))

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Reference:
        return next(self._left)

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Reference:
        for reference in self._left:
            return reference
        raise StopAsyncIteration

    def completed(self) -> Reference:
        return self._task


class Handle:
    """Of an actor, which is an object of this process."""

    def __init__(self, engine: InlineEngine, actor_class: Any) -> None:
        self._id = self._actor_id = secrets.token_hex(16)
        self._engine, self._class, self._options = engine, actor_class._class, actor_class._options
        self._object: Any = None
        self._death = ""
        _made[self._id] = self

    def __getattr__(self, name: str) -> Method:
        if name.startswith("__") and name not in ("__ray_ready__", "__ray_terminate__", "__ray_call__", "__call__"):
            raise AttributeError(name)
        if not name.startswith("__ray_") and not callable(getattr(self._class, name, None)):
            raise AttributeError(f"actor {self._class.__name__} has no method {name!r}")
        return Method(self, name, {})

    def __reduce__(self) -> Any:
        return _crossing(self)

    def __repr__(self) -> str:
        return f"Actor({self._class.__name__}, {self._id})"


class Method:
    """`handle.name`, with the options of its `.options(...)`."""

    def __init__(self, handle: Handle, name: str, options: dict[str, Any]) -> None:
        self._handle, self._name, self._options = handle, name, options

    def options(self, **options: Any) -> Method:
        checked = _options.checked(options, _options.METHOD_OPTIONS, "a method")
        return Method(self._handle, self._name, {**self._options, **checked})

    def remote(self, *args: Any, **kwargs: Any) -> Any:
        return self._handle._engine.call(self._handle, self._name, self._options, args, kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            f"Actor methods cannot be called directly. Instead of running '{self._name}()', try '{self._name}.remote()'."
        )


class InlineEngine:
    """See `runtime/engine.py`."""

    def __init__(self, resources: dict[str, float], namespace: str) -> None:
        self._resources, self._namespace = resources, namespace
        # Actors live by their handles, or as long as the engine.
        self._named: weakref.WeakValueDictionary[tuple[str, str], Handle] = weakref.WeakValueDictionary()
        self._detached: list[Handle] = []
        self._job, self._node = secrets.token_hex(4), secrets.token_hex(28)
        self._running: list[tuple[str, Handle | None]] = []  # (task id, actor): what runs now, the innermost last

    # ------------------------------------------------------------------------------------------------------------------
    # Tasks and calls.

    def submit(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        _refuse_environment(function._options)
        options = {"max_retries": 3, **function._options}
        return self._submitted(function._function, name_of(function._function), options, None, args, kwargs)

    def create_actor(self, actor_class: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        options = actor_class._options
        _refuse_environment(options)
        name = (options.get("namespace") or self._namespace, options.get("name") or "")
        if options.get("get_if_exists") and not name[1]:
            raise ValueError("The actor name must be specified to use `get_if_exists`.")
        if name[1] and name in self._named:
            if options.get("get_if_exists"):
                return self._named[name]
            raise _exceptions.InvalidArgumentError(f"the name {name[1]!r} is taken in the namespace {name[0]!r}")
        actor_class._check_arguments(args, kwargs)
        handle = Handle(self, actor_class)
        made = self._submitted(
            actor_class._class, f"{actor_class.__name__}.__init__", {}, handle, args, kwargs, raw=True
        )
        if isinstance(made, BaseException):
            handle._death = f"its constructor raised\n{made}"
        else:
            handle._object = made
        if name[1] and not handle._death:
            self._named[name] = handle
            if options.get("lifetime") == "detached":
                self._detached.append(handle)
        return handle

    def call(
        self, handle: Handle, name: str, given: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if name == "__ray_terminate__":
            self.kill(handle, True)
            return Reference(_packed(None))
        if handle._death:
            return Reference(
                error=_exceptions.ActorDiedError(f"actor {handle._class.__name__} is dead: {handle._death}")
            )
        if name == "__ray_ready__":
            return Reference(_packed(True))
        if name == "__ray_call__":
            function, args = args[0], (handle._object, *args[1:])
            return self._submitted(function, name_of(function), given, handle, args, kwargs, copied=1)
        function = getattr(handle._object, name)
        options = {**getattr(function, "__daybreak_method__", {}), **given}
        options["max_retries"] = options.get("max_task_retries", handle._options.get("max_task_retries") or 0)
        return self._submitted(function, f"{handle._class.__name__}.{name}", options, handle, args, kwargs)

    def _submitted(
        self, function: Any, name: str, options: dict[str, Any], handle: Handle | None, args: Any, kwargs: Any,
        raw: bool = False, copied: int = 0,
    ) -> Any:  # fmt: skip
        """Its reference or references. raw: what it returns, or the error that it raised. copied: the first so many arguments are
        given as they are."""
        results = _options.returns_of(function, options.get("num_returns")) if not raw else 1
        try:
            arguments = [*args[:copied], *(_passed(value) for value in args[copied:])]
            keywords = {key: _passed(value) for key, value in kwargs.items()}
        except BaseException as error:
            if not isinstance(error, _exceptions.Error):
                raise  # it cannot be pickled: the caller's own error
            return error if raw else _failed(results, error)
        self._running.append((secrets.token_hex(24), handle))
        try:
            value = self._tried(lambda: function(*arguments, **keywords), options)
            if raw:
                return value
            if results in (_options.STREAMING, _options.DYNAMIC):
                return self._streamed(value, name, results)
            return _split(value, results, name)
        except _Left:
            assert handle is not None
            self._forget(handle, "it has left by exit_actor()")
            return _failed(
                results, _exceptions.ActorDiedError(f"actor {handle._class.__name__} has left by exit_actor()")
            )
        except (Exception, SystemExit) as error:
            failure = _task_error(name, error)
            return failure if raw else _failed(results, failure)
        finally:
            self._running.pop()

    def _tried(self, call: Callable[[], Any], options: dict[str, Any]) -> Any:
        """Again, as often as the options say, for exceptions that they name."""
        retry_on = options.get("retry_exceptions")
        left = options.get("max_retries") or 0
        while True:
            try:
                value = call()
                return _ended(value) if inspect.iscoroutine(value) else value
            except Exception as error:
                again = (
                    bool(retry_on) if not isinstance(retry_on, (list, tuple)) else isinstance(error, tuple(retry_on))
                )
                if not again or left == 0:
                    raise
                left -= 1

    def _streamed(self, values: Any, name: str, results: int) -> Any:
        references: list[Reference] = []
        try:
            for value in _ended(_listed(values)) if hasattr(values, "__aiter__") else values:
                references.append(Reference(_packed(value)))
        except Exception as error:
            references.append(Reference(error=_task_error(name, error)))
        if results == _options.STREAMING:
            return Stream(references)
        from ..generators import DynamicObjectRefGenerator

        return Reference(_packed(DynamicObjectRefGenerator(references)))  # type: ignore[arg-type]

    # ------------------------------------------------------------------------------------------------------------------
    # The verbs.

    def get(self, refs: Any, *, timeout: float | None = None) -> Any:
        if isinstance(refs, Reference):
            return refs.value()
        if isinstance(refs, Stream):
            return refs
        if not isinstance(refs, (list, tuple)) or not all(isinstance(ref, Reference) for ref in refs):
            raise ValueError(f"get() takes an ObjectRef or a list of them, not {refs!r}")
        return [ref.value() for ref in refs]

    def put(self, value: Any) -> Any:
        if isinstance(value, Reference):
            raise TypeError("put() takes a value, not an ObjectRef: put a list that holds it")
        return Reference(_packed(value))

    def wait(
        self, refs: list[Any], *, num_returns: int = 1, timeout: float | None = None, fetch_local: bool = True
    ) -> tuple[list[Any], list[Any]]:
        if not isinstance(refs, (list, tuple)) or not all(isinstance(ref, (Reference, Stream)) for ref in refs):
            raise TypeError(f"wait() takes a list of ObjectRefs, not {refs!r}")
        if len({id(ref) for ref in refs}) != len(refs):
            raise ValueError("wait() takes each ObjectRef once")
        if refs and not 1 <= num_returns <= len(refs):
            raise ValueError(f"num_returns={num_returns}: it must be between 1 and the {len(refs)} references given")
        return list(refs[:num_returns]), list(refs[num_returns:])

    def kill(self, actor: Any, no_restart: bool) -> None:
        if not isinstance(actor, Handle):
            raise ValueError(f"kill() takes an actor's handle, not {actor!r}")
        self._forget(actor, "it was killed by kill()")

    def _forget(self, handle: Handle, why: str) -> None:
        handle._death, handle._object = handle._death or why, None
        for name, other in list(self._named.items()):
            if other is handle:
                del self._named[name]
        self._detached = [other for other in self._detached if other is not handle]

    def cancel(self, ref: Any, force: bool, recursive: bool) -> None:
        """Nothing: what was submitted has ended."""

    def list_named_actors(self, all_namespaces: bool) -> list[Any]:
        if all_namespaces:
            return [{"name": name, "namespace": namespace} for namespace, name in self._named]
        return [name for namespace, name in self._named if namespace == self._namespace]

    def get_actor(self, name: str, namespace: str | None) -> Any:
        found = self._named.get((namespace or self._namespace, name))
        if found is None:
            raise ValueError(
                f"Failed to look up actor with name '{name}': there is none in {namespace or self._namespace!r}"
            )
        return found

    def resources(self, available: bool) -> dict[str, float]:
        return dict(self._resources)

    def info(self) -> dict[str, Any]:
        return {"address": "local", "engine": "local_mode", "namespace": self._namespace, "node_id": self._node}

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {
                "NodeID": self._node,
                "Alive": True,
                "NodeManagerHostname": os.uname().nodename,
                "Resources": self.resources(False),
            }
        ]

    def gpu_ids(self) -> list[int]:
        return []

    def runtime_context(self) -> Any:
        return Context(self)

    def exit_actor(self) -> None:
        if not self._running or self._running[-1][1] is None:
            raise TypeError("exit_actor called on a non-actor worker.")
        raise _Left

    def reduced(self, target: Any, what: Any) -> Any:
        return type(target), (what, target._options)

    def placement_groups(self) -> Any:
        raise NotImplementedError(
            "init(local_mode=True) has no placement groups: everything runs at once in this process; leave local_mode out"
        )

    def shutdown(self) -> None:
        self._named.clear()
        self._detached.clear()


class Context:
    """What `get_runtime_context()` gives here."""

    def __init__(self, engine: InlineEngine) -> None:
        self._engine = engine
        self._task: str | None = None
        self._actor: Handle | None = None
        if engine._running:
            self._task, self._actor = engine._running[-1]
        self.namespace = engine._namespace
        self.runtime_env: dict[str, Any] = {}

    def get_job_id(self) -> str:
        return self._engine._job

    def get_node_id(self) -> str:
        return self._engine._node

    def get_worker_id(self) -> str:
        return self._engine._node

    def get_task_id(self) -> str | None:
        return self._task

    def get_actor_id(self) -> str | None:
        return self._actor._id if self._actor is not None else None

    def get_assigned_resources(self) -> dict[str, float]:
        return {}

    @property
    def was_current_actor_reconstructed(self) -> bool:
        return False


class _Left(BaseException):
    """exit_actor()."""


def start(resources: dict[str, float], namespace: str) -> dict[str, Any]:
    """Sends the verbs here. Gives what `init` returns."""
    engine = InlineEngine(resources, namespace)
    _engine.use(engine)
    return engine.info()


def _crossing(thing: Reference | Handle) -> Any:
    """How it is pickled: as itself, and whoever has the bytes holds it."""
    if not _held:
        raise TypeError(f"{thing!r} stays in its process: with local_mode there is no other")
    _held[-1].append(thing)
    return _again, (thing._id,)


def _again(id: str) -> Any:
    return _made[id]


def _packed(value: Any) -> Any:
    import pickle

    from .. import serialization

    buffers: list[pickle.PickleBuffer] = []
    _held.append([])
    try:
        data = serialization.dumps(value, buffers.append)
    finally:
        holds = _held.pop()
    return data, [bytes(buffer.raw()) for buffer in buffers], holds


def _unpacked(packed: Any) -> Any:
    import pickle

    data, buffers, _ = packed
    return pickle.loads(data, buffers=buffers)


def _passed(value: Any) -> Any:
    """An argument as the task sees it."""
    return value.value() if isinstance(value, Reference) else _unpacked(_packed(value))


def _split(value: Any, results: int, name: str) -> Any:
    if results == 0:
        return None
    if results == 1:
        return Reference(_packed(value))
    values = list(value)
    if len(values) != results:
        raise ValueError(f"{name} has num_returns={results} and returned {len(values)} values")
    return [Reference(_packed(each)) for each in values]


def _failed(results: int, error: BaseException) -> Any:
    if results == 0:
        return None
    if results == _options.STREAMING:
        return Stream([Reference(error=error)])
    references = [Reference(error=error) for _ in range(max(results, 1))]
    return references[0] if results in (1, _options.DYNAMIC) else references


def _task_error(name: str, error: BaseException) -> BaseException:
    if isinstance(error, _exceptions.TaskError):  # of a task that this one has asked for
        error = error.cause or error
    text = "".join(traceback.format_exception(error))
    return _exceptions._task_error(name, text, os.getpid(), error)


async def _listed(values: Any) -> list[Any]:
    return [value async for value in values]


def _ended(coroutine: Any) -> Any:
    """What a coroutine returns: run to its end, in a thread of its own where a loop runs in this one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    outcome: Future[Any] = Future()

    def run() -> None:
        try:
            outcome.set_result(asyncio.run(coroutine))
        except BaseException as error:
            outcome.set_exception(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return outcome.result()


def _refuse_environment(options: dict[str, Any]) -> None:
    if options.get("runtime_env"):
        raise ValueError(
            "runtime_env: with local_mode everything runs in this process, whose environment is what it is; leave it out"
        )
