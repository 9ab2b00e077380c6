"""Exceptions taken apart and put together, without a runtime: whatever they are made of."""

from __future__ import annotations

import math
from typing import Any

from daybreak.exceptions import TaskError
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.runtime import crossing
from daybreak.runtime.exceptions import _task_error


class Plain(Exception):
    pass


class Slotted(LookupError):
    __slots__ = ("left", "right")


class Picky(OSError):
    def __init__(self, where: str, *, code: int) -> None:
        super().__init__(code, "picky", where)
        self.code = code


class Group(ExceptionGroup[Exception]):
    pass


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5), st.binary(max_size=5)
)
NAMES = st.sampled_from(["code", "detail", "request", "where"])


@st.composite
def exceptions(draw: Any, depth: int = 2) -> Exception:
    kind = draw(st.sampled_from(["plain", "slotted", "picky", "unicode", "key", "group"]))
    error: Exception
    if kind == "plain":
        error = Plain(*draw(st.lists(VALUES, max_size=3)))
    elif kind == "slotted":
        error = Slotted(draw(VALUES))
        if draw(st.booleans()):
            error.left = draw(VALUES)
    elif kind == "picky":
        error = Picky(draw(st.text(max_size=5)), code=draw(st.integers(0, 200)))
    elif kind == "unicode":
        error = UnicodeDecodeError("utf-8", draw(st.binary(min_size=1, max_size=5)), 0, 1, draw(st.text(max_size=3)))
    elif kind == "key" or depth == 0:
        error = KeyError(draw(VALUES))
    else:
        error = Group("g", draw(st.lists(exceptions(depth - 1), min_size=1, max_size=3)))
    for name, value in draw(st.dictionaries(NAMES, VALUES, max_size=2)).items():
        if kind != "picky" or name != "code":
            setattr(error, name, value)
    for note in draw(st.lists(st.text(max_size=5), max_size=2)):
        error.add_note(note)
    if depth > 0:
        error.__context__ = draw(st.none() | exceptions(depth - 1))
        if draw(st.booleans()):
            error.__cause__ = draw(st.none() | exceptions(depth - 1))
    return error


def seen(error: BaseException | None) -> Any:
    """All that a caller can see of it."""
    if error is None:
        return None
    fields = {name: getattr(error, name, "unset") for name in ("left", "right", "errno", "filename", "start", "reason")}
    attributes = {k: v if not isinstance(v, float) or math.isfinite(v) else str(v) for k, v in vars(error).items()}
    members = [seen(each) for each in error.exceptions] if isinstance(error, ExceptionGroup) else []
    args = [] if members else error.args
    chain = (seen(error.__cause__), seen(error.__context__), error.__suppress_context__)
    return type(error), repr(args), str(error), fields, repr(sorted(attributes.items(), key=str)), members, chain


@settings(max_examples=30, deadline=None)
@given(exceptions())
def test_what_is_packed_is_unpacked(error: Exception) -> None:
    before = seen(error)
    data, missing = crossing.pack(error)
    assert missing == [] and seen(crossing.unpack(data)) == before and seen(error) == before


@settings(max_examples=15, deadline=None)
@given(exceptions())
def test_an_instance_of_both_classes_has_all_of_the_first(error: Exception) -> None:
    made = _task_error("f", "text", 1, error)
    assert isinstance(made, TaskError) and isinstance(made, type(error)) and made.cause is error
    kind, args, _, fields, _, members, chain = seen(made)
    assert issubclass(kind, type(error)) and str(made) == "text"
    assert (args, fields, members, chain) == (seen(error)[1], seen(error)[3], seen(error)[5], seen(error)[6])
    for name, value in vars(error).items():
        assert repr(getattr(made, name)) == repr(value)
