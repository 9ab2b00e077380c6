"""Searchers by Ray Tune's names: what suggests the next config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from daybreak._core import tune as _native
from daybreak.base.errors import FailedPreconditionError, InvalidArgumentError

from .configs import check_mode
from .space import Domain, Function
from .variants import flattened

__all__ = ["BasicVariantGenerator", "ConcurrencyLimiter", "Repeater", "Searcher", "TuneBOHB"]


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


class _Searched:
    """A space's domains as the distributions that samplers know, by path; what is none of them stays the experiment's.

    >>> from daybreak import tune
    >>> found = _Searched({"model": {"lr": tune.loguniform(1e-4, 1)}, "act": tune.choice(["relu", "tanh"]), "depth": 3})
    >>> [name for name, _ in found.named]
    ['act', 'model/lr']
    >>> found.config([1.0, 0.5])
    {'act': 'tanh', 'model': {'lr': 0.5}}
    """

    def __init__(self, space: Mapping[str, Any]) -> None:
        self.domains: dict[str, Domain] = {}
        self._find(space, "")
        if not self.domains:
            raise InvalidArgumentError(
                f"the space {dict(space)!r} has nothing to be searched: a tune.uniform(0, 1), say"
            )
        self.named = [(path, _distribution(path, self.domains[path])) for path in sorted(self.domains)]

    def _find(self, space: Mapping[str, Any], prefix: str) -> None:
        for key, value in space.items():
            path = f"{prefix}{key}"
            if isinstance(value, Mapping) and set(value) == {"grid_search"}:
                raise InvalidArgumentError(f"'{path}' is a grid, which a sampler does not know: tune.choice(...) of it")
            if isinstance(value, (list, tuple)) and any(isinstance(one, Domain) for one in value):
                raise InvalidArgumentError(
                    f"'{path}' is a list with {[one for one in value if isinstance(one, Domain)][0]!r} in it, which a sampler "
                    f"would not see: name each, as in {{'{key}': {{'0': ..., '1': ...}}}}"
                )
            if isinstance(value, Mapping):
                self._find(value, f"{path}/")
            elif isinstance(value, Domain) and not isinstance(value, Function):
                self.domains[path] = value

    def config(self, values: Sequence[float]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for (path, _), value in zip(self.named, values, strict=True):
            domain = self.domains[path]
            *outer, last = path.split("/")
            holder = made
            for key in outer:
                holder = holder.setdefault(key, {})
            holder[last] = domain.value(value if hasattr(domain, "categories") else domain.native.nearest(value))
        return made

    def values(self, config: Mapping[str, Any]) -> list[float]:
        """Of a config that this has made, or of a person's point."""
        flat = flattened(config)
        found = []
        for path, distribution in self.named:
            if path not in flat:
                raise InvalidArgumentError(f"the point {dict(config)!r} has no '{path}'")
            domain, value = self.domains[path], flat[path]
            if hasattr(domain, "categories"):
                places = [k for k, one in enumerate(domain.categories) if type(one) is type(value) and one == value]
                if not places:
                    raise InvalidArgumentError(f"{path}={value!r}: one of {domain.categories!r}")
                found.append(float(places[0]))
            else:
                found.append(distribution.nearest(float(value)))
        return found


def _distribution(path: str, domain: Domain) -> _native.Distribution:
    native = domain.native
    if hasattr(domain, "categories"):
        return _native.Distribution.categorical(len(domain.categories))
    if native.normal:
        raise InvalidArgumentError(f"'{path}' is {domain!r}, without bounds: samplers need some, as tune.uniform has")
    if native.whole:
        high = int(native.high) if native.q > 1 else int(native.high) - 1
        step = 1 if native.log else int(native.q)
        return _native.Distribution.whole(int(native.low), high, native.log, step)
    return _native.Distribution.real(native.low, native.high, native.log, 0.0 if native.log else native.q)


