import pytest

from daybreak import linalg
from daybreak.base import errors


def test_a_greeting_is_of_the_name() -> None:
    assert linalg.greeting("world") == "hello, world"


def test_a_name_beyond_the_limit_is_refused_with_the_limit() -> None:
    with pytest.raises(errors.InvalidArgumentError, match="101 bytes: 1 to 100"):
        linalg.greeting("x" * 101)
