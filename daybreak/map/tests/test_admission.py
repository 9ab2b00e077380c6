"""How many calls run at once by the memory that they need, and which run twice near the end."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import daybreak
from daybreak import map as room
from daybreak.base.errors import InvalidArgumentError
from daybreak.map.admission import Admission
from daybreak.map.stragglers import Stragglers
from daybreak.map.worker import peak_bytes

GB = 1 << 30
MB = 1 << 20


@pytest.fixture(scope="module", autouse=True)
def four_cpus_and_little_memory() -> Iterator[None]:
    """That memory and not cores is what is short: 256 MB for calls."""
    daybreak.shutdown()
    daybreak.init(num_cpus=4, object_store_memory=128 << 20, _memory=256 * MB)
    yield
    daybreak.shutdown()


class Together:
    """Counts in a folder how many calls are inside at the same time."""

    def __init__(self, folder: Path, bytes_each: int) -> None:
        self.folder, self.bytes_each = folder, bytes_each

    def __call__(self, x: int) -> int:
        held = bytearray(self.bytes_each)
        held[:: os.sysconf("SC_PAGESIZE")] = b"x" * len(held[:: os.sysconf("SC_PAGESIZE")])
        mine = self.folder / f"in-{x}"
        mine.touch()
        time.sleep(0.15)
        inside = len(list(self.folder.glob("in-*")))
        mine.unlink()
        return inside


def test_as_many_run_as_their_declared_memory_lets(tmp_path: Path) -> None:
    with room.executor(memory=100 * MB) as executor:
        together = executor.map(Together(tmp_path, 0), range(6)).results()
    assert max(together) <= 2


def test_as_many_run_as_their_measured_memory_lets(tmp_path: Path) -> None:
    base = room.executor().call_async(lambda x: peak_bytes(), 0).result(timeout=60)
    each = 150 * MB
    with room.executor(logs=True) as executor:
        calls = executor.map(Together(tmp_path, each), range(9))
        together = calls.results()
        peaks = [future.status.get("peak_bytes", 0) for future in executor.map(Together(tmp_path, each), [0]).futures()]
    # Two of 150 MB are more than the 256 MB that there are. Those that began before the first had ended could not know.
    assert max(together[4:]) == 1, together
    assert peaks == [0] or each <= peaks[0] < base + 2 * each


def test_small_calls_are_not_held_back(tmp_path: Path) -> None:
    with room.executor(logs=True) as executor:
        assert max(executor.map(Together(tmp_path, 0), range(40)).results()[8:]) > 1


def test_a_call_that_can_never_fit_is_refused_by_name() -> None:
    with room.executor() as executor, pytest.raises((InvalidArgumentError, daybreak.exceptions.Error), match="memory"):
        executor.map(abs, [1], memory=GB).results()


def test_a_declared_need_leaves_room_for_what_needs_little(tmp_path: Path) -> None:
    with room.executor(memory=50 * MB) as executor:
        assert max(executor.map(Together(tmp_path, 0), range(16)).results()) > 2


@given(
    budget=st.integers(1, 64 * GB),
    slots=st.integers(1, 64),
    peaks=st.lists(st.integers(0, 80 * GB), min_size=1, max_size=9),
)
def test_the_limit_follows_the_highest_peak(budget: int, slots: int, peaks: list[int]) -> None:
    admission = Admission(budget, slots, available=lambda: 0)
    assert admission.limit(0.0) == 1
    for peak in peaks:
        admission.saw(peak)
    limit = admission.limit(1.0)
    assert 1 <= limit <= slots
    assert limit == 1 or limit * max(peaks) <= budget
    assert admission.unlimited() == (max(peaks) * slots <= budget / 2)


def test_while_nothing_is_known_one_more_is_let_in_now_and_then() -> None:
    free = 3 * GB
    admission = Admission(4 * GB, 3, available=lambda: free)
    assert [admission.limit(t) for t in (0.0, 0.01, 0.06, 0.07, 0.12, 0.2)] == [1, 1, 2, 2, 3, 3]
    free = GB
    full = Admission(4 * GB, 3, available=lambda: free)
    assert [full.limit(t) for t in (0.0, 0.06, 0.12)] == [1, 1, 1]


# ---- stragglers


@given(st.integers(1, 8), st.integers(10, 60))
def test_who_takes_three_times_the_median_is_late_once(slots: int, done: int) -> None:
    watch = Stragglers(slots)
    for _ in range(done):
        watch.took(1.0)
    running = {100 + i: 0.0 for i in range(slots - 1)}
    assert watch.late(running, done + slots, 2.9) == []
    assert len(watch.late(running, done + slots, 3.1)) == min(1, len(running))


def test_too_few_done_says_nothing_about_the_others() -> None:
    watch = Stragglers(4)
    for _ in range(9):
        watch.took(0.1)
    assert watch.late({9: 0.0}, 10, 100.0) == []
    watch.took(0.1)
    assert watch.late({9: 0.0}, 100, 100.0) == []


def test_a_straggler_runs_twice_only_when_calls_are_pure(tmp_path: Path) -> None:
    def slow_first_time(x: int) -> int:
        if x == 11:
            first = tmp_path / f"{pure}"
            try:
                first.touch(exist_ok=False)
            except FileExistsError:
                return x
            time.sleep(60 if pure else 1)
        return x

    for pure in (True, False):
        with room.executor(pure=pure, logs=True) as executor:
            futures = executor.map(slow_first_time, range(12)).futures()
            began = time.monotonic()
            assert [future.result(timeout=50) for future in futures] == list(range(12))
            assert pure or time.monotonic() - began >= 1


def test_a_second_run_does_not_change_what_is_told(tmp_path: Path) -> None:
    told: list[Any] = []
    with room.executor(pure=True) as executor:
        futures = executor.map(lambda x: time.sleep(0.4 if x == 0 else 0), range(30)).futures()
        for future in futures:
            future.add_done_callback(told.append)
        room.wait(futures)
    assert len(told) == 30
