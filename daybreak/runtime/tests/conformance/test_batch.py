"""Call sets, on every engine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

import daybreak
from daybreak.runtime.batch import Batch


def square(x: int) -> int:
    return x * x


def third_fails(x: int) -> int:
    if x % 3 == 0:
        raise KeyError(x)
    return x


def outcomes(batch: Batch) -> list[Any]:
    found: list[Any] = []
    while True:
        try:
            found.append(batch.next(timeout=120))
        except StopIteration:
            return found
        except Exception as error:
            found.append(error)


@pytest.mark.parametrize("options", [{}, {"chunksize": 7}, {"ahead": 3}, {"ahead": None}])
def test_results_come_in_the_order_of_the_inputs(options: dict[str, Any]) -> None:
    with Batch(square, range(100), **options) as batch:
        assert list(batch) == [x * x for x in range(100)]
        assert batch.done()
        assert batch.counts().done == 100


def test_unordered_results_name_their_input() -> None:
    with Batch(square, range(50), ordered=False) as batch:
        found = {}
        for result in batch:
            found[batch.index] = result
    assert found == {x: x * x for x in range(50)}


def test_star_spreads_an_input_over_the_arguments() -> None:
    with Batch(divmod, [(7, 2), (9, 4)], star=True) as batch:
        assert list(batch) == [(3, 1), (2, 1)]


def test_a_call_that_raises_harms_no_other() -> None:
    with Batch(third_fails, range(12), chunksize=5) as batch:
        found = outcomes(batch)
    assert [x for x in found if isinstance(x, int)] == [x for x in range(12) if x % 3]
    errors = [x for x in found if not isinstance(x, int)]
    assert len(errors) == 4
    assert all(isinstance(error, KeyError) and isinstance(error, daybreak.exceptions.TaskError) for error in errors)
    assert "third_fails" in str(errors[0])


def test_inputs_are_taken_as_results_are_read_and_what_they_raise_comes_last() -> None:
    taken = []

    def inputs() -> Iterator[int]:
        for i in range(50):
            taken.append(i)
            yield i
        raise RuntimeError("no more of them")

    with Batch(square, inputs(), ahead=10) as batch:
        assert batch.next() == 0
        assert len(taken) <= 11
        found = outcomes(batch)
    assert found[:-1] == [x * x for x in range(1, 50)]
    assert isinstance(found[-1], RuntimeError)


def test_a_closed_batch_is_read_no_more() -> None:
    batch = Batch(square, range(10))
    batch.close()
    with pytest.raises(RuntimeError, match="closed"):
        batch.next()


def test_threads_read_one_batch_together() -> None:
    found: list[int] = []

    def read(batch: Batch) -> None:
        for result in batch:
            found.append(result)

    with Batch(square, range(300), ordered=False) as batch:
        readers = [threading.Thread(target=read, args=(batch,)) for _ in range(3)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(120)
    assert sorted(found) == [x * x for x in range(300)]
