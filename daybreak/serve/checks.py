"""What names, types and bodies may be: everything from outside is held against these before it is used."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from daybreak.base import errors, numbers

__all__ = [
    "INPUT_TYPES",
    "MAX_BATCH_SIZE",
    "MAX_LABELS",
    "MAX_LINEAGE_BYTES",
    "MAX_NAME",
    "MAX_REPLICAS",
    "MAX_SLO_US",
    "MAX_TEXT",
    "body",
    "checked_batch_size",
    "checked_hosts",
    "checked_input_type",
    "checked_labels",
    "checked_lineage",
    "checked_name",
    "checked_origins",
    "checked_replicas",
    "checked_slo_us",
    "checked_text",
    "shown",
]

MAX_NAME = 128
MAX_LABELS = 64
MAX_TEXT = 65_536  # of a default output, of an image's name, of a path that is only remembered
MAX_LINEAGE_BYTES = 65_536
MAX_REPLICAS = 64  # of one version
MAX_BATCH_SIZE = 65_536
MAX_SLO_US = 2**31 - 1  # what Clipper's 32 bits hold: 35 minutes

_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9_.]*[a-z0-9])?")
_SPELLINGS = {
    "bytes": ("bytes", "byte", "b"),
    "integers": ("integers", "ints", "integer", "int", "i"),
    "floats": ("floats", "float", "f"),
    "doubles": ("doubles", "double", "d"),
    "strings": ("strings", "string", "str", "strs", "s"),
}
INPUT_TYPES = {spelling: name for name, spellings in _SPELLINGS.items() for spelling in spellings}


def shown(value: object, limit: int = 80) -> str:
    """A value as an error text may show it: short, of printable ASCII."""
    text = ascii(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def checked_name(value: object, what: str) -> str:
    """A name of an app, a model or a version.

    >>> checked_name("pong-1.0_a", "the app")
    'pong-1.0_a'
    """
    if not isinstance(value, str):
        raise errors.InvalidArgumentError(f"{what} must be named by a string, not by {type(value).__name__}")
    if len(value) > MAX_NAME:
        raise errors.InvalidArgumentError(
            f"{what}'s name has {len(value):,} characters; at most {MAX_NAME} are allowed"
        )
    if not _NAME.fullmatch(value):
        raise errors.InvalidArgumentError(
            f"{what}'s name {shown(value)} is not allowed: lower-case letters, digits, '-', '_' and '.', "
            "beginning and ending with a letter or digit"
        )
    return value


def checked_input_type(value: object) -> str:
    """The full name of an input type, from any of Clipper's spellings.

    >>> checked_input_type("d")
    'doubles'
    """
    if not isinstance(value, str) or value not in INPUT_TYPES:
        raise errors.InvalidArgumentError(f"input type {shown(value)} is none of {', '.join(_SPELLINGS)}")
    return INPUT_TYPES[value]


def _integer(value: object, what: str, low: int, high: int, *, also: int | None = None) -> int:
    number: int | None = None
    with contextlib.suppress(errors.InvalidArgumentError):
        number = numbers.integer(value, what)  # of numpy, too
    if number is None or not (low <= number <= high or number == also):
        raise errors.InvalidArgumentError(
            f"{what} is {shown(value)}: a whole number from {low:,} to {high:,} expected"
            + (f", or {also}" if also is not None else "")
        )
    return number


def checked_replicas(value: object) -> int:
    """How many replicas a version shall have."""
    return _integer(value, "the number of replicas", 0, MAX_REPLICAS)


def checked_batch_size(value: object) -> int:
    """The largest batch, or -1 for one that is found by measuring."""
    return _integer(value, "batch_size", 1, MAX_BATCH_SIZE, also=-1)


def checked_slo_us(value: object) -> int:
    """The time that a prediction may take, in microseconds."""
    return _integer(value, "the latency objective in microseconds", 1, MAX_SLO_US)


def checked_text(value: object, what: str, limit: int = MAX_TEXT) -> str:
    """Text that is only remembered and given back."""
    if not isinstance(value, str):
        raise errors.InvalidArgumentError(f"{what} must be a string, not {type(value).__name__}")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise errors.InvalidArgumentError(f"{what} holds half of a surrogate pair, which no UTF-8 can carry") from None
    if size > limit:
        raise errors.InvalidArgumentError(f"{what} has {size:,} bytes; at most {limit:,} are allowed")
    return value


def checked_labels(value: object) -> list[str]:
    """What is written on a version for people to read."""
    if not isinstance(value, (list, tuple)):
        raise errors.InvalidArgumentError(f"labels must be a list of strings, not {type(value).__name__}")
    if len(value) > MAX_LABELS:
        raise errors.InvalidArgumentError(f"{len(value):,} labels; at most {MAX_LABELS} are allowed")
    for label in value:
        if "," in checked_text(label, "a label", MAX_NAME) or ":" in label:
            raise errors.InvalidArgumentError(f"label {shown(label)} holds ',' or ':', which are not allowed in labels")
    return list(value)


def checked_lineage(value: object) -> dict[str, Any] | None:
    """Where a version came from: a JSON object, or None."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise errors.InvalidArgumentError(f"lineage must be a mapping, not {type(value).__name__}")
    try:
        text = json.dumps(numbers.plain(value, "lineage"), allow_nan=False)
    except ValueError as error:
        raise errors.InvalidArgumentError(f"lineage cannot be written as JSON: {error}") from None
    if len(text) > MAX_LINEAGE_BYTES:
        raise errors.InvalidArgumentError(f"lineage has {len(text):,} bytes as JSON; at most {MAX_LINEAGE_BYTES:,}")
    return dict(json.loads(text))


