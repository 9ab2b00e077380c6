"""Numbers and flags from Python as what they are: one rule for every room that takes them from a person or a library.

A scalar may be a Python number, a numpy scalar, an array or tensor of one element (numpy, torch, anything with `item()`), an Arrow
scalar, a Decimal, a Fraction, an enum (its value counts) or an object with `__index__` or `__float__`. What is not understood, or
would be changed, is an InvalidArgumentError (a ValueError) that says the name, the value and the way out. Numpy is not imported.

>>> import numpy as np
>>> flag(np.bool_(True), "terminated"), integer(np.uint8(3), "n"), real(np.array([0.5], np.float16), "reward")
(True, 3, 0.5)
>>> plain({"hidden": np.array([64, 64]), "lr": np.float64(1e-3)}, "options")
{'hidden': [64, 64], 'lr': 0.001}
>>> integer(0.5, "step")
Traceback (most recent call last):
    ...
daybreak.base.errors.InvalidArgumentError: step=0.5 (a float) is no whole number: round it if that is what you mean
"""

from __future__ import annotations

import enum
import math
import os
from collections.abc import Callable, Mapping, Sequence

from daybreak.base.errors import InvalidArgumentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn, TypeVar

    import numpy as np
    import numpy.typing as npt

    Kind = TypeVar("Kind", bound=np.generic)

__all__ = ["LOWEST", "UNSIGNED", "flag", "integer", "integers", "plain", "real", "reals"]

# The whole numbers that every room, JSON reader and file format here can hold: int64 and uint64 together.
LOWEST = -(2**63)
UNSIGNED = 2**64 - 1

_MAX_DEPTH = 64
_MAX_SHOWN = 80


def flag(value: Any, name: str) -> bool:
    """Whether a scalar is true: False, 0 and 0.0 of any kind are not, every other number is.

    Text, None, NaN, containers and arrays of other than one element are refused: their truth is no answer to a yes-or-no question.

    >>> flag(1, "terminated"), flag(0.0, "terminated")
    (True, False)
    """
    if value is True or value is False:
        return bool(value)
    meaning = "a flag (true or false)"
    found = _scalar(value, name, meaning)
    try:
        nan = bool(found != found)
    except ArithmeticError:  # Decimal("sNaN")
        nan = True
    if nan:
        _refuse(name, value, meaning)
    return bool(found)


def integer(value: Any, name: str, *, minimum: int | None = None, maximum: int | None = None) -> int:
    """A whole number as an int. 3.0 and Decimal("3") are 3; 0.5, NaN, True and text are refused, and what is out of range.

    >>> integer(1e5, "total_timesteps")
    100000
    """
    if type(value) is int:
        number = value
    else:
        number = _whole(_scalar(value, name, "a whole number"), name, value)
    if (minimum is not None and number < minimum) or (maximum is not None and number > maximum):
        raise InvalidArgumentError(f"{name}={number} is {_range(minimum, maximum)}")
    return number


def real(
    value: Any,
    name: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    finite: bool = False,
) -> float:
    """A number as the nearest float; True is 1.0. finite: NaN and infinities are refused. Complex numbers and text always are,
    and finite numbers that a float cannot hold.

    >>> real("0.5", "lr")
    Traceback (most recent call last):
        ...
    daybreak.base.errors.InvalidArgumentError: lr='0.5' (a str) is no number: convert it with float() if that is what you mean
    """
    if type(value) is float:
        number = value
    else:
        found = _scalar(value, name, "a number")
        try:
            number = float(found)
        except (OverflowError, ValueError, TypeError):
            raise InvalidArgumentError(f"{name}={_shown(value)} does not fit into a 64-bit float") from None
        if math.isinf(number) and found != number:
            raise InvalidArgumentError(f"{name}={_shown(value)} does not fit into a 64-bit float")
    if finite and not math.isfinite(number):
        raise InvalidArgumentError(f"{name}={number} is not finite")
    if (minimum is not None and not number >= minimum) or (maximum is not None and not number <= maximum):
        raise InvalidArgumentError(f"{name}={number} is {_range(minimum, maximum)}")
    return number


def integers(values: Any, name: str, *, minimum: int = LOWEST, maximum: int = 2**63 - 1) -> npt.NDArray[np.int64]:
    """Whole numbers as an int64 array of their shape: `integer` for each of many. The first that is none is named by its place.

    >>> integers([0, 1.0, 2], "step").tolist()
    [0, 1, 2]
    """
    import numpy as np

    array = _array(values, name)
    kind = array.dtype.kind
    if (
        not array.size
        or kind in "iu"
        or (kind == "f" and bool((np.isfinite(array) & (array == np.floor(array))).all()))
    ):
        # Compared as Python numbers: numpy would compare uint64 with int64, and float64 with 2**63 - 1, in float64.
        if not array.size or (minimum <= int(array.min()) and int(array.max()) <= maximum):
            whole: npt.NDArray[np.int64] = array.astype(np.int64)
            return whole
    return _each(array, name, np.int64, lambda x, at: integer(x, at, minimum=minimum, maximum=maximum))


