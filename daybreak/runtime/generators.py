"""What a remote generator gives its caller: references to its items, as they come or all at the end."""

from __future__ import annotations

from .._core import runtime as _native
from .._core.runtime import ObjectRef

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["DynamicObjectRefGenerator", "ObjectRefGenerator"]


class ObjectRefGenerator:
    """The stream of a task or method that yields: each step gives a reference to the next item, when it is there.

    `for ref in generator`, `next`, `async for` and `anext` work, and `wait` takes it for a reference to its next item. When the
    task fails, the reference to the item that it failed at raises its error, and the stream has ended. It stays in its process:
    what has come from it can be given away. When it is dropped, the task is stopped at its next item.
    """

    def __init__(self, task: ObjectRef, cell: ObjectRef, paced: bool) -> None:
        self._task = task
        self._cell: ObjectRef | None = cell  # of the next item; None: the stream has ended
        self._paced = paced

    @property
    def _awaited(self) -> ObjectRef:
        return self._task if self._cell is None else self._cell

    def __iter__(self) -> Iterator[ObjectRef]:
        return self

    def __next__(self) -> ObjectRef:
        return self._next_sync()

    def _next_sync(self, timeout_s: float | None = None) -> ObjectRef:
        """The next item's reference; ObjectRef.nil() after `timeout_s` seconds."""
        if self._cell is not None and not _native.wait([self._cell], timeout=timeout_s)[0]:
            return ObjectRef.nil()
        ref = self._advance()
        if ref is None:
            raise StopIteration
        return ref

    def _advance(self) -> ObjectRef | None:
        """Past the next item, which is there. None: there is none."""
        if self._cell is None:
            return None
        found = _native._stream_next(self._cell)
        if found is None or found is self._cell:  # the end, or what the task failed with
            self._cell = None
            return found
        item, self._cell = found
        if self._paced:
            _native._ring_runner(self._task)
        return item  # type: ignore[no-any-return]

    def __del__(self) -> None:
        """A task that waits for its consumer must learn that there is none."""
        if self._paced and self._cell is not None:
            self._cell = None
            try:
                _native._ring_runner(self._task)
            except Exception:  # of a runtime that has been shut down
                pass

    def __aiter__(self) -> ObjectRefGenerator:
        return self

    async def __anext__(self) -> ObjectRef:
        return await self._next_async()

    async def _next_async(self, timeout_s: float | None = None) -> ObjectRef:
        import asyncio

        if self._cell is not None and not _native.wait([self._cell], timeout=0)[0]:
            coming = asyncio.ensure_future(_when_done(self._cell))
            done, _ = await asyncio.wait([coming], timeout=timeout_s)
            if not done:
                coming.cancel()
                return ObjectRef.nil()
        ref = self._advance()
        if ref is None:
            raise StopAsyncIteration
        return ref

    def completed(self) -> ObjectRef:
        """A reference that is ready when the task is done; it raises when the task was cancelled or its worker died."""
        return self._task

    def next_ready(self) -> bool:
        """Whether `next` would not wait for an item."""
        return self._cell is not None and bool(_native.wait([self._cell], timeout=0)[0])

    def is_finished(self) -> bool:
        """Whether `next` has said that there are no more."""
        return self._cell is None

    def __reduce__(self) -> Any:
        raise TypeError("an ObjectRefGenerator stays in its process: pass the references that it has given, in a list")

    def __repr__(self) -> str:
        return f"ObjectRefGenerator({self._task.hex()})"


async def _when_done(ref: ObjectRef) -> None:
    try:
        await ref
    except Exception:  # it is looked at again where it is asked for
        pass


class DynamicObjectRefGenerator:
    """References to all that a task with num_returns="dynamic" has yielded; if it failed, the last one raises."""

    def __init__(self, refs: list[ObjectRef]) -> None:
        self._refs = refs

    def __iter__(self) -> Iterator[ObjectRef]:
        return iter(self._refs)

    def __len__(self) -> int:
        return len(self._refs)

    def __repr__(self) -> str:
        return f"DynamicObjectRefGenerator({len(self._refs)} references)"