# ----------------------------------------------------------------------------------------------------------------------
# JSON bodies.


def _strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


_KINDS: dict[str, Callable[[object], bool]] = {
    "string": lambda value: isinstance(value, str),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "bool": lambda value: isinstance(value, bool),
    "[string]": _strings,
}


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def body(data: bytes, schema: Mapping[str, str]) -> list[Any]:
    """The fields of a JSON object in the order of the schema, which maps names to string, int, bool or [string].

    All are required, others are let be. InvalidArgumentError with Clipper's words: what is wrong, and the schema.

    >>> body(b'{"verbose": true, "more": 1}', {"verbose": "bool"})
    [True]
    """

    def wrong(problem: str) -> errors.InvalidArgumentError:
        expected = ", ".join(f'"{name}" := {kind}' for name, kind in schema.items())
        return errors.InvalidArgumentError(f"Error parsing JSON: {problem}. Expected JSON schema: {{{expected}}}")

    try:
        found = json.loads(data, parse_constant=_no_constant)
    except RecursionError:
        raise wrong("it is nested too deeply") from None
    except UnicodeDecodeError:
        raise wrong("it is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise wrong(f"{error.msg} at character {error.pos}") from None
    except ValueError:
        raise wrong("it holds a number that cannot be read") from None
    if not isinstance(found, dict):
        raise wrong("an object expected")
    values = []
    for name, kind in schema.items():
        if name not in found:
            raise wrong(f"{name} is missing")
        if not _KINDS[kind](found[name]):
            raise wrong(f"{name} must be of type {kind}")
        values.append(found[name])
    return values


def checked_hosts(values: object) -> list[str]:
    """Values of the Host header: names or addresses, perhaps with a port; "*" for all."""
    return _header_values(
        "hosts", values, _HOST, "a name or an address is meant, such as 'models.example' or 'models.example:8000'"
    )


def checked_origins(values: object) -> list[str]:
    """Values of the Origin header, as browsers send them; "*" for all."""
    return _header_values(
        "origins",
        values,
        _ORIGIN,
        "what a browser sends is meant, such as 'http://localhost:3000': in lower case, without a path",
    )


def _header_values(what: str, values: object, form: re.Pattern[str], meant: str) -> list[str]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise errors.InvalidArgumentError(f"{what}={shown(values)}: a list is meant, such as {what}=[{shown(values)}]")
    found = list(values)
    for value in found:
        if not isinstance(value, str) or (value != "*" and not form.fullmatch(value)):
            raise errors.InvalidArgumentError(f"{what}: {shown(value)} matches nothing: {meant}; '*' is for all")
    return found


_HOST = re.compile(r"[^\s/@?#*,]+")
_ORIGIN = re.compile(r"null|[a-z][a-z0-9+.-]*:/{2}[^\s/@?#*,A-Z]+")
