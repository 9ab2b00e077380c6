"""The Python side of the zygote and of workers: what happens before and after the native loop."""

from __future__ import annotations

import _thread
import importlib
import os
import sys

from .._core import runtime as _native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

__all__ = [
    "assign_gpus",
    "die_of_exit",
    "imported",
    "main",
    "prepare_class",
    "retry_on",
    "special_method",
    "start_thread",
]


def main(path: list[str] | None = None) -> None:
    """Is the zygote; in each fork of it, a worker. Workers with an environment of their own are this again, in a fresh
    interpreter, which is their zygote. Never returns. path: the driver's, of modules."""
    import pickle  # noqa: F401 - loaded once here, shared by all workers

    import cloudpickle  # noqa: F401

    from . import crossing, exceptions, reducers, serialization, stacks  # noqa: F401

    known, below = (os.environ.pop(name, None) for name in ("DAYBREAK_SLOT", "DAYBREAK_BELOW"))
    told = {name: os.environ.pop(name, "") for name in ("DAYBREAK_PRELOAD", "DAYBREAK_SESSION")}
    _enter_session(told["DAYBREAK_SESSION"])
    for name in filter(None, told["DAYBREAK_PRELOAD"].split(",")):
        module, _, function = name.partition(":")
        try:
            loaded = importlib.import_module(module)
            if function:
                getattr(loaded, function)()
        except Exception:
            if function:  # a module alone saves time, and its task says what is wrong with it
                raise
    _native._attach()
    if _fresh:
        for descriptor in _SEGMENT_DESCRIPTORS:  # of no process that a task starts
            os.set_inheritable(descriptor, False)
    if known is None:
        slot = _forked()
    elif below:
        slot = _forked_below(int(below), int(known))
    else:
        _freeze()
        slot = int(known)
    code = 1
    try:
        text = _native._environment_text(slot)
        if text and not _fresh:
            from . import env

            env.start_afresh(slot, text, told, sys.path if path is None else path)
        code = _work(slot)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        _flush()
        os._exit(code)


_SEGMENT_DESCRIPTORS = (3, 4)  # kZygoteControlFd, kZygoteDataFd
_fresh = "DAYBREAK_SLOT" in os.environ  # the interpreter was started for this worker


def _freeze() -> None:
    """So that collections in workers do not touch, and copy, the shared pages. Until here there was none (who
    starts a zygote switches them off): a third of its start went into looking for garbage in what imports make."""
    import gc

    gc.freeze()
    gc.enable()


def _forked() -> int:
    """Is the zygote; the slot, in each fork of it."""
    _freeze()
    return int(_native._zygote())


def _forked_below(socket: int, first: int) -> int:
    """Is the zygote of an environment, which begins with the worker `first`; the slot, in each fork of it."""
    _freeze()
    _flush()  # what was printed so far is this process's, and no fork's
    return int(_native._zygote_below(socket, first))


def _own_variables() -> Any:
    env = sys.modules.get("daybreak.runtime.env")
    return env.own().get("env_vars", {}) if env is not None else {}


def _enter_session(text: str) -> None:
    """What `init` told all processes, and then what this one's environment has beside variables."""
    if text:
        import json

        from . import session

        session._enter_session(json.loads(text))
    if text or _fresh:
        from . import env

        env.enter()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass


def die_of_exit(code: int, text: str) -> None:
    """The actor's method raised SystemExit with a code that is not 0."""
    try:
        print(f"a method of the actor raised SystemExit({text}): its process ends", file=sys.stderr)
    except Exception:
        pass
    _flush()
    os._exit(code)


def _reseed() -> None:
    """Every random generator of this process starts anew: after a fork all workers would draw the same numbers."""
    random = sys.modules.get("random")  # what is loaded later seeds itself
    if random is not None:
        random.seed()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
    ssl = sys.modules.get("ssl")
    if ssl is not None:
        ssl.RAND_add(os.urandom(32), 32.0)


def _on_interrupt(signum: int, frame: FrameType | None) -> None:
    if not _native._cancel_requested():
        return
    if _is_in_import(frame):  # a module that is there by half would stay so for the tasks to come: after it
        _thread.start_new_thread(_interrupt_later, ())
        return
    raise KeyboardInterrupt


def _is_in_import(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _interrupt_later() -> None:
    import signal
    import time

    time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGINT)  # when the task is over by then, nobody is meant


def _work(slot: int) -> int:
    import signal

    # The pipes are new: Python's streams were set up for the zygote's.
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
    signal.signal(signal.SIGINT, _on_interrupt)
    from . import stacks

    stacks.offer()
    _reseed()
    actor = _native._enter_worker(slot)
    if _native._resources(False).get("GPU") and "CUDA_VISIBLE_DEVICES" not in _own_variables():
        assign_gpus(0)  # it has none yet, where the runtime hands them out
    if actor is None:
        _native._serve(0)
        return 0
    return _be_actor(*actor)


