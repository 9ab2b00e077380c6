# What the generator of stubs cannot see in types and functions that are made with the C API (tools/stubs.py reads this).

^daybreak\._core\.runtime\.__prefix__$:
    \from collections.abc import Sequence
    \from concurrent.futures import Future
    \from typing import Any, overload

^daybreak\._core\.runtime\.ObjectRef$:
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

^daybreak\._core\.runtime\.ActorMethod$:
    class ActorMethod:
        def remote(self, *args: Any, **kwargs: Any) -> Any: ...
        def options(self, **options: Any) -> ActorMethod: ...

^daybreak\._core\.runtime\.ActorHandle$:
    class ActorHandle:
        def __getattr__(self, name: str) -> Any: ...

^daybreak\._core\.runtime\.RemoteFunctionBase$:
    class RemoteFunctionBase:
        __name__: str
        __wrapped__: Any
        def remote(self, *args: Any, **kwargs: Any) -> Any: ...
        def _bind(self, *args: Any) -> None: ...

^daybreak\._core\.runtime\.get$:
    @overload
    def get(refs: ObjectRef, *, timeout: float | None = None) -> Any: ...
    @overload
    def get(refs: Sequence[ObjectRef], *, timeout: float | None = None) -> list[Any]:
        \doc

^daybreak\._core\.runtime\.put$:
    def put(value: Any) -> ObjectRef:
        \doc

^daybreak\._core\.runtime\.wait$:
    def wait(refs: list[ObjectRef], *, num_returns: int = 1, timeout: float | None = None, fetch_local: bool = True) -> tuple[list[ObjectRef], list[ObjectRef]]:
        \doc

^daybreak\._core\.runtime\.run_chunk$:
    def run_chunk(references: Any, slot: int, unit: int, flags: int, inputs: bytes) -> Any:
        \doc

^daybreak\._core\.runtime\.__suffix__$:
    def __getattr__(name: str) -> Any: ...  # what begins with an underscore is between the two halves of the room
