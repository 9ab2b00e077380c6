"""Which of the queued tasks is next."""

from __future__ import annotations

import os
import time

import daybreak


def test_a_thousand_tasks_that_each_wait_for_one_of_their_own_need_no_thousand_processes() -> None:
    daybreak.shutdown()
    daybreak.init(num_cpus=1, object_store_memory=64 << 20)
    try:

        @daybreak.remote
        def leaf() -> int:
            return os.getpid()

        @daybreak.remote
        def middle() -> set[int]:
            return {os.getpid(), daybreak.get(leaf.remote())}

        @daybreak.remote
        def top() -> set[int]:
            return {os.getpid(), *daybreak.get(middle.remote())}

        pids = set[int]().union(*daybreak.get([top.remote() for _ in range(1000)], timeout=100))
        assert len(pids) < 100
    finally:
        daybreak.shutdown()


def test_with_one_cpu_tasks_begin_in_the_order_of_their_coming() -> None:
    daybreak.shutdown()
    daybreak.init(num_cpus=1, object_store_memory=64 << 20)
    try:

        @daybreak.remote
        def begun() -> int:
            return time.monotonic_ns()

        @daybreak.remote
        def several() -> None:  # from here on there is more than one worker
            daybreak.get([begun.remote() for _ in range(4)])

        daybreak.get([several.remote() for _ in range(4)])
        for _ in range(20):
            times = daybreak.get([begun.remote() for _ in range(50)])
            assert times == sorted(times)
    finally:
        daybreak.shutdown()
