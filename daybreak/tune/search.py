"""Searchers by Ray Tune's names: what suggests the next config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from daybreak.base.errors import InvalidArgumentError

from .configs import check_mode

__all__ = ["BasicVariantGenerator", "ConcurrencyLimiter", "Repeater", "Searcher"]


class Searcher:
    """Override `suggest` and `on_trial_complete`.

    What it suggests and what it is told lies in the experiment's journal: on a resumed experiment it is told all of it again, in
    order (`add_evaluated_point` is not needed for that).
    """

    FINISHED = "FINISHED"

    def __init__(self, metric: str | None = None, mode: str | None = None) -> None:
        check_mode(mode)
        self._metric, self._mode = metric, mode

    @property
    def metric(self) -> str | None:
        return getattr(self, "_metric", None)

    @property
    def mode(self) -> str | None:
        return getattr(self, "_mode", None)

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """False: this one knows its metric or its space already."""
        return False

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """A config; None: not now; FINISHED: no more."""
        raise NotImplementedError(f"{type(self).__name__}.suggest(trial_id) is not there")

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Each result that is not the last."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        raise NotImplementedError(f"{type(self).__name__}.on_trial_complete(trial_id, result, error) is not there")

    def add_evaluated_point(self, parameters: dict[str, Any], value: float, **kwargs: Any) -> None:
        raise NotImplementedError(f"{type(self).__name__} takes no evaluated points")


class BasicVariantGenerator:
    """The grid's cells times num_samples, the rest drawn for each: what is searched by without a searcher.

    ``points_to_evaluate`` replace the first samples; one may name some parameters only. ``constant_grid_search``: the cells of a
    sample share their draws. ``random_state``: the seed.
    """

    def __init__(
        self,
        points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
        max_concurrent: int = 0,
        constant_grid_search: bool = False,
        random_state: int | None = None,
    ) -> None:
        if random_state is not None and (isinstance(random_state, bool) or not isinstance(random_state, int)):
            raise InvalidArgumentError(f"random_state={random_state!r}: a whole number, the seed")
        if isinstance(max_concurrent, bool) or not isinstance(max_concurrent, int) or max_concurrent < 0:
            raise InvalidArgumentError(f"max_concurrent={max_concurrent!r}: a whole number that is not negative")
        self.points_to_evaluate = list(points_to_evaluate or [])
        self.max_concurrent = max_concurrent
        self.constant_grid_search = constant_grid_search
        self.random_state = random_state


class ConcurrencyLimiter(Searcher):
    """At most so many suggestions at once; ``batch``: the next ones when all of them are done."""

    def __init__(self, searcher: Searcher, max_concurrent: int, batch: bool = False) -> None:
        if isinstance(max_concurrent, bool) or not isinstance(max_concurrent, int) or max_concurrent < 1:
            raise InvalidArgumentError(f"max_concurrent={max_concurrent!r}: at least 1")
        super().__init__(searcher.metric, searcher.mode)
        self.searcher, self.max_concurrent, self.batch = searcher, max_concurrent, batch
        self.live_trials: set[str] = set()
        self._done: dict[str, tuple[dict[str, Any] | None, bool]] = {}

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        self._metric, self._mode = self.searcher.metric or metric, self.searcher.mode or mode
        return self.searcher.set_search_properties(metric, mode, config, **spec)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if len(self.live_trials) >= self.max_concurrent:
            return None
        found = self.searcher.suggest(trial_id)
        if found not in (None, Searcher.FINISHED):
            self.live_trials.add(trial_id)
        return found

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self.searcher.on_trial_result(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if trial_id not in self.live_trials:
            return
        self._done[trial_id] = (result, error)
        if self.batch and len(self._done) < len(self.live_trials):
            return
        for done, (last, failed) in self._done.items():
            self.searcher.on_trial_complete(done, last, failed)
            self.live_trials.discard(done)
        self._done.clear()


class Repeater(Searcher):
    """Each suggestion is tried ``repeat`` times, and the searcher is told the mean of the metric."""

    def __init__(self, searcher: Searcher, repeat: int = 1, set_index: bool = True) -> None:
        if isinstance(repeat, bool) or not isinstance(repeat, int) or repeat < 1:
            raise InvalidArgumentError(f"repeat={repeat!r}: at least 1")
        super().__init__(searcher.metric, searcher.mode)
        self.searcher, self.repeat, self._set_index = searcher, repeat, set_index
        self._groups: dict[str, list[str]] = {}  # the first's id -> the ids
        self._of: dict[str, str] = {}
        self._config: dict[str, Any] = {}
        self._results: dict[str, dict[str, Any] | None] = {}
        self._open: str | None = None

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        self._metric, self._mode = self.searcher.metric or metric, self.searcher.mode or mode
        return self.searcher.set_search_properties(metric, mode, config, **spec)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if self._open is None:
            found = self.searcher.suggest(trial_id)
            if not isinstance(found, dict):
                return found
            self._open, self._config, self._groups[trial_id] = trial_id, found, []
        group = self._groups[self._open]
        group.append(trial_id)
        self._of[trial_id] = self._open
        config = dict(self._config)
        if self._set_index:
            config["__trial_index__"] = len(group) - 1
        if len(group) == self.repeat:
            self._open = None
        return config

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self._results[trial_id] = result
        first = self._of[trial_id]
        group = self._groups[first]
        if len(group) < self.repeat or not all(member in self._results for member in group):
            return
        metric = self.metric or ""
        scores = [found[metric] for member in group if (found := self._results[member]) and metric in found]
        told = {metric: sum(scores) / len(scores)} if scores else None
        self.searcher.on_trial_complete(first, told, error=told is None)
        for member in self._groups.pop(first):
            self._results.pop(member, None)
            self._of.pop(member, None)
