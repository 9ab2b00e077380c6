"""Trials that are over in no time: a process that serves many is handed several, so that it need not be answered after each.

They are pending until it says that it has begun them; what it has not begun when others have nothing to do is taken back.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

import daybreak

from .running import Slot
from .trial import Trial

__all__ = ["Handing"]

_AHEAD, _AHEAD_S = 64, 0.05  # how many a process has ahead, and how long they take it
_GIVE_BACK_S = 0.1  # without a word of it before others get what it has ahead


class Handing:
    """``is_on``: nobody but a scheduler that begins trials in their order is told what happens."""

    def __init__(self, experiment: Any, trials: list[Trial], is_on: bool) -> None:
        self._experiment, self._trials, self._is_on = experiment, trials, is_on
        self._takes_s = float("inf")  # a trial, from beginning to end
        self.given_back: dict[Any, Any] = {}  # calls of take_back, and whose
        self._alone: set[int] = set()  # numbers of trials whose process has died, with others ahead

    def measure(self, slot: Slot, trials: int) -> None:
        """So many have ended since the last message."""
        self._takes_s = (time.monotonic() - slot.told) / trials

    def more(self, slot: Slot, others: Collection[Slot]) -> list[dict[str, Any]]:
        """Those that its process is to begin after this one: as much as it does in a moment, and its share of what waits."""
        if not self._is_on or self._takes_s > _AHEAD_S or slot.trial.number in self._alone:
            return []
        if any(actor is slot.actor for actor in self.given_back.values()):
            return []  # it would give them back, too
        waiting = self._experiment.count("PENDING") - sum(len(other.ahead) for other in others)
        most = min(_AHEAD, int(_AHEAD_S / self._takes_s), waiting // (len(others) + 1))
        specs = []
        for _ in range(most - len(slot.ahead)):
            number = self._experiment.hand()
            if number is None:
                break
            trial = self._trials[number]
            slot.ahead.append(trial)
            specs.append(
                {
                    "id": trial.trial_id,
                    "name": str(trial),
                    "folder": trial.logdir,
                    "config": trial.config,
                    "next": self._experiment.next(number),
                }
            )
        return specs

    def run_alone(self, trial: Trial) -> None:
        """Nothing is handed over behind it: if its process dies again, it was this one."""
        self._alone.add(trial.number)

    def take_back(self, slot: Slot, trials: list[Trial]) -> None:
        """Its process does not begin them."""
        for trial in trials:
            self._experiment.take_back(trial.number)
        slot.ahead = [trial for trial in slot.ahead if trial not in trials]

    def ask_back(self, slots: Collection[Slot]) -> None:
        """Others are free, and what could run waits behind a trial that takes long after all."""
        now = time.monotonic()
        for slot in slots:
            if slot.ahead and not slot.gives_back and now - slot.told > _GIVE_BACK_S:
                slot.gives_back = True
                self.given_back[slot.actor.take_back.remote()] = slot.actor

    def on_given_back(self, ref: Any, slots: Collection[Slot]) -> None:
        actor = self.given_back.pop(ref)
        try:
            given = set(daybreak.get(ref))
        except Exception:  # it has died, which its poll says
            return
        for slot in slots:
            if slot.actor is actor:
                slot.gives_back = False
                self.take_back(slot, [trial for trial in slot.ahead if trial.trial_id in given])
