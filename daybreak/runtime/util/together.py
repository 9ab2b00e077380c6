"""Calls of any functions that are handed to workers together: as many at once as take about a millisecond, by what the last ones
took. So a call that is short costs its workers' thread some microseconds, and one that is long is alone."""

from __future__ import annotations

import sys
from types import BuiltinFunctionType, FunctionType

from daybreak._core import runtime as _native
from daybreak.runtime.batch import export

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Together"]

_MOST_KNOWN = 1000  # functions

_found: dict[str, Any] = {}  # in a worker, by name


def _called(item: tuple[Any, ...]) -> Any:
    """In the worker."""
    name = item[0]
    if name is None:
        return item[1](*item[2], **item[3])
    function = _found.get(name)
    if function is None:
        from daybreak.runtime.worker import imported

        if len(_found) >= _MOST_KNOWN:
            _found.clear()
        function = _found[name] = imported(name)
    return function(*item[1:])


def _importable_name(function: Any) -> str | None:
    """By which a worker finds a function that pickling would save by name, too."""
    if type(function) not in (FunctionType, BuiltinFunctionType):
        return None
    module, name = function.__module__, function.__qualname__
    if not isinstance(module, str) or module == "__main__" or "<" in name:
        return None
    found = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not function:
        return None
    import cloudpickle

    by_value = cloudpickle.list_registry_pickle_by_value()
    packages = module.split(".")
    return None if any(".".join(packages[:n]) in by_value for n in range(1, len(packages) + 1)) else f"{module}:{name}"


class Together:
    """One call set (batch.py), whose lanes are workers that have nothing else to do. Of one thread."""

    def __init__(self) -> None:
        flags = _native._ANY_EXCEPTION | _native._INNER_FRAME
        self.calls = _native._Calls(export(_called), 1, flags, False, 1)
        self.calls.ahead_bytes = 1 << 62  # who hands on has counted
        self.open: dict[int, Any] = {}  # calls by their number
        self._lane_of: dict[Any, int] = {}  # of every worker that it has had
        self._lanes = 0
        self.lent: dict[Any, int] = {}
        self._names: dict[Any, str | None] = {}

    def lend(self, seat: Any) -> None:
        lane = self._lane_of.get(seat)
        if lane is None:
            lane = self._lane_of[seat] = self._lanes
            self._lanes += 1
            self.calls.add_actor(seat.actor)
        else:
            self.calls.reopen(lane)
        self.lent[seat] = lane
        seat.calls.append(self)

    def room(self) -> int:
        """How many calls its idle workers would take."""
        return max(1, int(self.calls.room()))

    def has_more(self) -> bool:
        """Whether some of its calls have not begun."""
        return bool(self.calls.counts()[0] > 0)

    def has_results(self) -> bool:
        return bool(self.calls.counts()[4] > 0)

    def hand(self, calls: list[Any]) -> list[tuple[Any, BaseException]]:
        """Those that did not pickle, with what was raised."""
        refused: list[tuple[Any, BaseException]] = []
        items = iter([self._item(call) for call in calls])
        begin = self.calls.fed
        while True:
            try:
                self.calls.feed(items, len(calls), False)
                break
            except BaseException as error:
                refused.append((calls[self.calls.fed - begin + len(refused)], error))
        failed = {id(call) for call, _ in refused}
        number = begin
        for call in calls:
            call.task = None  # what it was called with may be freed
            if id(call) not in failed:
                self.open[number] = call
                number += 1
        self.calls.pump()
        return refused

    def _item(self, call: Any) -> tuple[Any, ...]:
        function, args, kwargs = call.task
        if kwargs:
            return (None, function, args, kwargs)
        try:
            name = self._names[function]
        except (KeyError, TypeError):
            name = _importable_name(function)
            if name is not None:
                if len(self._names) >= _MOST_KNOWN:
                    self._names.clear()
                self._names[function] = name
        return (None, function, args, kwargs) if name is None else (name, *args)

    def take_back(self) -> tuple[list[Any], list[Any]]:
        """Workers that have nothing more here, and those of them that have died."""
        free: list[Any] = []
        dead: list[Any] = []
        if self.lent:
            chunks = self.calls.lanes()
            for seat, lane in list(self.lent.items()):
                if chunks[lane] < 0:
                    dead.append(seat)
                    del self._lane_of[seat]
                elif chunks[lane] > 0 or self.calls.waiting() or not self.calls.retire(lane):
                    continue
                free.append(seat)
                del self.lent[seat]
                seat.calls.remove(self)
        return free, dead
