"""What a chain of iterators counts as it runs."""

from __future__ import annotations

import threading
from collections import defaultdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__all__ = ["MetricsContext", "SharedMetrics", "current", "running"]


class MetricsContext:
    """Numbers and whatever else the functions of one chain share.

    Attributes:
        counters: start at zero.
        info: anything.
        current_actor: the actor that the item at hand came from.
    """

    def __init__(self) -> None:
        self.counters: defaultdict[Any, Any] = defaultdict(int)
        self.info: dict[Any, Any] = {}
        self.current_actor: Any = None


class SharedMetrics:
    """Holds a chain's context. Chains that are united get one together."""

    def __init__(self, parents: Iterable[SharedMetrics] = ()) -> None:
        self._parents = list(parents)
        self._adopt(MetricsContext())

    def get(self) -> MetricsContext:
        return self._context

    def _adopt(self, context: MetricsContext) -> None:
        self._context = context
        for parent in self._parents:
            parent._adopt(context)


_thread = threading.local()


class running:
    """A context manager: inside, `current()` is this one's."""

    def __init__(self, metrics: SharedMetrics) -> None:
        self._metrics = metrics
        self._before: MetricsContext | None = None

    def __enter__(self) -> None:
        self._before = getattr(_thread, "context", None)
        _thread.context = self._metrics.get()

    def __exit__(self, *exc: object) -> None:
        _thread.context = self._before


def current() -> MetricsContext:
    """Raises ValueError outside of a function that an iterator runs."""
    context: MetricsContext | None = getattr(_thread, "context", None)
    if context is None:
        raise ValueError("there are metrics only inside a function that an iterator runs")
    return context
