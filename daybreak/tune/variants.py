"""From a space (`param_space`) to the config of the trial of a number: grid cells, draws, functions of the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from daybreak._core import tune as _native
from daybreak.base.errors import FailedPreconditionError, InvalidArgumentError

from .space import Domain, Function, options, unwrapped

__all__ = ["ParamSpace", "Variant", "experiment_tag", "flattened"]

_MAX_PASSES = 20


class Unresolved(Exception):
    """A function reads a parameter that is not known yet."""


class _View(dict[str, Any]):
    """The config as a function sees it: by key, by attribute, and as `spec.config`."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)

    def __getitem__(self, key: str) -> Any:
        found = super().__getitem__(key)
        if isinstance(found, Domain):
            raise Unresolved(key)
        return _View(found) if isinstance(found, dict) and not isinstance(found, _View) else found

    def get(self, key: str, default: Any = None) -> Any:
        return self[key] if key in self else default

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        if name == "config":
            return self
        raise AttributeError(f"the config has no '{name}': it has {', '.join(map(repr, self)) or 'nothing'}")


def _is_grid(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"grid_search"}


def _children(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, (list, tuple)):
        yield from enumerate(value)


def flattened(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one, with keys joined by "/".

    >>> flattened({"a": {"b": 1}, "c": 2})
    {'a/b': 1, 'c': 2}
    """
    found: dict[str, Any] = {}
    for key, inner in value.items():
        path = f"{prefix}{key}"
        if isinstance(inner, Mapping) and inner:
            found.update(flattened(inner, f"{path}/"))
        else:
            found[path] = inner
    return found


def shown(value: Any) -> str:
    """In a trial's tag: what is short, and never 0.0000 for what is not 0.

    >>> shown(1e-5), shown(0.123456789), shown("a/b"), shown(3)
    ('1e-05', '0.12346', 'a_b', '3')
    """
    text = f"{value:.5g}" if isinstance(value, float) else str(getattr(value, "__name__", value))
    return text.replace("/", "_").replace("\n", " ")


def experiment_tag(number: int, chosen: Mapping[str, Any]) -> str:
    """Ray's: the trial's number, and what was chosen for it by the last part of each name."""
    parts = [f"{path.rsplit('/', 1)[-1]}={shown(chosen[path])}" for path in sorted(chosen)]
    return f"{number}_{','.join(parts)}" if parts else str(number)


class Variant:
    """One trial's config, and what of it was chosen (by path)."""

    def __init__(self, config: dict[str, Any], chosen: dict[str, Any]) -> None:
        self.config = config
        self.chosen = chosen


class ParamSpace:
    """``functions``: bare functions in the space are called with the config, as in Ray of 2018."""

    def __init__(
        self,
        space: Mapping[str, Any],
        seed: int = 0,
        points: Sequence[Mapping[str, Any]] = (),
        constant_grid_search: bool = False,
        functions: bool = False,
    ) -> None:
        if not isinstance(space, Mapping):
            raise InvalidArgumentError(f"param_space={space!r}: a dict of names and values")
        self.space = dict(space)
        self._functions = functions
        self._points = [flattened(point) for point in points]
        self._axes: dict[str, Any] = {}  # path -> a domain, or the options of a grid
        self._collect(self.space, "", inside_choice=False)
        for point in self._points:
            for name in point:
                if name not in self._axes and name not in flattened(self.space):
                    raise InvalidArgumentError(f"points_to_evaluate: no parameter '{name}': {', '.join(self._axes)}")
        native = [
            (path, _native.Domain.option(len(axis)) if isinstance(axis, list) else axis.native, isinstance(axis, list))
            for path, axis in self._axes.items()
        ]
        fixed = [[path in point for path in self._axes] for point in self._points]
        self._native = _native.SearchSpace(native, seed % 2**64, constant_grid_search, fixed)

    @property
    def cells(self) -> int:
        return self._native.cells

    def size(self, samples: int) -> int:
        """How many trials so many samples make."""
        return self._native.size(samples)

    def _is_function(self, value: Any) -> bool:
        if isinstance(value, Function):
            return True
        return self._functions and (
            (callable(value) and not isinstance(value, type)) or (isinstance(value, dict) and set(value) == {"eval"})
        )

    def _collect(self, value: Any, path: str, inside_choice: bool) -> None:
        if _is_grid(value):
            if inside_choice:
                raise InvalidArgumentError(
                    f"'{path}': a grid_search inside an option of choice(): how many cells there are would hang on a draw; "
                    "make the choice a grid, too, or the grid a choice"
                )
            self._add(path, options(value["grid_search"], "grid_search"))
        elif self._is_function(value):
            pass
        elif isinstance(value, Domain):
            self._add(path, value)
            if hasattr(value, "categories"):
                for i, option in enumerate(value.categories):
                    self._collect(option, f"{path}[{i}]", inside_choice=True)
        else:
            for key, inner in _children(value):
                before = len(self._axes)
                self._collect(inner, f"{path}/{key}" if path else str(key), inside_choice)
                if "/" in str(key) and len(self._axes) > before:
                    raise InvalidArgumentError(
                        f"config key {key!r}: '/' parts the names of nested keys: rename it, or nest {{...: {{...}}}}"
                    )

    def _add(self, path: str, axis: Any) -> None:
        if isinstance(axis, list):
            for i, option in enumerate(axis):
                self._collect(option, f"{path}[{i}]", inside_choice=True)
        self._axes[path] = axis

    def variant(self, trial: int) -> Variant:
        """The config of the trial of this number; the same each time."""
        sample = self._native.sample_of(trial)
        point = self._points[sample] if sample < len(self._points) else {}
        drawn = dict(zip(self._axes, self._native.variant(trial), strict=True))
        chosen: dict[str, Any] = {}
        config = self._resolved(self.space, "", drawn, point, chosen)
        return Variant(self._called(config, chosen), chosen)

    def _resolved(self, value: Any, path: str, drawn: dict[str, float], point: Any, chosen: dict[str, Any]) -> Any:
        if path in point:
            chosen[path] = unwrapped(point[path])
            return chosen[path]
        if self._is_function(value):
            return value if isinstance(value, Function) else Function(_of_2018(value))
        if path in self._axes:
            axis = self._axes[path]
            if isinstance(axis, list) or hasattr(axis, "categories"):
                place = int(drawn[path])
                option = (axis if isinstance(axis, list) else axis.categories)[place]
                found = self._resolved(option, f"{path}[{place}]", drawn, point, chosen)
                chosen[path] = found
                return found
            chosen[path] = axis.value(drawn[path])
            return chosen[path]
        if isinstance(value, dict):
            return {
                key: self._resolved(inner, f"{path}/{key}" if path else str(key), drawn, point, chosen)
                for key, inner in value.items()
            }
        if type(value) in (list, tuple):
            return type(value)(
                self._resolved(inner, f"{path}/{i}" if path else str(i), drawn, point, chosen)
                for i, inner in enumerate(value)
            )
        return unwrapped(value)

    def _called(self, config: dict[str, Any], chosen: dict[str, Any]) -> dict[str, Any]:
        """Functions are called once all that they read is known."""
        for _ in range(_MAX_PASSES):
            waiting: list[str] = []
            changed = [False]
            config = self._call_in(config, config, "", waiting, changed, chosen)
            if not waiting:
                return config
            if not changed[0]:
                break
        raise FailedPreconditionError(
            f"{', '.join(map(repr, waiting))}: functions that wait for each other (at most {_MAX_PASSES} passes): "
            "let one of them read nothing that the others make"
        )

    def _call_in(
        self, value: Any, config: Any, path: str, waiting: list[str], changed: list[bool], chosen: dict[str, Any]
    ) -> Any:
        if isinstance(value, Function):
            try:
                found = unwrapped(value.function(_View(config)))
            except Unresolved:
                waiting.append(path)
                return value
            changed[0] = True
            chosen[path] = found
            return found
        if isinstance(value, dict):
            return {
                key: self._call_in(inner, config, f"{path}/{key}" if path else str(key), waiting, changed, chosen)
                for key, inner in value.items()
            }
        if type(value) in (list, tuple):
            return type(value)(
                self._call_in(inner, config, f"{path}/{i}" if path else str(i), waiting, changed, chosen)
                for i, inner in enumerate(value)
            )
        return value


def _of_2018(value: Any) -> Callable[[Any], Any]:
    """A bare function of `spec`, or {"eval": "a Python expression"} with `spec` and `random`."""
    if not isinstance(value, dict):
        return value  # type: ignore[no-any-return]
    expression = value["eval"]

    def evaluated(spec: Any) -> Any:
        import random

        return eval(expression, {"random": random}, {"spec": spec})

    return evaluated
