"""The exceptions of Daybreak: one class for each canonical error code, each also the built-in that people expect.

>>> from daybreak.base import errors
>>> issubclass(errors.DataLossError, ValueError)
True
>>> errors.BY_CODE[4].__name__, errors.BY_CODE[4].http_status
('DeadlineExceededError', 504)
"""

from __future__ import annotations

TYPE_CHECKING = False  # the module typing costs 10 ms, a third of what `import daybreak` may
if TYPE_CHECKING:
    from typing import ClassVar

__all__ = [
    "BY_CODE",
    "AbortedError",
    "AlreadyExistsError",
    "CancelledError",
    "DataLossError",
    "DeadlineExceededError",
    "Error",
    "FailedPreconditionError",
    "InternalError",
    "InvalidArgumentError",
    "NotFoundError",
    "OutOfRangeError",
    "PermissionDeniedError",
    "ResourceExhaustedError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
    "UnknownError",
]


class Error(Exception):
    """Whatever Daybreak raises by itself. The message names the value, the limit and the way out."""

    code: ClassVar[int] = 2
    http_status: ClassVar[int] = 500


class CancelledError(Error):
    """The caller took the request back."""

    code, http_status = 1, 499


class UnknownError(Error, RuntimeError):
    """Something outside failed without saying more."""

    code, http_status = 2, 500


class InvalidArgumentError(Error, ValueError):
    """An argument is wrong whatever the state: fix it."""

    code, http_status = 3, 400


class DeadlineExceededError(Error, TimeoutError):
    """The time was up first."""

    code, http_status = 4, 504


class NotFoundError(Error, LookupError):
    """There is nothing of that name."""

    code, http_status = 5, 404


class AlreadyExistsError(Error, ValueError):
    """The name is taken."""

    code, http_status = 6, 409


class PermissionDeniedError(Error, PermissionError):
    """The caller is known and may not."""

    code, http_status = 7, 403


class ResourceExhaustedError(Error, RuntimeError):
    """Memory, disk, file descriptors or a quota is used up."""

    code, http_status = 8, 429


class FailedPreconditionError(Error, RuntimeError):
    """Not in this state: do something else first."""

    code, http_status = 9, 400


class AbortedError(Error, RuntimeError):
    """Another came in between: try again from the start."""

    code, http_status = 10, 409


class OutOfRangeError(Error, IndexError):
    """Past an end."""

    code, http_status = 11, 400


class UnimplementedError(Error, NotImplementedError):
    """This version does not do that."""

    code, http_status = 12, 501


class InternalError(Error, RuntimeError):
    """An invariant of ours is broken: a bug, please report it."""

    code, http_status = 13, 500


class UnavailableError(Error, ConnectionError):
    """Not now: try again with a pause."""

    code, http_status = 14, 503


class DataLossError(Error, ValueError):
    """Stored bytes are truncated or altered."""

    code, http_status = 15, 500


class UnauthenticatedError(Error, PermissionError):
    """The caller did not prove who it is."""

    code, http_status = 16, 401


BY_CODE: dict[int, type[Error]] = {
    kind.code: kind
    for kind in (
        CancelledError,
        UnknownError,
        InvalidArgumentError,
        DeadlineExceededError,
        NotFoundError,
        AlreadyExistsError,
        PermissionDeniedError,
        ResourceExhaustedError,
        FailedPreconditionError,
        AbortedError,
        OutOfRangeError,
        UnimplementedError,
        InternalError,
        UnavailableError,
        DataLossError,
        UnauthenticatedError,
    )
}
