"""Which calls near the end of a job are worth a second run: where a call may run twice, the first result counts.

The rule is Cubed's, which is that of MapReduce (Dean and Ghemawat, OSDI 2004, 3.6) with numbers: at least ten calls are done and
half of them all, and the call runs three times as long as the median of those that are done.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Stragglers"]

LEAST_DONE = 10
DONE_PART = 0.5
TIMES_MEDIAN = 3.0
_LEAST_S = 0.05  # shorter than that, nobody is late


class Stragglers:
    """Remembers how long calls took.

    >>> watch = Stragglers(slots=2)
    >>> for _ in range(10):
    ...     watch.took(1.0)
    >>> watch.late({11: 0.0}, total=12, now=8.0), watch.late({11: 0.0}, total=12, now=9.0)
    ([11], [])
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._took: list[float] = []
        self._backed_up: set[int] = set()

    def took(self, seconds: float) -> None:
        self._took.append(seconds)

    def late(self, running: Mapping[int, float], total: int, now: float) -> list[int]:
        """Those of `running` (a call -> when it began) that are to be run again, each once, as there is room."""
        if len(self._took) < max(LEAST_DONE, DONE_PART * total):
            return []
        median = sorted(self._took)[len(self._took) // 2]
        late = max(TIMES_MEDIAN * median, _LEAST_S)
        room = self.slots - len(running)
        found = [index for index, since in running.items() if now - since > late and index not in self._backed_up][
            : max(0, room)
        ]
        self._backed_up.update(found)
        return found
