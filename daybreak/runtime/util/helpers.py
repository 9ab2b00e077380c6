"""Results as they become ready."""

from __future__ import annotations

from daybreak.runtime import get, wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

__all__ = ["as_completed", "map_unordered"]

_CHUNK = 10
_AHEAD = 100


def as_completed(
    refs: Sequence[Any], *, chunk_size: int = _CHUNK, yield_obj_refs: bool = False, **options: Any
) -> Iterator[Any]:
    """The values of references as they become ready; with yield_obj_refs the references.

    Args:
        chunk_size: how many are waited for at once, at least 1. 1: each comes as soon as it is there.
        options: of each `wait`: fetch_local.

    Example:
        >>> import daybreak
        >>> from daybreak.util import as_completed
        >>> square = daybreak.remote(lambda x: x * x)
        >>> sorted(as_completed([square.remote(i) for i in range(4)], chunk_size=1))
        [0, 1, 4, 9]
    """
    _check_chunk(chunk_size, options)
    return _completed(list(refs), chunk_size, yield_obj_refs, options)


def _completed(left: list[Any], chunk: int, yield_refs: bool, options: dict[str, Any]) -> Iterator[Any]:
    while left:
        ready, left = wait(left, num_returns=min(chunk, len(left)), **options)
        yield from ready if yield_refs else get(ready)


def map_unordered(
    fn: Any,
    items: Iterable[Any],
    *,
    backpressure_size: int | None = _AHEAD,
    chunk_size: int = _CHUNK,
    yield_obj_refs: bool = False,
    **options: Any,
) -> Iterator[Any]:
    """The results of `fn.remote(item)` as they become ready.

    Args:
        fn: a remote function, or the method of an actor.
        backpressure_size: how many are under way at once, at least 1; None: all.
        chunk_size, yield_obj_refs, options: as in `as_completed`.
    """
    _check_chunk(chunk_size, options)
    if backpressure_size is not None and backpressure_size < 1:
        raise ValueError(f"backpressure_size={backpressure_size}: it must be at least 1, or None for no limit")
    return _mapped(fn, items, backpressure_size, chunk_size, yield_obj_refs, options)


def _mapped(
    fn: Any, items: Iterable[Any], ahead: int | None, chunk: int, yield_refs: bool, options: dict[str, Any]
) -> Iterator[Any]:
    refs: list[Any] = []
    for item in items:
        refs.append(fn.remote(item))
        if ahead is not None and len(refs) >= ahead:
            ready, refs = wait(refs, num_returns=min(chunk, len(refs)), **options)
            yield from ready if yield_refs else get(ready)
    yield from _completed(refs, chunk, yield_refs, options)


def _check_chunk(chunk_size: int, options: dict[str, Any]) -> None:
    if chunk_size < 1:
        raise ValueError(f"chunk_size={chunk_size}: it must be at least 1")
    if "num_returns" in options:
        raise ValueError("num_returns: use chunk_size instead")
