"""Everything that the runtime raises: one tree under `Error`, each class also the built-in that people expect.

Names and meanings are Ray's; the `Ray...` names are kept as aliases.
"""

from __future__ import annotations

import os
import sys

from .._core import runtime as _native
from .._core.runtime import ErrorKind as _ErrorKind
from ..base import errors as _errors
from ..base.errors import Error
from .unraised import (
    ActorHandleNotFoundError,
    AsyncioActorExit,
    AuthenticationError,
    CrossLanguageError,
    NodeDiedError,
    ObjectRefStreamEndOfStreamError,
    OufOfBandObjectRefSerializationException,
    PlasmaObjectNotAvailable,
    RayCgraphCapacityExceeded,
    RayChannelError,
    RayChannelTimeoutError,
    RayDirectTransportError,
    RpcError,
    StreamingGeneratorReplayInconsistentError,
    UnserializableException,
    UserCodeException,
)

TYPE_CHECKING = False  # typing costs 5 ms of what `import daybreak` may
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "ActorAlreadyExistsError",
    "ActorClassInheritanceException",
    "ActorDiedError",
    "ActorError",
    "ActorHandleNotFoundError",
    "ActorPlacementGroupRemoved",
    "ActorUnavailableError",
    "ActorUnschedulableError",
    "AsyncioActorExit",
    "AuthenticationError",
    "CrossLanguageError",
    "Error",
    "GetTimeoutError",
    "LocalRayletDiedError",
    "NodeDiedError",
    "ObjectFetchTimedOutError",
    "ObjectFreedError",
    "ObjectLostError",
    "ObjectReconstructionFailedError",
    "ObjectReconstructionFailedLineageEvictedError",
    "ObjectReconstructionFailedMaxAttemptsExceededError",
    "ObjectRefStreamEndOfStreamError",
    "ObjectStoreFullError",
    "OufOfBandObjectRefSerializationException",
    "OutOfDiskError",
    "OutOfMemoryError",
    "OwnerDiedError",
    "PendingCallsLimitExceeded",
    "PlacementGroupRemovedError",
    "PlasmaObjectNotAvailable",
    "RayActorError",
    "RayCgraphCapacityExceeded",
    "RayChannelError",
    "RayChannelTimeoutError",
    "RayDirectTransportError",
    "RayError",
    "RaySystemError",
    "RayTaskError",
    "ReferenceCountingAssertionError",
    "RpcError",
    "RuntimeEnvSetupError",
    "StreamingGeneratorReplayInconsistentError",
    "TaskCancelledError",
    "TaskError",
    "TaskPlacementGroupRemoved",
    "TaskUnschedulableError",
    "UnserializableException",
    "UserCodeException",
    "WorkerCrashedError",
]


class TaskError(Error):
    """A task raised. What `get` raises is an instance of this and of the user's own exception class, with its attributes,
    notes, cause and context; of this alone for what would end a loop or the program here: StopIteration,
    StopAsyncIteration, KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError, a BaseExceptionGroup.

    Attributes (the user's exception's own win, where it has some of these names):
        cause: the user's exception, or None when it could not be brought over.
        function_name: of the task or method.
        traceback_str: the traceback of the worker, as text.
        pid: of the worker.
    """

    cause: BaseException | None = None
    function_name: str = ""
    traceback_str: str = ""
    pid: int = 0
    _text: str = ""
    _origin: tuple[str, int] = ("", 0)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Nothing: a hook of the user's class is not for the classes that are made of it here."""

    def __str__(self) -> str:
        return self._text

    def __reduce__(self) -> Any:
        return _unpacked_task_error, (self._origin[0], self._text, self._origin[1], *_packed(self.cause))

    def as_instanceof_cause(self) -> BaseException:
        """This error as an instance of the cause's class too (what `get` raises)."""
        return _task_error(self._origin[0], self._text, self._origin[1], self.cause)


class WorkerCrashedError(Error, RuntimeError):
    """The worker died while it ran the task, and no retries were left. The text says how and what it printed last."""


class ActorError(Error, RuntimeError):
    """Something is wrong with the actor of the call."""

    actor_id: str | None = None  # hexadecimal digits; None where it is not known


class ActorDiedError(ActorError):
    """The actor is dead: its constructor failed, it was killed, or its process died."""