class _OverSpace(Searcher):
    """What searchers of a space share: where the space comes from, points to begin with, which trials are out."""

    def __init__(
        self,
        space: Mapping[str, Any] | None,
        metric: str | None,
        mode: str | None,
        points_to_evaluate: Sequence[Mapping[str, Any]] | None,
        seed: int,
    ) -> None:
        super().__init__(metric, mode)
        if space is not None and not isinstance(space, Mapping):
            raise InvalidArgumentError(
                f"space={space!r}: a dict of tune.uniform(...) and its kin; of a ConfigSpace give these"
            )
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**64:
            raise InvalidArgumentError(f"seed={seed!r}: a whole number, 0 to 2**64 - 1")
        self._searched = _Searched(space) if space else None
        self._points = [dict(point) for point in points_to_evaluate or []]
        self._seed = seed

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        self._metric, self._mode = self._metric or metric, self._mode or mode
        if self._searched is None:
            self._searched = _Searched(config)
        return True

    @property
    def searched(self) -> _Searched:
        if self._searched is None or not self.metric or not self.mode:
            raise FailedPreconditionError(
                f"{type(self).__name__} knows no {'metric and mode' if self._searched else 'space'}: give it here or to Tuner"
            )
        return self._searched

    def loss(self, result: Mapping[str, Any] | None) -> float | None:
        """Less is better; None: there is no number."""
        value = (result or {}).get(self.metric or "")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
            return None
        return -float(value) if self.mode == "max" else float(value)


class TuneBOHB(_OverSpace):
    """BOHB's model (Falkner et al., 2018), for `HyperBandForBOHB`: one for each budget, that is, iteration at which trials have
    reported; the largest budget that has enough reports suggests, and a part of the suggestions is by chance.

    Densities are TPE's, of all parameters together. ``bohb_config``: min_points_in_model (without: as many as parameters, and one),
    top_n_percent (15), random_fraction (1/3), num_samples (64: candidates of a suggestion). ``space`` as `StudySearch`'s; a
    ConfigSpace is refused.
    """

    def __init__(
        self,
        space: Mapping[str, Any] | None = None,
        bohb_config: Mapping[str, Any] | None = None,
        metric: str | None = None,
        mode: str | None = None,
        points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(space, metric, mode, points_to_evaluate, seed)
        known = {"min_points_in_model": None, "top_n_percent": 15, "random_fraction": 1 / 3, "num_samples": 64}
        for name in bohb_config or {}:
            if name not in known:
                raise InvalidArgumentError(f"bohb_config[{name!r}]: {', '.join(known)}")
        options: dict[str, Any] = {**known, **(bohb_config or {})}
        self._least: int | None = options["min_points_in_model"]
        self._random_fraction = float(options["random_fraction"])
        if not 0 <= self._random_fraction <= 1:
            raise InvalidArgumentError(f"bohb_config['random_fraction']={self._random_fraction!r}: 0 to 1")
        self._top_share = float(options["top_n_percent"]) / 100
        if not 0 < self._top_share < 1:
            raise InvalidArgumentError(f"bohb_config['top_n_percent']={options['top_n_percent']!r}: between 0 and 100")
        self._candidates = int(options["num_samples"])
        self._budgets: dict[int, tuple[list[float], list[float]]] = {}  # configs, flat, and their losses
        self._values: dict[str, list[float]] = {}
        self._reported: dict[str, int] = {}  # up to which iteration
        self._suggested = 0

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        values = self._next()
        self._values[trial_id] = values
        return self.searched.config(values)

    def on_suggested_again(self, trial_id: str, config: dict[str, Any]) -> None:
        self._next()  # points, and the next draws, are what they were
        self._values[trial_id] = self.searched.values(config)

    def _next(self) -> list[float]:
        searched, number = self.searched, self._suggested
        self._suggested += 1
        if self._points:
            return searched.values(self._points.pop(0))
        least = self._least if self._least is not None else len(searched.named) + 1
        # A model splits what it knows into good and bad, and either needs some.
        usable = [budget for budget, (_, losses) in self._budgets.items() if len(losses) >= least + 2]
        if not usable or _native.keyed_uniform(self._seed, number, "bohb random") < self._random_fraction:
            return [distribution.drawn(self._seed, number, name) for name, distribution in searched.named]
        rows, losses = self._budgets[max(usable)]
        distributions = [distribution for _, distribution in searched.named]
        return _native.bohb_config(
            self._seed, number, distributions, rows, losses, least, self._top_share, self._candidates
        )

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        loss, values = self.loss(result), self._values.get(trial_id)
        budget = result.get("training_iteration")
        if loss is None or values is None or not isinstance(budget, int) or budget <= self._reported.get(trial_id, 0):
            return
        self._reported[trial_id] = budget
        rows, losses = self._budgets.setdefault(budget, ([], []))
        rows += values
        losses.append(loss)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if result is not None and not error:
            self.on_trial_result(trial_id, result)  # the last one may not have been told before
        self._values.pop(trial_id, None)
        self._reported.pop(trial_id, None)
