"""The exceptions agree with the C++ vocabulary."""

import re

import pytest

from daybreak import _core
from daybreak.base import errors


@pytest.mark.parametrize("code", range(1, 17))
def test_every_code_has_a_class_of_its_name_and_http_status(code: int) -> None:
    kind = errors.BY_CODE[code]
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__.removesuffix("Error")).lower()
    assert snake == _core.base.code_name(code)
    assert kind.http_status == _core.base.http_status(code)
    assert issubclass(kind, errors.Error)
    assert kind.__name__ in errors.__all__


def test_an_error_from_cpp_is_also_the_builtin_that_people_expect() -> None:
    with pytest.raises(errors.DataLossError, match="too few for a container") as caught:
        _core.tensor.Container.parse(b"short")
    assert isinstance(caught.value, ValueError)
    assert caught.value.code == 15
