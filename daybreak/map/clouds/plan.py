"""What calls in a cloud will cost, said before one is made; and a limit that is kept.

>>> print(plan("aws_lambda", 10_000, seconds=2.0, memory_mib=2048, input_bytes=1000))
10,000 calls on aws_lambda, 2 s each with 2,048 MiB:
  GB-seconds        40,000     0.67 USD
  calls             10,000     0.00 USD
  storage reads     10,003     0.00 USD
  storage writes    10,002     0.05 USD
  bytes in      10,000,000
  together                     0.72 USD
list prices written down 2025-01, to be checked: aws.amazon.com/lambda/pricing, aws.amazon.com/s3/pricing (us-east-1)
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import Any

from daybreak.base import numbers
from daybreak.base.errors import InvalidArgumentError, ResourceExhaustedError

from . import prices as _prices
from .prices import Price

__all__ = ["CostExceeded", "Plan", "Spending", "plan"]

DEFAULT_SECONDS = 1800.0
_INLINE_BYTES = 8192  # results up to that come with the call's status, and are not written by themselves


class CostExceeded(ResourceExhaustedError):
    """The calls would cost more than `max_cost`. None of them was made."""


@dataclass(frozen=True)
class Plan:
    """What calls are expected to take. `str()` is a table."""

    backend: str
    calls: int
    seconds: float
    memory_mib: int
    gb_seconds: float
    reads: int
    writes: int
    input_bytes: int
    output_bytes: int
    price: Price

    @property
    def costs(self) -> dict[str, float]:
        return {
            "GB-seconds": self.gb_seconds * self.price.gb_second,
            "calls": self.calls / 1e6 * self.price.million_calls,
            "storage reads": self.reads / 1e3 * self.price.thousand_reads,
            "storage writes": self.writes / 1e3 * self.price.thousand_writes,
        }

    @property
    def cost(self) -> float:
        return sum(self.costs.values())

    def __str__(self) -> str:
        amounts = {
            "GB-seconds": self.gb_seconds,
            "calls": self.calls,
            "storage reads": self.reads,
            "storage writes": self.writes,
        }
        lines = [f"{self.calls:,} calls on {self.backend}, {self.seconds:g} s each with {self.memory_mib:,} MiB:"]
        lines += [
            f"  {name:<14}{amounts[name]:>10,.0f} {cost:>8.2f} {_prices.CURRENCY}" for name, cost in self.costs.items()
        ]
        lines.append(f"  {'bytes in':<14}{self.input_bytes:>10,}")
        if self.output_bytes:
            lines.append(f"  {'bytes out':<14}{self.output_bytes:>10,}")
        lines.append(f"  {'together':<14}{'':>10} {self.cost:>8.2f} {_prices.CURRENCY}")
        lines.append(f"list prices written down {_prices.DATE}, to be checked: {self.price.source}")
        return "\n".join(lines)


def plan(
    backend: str,
    calls: int,
    *,
    seconds: float = DEFAULT_SECONDS,
    memory_mib: int = 256,
    input_bytes: int = 0,
    output_bytes: int = 0,
    prices: Any = None,
) -> Plan:
    """What `calls` calls cost.

    seconds: that a call takes. memory_mib: that a worker has. input_bytes, output_bytes: of one call. prices: see prices.table_of.

    Raises:
        InvalidArgumentError: a number is out of its range, or there is no price for the back end.
    """
    table = _prices.table_of(prices)
    if backend not in table:
        raise InvalidArgumentError(
            f"there is no price for {backend!r} (there are: {', '.join(sorted(table))}): give prices={{{backend!r}: {{...}}}}"
        )
    price = table[backend]
    count = numbers.integer(calls, "calls", minimum=0)
    took = numbers.real(seconds, "seconds", minimum=0, finite=True)
    memory = numbers.integer(memory_mib, "memory_mib", minimum=0)
    size_in = numbers.integer(input_bytes, "input_bytes", minimum=0)
    size_out = numbers.integer(output_bytes, "output_bytes", minimum=0)
    charged = math.ceil(took * 1e3 / price.least_ms) * price.least_ms / 1e3 if price.least_ms else took
    large = count if size_out > _INLINE_BYTES else 0
    return Plan(
        backend=backend,
        calls=count,
        seconds=took,
        memory_mib=memory,
        gb_seconds=count * charged * memory / 1024,
        reads=count + 3 + large,  # each worker its input, and what all have once; large results
        writes=count + 2 + large,  # each worker its status
        input_bytes=count * size_in,
        output_bytes=count * size_out,
        price=price,
    )


class Spending:
    """What an executor has planned so far, against its limit. Thread-safe."""

    def __init__(
        self, backend: str, config: dict[str, Any], prices: Any, max_cost: float | None, seconds: float | None
    ) -> None:
        self._backend, self._prices, self._max_cost, self._seconds = backend, prices, max_cost, seconds
        section = config.get(backend) or {}
        self._memory_mib = int(section.get("runtime_memory") or 256)
        self._limit = float(section.get("runtime_timeout") or DEFAULT_SECONDS)
        self._lock = threading.Lock()
        self.planned = 0.0
        if prices is not None or max_cost is not None:
            plan(backend, 0, prices=prices)  # whether there is a price

    def check(self, calls: int, input_bytes: int, memory: int | None, timeout: float | None) -> None:
        """Counts these calls.

        Raises:
            CostExceeded: they would cost more than what is left.
        """
        if self._max_cost is None:
            return
        found = plan(
            self._backend,
            calls,
            seconds=self._seconds or timeout or self._limit,
            memory_mib=self._memory_mib if memory is None else math.ceil(memory / (1 << 20)),
            input_bytes=input_bytes // max(1, calls),
            prices=self._prices,
        )
        with self._lock:
            if self.planned + found.cost > self._max_cost:
                raise CostExceeded(
                    f"max_cost={self._max_cost:g} {_prices.CURRENCY}: {self.planned:.4g} are planned already, and these calls "
                    f"would cost {found.cost:.4g} more: raise it, or say what a call takes (seconds=, memory=)\n{found}"
                )
            self.planned += found.cost