def reals(values: Any, name: str, *, finite: bool = False) -> npt.NDArray[np.float64]:
    """Numbers as a float64 array of their shape: `real` for each of many. The first that is none is named by its place."""
    import numpy as np

    array = _array(values, name)
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        return _each(array, name, np.float64, lambda x, at: real(x, at, finite=finite))
    result: npt.NDArray[np.float64] = array.astype(np.float64)
    if finite and not np.isfinite(result).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(result))[0])
        real(result[place], _at(name, place), finite=True)
    return result


def plain(value: Any, name: str, *, nan: bool = False, wide: bool = False) -> Any:
    """The same value of None, bool, int, float, str, list and dict alone, which is what JSON can hold, however it is nested.

    Arrays and tensors become lists, tuples lists, enums their values, paths their text, whole-number keys of a dict their digits.

    nan: whether NaN and infinities may stay (as floats; strict JSON has none).
    wide: whether whole numbers outside -2**63 .. 2**64 - 1 may stay.
    InvalidArgumentError names the place in the value and what is there: complex numbers, sets, bytes, dates, generators, text
    that is no Unicode, numbers that would be rounded, keys that would fall together, more than 64 levels.

    >>> import numpy as np
    >>> plain({"p": (np.float32(0.5), np.int64(2))}, "result")
    {'p': [0.5, 2]}
    >>> plain({"p": {1, 2}}, "result")
    Traceback (most recent call last):
        ...
    daybreak.base.errors.InvalidArgumentError: result['p']={1, 2} (a set) has no form in JSON: a set has no order; give sorted(...)
    """
    return _Plain(nan, wide).of(value, name, 0)


