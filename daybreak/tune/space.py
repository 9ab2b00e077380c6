"""Search spaces in Ray Tune's words: what a parameter may be.

Bounds and rounding are Ray's: ``upper`` is excluded, but where a quantum ``q`` is given (above 1 for whole numbers) it is included.

>>> uniform(0, 1)
uniform(0.0, 1.0)
>>> choice(["relu", "tanh"]).sample() in ("relu", "tanh")
True
>>> grid_search([16, 32])
{'grid_search': [16, 32]}
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from daybreak._core import tune as _native
from daybreak.base.errors import InvalidArgumentError

__all__ = [
    "Categorical",
    "Domain",
    "Float",
    "Function",
    "Integer",
    "choice",
    "grid_search",
    "lograndint",
    "loguniform",
    "qlograndint",
    "qloguniform",
    "qrandint",
    "qrandn",
    "quniform",
    "randint",
    "randn",
    "sample_from",
    "uniform",
]


class Domain:
    """What a parameter may be; `sample` draws from it by the global state of `random`."""

    described: tuple[str, list[Any]] | None = None  # the function of this module that makes it, and its arguments

    native: _native.Domain

    def __init__(self, native: _native.Domain | None, words: str) -> None:
        if native is not None:
            self.native = native
        self._words = words
        name, _, arguments = words[:-1].partition("(")
        if native is not None and name != "choice":
            self.described = (name, [float(argument) for argument in arguments.split(", ")])

    def value(self, drawn: float) -> Any:
        """What reaches the config for a number of the native domain."""
        return drawn

    def sample(self, config: Any = None, size: int = 1) -> Any:
        import random

        drawn = [self.value(self.native.draw(random.getrandbits(64), 0, "sample")) for _ in range(size)]
        return drawn[0] if size == 1 else drawn

    def is_valid(self, value: Any) -> bool:
        return not isinstance(value, (bool, str)) and self.native.contains(float(value))

    def __repr__(self) -> str:
        return self._words

    def __reduce__(self) -> tuple[Any, ...]:
        assert self.described is not None
        name, arguments = self.described
        return globals()[name], tuple(arguments)


class Float(Domain):
    """A number with a fraction."""


class Integer(Domain):
    """A whole number."""

    def value(self, drawn: float) -> int:
        return int(drawn)


class Categorical(Domain):
    """One of some options, each of which is a value of its own: 1, True and 1.0 are three."""

    def __init__(self, categories: Iterable[Any], what: str) -> None:
        self.categories = options(categories, what)
        super().__init__(_native.Domain.option(len(self.categories)), f"choice({self.categories!r})")
        self.described = ("choice", [self.categories])

    def value(self, drawn: float) -> Any:
        return self.categories[int(drawn)]

    def is_valid(self, value: Any) -> bool:
        return any(type(option) is type(value) and option == value for option in self.categories)


class Function(Domain):
    """What a function makes of the config, of which all else is known then."""

    def __init__(self, function: Callable[..., Any]) -> None:
        if not callable(function):
            raise InvalidArgumentError(f"sample_from({function!r}): a function of the config")
        self.function = function
        super().__init__(None, f"sample_from({getattr(function, '__name__', function)!r})")

    def sample(self, config: Any = None, size: int = 1) -> Any:
        drawn = [self.function(config) for _ in range(size)]
        return drawn[0] if size == 1 else drawn

    def is_valid(self, value: Any) -> bool:
        return True

    def __reduce__(self) -> tuple[Any, ...]:
        return sample_from, (self.function,)


def unwrapped(value: Any) -> Any:
    """A numpy scalar as Python's number; anything else as it is."""
    if hasattr(value, "dtype") and getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return value.item()
    return value


def options(categories: Iterable[Any], what: str) -> list[Any]:
    if isinstance(categories, (str, bytes, dict)) or not hasattr(categories, "__iter__"):
        raise InvalidArgumentError(f"{what}({categories!r}): a list of options, such as {what}(['a', 'b'])")
    found = [unwrapped(option) for option in categories]
    if not found:
        raise InvalidArgumentError(f"{what}([]): no options: give at least one to choose from")
    return found