class ActorUnavailableError(ActorError):
    """The actor cannot be reached now, and may come back."""


class TaskCancelledError(TaskError):
    """The task was cancelled with `cancel()`."""

    def __str__(self) -> str:
        return self._text or Exception.__str__(self)

    def __reduce__(self) -> Any:
        return TaskError.__reduce__(self) if self._text else (type(self), self.args)


class GetTimeoutError(Error, TimeoutError):
    """`get(timeout=)` was not ready in time."""


class ObjectStoreFullError(Error, MemoryError):
    """The object does not fit into the object store. The text lists the largest objects and who holds them."""


class OutOfMemoryError(Error, MemoryError):
    """The memory monitor has ended the process: too much memory was in use. Its text says how much, whose, and the way out."""


class OutOfDiskError(Error, OSError):
    """There is no room on the disk for what should lie there."""


class ObjectLostError(Error, RuntimeError):
    """The object is gone and cannot be made again."""


class ObjectFetchTimedOutError(ObjectLostError):
    """The object could not be fetched in time."""


class ObjectFreedError(ObjectLostError):
    """The object was freed by hand."""


class OwnerDiedError(ObjectLostError):
    """The process that submitted the task died before the task had been submitted completely."""


class ReferenceCountingAssertionError(ObjectLostError, AssertionError):
    """The object was freed while a reference was left."""


class ObjectReconstructionFailedError(ObjectLostError):
    """The task that makes the object again failed."""


class ObjectReconstructionFailedMaxAttemptsExceededError(ObjectReconstructionFailedError):
    """It was made again as often as its max_retries allows."""


class ObjectReconstructionFailedLineageEvictedError(ObjectReconstructionFailedError):
    """What is needed to make it again was forgotten."""


class LocalRayletDiedError(Error, RuntimeError):
    """The scheduler of this machine is gone."""


class RaySystemError(Error, RuntimeError):
    """The runtime itself failed."""


class PendingCallsLimitExceeded(Error, RuntimeError):
    """The actor has as many calls waiting as its max_pending_calls allows."""


class ActorAlreadyExistsError(Error, ValueError):
    """The actor's name is taken."""


class TaskUnschedulableError(Error, ValueError):
    """The task asks for more than the runtime has: it could never run."""


class ActorUnschedulableError(ActorDiedError, ValueError):
    """The actor asks for more than the runtime has: it could never run."""


class PlacementGroupRemovedError(TaskUnschedulableError):
    """The placement group of the task or actor was removed."""


class TaskPlacementGroupRemoved(PlacementGroupRemovedError):
    """The task's placement group was removed before it could run."""


class ActorPlacementGroupRemoved(ActorDiedError):
    """The actor's placement group was removed."""


class RuntimeEnvSetupError(Error, RuntimeError):
    """A worker with the task's runtime_env could not be started. The text has what it printed."""


class _ActorSetupError(RuntimeEnvSetupError, ActorDiedError):
    """Both, as the actor never was."""


class ActorClassInheritanceException(Error, TypeError):
    """A class was derived from an actor class."""


class InvalidArgumentError(Error, ValueError):
    """An argument is out of its range; the text names the value, the limit and the way out."""


_RuntimeFailure = RaySystemError  # a failure of the runtime itself, or of the machine under it

RayError = Error
RayTaskError = TaskError
RayActorError = ActorError

_HEAD = "Traceback (most recent call last):"
_dual_module = "daybreak.exceptions"  # as which the class of what `get` raises shows itself
_dual_classes: dict[tuple[type, type], type] = {}
_MAX_DUAL_CLASSES = 1000  # that are kept: a class that is defined anew in each call would fill the memory
_MAX_TEXT = 1 << 20  # characters of a traceback: the exception itself has the rest
# As themselves they would end the caller's loop, and nothing would be said.
_ENDS_LOOPS = (StopIteration, StopAsyncIteration, KeyboardInterrupt, SystemExit, GeneratorExit)


def _would_end_the_program(cause: type) -> bool:
    """A coroutine's cancellation (nobody can have caught one without its module), a group that may hold what ends programs."""
    if issubclass(cause, Exception):
        return False
    loops = sys.modules.get("asyncio.exceptions")
    return issubclass(cause, BaseExceptionGroup) or (loops is not None and issubclass(cause, loops.CancelledError))


