"""Classes that are pickled as somebody else says, and why something is not pickled at all."""

from __future__ import annotations

import io
import threading
from typing import Any

import pytest
from daybreak.util import deregister_serializer, inspect_serializability, register_serializer


class Guarded:
    def __init__(self, value: int) -> None:
        self.value = value
        self.lock = threading.Lock()


class Special(Guarded):
    pass


def test_a_class_is_pickled_as_it_was_registered_until_it_is_not_any_more(ray: Any) -> None:
    with pytest.raises(TypeError, match="cannot be pickled"):
        ray.put(Guarded(1))
    register_serializer(
        Guarded, serializer=lambda guarded: {"value": guarded.value}, deserializer=lambda d: Guarded(**d)
    )
    try:
        assert ray.get(ray.put([Guarded(7)]))[0].value == 7
        assert ray.get(ray.remote(lambda guarded: guarded.value).remote(Guarded(8))) == 8
        with pytest.raises(TypeError, match="cannot be pickled"):
            ray.put(Special(1))  # not the class itself
        register_serializer(Guarded, serializer=lambda guarded: guarded.value, deserializer=lambda value: -value)
        assert ray.get(ray.put(Guarded(9))) == -9
    finally:
        deregister_serializer(Guarded)
        deregister_serializer(Guarded)  # nothing to undo
    with pytest.raises(TypeError, match="cannot be pickled"):
        ray.put(Guarded(1))


@pytest.mark.parametrize("arguments", [(Guarded(1), abs, abs), (Guarded, 3, abs), (Guarded, abs, None)])
def test_what_is_no_class_or_function_is_not_registered(arguments: Any) -> None:
    cls, serializer, deserializer = arguments
    with pytest.raises(TypeError, match="expected"):
        register_serializer(cls, serializer=serializer, deserializer=deserializer)


def test_the_innermost_parts_that_do_not_pickle_are_found_and_printed() -> None:
    lock, socket_like = threading.Lock(), Guarded(1)

    def uses_both() -> Any:
        return lock, socket_like

    said = io.StringIO()
    fine, failures = inspect_serializability(uses_both, name="uses_both", print_file=said)
    assert not fine
    assert {failure.obj for failure in failures} == {lock, socket_like.lock}
    assert {failure.name for failure in failures} == {"variable 'lock' of the enclosing function", ".lock"}
    assert {type(failure.parent) for failure in failures} == {type(uses_both), Guarded}
    assert "'uses_both' (function) cannot be pickled" in said.getvalue() and "leave out" in said.getvalue()


def test_it_looks_no_deeper_than_told_and_finds_nothing_where_nothing_is_wrong(
    capsys: pytest.CaptureFixture[str],
) -> None:
    nested = [[Guarded(1)]]
    for depth, expected in ((0, nested), (1, nested[0]), (2, nested[0][0]), (3, nested[0][0].lock)):
        fine, failures = inspect_serializability(nested, depth=depth, print_file=io.StringIO())
        assert not fine and [failure.obj for failure in failures] == [expected]
    assert inspect_serializability([1, "a"]) == (True, set())
    assert "can be pickled" in capsys.readouterr().out
    with pytest.raises(ValueError, match="depth=-1"):
        inspect_serializability(1, depth=-1)
