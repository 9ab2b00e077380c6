"""Everything that the runtime raises: one tree under `Error`, each class also the built-in that people expect.

Names and meanings are Ray's; the `Ray...` names are kept as aliases.
"""

from __future__ import annotations

import os

from ..base.errors import Error

TYPE_CHECKING = False  # typing costs 5 ms of what `import daybreak` may
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "ActorDiedError",
    "ActorUnavailableError",
    "ActorUnschedulableError",
    "Error",
    "GetTimeoutError",
    "ObjectLostError",
    "ObjectStoreFullError",
    "OwnerDiedError",
    "RayActorError",
    "RayError",
    "RayTaskError",
    "TaskCancelledError",
    "TaskError",
    "TaskUnschedulableError",
    "WorkerCrashedError",
]


class TaskError(Error):
    """A task raised. What `get` raises is an instance of this and of the user's own exception class.

    Attributes:
        cause: the user's exception, or None when it could not be brought over.
        function_name: of the task or method.
        traceback_str: the traceback of the worker, as text.
        pid: of the worker.
    """

    cause: BaseException | None = None
    function_name: str = ""
    traceback_str: str = ""
    pid: int = 0

    def __str__(self) -> str:
        return self.traceback_str

    def __reduce__(self) -> Any:
        return _task_error, (self.function_name, self.traceback_str, self.pid, self.cause)

    def as_instanceof_cause(self) -> BaseException:
        """This error as an instance of the cause's class too (what `get` raises)."""
        return _task_error(self.function_name, self.traceback_str, self.pid, self.cause)


class WorkerCrashedError(Error, RuntimeError):
    """The worker died while it ran the task, and no retries were left. The text says how and what it printed last."""


class ActorDiedError(Error, RuntimeError):
    """The actor is dead: its constructor failed, it was killed, or its process died."""


class ActorUnavailableError(Error, RuntimeError):
    """The actor cannot be reached now, and may come back."""


class TaskCancelledError(Error):
    """The task was cancelled with `cancel()`."""


class GetTimeoutError(Error, TimeoutError):
    """`get(timeout=)` was not ready in time."""


class ObjectStoreFullError(Error, MemoryError):
    """The object does not fit into the object store. The text lists the largest objects and who holds them."""


class ObjectLostError(Error, RuntimeError):
    """The object is gone and cannot be made again."""


class OwnerDiedError(ObjectLostError):
    """The process that submitted the task died before the task had been submitted completely."""


class TaskUnschedulableError(Error, ValueError):
    """The task asks for more than the runtime has: it could never run."""


class ActorUnschedulableError(ActorDiedError, ValueError):
    """The actor asks for more than the runtime has: it could never run."""


class InvalidArgumentError(Error, ValueError):
    """An argument is out of its range; the text names the value, the limit and the way out."""


class _RuntimeFailure(Error, RuntimeError):
    """A failure of the runtime itself, or of the machine under it."""


RayError = Error
RayTaskError = TaskError
RayActorError = ActorDiedError

_dual_classes: dict[tuple[type, type], type] = {}


def _dual_class(base: type, cause: type) -> type | None:
    """A class derived from both, so that either can be caught. None when the two cannot be combined."""
    if not issubclass(cause, Exception):
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
                "__reduce__": base.__reduce__,
                "__module__": "daybreak.exceptions",
            },
        )
    except TypeError:
        return None
    _dual_classes[(base, cause)] = made
    return made


def _instance(made: type, cause: BaseException) -> Any:
    """An instance with the cause's arguments and attributes, without running any constructor of the user's."""
    try:
        error: Any = made.__new__(made, *cause.args)
    except TypeError:
        error = Exception.__new__(made, *cause.args)  # MemoryError's own is not for classes with another first base
    error.args = cause.args
    error.__dict__.update(getattr(cause, "__dict__", {}))
    return error


def _combined(base: type, cause: BaseException | None) -> Any:
    """An instance of `base` and of the cause's class; of `base` alone where the two cannot be combined."""
    if cause is not None:
        made = _dual_class(base, type(cause))
        if made is not None:
            try:
                return _instance(made, cause)
            except Exception:
                pass
    return base()


def _task_error(function_name: str, traceback_str: str, pid: int, cause: BaseException | None) -> BaseException:
    error = _combined(TaskError, cause)
    error.cause = cause
    error.function_name = function_name
    error.traceback_str = traceback_str
    error.pid = pid
    return error  # type: ignore[no-any-return]


class _ConstructorFailed(ActorDiedError):
    """An actor whose constructor raised: also an instance of what it raised."""

    cause: BaseException | None = None
    text: str = ""

    def __str__(self) -> str:
        return self.text

    def __reduce__(self) -> Any:
        return _constructor_error, (self.text, self.cause)


def _constructor_error(text: str, cause: BaseException | None) -> BaseException:
    error = _combined(_ConstructorFailed, cause)
    error.cause = cause
    error.text = text
    return error  # type: ignore[no-any-return]


def _to_payload(error: BaseException, where: str, callable_: Any) -> dict[str, Any]:
    """In the worker: what is sent in place of the result. Only text and one pickle, which the receiver may fail to load."""
    import traceback

    from . import serialization

    name = where or getattr(callable_, "__qualname__", None) or type(callable_).__name__
    cause: BaseException | None = error
    if isinstance(error, TaskError):
        cause = error.cause
    # The frames of the user's code: the runtime has none in Python.
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    pickled: bytes | None = None
    problem = ""
    if cause is not None:
        try:
            pickled = serialization.dumps_alone(cause.with_traceback(None))
        except Exception as e:
            problem = f"\n(the exception itself could not be pickled: {e})"
    return {
        "function": name,
        "pid": os.getpid(),
        "traceback": f"task {name} failed (pid {os.getpid()})\n{text.rstrip()}{problem}",
        "cause": pickled,
    }


def _load_cause(payload: dict[str, Any]) -> tuple[BaseException | None, str]:
    """The user's exception, and what to add to the text when it does not unpickle."""
    if payload["cause"] is None:
        return None, ""
    import pickle

    try:
        cause = pickle.loads(payload["cause"])
    except BaseException as e:
        return None, f"\n(the exception itself could not be unpickled here: {type(e).__name__}: {e})"
    if not isinstance(cause, BaseException):
        return None, f"\n(the exception unpickled to {type(cause).__name__}, which is not one)"
    return cause, ""


def _from_object(kind: int, payload: Any) -> BaseException:
    """The exception for an error object; kinds are ErrorKind of layout.h."""
    if isinstance(payload, dict):
        cause, note = _load_cause(payload)
        text = payload["traceback"] + note
        if kind == 3:
            return _constructor_error(f"the actor died because its constructor raised:\n{text}", cause)
        return _task_error(payload["function"], text, payload["pid"], cause)
    classes: dict[int, type[Error]] = {
        2: WorkerCrashedError,
        3: ActorDiedError,
        4: TaskCancelledError,
        5: TaskUnschedulableError,
        6: ObjectStoreFullError,
        7: OwnerDiedError,
        8: ObjectLostError,
    }
    if kind == 3 and "can never run" in payload:
        return ActorUnschedulableError(payload)
    return classes.get(kind, _RuntimeFailure)(payload)


def _from_native(code: int, text: str) -> BaseException:
    """The exception for an Error of the C++ core; codes are base::Code."""
    if code == 8:
        return ObjectStoreFullError(text)
    if code in (3, 5, 6, 9, 11):
        return InvalidArgumentError(text)
    return _RuntimeFailure(text)