def _dual_class(base: type, cause: type) -> type | None:
    """A class derived from both, so that either can be caught. None when the two cannot be combined."""
    if not issubclass(cause, BaseException) or issubclass(cause, _ENDS_LOOPS) or _would_end_the_program(cause):
        return None
    if issubclass(cause, base):
        return cause
    known = _dual_classes.get((base, cause))
    if known is not None:
        return known

    def instance_init(self: Any, *args: Any) -> None:
        """The fields are set one by one: the cause's own constructor may want anything."""

    def instance_getattr(self: Any, name: str) -> Any:
        if name.startswith("__") or name == "cause":
            raise AttributeError(name)
        return getattr(self.__dict__.get("cause"), name)

    try:
        made = type(
            f"{base.__name__}({cause.__name__})",
            (base, cause),
            {
                "__init__": instance_init,
                "__getattr__": instance_getattr,
                "__str__": base.__str__,
                **({"__repr__": base.__repr__} if "__repr__" in base.__dict__ else {}),
                "__reduce__": base.__reduce__,
                "__reduce_ex__": object.__reduce_ex__,
                "__module__": _dual_module,
            },
        )
    except Exception:  # a final class, a metaclass with a mind of its own
        return None
    if len(_dual_classes) >= _MAX_DUAL_CLASSES:
        _dual_classes.clear()
    _dual_classes[(base, cause)] = made
    return made


def _combined(base: type, cause: BaseException | None, /, **fields: Any) -> Any:
    """An instance of `base` and of the cause's class, or of a class above it; of `base` alone where they cannot be combined."""
    error: Any = None
    if cause is not None:
        from . import crossing

        for kind in type(cause).__mro__:  # its own class, or the next above it that can be combined
            made = None if kind is Exception or kind is BaseException else _dual_class(base, kind)
            if made is not None:
                try:
                    error = crossing.copy_state(made, cause)
                    break
                except Exception:  # a class in C with a layout of its own
                    continue
        if error is None:
            error = base()
        crossing.copy_links(cause, error)
        notes = cause.__dict__.get("__notes__")
        if notes is not None:
            error.__dict__["__notes__"] = list(notes) if isinstance(notes, (list, tuple)) else notes
    else:
        error = base()
    own = error.__dict__
    for name, value in fields.items():  # not setattr: the user's class may be frozen
        if name.startswith("_") or name == "cause" or not _has(cause, name):
            own[name] = value
    return error


def _has(cause: BaseException | None, name: str) -> bool:
    return cause is not None and (name in cause.__dict__ or hasattr(type(cause), name))


def _task_error(function_name: str, traceback_str: str, pid: int, cause: BaseException | None) -> BaseException:
    return _combined(  # type: ignore[no-any-return]
        TaskError,
        cause,
        cause=cause,
        function_name=function_name,
        traceback_str=traceback_str,
        pid=pid,
        _text=traceback_str,
        _origin=(function_name, pid),
    )


def _packed(cause: BaseException | None) -> tuple[bytes | None, str]:
    """The cause as bytes, and the name of the built-in class that stands for it where the bytes cannot be read."""
    if cause is None:
        return None, ""
    from . import crossing

    return crossing.pack(cause)[0], _builtin_below(cause)


def _builtin_below(cause: BaseException) -> str:
    return next(base.__name__ for base in type(cause).__mro__ if base.__module__ == "builtins")


def _unpacked_task_error(function_name: str, text: str, pid: int, data: bytes | None, below: str) -> BaseException:
    cause, note = _load_cause({"cause": data, "below": below, "traceback": text})
    return _task_error(function_name, text + note, pid, cause)


class _ConstructorFailed(ActorDiedError):
    """An actor whose constructor raised: also an instance of what it raised."""

    cause: BaseException | None = None
    _text: str = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """As TaskError's."""

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"ActorDiedError({self._text!r})"

    def __reduce__(self) -> Any:
        return _unpacked_constructor_error, (self._text, *_packed(self.cause))


def _constructor_error(text: str, cause: BaseException | None) -> BaseException:
    actor = _actor_in(text)
    return _combined(_ConstructorFailed, cause, cause=cause, actor_id=actor, _text=text)  # type: ignore[no-any-return]


def _actor_in(text: str) -> str | None:
    """The id of the actor that the runtime's text speaks of, which is in its first line."""
    return text.partition("\n")[0].partition("actor_id=")[2][:32] or None


