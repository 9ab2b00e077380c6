"""`daybreak.util`: pools, executor and queue stand on the public verbs, and so on every engine."""

from __future__ import annotations

import os
from typing import Any

import pytest
from daybreak.util import ActorPool, Executor
from daybreak.util.multiprocessing import Pool
from daybreak.util.queue import Empty, Queue

import daybreak

ENGINE = os.environ.get("DAYBREAK_TEST_ENGINE", "local")


def fails_at_two(number: int) -> int:
    if number == 2:
        raise LookupError("two")
    return number * number


def test_a_pool_of_actors_gives_results_in_order() -> None:
    @daybreak.remote(num_cpus=0)
    class Squares:
        def of(self, number: int) -> int:
            return number * number

    pool = ActorPool([Squares.remote(), Squares.remote()])
    assert list(pool.map(lambda actor, value: actor.of.remote(value), range(5))) == [0, 1, 4, 9, 16]


def test_a_multiprocessing_pool_maps_and_tells_which_call_has_raised() -> None:
    with Pool(processes=1) as pool:
        assert pool.map(lambda x: x + 1, range(4)) == [1, 2, 3, 4]
        assert pool.starmap(pow, [(2, 3), (3, 2)]) == [8, 9]
        first, second, third, fourth = pool.imap(fails_at_two, range(4), chunksize=2)
        assert (first, second, fourth) == (0, 1, 9) and isinstance(third, LookupError)
        with pytest.raises(LookupError, match="two") as found:
            pool.map(fails_at_two, range(4))
        assert "fails_at_two" in str(found.value.__cause__)


def test_an_executor_submits_and_maps() -> None:
    with Executor(max_workers=1) as executor:
        assert executor.submit(pow, 2, 10).result(timeout=120) == 1024
        assert list(executor.map(abs, [-1, -2, -3], chunksize=2)) == [1, 2, 3]
        with pytest.raises(LookupError, match="two"):
            executor.submit(fails_at_two, 2).result(timeout=120)


def test_a_queue_is_first_in_first_out_and_says_when_it_is_empty() -> None:
    queue = Queue(maxsize=2)
    queue.put({"a": 1})
    queue.put("b")
    assert queue.full() and queue.size() == 2
    assert [queue.get(timeout=60), queue.get(timeout=60)] == [{"a": 1}, "b"]
    with pytest.raises(Empty):
        queue.get_nowait()
    queue.shutdown()


def test_a_queue_passes_to_tasks_whose_worker_has_daybreak() -> None:
    queue = Queue()

    @daybreak.remote
    def adds(queue: Any) -> None:
        queue.put(7)

    added = adds.remote(queue)
    if ENGINE.endswith("bare"):  # its class cannot be found there: docs/cluster.md
        with pytest.raises(Exception, match=r"no daybreak|No module named 'daybreak|'daybreak' is not a package"):
            daybreak.get(added, timeout=120)
    else:
        daybreak.get(added, timeout=120)
        assert queue.get(timeout=60) == 7
    queue.shutdown()