def _be_actor(described: str, max_concurrency: int) -> int:
    """Until the actor ends; the process's exit code."""
    shape: dict[str, Any] = {}
    if '"shape": ' in described:  # which few have: an ordinary actor's process does not load the module
        import json

        shape = json.loads(described).get("shape", {})
    coroutines = bool(shape.get("coroutines"))
    limits = [max_concurrency, *shape.get("group_limits", ())]
    one_at_a_time = limits == [1] and not coroutines
    _native._set_groups(limits, coroutines, one_at_a_time and not shape.get("out_of_order"))
    if coroutines:
        from . import coroutines as loops

        if not loops.run(limits, _end_actor):
            _run_exit_functions()
            return 1
    else:
        if not _native._construct():
            _run_exit_functions()
            return 1
        for group in range(1, len(limits)):
            start_thread(group)
        _native._serve(0)
    _run_exit_functions()
    return 0


_ending = _thread.allocate_lock()


def start_thread(group: int) -> None:
    """One more thread for the calls of a concurrency group."""
    import threading

    threading.Thread(target=_serve_group, args=(group,), daemon=True).start()


def _serve_group(group: int) -> None:
    _native._serve(group)
    if _native._leaving():
        _end_actor()


def _end_actor() -> None:
    """From another thread than the main one, which may be in the middle of a long call."""
    _run_exit_functions()
    _flush()
    os._exit(0)


def _run_exit_functions() -> None:
    import atexit

    _ending.acquire()  # never released: of two threads that end the actor the second waits for the first's exit
    atexit._run_exitfuncs()


def imported(name: str) -> Any:
    """What C++ has named: "module:function" or "module:Class", also of a class inside of another ("module:Outer.Inner")."""
    module, _, qualified = name.partition(":")
    found = importlib.import_module(module)
    for part in qualified.split("."):
        found = getattr(found, part)
    return getattr(found, "_function", getattr(found, "_class", found)) if _is_remote(found) else found


def _is_remote(found: Any) -> bool:
    from .actors import ActorClass
    from .tasks import RemoteFunction

    return isinstance(found, (ActorClass, RemoteFunction))


def retry_on(instance: Any, method: str, said: dict[str, Any] | None) -> Any:
    """On which exceptions a call of the method is tried again: classes, or None for all. said: of this one call."""
    if said is not None and "retry_on" in said:
        return said["retry_on"]
    options = getattr(getattr(type(instance), method, None), "__daybreak_method__", {})
    listed = options.get("retry_exceptions")
    return listed if isinstance(listed, tuple) else None


def prepare_class(cls: Any) -> None:
    """In an actor, before it is made: the names of its class and of those above it are the classes again, and not what the
    decorator made of them (`super(Counter, self)`, `Counter.total += 1`). `Counter.remote()` still makes another actor."""
    from .actors import ActorClass

    above = cls.__mro__ if isinstance(cls, type) else ()
    for base in above:
        for member in list(vars(base).values()):
            for function in _functions_of(member):
                names = function.__globals__
                for name, value in list(names.items()):
                    if isinstance(value, ActorClass) and value._class in above and _as_itself(value):
                        names[name] = value._class
                for cell in function.__closure__ or ():
                    try:
                        value = cell.cell_contents
                    except ValueError:  # empty
                        continue
                    if isinstance(value, ActorClass) and value._class in above and _as_itself(value):
                        cell.cell_contents = value._class


def _functions_of(member: Any) -> list[Any]:
    """Of a member of a class: itself, or those behind a decorator."""
    found: list[Any] = []
    for part in (member, *(getattr(member, name, None) for name in ("__func__", "fget", "fset", "fdel", "func"))):
        while part is not None and len(found) < 100:
            if hasattr(part, "__globals__") and hasattr(part, "__closure__"):
                found.append(part)
            part = getattr(part, "__wrapped__", None)
    return found


def _as_itself(wrapper: Any) -> bool:
    """Gives the class what its users ask the wrapper for. False: it has such names of its own, or takes none."""
    cls = wrapper._class
    for name in ("remote", "options"):
        had = getattr(cls, name, None)
        if had is not None and type(getattr(had, "__self__", None)) is not type(wrapper):
            return False
    try:
        cls.remote, cls.options = wrapper.remote, wrapper.options
    except (AttributeError, TypeError):
        return False
    return True


def special_method(instance: Any, name: str) -> Any:
    """Methods that every actor has."""
    if name == "__ray_ready__":
        return lambda: True
    if name == "__ray_terminate__":
        return sys.exit
    if name == "__ray_call__":
        return lambda function, *args, **kwargs: function(instance, *args, **kwargs)
    raise AttributeError(f"actor {type(instance).__name__} has no method {name!r}")


def assign_gpus(mask: int) -> None:
    """Shows the task the GPUs that it was given, and no others."""
    from .session import visible_gpu

    if "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES" not in os.environ:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(str(visible_gpu(i)) for i in range(64) if mask >> i & 1)