def _unpacked_constructor_error(text: str, data: bytes | None, below: str) -> BaseException:
    cause, note = _load_cause({"cause": data, "below": below, "traceback": text})
    return _constructor_error(text + note, cause)


def _text_of(error: BaseException) -> str:
    """The traceback with the frames of the user's code: the runtime has none in Python."""
    import traceback

    try:
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__)).rstrip()
    except Exception as problem:  # of its __str__ or the like
        return f"{type(error).__name__} (its traceback could not be written: {type(problem).__name__})"
    if len(text) <= _MAX_TEXT:
        return text
    half = _MAX_TEXT // 2
    return f"{text[:half]}\n... ({len(text) - 2 * half:,} characters are left out here: see the exception) ...\n{text[-half:]}"


def show_as(module: str, task_error: str) -> None:
    """How the class of what `get` raises is called in texts: under an alias, by the name that its user knows."""
    global _dual_module
    _dual_module = TaskError.__module__ = module
    TaskError.__name__ = TaskError.__qualname__ = task_error
    _dual_classes.clear()


def _title(where: str, callable_: Any) -> tuple[str, str]:
    """In the worker: what it runs, by name; and a line for the head of its traceback."""
    from .tasks import name_of

    place = f"pid={os.getpid()}, ip=127.0.0.1"
    if not where:
        _, given, _ = _native._running()
        name = str(given or name_of(callable_))
        return name, f"ray::{name.rpartition('<locals>.')[2]}() ({place})"
    instance = _native._actor_instance()
    cls = callable_ if where == "__init__" else type(instance)
    if instance is None and cls is type(None):
        return where, f"ray::{where}() ({place})"
    name = f"{getattr(cls, '__name__', 'actor')}.{where}"
    from .runtime_context import get_runtime_context

    actor = get_runtime_context().get_actor_id()
    return name, f"ray::{name}() ({place}, actor_id={actor}, repr={_shown(instance, cls)})"


def _shown(instance: Any, cls: Any) -> str:
    """The actor as itself says, or by its class where it says nothing."""
    if instance is None or getattr(type(instance), "__repr__", None) is object.__repr__:
        return f"{cls.__module__}.{cls.__qualname__}"
    try:
        return repr(instance)[:200]
    except Exception as error:  # of the user's own
        return f"<{type(error).__name__} in the actor's own __repr__>"


def _to_payload(error: BaseException, where: str, callable_: Any) -> dict[str, Any]:
    """In the worker: what is sent in place of the result. Only text and one pickle, which the receiver may fail to load."""
    from . import crossing

    name, head = _title(where, callable_)
    cause: BaseException | None = error
    text = "\n".join(head if line == _HEAD else line for line in _text_of(error).split("\n"))
    if head not in text:  # an exception without frames of its own
        text = f"{head}\n{text}"
    if isinstance(error, TaskError) and not isinstance(error, TaskCancelledError):  # of a task that this one waited for
        cause = error.cause
        if cause is not None:
            crossing.copy_links(error, cause)
            if "__notes__" in error.__dict__:
                cause.__dict__["__notes__"] = error.__dict__["__notes__"]
    if isinstance(cause, _ENDS_LOOPS):
        text += f"\n({type(cause).__name__} of a task is a TaskError for its caller, so that it ends no loop there)"
    pickled: bytes | None = None
    below = ""
    if cause is not None:
        below = _builtin_below(cause)
        try:
            pickled, missing = crossing.pack(cause)
            for what in missing:
                text += f"\n(left in the worker, because it cannot be pickled: {what})"
        except Exception as e:
            text += f"\n(the exception itself could not be pickled: {type(e).__name__}: {e})"
    return {
        "function": name,
        "pid": os.getpid(),
        "traceback": text,
        "cause": pickled,
        "below": below,
    }


def _passed_on(error: BaseException, where: str, callable_: Any) -> dict[str, Any]:
    """In the worker: what is sent for a task that could not run because one of its arguments failed. It stays the error of the
    argument's task, or has what befell that as its cause; and the text says whom it has met."""
    name, head = _title(where, callable_)
    if isinstance(error, TaskError) and not isinstance(error, TaskCancelledError):
        inner = f"{_dual_module}.{TaskError.__name__}: {error._text}"
        origin, own_cause = error._origin, error.cause
    else:
        inner = f"{type(error).__module__}.{type(error).__name__}: {error}"
        origin, own_cause = (name, os.getpid()), error
    cause, below = _packed(own_cause)
    return {
        "function": origin[0],
        "pid": origin[1],
        "traceback": f"{head}\n  At least one of the input arguments for this task could not be computed:\n{inner}",
        "cause": cause,
        "below": below,
    }


