"""How many calls of a job may run at the same time, by the memory that each needs."""

from __future__ import annotations

from daybreak.base.errors import InvalidArgumentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Admission", "available_bytes"]

_RAMP_S = 0.05  # while no call has ended, one more is let in this often, as long as memory is free
_FREE_PART = 0.5  # of the budget, that must be free for that
_SMALL_PART = 0.5  # calls that need less than this part of the budget all together are not counted


def available_bytes() -> int:
    """What the kernel says could be used without swapping (MemAvailable).

    >>> available_bytes() > 0
    True
    """
    with open("/proc/meminfo") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/meminfo has no MemAvailable")


class Admission:
    """Lets calls in.

    memory: bytes that a call needs, as was declared. None: the most that one was seen to need, once some have ended; until then
    one call, and one more every 50 ms while half of the budget is free. slots: how many can run for other reasons.

    >>> admission = Admission(budget=4 << 30, slots=8, memory=1 << 30)
    >>> admission.limit(now=0.0)
    4
    >>> learned = Admission(budget=4 << 30, slots=8, available=lambda: 0)
    >>> learned.limit(now=0.0)
    1
    >>> learned.saw(2 << 30)
    >>> learned.limit(now=1.0)
    2

    Raises:
        InvalidArgumentError: one call needs more than the budget.
    """

    def __init__(
        self, budget: int, slots: int, memory: int | None = None, available: Callable[[], int] = available_bytes
    ) -> None:
        if memory is not None and memory > budget:
            raise InvalidArgumentError(
                f"memory={memory:,}: a call needs more than the {budget:,} bytes that there are for all: make the calls smaller, "
                "or daybreak.init(_memory=...) if there is more"
            )
        self.budget, self.slots, self.memory = budget, max(1, slots), memory
        self._available = available
        self._peak: int | None = None
        self._ramp, self._ramped_at = 1, -1.0

    def saw(self, peak: int | None) -> None:
        """A call has ended; the most memory that its process had meanwhile, or None where it was too short to be asked."""
        self._peak = max(self._peak or 0, peak or 0)

    @property
    def per_call(self) -> int | None:
        """Bytes that a call is taken to need; None: nobody knows yet."""
        return self.memory if self.memory is not None else self._peak

    @property
    def learning(self) -> bool:
        """Whether the limit may grow by time alone."""
        return self.per_call is None and self._ramp < self.slots

    def unlimited(self) -> bool:
        """Whether memory is no reason to hold a call back."""
        need = self.per_call
        return need is not None and need * self.slots <= self.budget * _SMALL_PART

    def limit(self, now: float) -> int:
        """How many may run, `now` by a clock in seconds."""
        need = self.per_call
        if need is not None:
            return self.slots if need == 0 else max(1, min(self.slots, self.budget // need))
        if self._ramped_at < 0:
            self._ramped_at = now
        elif now - self._ramped_at >= _RAMP_S and self._ramp < self.slots:
            self._ramped_at = now
            if self._available() >= self.budget * _FREE_PART:
                self._ramp += 1
        return self._ramp
