import types

from daybreak import (
    ActorHandle as ActorHandle,
    ActorMethod as ActorMethod,
    ObjectRef as ObjectRef
)


class RemoteFunctionBase:
    remote: types.MethodDescriptorType = ...

def get(refs, *, timeout=None):
    """
    The value of an ObjectRef, or a list of values for a list of them, in order.

    Waits until all are there. Arrays are read-only views of shared memory.

    Raises GetTimeoutError (a TimeoutError) after `timeout` seconds; TaskError (also of the user's own type) when the
    task raised; WorkerCrashedError, ActorDiedError, TaskCancelledError with the reason.
    """

def put(value):
    """
    Stores a value; returns its ObjectRef.

    Raises ObjectStoreFullError with the largest holders when it does not fit.
    """

def wait(refs, *, num_returns=1, timeout=None, fetch_local=True):
    """
    (ready, rest): at most `num_returns` references whose values are there, and all others, both in the order given.

    Returns when `num_returns` are ready or `timeout` seconds are over. Raises ValueError for duplicates.
    """