def _without_cause(payload: dict[str, Any]) -> dict[str, Any]:
    """In the worker: the same where the store has no room for the exception itself."""
    size = len(payload["cause"] or b"")
    text = payload["traceback"]
    note = f"\n(the exception itself, {size:,} bytes, did not fit into the object store)"
    return payload | {"cause": None, "traceback": text[:2000] + ("\n..." if len(text) > 2000 else "") + note}


def _load_cause(payload: dict[str, Any]) -> tuple[BaseException | None, str]:
    """The user's exception, and what to add to the text when it does not unpickle: then the built-in class below its own
    stands for it, so that it can be caught at least by that."""
    from . import crossing

    problem = ""
    if payload["cause"] is not None:
        try:
            return crossing.unpack(payload["cause"]), ""
        except BaseException as e:
            problem = f"\n(the exception itself could not be unpickled here: {type(e).__name__}: {e})"
    import builtins

    below = getattr(builtins, payload["below"], BaseException) if payload["below"] else BaseException
    if below in (Exception, BaseException) or issubclass(below, BaseExceptionGroup):
        return None, problem
    cause: BaseException = below.__new__(below)
    cause.args = (payload["traceback"] + problem,)
    return cause, problem


def _from_object(kind: int, payload: Any) -> BaseException:
    """The exception for an error object; `kind` is one of ErrorKind."""
    if isinstance(payload, dict):
        cause, note = _load_cause(payload)
        text = payload["traceback"] + note
        if kind == _ErrorKind.ACTOR_DIED:
            return _constructor_error(f"The actor died because of an error raised in its creation task, {text}", cause)
        return _task_error(payload["function"], text, payload["pid"], cause)
    if kind == _ErrorKind.STORE_FULL:  # of a task's result
        return _task_error("", payload, 0, ObjectStoreFullError(payload))
    classes: dict[int, type[Error]] = {
        _ErrorKind.WORKER_CRASHED: WorkerCrashedError,
        _ErrorKind.ACTOR_DIED: ActorDiedError,
        _ErrorKind.CANCELLED: TaskCancelledError,
        _ErrorKind.UNSCHEDULABLE: TaskUnschedulableError,
        _ErrorKind.OWNER_DIED: OwnerDiedError,
        _ErrorKind.OBJECT_LOST: ObjectLostError,
        _ErrorKind.GROUP_REMOVED: TaskPlacementGroupRemoved,
        _ErrorKind.ENVIRONMENT: RuntimeEnvSetupError,
        _ErrorKind.OUT_OF_MEMORY: OutOfMemoryError,
    }
    if kind == _ErrorKind.ACTOR_DIED:
        first = payload.partition("\n")[0]
        died = next((cls for words, cls in _DEATHS.items() if words in first), ActorDiedError)
        classes[kind] = ActorUnavailableError if payload.endswith("is being restarted") else died
    error = classes.get(kind, _RuntimeFailure)(payload)
    if isinstance(error, ActorError):
        error.actor_id = _actor_in(payload)
    return error


_DEATHS: dict[str, type[Error]] = {  # of actors, by the runtime's words
    "can never run": ActorUnschedulableError,
    "was ended by the memory monitor": OutOfMemoryError,
    "placement group was removed": ActorPlacementGroupRemoved,
    "could not enter its runtime_env": _ActorSetupError,
}
_ASKED_WRONGLY = (
    *(_errors.InvalidArgumentError.code, _errors.NotFoundError.code, _errors.AlreadyExistsError.code),
    *(_errors.FailedPreconditionError.code, _errors.OutOfRangeError.code),
)


def _from_native(code: int, text: str) -> BaseException:
    """The exception for an Error of the C++ core, by the code of its class."""
    if code == _errors.ResourceExhaustedError.code:
        return ObjectStoreFullError(text)
    if code in _ASKED_WRONGLY:
        return InvalidArgumentError(text)
    return _RuntimeFailure(text)
