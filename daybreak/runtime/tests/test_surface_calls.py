"""A call that does not fit its function is refused where it is made."""

from __future__ import annotations

import math
from typing import Any

import pytest

import daybreak


@daybreak.remote
def plain(a: int, b: int = 2, *, c: int = 3) -> tuple[int, ...]:
    return a, b, c


@daybreak.remote
def anything(*args: int, **named: int) -> tuple[Any, ...]:
    return args, named


@daybreak.remote
def needs_a_name(a: int, *, c: int) -> int:
    return a + c


def test_calls_that_fit_run(ray: Any) -> None:
    refs = [plain.remote(1), plain.remote(1, 5), plain.remote(a=1), plain.remote(1, c=4), plain.remote(1, b=7, c=4)]
    assert ray.get(refs) == [(1, 2, 3), (1, 5, 3), (1, 2, 3), (1, 2, 4), (1, 7, 4)]
    for named in ({"b": 1}, {"c": 1}, {"b": 1}, {"b": 2, "c": 3}):
        assert ray.get(plain.remote(0, **named)) == (0, named.get("b", 2), named.get("c", 3))
    assert ray.get(anything.remote(1, 2, x=3)) == ((1, 2), {"x": 3}) and ray.get(anything.remote()) == ((), {})
    assert ray.get(needs_a_name.remote(1, c=2)) == 3
    assert ray.get(ray.remote(math.hypot).remote(3.0, 4.0)) == 5.0
    assert ray.get(plain.options(num_cpus=0.5).remote(1, c=9)) == (1, 2, 9)


@pytest.mark.parametrize(
    ("args", "named", "text"),
    [
        ((), {}, "missing a required argument: 'a'"),
        ((1, 2, 3), {}, "too many positional arguments"),
        ((1,), {"d": 1}, "unexpected keyword argument 'd'"),
        ((1,), {"a": 1}, "multiple values for argument 'a'"),
        ((), {"b": 1}, "missing a required argument: 'a'"),
    ],
)
def test_calls_that_do_not_fit_are_refused_each_time(ray: Any, args: Any, named: Any, text: str) -> None:
    for function in (plain, plain.options(num_returns=2)):
        for _ in range(2):
            with pytest.raises(TypeError, match=rf"plain\.remote\(\): .*{text}"):
                function.remote(*args, **named)
    assert ray.get(plain.remote(1)) == (1, 2, 3)


@daybreak.remote
class Takes:
    def __init__(self, start: int) -> None:
        self.start = start

    def two(self, a: int, b: int = 2) -> tuple[int, int]:
        return a, b

    @classmethod
    def of_class(cls, a: int) -> int:
        return a

    @staticmethod
    def static(a: int) -> int:
        return a

    def any(self, *args: int) -> int:
        return len(args)

    @daybreak.method(num_returns=2)
    def pair(self, a: int) -> tuple[int, int]:
        return a, a

    async def later(self, a: int, *, b: int = 1) -> int:
        return a + b


def test_calls_of_methods_are_held_against_them(ray: Any) -> None:
    actor = Takes.remote(1)
    assert ray.get([actor.two.remote(1), actor.two.remote(1, 3), actor.two.remote(1, b=4), actor.two.remote(a=5)]) == [
        (1, 2),
        (1, 3),
        (1, 4),
        (5, 2),
    ]
    assert ray.get([actor.of_class.remote(1), actor.static.remote(2), actor.any.remote(1, 2, 3)]) == [1, 2, 3]
    assert ray.get([*actor.pair.remote(3), actor.later.remote(1), actor.later.remote(1, b=2)]) == [3, 3, 2, 3]
    assert ray.get(actor.__ray_call__.remote(lambda self, more: self.start + more, 1)) == 2
    two = actor.two.options(num_returns=2)
    assert ray.get(two.remote(1)) == [1, 2]
    for method, args in (
        (actor.two, ()),
        (actor.two, (1, 2, 3)),
        (two, ()),
        (actor.of_class, ()),
        (actor.static, (1, 2)),
        (actor.pair, ()),
        (actor.later, ()),
    ):
        with pytest.raises(TypeError, match=r"Takes\.\w+\.remote\(\): (missing a required|too many positional)"):
            method.remote(*args)
    with pytest.raises(TypeError, match="unexpected keyword"):
        ray.get(actor.two.remote(1, c=3))
    with pytest.raises(TypeError, match="missing a required argument: 'start'"):
        Takes.remote()


def test_a_name_that_has_to_be_given_is_missed(ray: Any) -> None:
    for args in ((), (1,), (1, 2)):
        with pytest.raises(TypeError, match="missing a required|too many positional"):
            needs_a_name.remote(*args)
