"""What an earlier version pickled is read: functions and classes of actors by the names that they had then."""

import pickle

import daybreak


def double(x: int) -> int:
    return 2 * x


class Counter:
    def value(self) -> int:
        return 7


def test_pickles_that_name_the_module_of_then_are_read() -> None:
    for made in (daybreak.remote(double), daybreak.remote(Counter), daybreak.cpp_function("some.so:symbol")):
        text = pickle.dumps(made, protocol=0)  # names in clear
        old = text.replace(b"daybreak.runtime.tasks", b"daybreak.runtime.api")
        old = old.replace(b"daybreak.runtime.actors", b"daybreak.runtime.api")
        assert old != text
        again = pickle.loads(old)
        assert type(again) is type(made) and again._options == made._options
