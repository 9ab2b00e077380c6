"""Where the next trial's config comes from: the variants of the space, or a searcher."""

from __future__ import annotations

from typing import Any

from daybreak.base.errors import InvalidArgumentError

from .search import BasicVariantGenerator, Searcher
from .space import Domain
from .variants import ParamSpace, experiment_tag, flattened

__all__ = ["Source"]

_MAX_AHEAD = 1000  # trials that wait to run: more are added as these begin


class Source:
    """Trials are numbered in the order in which they are added; with variants the config is a function of the number.

    A searcher's suggestion is merged into the space's constants; in 2018's way (``replaces``) it is the whole config.
    """

    def __init__(
        self,
        space: dict[str, Any] | None,
        search_alg: Any,
        num_samples: int,
        seed: int,
        prefix: str,
        functions: bool = False,
        replaces: bool = False,
    ) -> None:
        basic = search_alg if isinstance(search_alg, BasicVariantGenerator) else BasicVariantGenerator()
        self.searcher: Any = None if search_alg is None or isinstance(search_alg, BasicVariantGenerator) else search_alg
        if self.searcher is not None and not hasattr(self.searcher, "suggest"):
            raise InvalidArgumentError(f"search_alg={search_alg!r}: a tune.search.Searcher, or a BasicVariantGenerator")
        self.seed = basic.random_state if basic.random_state is not None else seed
        self.max_concurrent = basic.max_concurrent
        self._prefix, self._replaces = prefix, replaces
        self._samples = num_samples
        self._added = 0
        self.is_taken = False  # the searcher suggests what is in the space
        self._known: Any = None
        if space is not None:
            self._known = ParamSpace(space, self.seed, basic.points_to_evaluate, basic.constant_grid_search, functions)
        self.space = space
        self.finished = False

    def total(self) -> int | None:
        """How many trials there will be; None: there is no end, or the searcher knows it."""
        if self._samples == -1:
            return None
        if self.searcher is not None or self._known is None:
            return self._samples
        return int(self._known.size(self._samples))

    def resume(self, trials: int) -> None:
        self._added = trials

    def next(self, waiting: int, running: int) -> tuple[str, dict[str, Any], str, list[str]] | None:
        """Id, config, tag and the names of what was chosen; None: not now, or no more."""
        total = self.total()
        if self.finished or (total is not None and self._added >= total):
            self.finished = True
            return None
        trial_id = f"{self._prefix}_{self._added:05d}"
        if self.searcher is not None:
            return self._suggested(trial_id, waiting)
        if waiting >= _MAX_AHEAD or (total is None and waiting > 0):
            return None
        variant = self._space().variant(self._added)
        tag = experiment_tag(self._added, variant.chosen)
        self._added += 1
        return trial_id, variant.config, tag, sorted(variant.chosen)

    def _space(self) -> ParamSpace:
        if self._known is None:
            raise InvalidArgumentError(
                "this experiment has trials that are not made yet, and its space holds more than JSON values: "
                "restore with param_space="
            )
        return self._known  # type: ignore[no-any-return]

    def _suggested(self, trial_id: str, waiting: int) -> tuple[str, dict[str, Any], str, list[str]] | None:
        if waiting > 0:
            return None
        found = self.searcher.suggest(trial_id)
        if found is None:
            return None
        if found == Searcher.FINISHED or found == "FINISHED":
            self.finished = True
            return None
        if not isinstance(found, dict):
            raise InvalidArgumentError(
                f"{type(self.searcher).__name__}.suggest() gave {found!r}: a dict, None or FINISHED"
            )
        chosen = flattened(found)
        config = dict(found) if self._replaces else _merged(self._constants(), found)
        tag = experiment_tag(self._added + (1 if self._replaces else 0), chosen)
        self._added += 1
        return trial_id, config, tag, sorted(chosen)

    def _constants(self) -> dict[str, Any]:
        """Of the space what is not searched; domains in it are the searcher's."""
        if self._known is None or self._replaces:
            return {}
        if self.is_taken:
            return _without_domains(self.space or {})
        return {name: value for name, value in self._known.variant(self._added).config.items()}

    def config_of(self, number: int) -> dict[str, Any] | None:
        if self.searcher is not None or self._known is None:
            return None
        return self._space().variant(number).config


def _without_domains(space: dict[str, Any]) -> dict[str, Any]:
    """Its constants alone: what would be drawn here is in the suggestion, and under a choice other names may be."""
    made = {}
    for key, value in space.items():
        if isinstance(value, dict):
            made[key] = _without_domains(value)
        elif not isinstance(value, Domain):
            made[key] = value
    return made


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    made = dict(base)
    for key, value in over.items():
        made[key] = _merged(made[key], value) if isinstance(value, dict) and isinstance(made.get(key), dict) else value
    return made
