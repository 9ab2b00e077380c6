from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, overload



class ErrorKind:
    """Why an object holds an error."""

    USER: int = 1

    WORKER_CRASHED: int = 2

    ACTOR_DIED: int = 3

    CANCELLED: int = 4

    UNSCHEDULABLE: int = 5

    STORE_FULL: int = 6

    OWNER_DIED: int = 7

    OBJECT_LOST: int = 8

    RUNTIME: int = 9

    GROUP_REMOVED: int = 10

    ENVIRONMENT: int = 11

    OUT_OF_MEMORY: int = 12

class ObjectRef:
    """A reference to a value that exists or will exist."""
    def hex(self) -> str: ...
    def binary(self) -> bytes: ...
    def future(self) -> Future[Any]: ...
    def as_future(self) -> Any: ...
    def task_id(self) -> Any: ...
    def job_id(self) -> Any: ...
    @staticmethod
    def nil() -> ObjectRef: ...
    def is_nil(self) -> bool: ...
    def __await__(self) -> Any: ...

class RemoteFunctionBase:
    __name__: str
    __wrapped__: Any
    def remote(self, *args: Any, **kwargs: Any) -> Any: ...
    def _bind(self, *args: Any) -> None: ...

class ActorMethod:
    def remote(self, *args: Any, **kwargs: Any) -> Any: ...
    def options(self, **options: Any) -> ActorMethod: ...

class ActorHandle:
    def __getattr__(self, name: str) -> Any: ...

@overload
def get(refs: ObjectRef, *, timeout: float | None = None) -> Any: ...
@overload
def get(refs: Sequence[ObjectRef], *, timeout: float | None = None) -> list[Any]:
    """
    The value of an ObjectRef, or a list of values for a list of them, in order.

    Waits until all are there. Arrays are read-only views of shared memory.

    Raises GetTimeoutError (a TimeoutError) after `timeout` seconds; TaskError (also of the user's own type) when the
    task raised; WorkerCrashedError, ActorDiedError, TaskCancelledError with the reason.
    """

def put(value: Any) -> ObjectRef:
    """
    Stores a value; returns its ObjectRef.

    Raises ObjectStoreFullError with the largest holders when it does not fit.
    """

def wait(refs: list[ObjectRef], *, num_returns: int = 1, timeout: float | None = None, fetch_local: bool = True) -> tuple[list[ObjectRef], list[ObjectRef]]:
    """
    (ready, rest): at most `num_returns` references whose values are there, and all others, both in the order given.

    Returns when `num_returns` are ready or `timeout` seconds are over. Raises ValueError for duplicates.
    """

def run_chunk(references: Any, slot: int, unit: int, flags: int, inputs: bytes) -> Any:
    """Of a Batch alone."""

def __getattr__(name: str) -> Any: ...  # what begins with an underscore is between the two halves of the room
