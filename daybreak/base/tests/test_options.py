"""Names of options and words for their values."""

import enum

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.base import options
from daybreak.base.errors import InvalidArgumentError


class Word(enum.StrEnum):
    LIST = "list"


def test_none_is_not_given_and_every_other_value_goes_through_the_check_of_its_name() -> None:
    seen = []

    def check(name: str, value: object) -> str:
        seen.append((name, value))
        return "checked"

    assert options.checked({"a": None, "b": 0}, {"a": check, "b": check}, "a task") == {"a": None, "b": "checked"}
    assert seen == [("b", 0)]


@given(st.text(max_size=30), st.lists(st.text(min_size=1, max_size=10), min_size=1, unique=True, max_size=5))
def test_a_name_that_is_not_known_is_refused_with_those_that_are(name: str, known: list[str]) -> None:
    checks = dict.fromkeys(known, lambda name, value: value)
    if name in known:
        assert options.checked({name: 1}, checks, "x") == {name: 1}
        return
    with pytest.raises(InvalidArgumentError) as refused:
        options.checked({name: 1}, checks, "x")
    assert repr(name) in str(refused.value) and all(one in str(refused.value) for one in known)


@pytest.mark.parametrize("name", [None, 3, b"num_cpus", ("a",), np.str_("num_cpu")])
def test_names_of_every_kind_are_refused_by_their_own(name: object) -> None:
    with pytest.raises(ValueError, match="a task has no option"):
        options.checked({name: 1}, {"num_cpus": lambda name, value: value}, "a task")


@pytest.mark.parametrize("value", ["list", np.str_("list"), Word.LIST])
def test_a_choice_is_the_word_itself_whatever_kind_of_text_was_given(value: object) -> None:
    assert type(options.choice("list", "array")("batch", value)) is str


@pytest.mark.parametrize("value", ["List", "lis", b"list", 1, True, ["list"], "x" * 1000])
def test_what_is_no_choice_is_refused_with_all_that_are(value: object) -> None:
    with pytest.raises(InvalidArgumentError, match="'list', 'array' or 'rows' expected") as refused:
        options.choice("list", "array", "rows")("batch", value)
    assert str(refused.value).startswith("batch=") and len(str(refused.value)) < 200
