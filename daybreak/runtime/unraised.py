"""Ray's classes of exceptions that nothing here raises: an `except` clause may name them, and what a Ray cluster raises crosses as
one of them. They are found in `daybreak.exceptions`."""

from __future__ import annotations

from ..base.errors import Error

__all__ = [
    "AsyncioActorExit",
    "NodeDiedError",
    "ActorHandleNotFoundError",
    "AuthenticationError",
    "CrossLanguageError",
    "ObjectRefStreamEndOfStreamError",
    "OufOfBandObjectRefSerializationException",
    "PlasmaObjectNotAvailable",
    "RayCgraphCapacityExceeded",
    "RayChannelError",
    "RayChannelTimeoutError",
    "RayDirectTransportError",
    "RpcError",
    "StreamingGeneratorReplayInconsistentError",
    "UnserializableException",
    "UserCodeException",
]


class ActorHandleNotFoundError(Error, ValueError):
    """The actor of a handle is not of this cluster."""


class AuthenticationError(Error, PermissionError):
    """The cluster does not take this program's token."""


class CrossLanguageError(Error, RuntimeError):
    """A task in another language raised what cannot be brought over."""


class ObjectRefStreamEndOfStreamError(Error):
    """There are no more items."""


class OufOfBandObjectRefSerializationException(Error, ValueError):
    """A reference was pickled outside of a task's arguments and results, where that is forbidden. The name is Ray's."""


class PlasmaObjectNotAvailable(Error, RuntimeError):
    """The object is not in the store."""


class RayChannelError(Error, RuntimeError):
    """A channel of a compiled graph failed."""


class RayCgraphCapacityExceeded(Error, RuntimeError):
    """More calls of a compiled graph are in flight than it holds."""


class RayChannelTimeoutError(RayChannelError, TimeoutError):
    """A channel of a compiled graph was not ready in time."""


class RayDirectTransportError(Error, RuntimeError):
    """A tensor could not be brought from device to device."""


class RpcError(Error, RuntimeError):
    """A message between machines failed."""


class StreamingGeneratorReplayInconsistentError(Error, RuntimeError):
    """A generator that was run again yielded other items than before."""


class UnserializableException(Error, RuntimeError):
    """A task's exception could not be brought over."""


class UserCodeException(Error, RuntimeError):
    """Code of the user's that the runtime called raised."""


class NodeDiedError(Error, RuntimeError):
    """The machine is gone."""


class AsyncioActorExit(Error):
    """Ends a coroutine actor from within."""