class _Plain:
    """`plain` with its two choices."""

    def __init__(self, nan: bool, wide: bool) -> None:
        self.nan = nan
        self.wide = wide

    def of(self, value: Any, name: str, depth: int) -> Any:
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is int or kind is float or kind is str:
            return self.leaf(value, name)
        if depth >= _MAX_DEPTH:
            raise InvalidArgumentError(f"{name} is nested more than {_MAX_DEPTH} deep, or holds itself")
        if isinstance(value, enum.Enum):
            return self.of(value.value, name, depth + 1)
        if isinstance(value, str):
            return self.leaf(str.__str__(value), name)
        if isinstance(value, int):
            return self.leaf(int.__int__(value), name)
        if isinstance(value, float):
            return self.leaf(float.__float__(value), name)
        if isinstance(value, (bytes, bytearray, memoryview)):
            self.refuse(name, value, "decode() text, base64 anything else")
        if isinstance(value, Mapping):
            return self.mapping(value, name, depth)
        if _is_array(value):
            return self.array(value, name, depth)
        if isinstance(value, Sequence):
            return [self.of(x, f"{name}[{i}]", depth + 1) for i, x in enumerate(value)]
        if isinstance(value, os.PathLike):
            path = os.fspath(value)
            return self.leaf(path if isinstance(path, str) else os.fsdecode(path), name)
        return self.other(value, name, depth)

    def leaf(self, value: int | float | str, name: str) -> int | float | str:
        if isinstance(value, float):
            if not self.nan and not math.isfinite(value):
                raise InvalidArgumentError(f"{name}={value} has no form in JSON: give None, or a finite number")
        elif isinstance(value, str):
            if not value.isascii():
                try:
                    value.encode()
                except UnicodeEncodeError:
                    self.refuse(name, value, "the text is no Unicode (a file name of other bytes?)")
        elif not self.wide and not LOWEST <= value <= UNSIGNED:
            raise InvalidArgumentError(f"{name}={_shown(value)} is beyond 64 bits: give it as text, or as a float")
        return value

    def mapping(self, value: Mapping[Any, Any], name: str, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, item in value.items():
            known = key.value if isinstance(key, enum.Enum) else key
            if isinstance(known, str):
                text = str.__str__(known)
            elif isinstance(known, int) or (_is_array(known) and _size(known) == 1 and not isinstance(known, float)):
                digits = self.of(known, f"a key of {name}", depth + 1)
                if isinstance(digits, list) or not isinstance(digits, (int, str)):
                    self.refuse(f"a key of {name}", key, "keys are text or whole numbers")
                text = (
                    digits
                    if isinstance(digits, str)
                    else str(digits).lower()
                    if isinstance(digits, bool)
                    else str(digits)
                )
            else:
                self.refuse(f"a key of {name}", key, "keys are text or whole numbers")
            if text in result:
                raise InvalidArgumentError(f"{name} has two keys that are {text!r} in JSON: rename one")
            self.leaf(text, f"a key of {name}")
            result[text] = self.of(item, f"{name}[{text!r}]", depth + 1)
        return result

    def array(self, value: Any, name: str, depth: int) -> Any:
        kind = _kind(value)
        if kind in "cmMVS":
            self.refuse(name, value, _WAYS[kind])
        if _masked(value):
            self.refuse(name, value, "it has masked elements; give filled(...)")
        index = getattr(value, "index", None)
        if index is not None and not callable(index) and type(index).__name__ != "RangeIndex":
            self.refuse(name, value, "its index would be lost; give tolist() or to_dict()")
        found = _asked(value, value.tolist, name)
        # numpy's longdouble stays what it is under tolist() and item().
        if not isinstance(found, list) and type(found) is type(value):
            number = float(found)
            if number != found and number == number:
                self.refuse(name, value, "it would be rounded; give float(...) of it")
            found = number
        return self.of(found, name, depth + 1)

    def other(self, value: Any, name: str, depth: int) -> Any:
        if hasattr(value, "as_py"):  # an Arrow scalar
            return self.of(value.as_py(), name, depth + 1)
        if hasattr(value, "to_pylist"):  # an Arrow array
            return self.of(value.to_pylist(), name, depth + 1)
        if _is_rational(value):
            whole = value == int(value) if math.isfinite(value) else False
            number: int | float = int(value) if whole else float(value)
            # As JSON writes it: Decimal("0.1") is 0.1 there though no float is a tenth.
            if number == number and not whole and type(value)(repr(number)) != value:
                self.refuse(name, value, "it would be rounded; give float(...) or str(...) of it")
            return self.leaf(number, name)
        if hasattr(type(value), "__index__"):
            return self.leaf(int(_scalar(value, name, "a whole number")), name)
        way = _WAYS.get(type(value).__name__)
        if way is None and hasattr(value, "model_dump"):  # of pydantic
            way = "give model_dump()"
        elif way is None and hasattr(type(value), "__dataclass_fields__"):
            way = "give dataclasses.asdict(...)"
        self.refuse(name, value, way or "give numbers, text, lists and dicts")

    @staticmethod
    def refuse(name: str, value: Any, way: str) -> NoReturn:
        raise InvalidArgumentError(f"{name}={_shown(value)} (a {type(value).__name__}) has no form in JSON: {way}")


# By numpy's letter of an element type, or by the name of a type.
_WAYS = {
    "c": "give its real and imag",
    "complex": "give its real and imag",
    "m": "give a number of seconds",
    "M": "give it as text (astype(str))",
    "V": "give one array a field",
    "S": "decode() it",
    "set": "a set has no order; give sorted(...)",
    "frozenset": "a set has no order; give sorted(...)",
    "datetime": "give isoformat()",
    "Timestamp": "give isoformat()",
    "NAType": "give None",
    "NaTType": "give None",
    "coroutine": "await it",
    "date": "give isoformat()",
    "time": "give isoformat()",
    "timedelta": "give total_seconds()",
    "UUID": "give str(...)",
    "generator": "give list(...) of it",
    "DataFrame": "give to_dict('records')",
}


def _is_array(value: Any) -> bool:
    """An array, a tensor, a column, or a scalar of such a library."""
    return hasattr(value, "dtype") and hasattr(value, "tolist")


def _size(value: Any) -> int:
    size = getattr(value, "size", 1)
    return int(value.numel()) if callable(size) else int(size)


def _kind(value: Any) -> str:
    """numpy's letter of the element type; of other libraries' types the letter of what it would be there."""
    kind = getattr(value.dtype, "kind", None)
    if isinstance(kind, str):
        return kind
    return "c" if getattr(value.dtype, "is_complex", False) or "complex" in str(value.dtype) else "?"


def _masked(value: Any) -> bool:
    mask = getattr(value, "mask", None) if type(value).__name__.startswith("Masked") else None
    return bool(getattr(mask, "any", lambda: mask)()) if mask is not None else False


def _is_rational(value: Any) -> bool:
    return any((kind.__module__, kind.__name__) in _RATIONALS for kind in type(value).__mro__)


_RATIONALS = {("decimal", "Decimal"), ("_pydecimal", "Decimal"), ("fractions", "Fraction")}


def _scalar(value: Any, name: str, meaning: str) -> Any:
    """One number: an int, a float, or something that knows how to become one. Refuses everything else."""
    for _ in range(_MAX_DEPTH):
        if isinstance(value, enum.Enum) and not isinstance(value, (int, float)):
            value = value.value
        elif isinstance(value, (bool, int, float)):
            return value
        elif _is_array(value):
            if _size(value) != 1 or _kind(value) not in "biufO?" or _masked(value):
                _refuse(name, value, meaning)
            found = _asked(value, value.item, name)
            if type(found) is type(value):  # a longdouble
                return found
            value = found
        elif hasattr(value, "as_py"):
            value = value.as_py()
        elif _is_rational(value):
            return value
        elif isinstance(value, (str, bytes, bytearray, complex)):
            _refuse(name, value, meaning)
        elif hasattr(type(value), "__index__"):
            return _call(type(value).__index__, value, name, meaning)
        elif hasattr(type(value), "__float__"):
            return _call(type(value).__float__, value, name, meaning)
        else:
            _refuse(name, value, meaning)
    _refuse(name, value, meaning)


def _asked(value: Any, method: Callable[[], Any], name: str) -> Any:
    """What an array or tensor gives of its elements. One that has none to give (of the meta device, sparse) says so itself."""
    try:
        return method()
    except (RuntimeError, TypeError, ValueError) as error:
        raise InvalidArgumentError(f"{name} is a {type(value).__name__} without numbers to read: {error}") from None


def _call(method: Callable[[Any], Any], value: Any, name: str, meaning: str) -> Any:
    try:
        return method(value)
    except (TypeError, ValueError):
        _refuse(name, value, meaning)


def _whole(found: Any, name: str, given: Any) -> int:
    if isinstance(found, bool):
        _refuse(name, given, "a whole number")
    if isinstance(found, int):
        return int.__int__(found)
    try:
        number = int(found)
    except (OverflowError, ValueError):  # infinite, NaN
        _refuse(name, given, "a whole number")
    if number != found:
        raise InvalidArgumentError(
            f"{name}={_shown(given)} (a {type(given).__name__}) is no whole number: round it if that is what you mean"
        )
    return number


def _array(values: Any, name: str) -> Any:
    import numpy as np

    if isinstance(values, np.ma.MaskedArray) and _masked(values):
        raise InvalidArgumentError(f"{name} has masked elements: give filled(...)")
    if hasattr(values, "detach") and hasattr(values, "cpu"):
        # bfloat16 and the kinds of float8 numpy lacks; a float32 holds them.
        values = values.float() if any(kind in str(values.dtype) for kind in ("bfloat16", "float8")) else values
        values = _asked(values, lambda: values.numpy(force=True), name)
    try:
        with np.errstate(all="ignore"):
            # A list of numbers is looked at one by one where numpy would change some to make them alike.
            array = np.asarray(values, None if hasattr(values, "dtype") else object)
    except (RuntimeError, TypeError, ValueError) as error:
        raise InvalidArgumentError(f"{name} is no array: {error}") from None
    if (
        array.dtype == object
        and array.ndim
        and array.size
        and all(type(x) is int or type(x) is float for x in array.flat)
    ):
        kinds = {type(x) for x in array.flat}
        if kinds == {float} or (kinds == {int} and all(LOWEST <= x < 2**63 for x in array.flat)):
            return array.astype(np.float64 if kinds == {float} else np.int64)
    return array


def _each(array: Any, name: str, dtype: type[Kind], convert: Callable[[Any, str], Any]) -> npt.NDArray[Kind]:
    import numpy as np

    result = np.empty(array.shape, dtype)
    for place in np.ndindex(array.shape):
        result[place] = convert(array[place], _at(name, place))
    return result


def _at(name: str, place: tuple[int, ...]) -> str:
    return name + "".join(f"[{i}]" for i in place)


def _range(minimum: float | None, maximum: float | None) -> str:
    if minimum is None:
        return f"above {maximum}"
    return f"below {minimum}" if maximum is None else f"not from {minimum} to {maximum}"


def _shown(value: Any) -> str:
    try:
        text = repr(value.item() if getattr(value, "ndim", None) == 0 and _is_array(value) else value)
    except Exception as error:
        text = f"<{type(value).__name__} whose repr raises {type(error).__name__}>"
    text = " ".join(text.split())
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."


def _refuse(name: str, value: Any, meaning: str) -> NoReturn:
    way = ""
    if isinstance(value, (str, bytes)):
        way = ": convert it with float() if that is what you mean" if meaning == "a number" else ": convert it first"
    elif _is_array(value) and _kind(value) == "c" or isinstance(value, complex):
        way = ": give its real part"
    elif _is_array(value) and hasattr(value, "shape") and _size(value) != 1:
        way = f": it has the shape {tuple(value.shape)}; one element is meant"
    elif isinstance(value, bool):
        way = ": give 0 or 1"
    raise InvalidArgumentError(
        f"{name}={_shown(value)} (a {type(value).__name__}) is no {meaning.removeprefix('a ')}{way}"
    )
