"""The processes of trials: made, used again, ended; and what of the machine is free."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import daybreak
from daybreak.base.errors import InvalidArgumentError

from .trial_actor import TrialActor

__all__ = ["CLEANUP_S", "Processes"]

CLEANUP_S = float(os.environ.get("TUNE_FORCE_TRIAL_CLEANUP_S", "10"))  # for a stopped trial to end by itself
_EPSILON = 1e-9
Needs = dict[str, float]


class Processes:
    """Of one experiment; the controller's thread alone."""

    def __init__(self, trainable: Any, say: Callable[[str], None]) -> None:
        self._trainable, self._say = trainable, say
        self._trainable_ref: Any = None
        self._classes: dict[tuple[tuple[str, float], ...], Any] = {}
        self._idle: list[tuple[Any, Needs]] = []
        self.closing: dict[Any, tuple[Any, Needs, float]] = {}  # whose trainable cleans up, until when
        self.totals = {name: float(amount) for name, amount in daybreak.cluster_resources().items()}
        self._free = dict(self.totals)

    def used(self, name: str) -> float:
        return self.totals[name] - self._free.get(name, 0.0)

    def check_fits(self, needs: Needs) -> None:
        for name, amount in needs.items():
            if amount > self.totals.get(name, 0.0):
                raise InvalidArgumentError(
                    f"a trial needs {name}={amount:g}, and there is {self.totals.get(name, 0.0):g}: ask for less with "
                    "tune.with_resources, or give init() more"
                )

    def has_room(self, needs: Needs) -> bool:
        """Whether one could be begun now."""
        return self._has_idle(needs) or all(self._free.get(n, 0.0) + _EPSILON >= amount for n, amount in needs.items())

    def _has_idle(self, needs: Needs) -> bool:
        return any(had == needs for _, had in self._idle)

    def take(self, needs: Needs) -> Any:
        """An actor: one that is idle, or a new one."""
        for i, (actor, had) in enumerate(self._idle):
            if had == needs:
                del self._idle[i]
                return actor
        for name, amount in needs.items():
            self._free[name] = self._free.get(name, 0.0) - amount
        if self._trainable_ref is None:
            self._trainable_ref = daybreak.put(self._trainable)
        key = tuple(sorted(needs.items()))
        if key not in self._classes:
            rest = {name: amount for name, amount in needs.items() if name not in ("CPU", "GPU", "memory")}
            options = {"num_cpus": needs["CPU"], "num_gpus": needs.get("GPU", 0), "resources": rest}
            self._classes[key] = daybreak.remote(TrialActor).options(max_concurrency=2, **options)
        return self._classes[key].remote(self._trainable_ref)

    def keep(self, actor: Any, needs: Needs) -> None:
        """For the next trial."""
        self._idle.append((actor, needs))

    def give_back(self, actor: Any, needs: Needs, kill: bool) -> None:
        """What it had is free once its process is told to end: after its cleanup, which nobody waits for here."""
        if kill:
            self._end(actor, needs)
        else:
            self.closing[actor.close.remote()] = (actor, needs, time.monotonic() + CLEANUP_S)

    def closed(self, ref: Any) -> None:
        actor, needs, _ = self.closing.pop(ref)
        try:
            daybreak.get(ref, timeout=0)
        except daybreak.exceptions.GetTimeoutError:
            pass  # it has been said
        except Exception as error:
            self._say(f"cleanup of a trial: {error}")
        self._end(actor, needs)

    def end_overdue(self) -> None:
        for ref, (_, _, deadline) in list(self.closing.items()):
            if time.monotonic() >= deadline:
                self._say(f"a trial's cleanup did not end within {CLEANUP_S:g} s: its process is ended")
                self.closed(ref)

    def _end(self, actor: Any, needs: Needs) -> None:
        daybreak.kill(actor)
        for name, amount in needs.items():
            self._free[name] += amount

    def end_idle(self) -> None:
        while self._idle:
            actor, needs = self._idle.pop()
            self.give_back(actor, needs, kill=False)