def _number(name: str, value: Any) -> float:
    value = unwrapped(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidArgumentError(f"{name}={value!r}: a number")
    return float(value)


def _whole(name: str, value: Any) -> int:
    value = unwrapped(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value):
        raise InvalidArgumentError(f"{name}={value!r}: a whole number; uniform() and loguniform() take any")
    return int(value)


def _quantum(value: Any) -> float:
    found = _number("q", value)
    if not found > 0:
        raise InvalidArgumentError(f"q={value!r}: a positive number")
    return found


def uniform(lower: float, upper: float) -> Float:
    """Evenly in [lower, upper)."""
    low, high = _number("lower", lower), _number("upper", upper)
    return Float(_native.Domain.uniform(low, high), f"uniform({low}, {high})")


def quniform(lower: float, upper: float, q: float) -> Float:
    """Multiples of ``q`` from ``lower`` to ``upper``, both of which are multiples."""
    low, high = _number("lower", lower), _number("upper", upper)
    return Float(_native.Domain.uniform(low, high, _quantum(q)), f"quniform({low}, {high}, {q})")


def loguniform(lower: float, upper: float) -> Float:
    """Evenly in the logarithm."""
    low, high = _number("lower", lower), _number("upper", upper)
    return Float(_native.Domain.loguniform(low, high), f"loguniform({low}, {high})")


def qloguniform(lower: float, upper: float, q: float) -> Float:
    """As `loguniform`, rounded to multiples of ``q``."""
    low, high = _number("lower", lower), _number("upper", upper)
    return Float(_native.Domain.loguniform(low, high, _quantum(q)), f"qloguniform({low}, {high}, {q})")


def randn(mean: float = 0.0, sd: float = 1.0) -> Float:
    """Normally distributed."""
    mean, sd = _number("mean", mean), _number("sd", sd)
    return Float(_native.Domain.randn(mean, sd), f"randn({mean}, {sd})")


def qrandn(mean: float, sd: float, q: float) -> Float:
    """As `randn`, rounded to multiples of ``q``."""
    mean, sd, q = _number("mean", mean), _number("sd", sd), _quantum(q)
    return Float(_native.Domain.randn(mean, sd, q), f"qrandn({mean}, {sd}, {q})")


def randint(lower: int, upper: int) -> Integer:
    """Whole numbers in [lower, upper)."""
    low, high = _whole("lower", lower), _whole("upper", upper)
    return Integer(_native.Domain.randint(low, high), f"randint({low}, {high})")


def qrandint(lower: int, upper: int, q: int = 1) -> Integer:
    """Multiples of ``q`` from ``lower`` to ``upper``, which is included unless ``q`` is 1."""
    low, high = _whole("lower", lower), _whole("upper", upper)
    return Integer(_native.Domain.randint(low, high, _whole("q", q)), f"qrandint({low}, {high}, {q})")


def lograndint(lower: int, upper: int) -> Integer:
    """Whole numbers in [lower, upper), evenly in the logarithm."""
    low, high = _whole("lower", lower), _whole("upper", upper)
    return Integer(_native.Domain.lograndint(low, high), f"lograndint({low}, {high})")


def qlograndint(lower: int, upper: int, q: int) -> Integer:
    """As `lograndint`, rounded to multiples of ``q``; ``upper`` is included unless ``q`` is 1."""
    low, high = _whole("lower", lower), _whole("upper", upper)
    return Integer(_native.Domain.lograndint(low, high, _whole("q", q)), f"qlograndint({low}, {high}, {q})")


def choice(categories: Sequence[Any]) -> Categorical:
    """One of the options, each as likely. Options may hold domains of their own: those of the one chosen are drawn."""
    return Categorical(categories, "choice")


def sample_from(func: Callable[..., Any]) -> Function:
    """What ``func`` makes of the config; it may read what other parameters are."""
    return Function(func)


def grid_search(values: Iterable[Any]) -> dict[str, list[Any]]:
    """Each of the values is tried, with each of every other grid."""
    return {"grid_search": options(values, "grid_search")}
