"""param_distributions as scikit-learn and tune-sklearn have them, as one of our spaces."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

from daybreak.base.errors import InvalidArgumentError
from daybreak.tune import space as domains
from daybreak.tune.space import Domain, unwrapped

__all__ = ["Drawn", "space_of"]


class Drawn:
    """One of our domains as scikit-learn's ParameterSampler draws from it."""

    def __init__(self, domain: Domain) -> None:
        self.domain = domain

    def rvs(self, random_state: Any = None) -> Any:
        return self.domain.value(self.domain.native.draw(int(random_state.randint(2**31 - 1)), 0, "sample"))

    @classmethod
    def all_in(cls, distributions: Any) -> Any:
        """For a random search; a tuple of numbers is refused, as it might be a range or two options."""
        if not isinstance(distributions, Mapping):
            return [cls.all_in(one) for one in distributions]
        for name, given in distributions.items():
            if isinstance(given, tuple) and len(given) in (2, 3) and all(_is_number(one) for one in given[:2]):
                raise InvalidArgumentError(
                    f"'{name}': {given!r} in a random search: tune.uniform(low, high) for a range, a list for options"
                )
        return {name: cls(given) if isinstance(given, Domain) else given for name, given in distributions.items()}


def space_of(distributions: Any) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """A space, and the options of those parameters whose value in it is an index, since JSON does not have them.

    >>> space, options = space_of({"C": (1e-3, 10.0, "log-uniform"), "kernel": ["rbf", "linear"]})
    >>> space, options
    ({'C': loguniform(0.001, 10.0), 'kernel': choice(['rbf', 'linear'])}, {})
    """
    if not isinstance(distributions, Mapping):
        raise InvalidArgumentError(
            f"param_distributions={distributions!r}: one dict; several are for search_optimization='random'"
        )
    space: dict[str, Any] = {}
    options: dict[str, list[Any]] = {}
    for name, given in distributions.items():
        if isinstance(given, Domain):
            space[name] = given
        elif isinstance(given, tuple) and len(given) in (2, 3) and all(_is_number(one) for one in given[:2]):
            space[name] = _range(name, *given)
        elif hasattr(given, "rvs"):
            space[name] = _of_scipy(name, given)
        else:
            found = domains.options(given, f"'{name}'")
            if all(one is None or isinstance(one, (bool, int, float, str)) for one in found):
                space[name] = domains.choice(found)
            else:
                space[name], options[name] = domains.choice(range(len(found))), found
    return space, options


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _range(name: str, low: Any, high: Any, scale: str = "uniform") -> Domain:
    if scale not in ("uniform", "log-uniform"):
        raise InvalidArgumentError(f"'{name}': {scale!r}: 'uniform' or 'log-uniform'")
    log = scale == "log-uniform"
    low, high = unwrapped(low), unwrapped(high)
    if isinstance(low, int) and isinstance(high, int):
        return domains.lograndint(low, high + 1) if log else domains.randint(low, high + 1)
    return domains.loguniform(low, high) if log else domains.uniform(low, high)


def _of_scipy(name: str, given: Any) -> Domain:
    kind = getattr(getattr(given, "dist", None), "name", type(given).__name__)
    if kind in ("uniform", "reciprocal", "loguniform", "randint"):
        low, high = given.support()
        if kind == "randint":
            return domains.randint(int(low), int(high) + 1)
        return domains.uniform(low, high) if kind == "uniform" else domains.loguniform(low, high)
    if kind == "norm":
        return domains.randn(given.mean(), given.std())
    raise InvalidArgumentError(
        f"'{name}': scipy's {kind}: a model needs uniform, loguniform, randint or norm, a list, or one of tune's domains; "
        "search_optimization='random' draws from any"
    )
