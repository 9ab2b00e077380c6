"""Which content store belongs to a tracking root, and the name that its class had before."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import daybreak.track.store
from daybreak.store import Store
from daybreak.track import reading


def test_threads_that_ask_for_the_store_of_a_root_get_the_same_one_and_no_error(tmp_path: Path) -> None:
    roots = [str(tmp_path / str(number)) for number in range(2 * reading._MAX_STORES)]
    for root in roots:
        os.makedirs(root)
    with ThreadPoolExecutor(8) as threads:
        together = threading.Barrier(8)

        def ask(asked: list[str]) -> list[Store]:
            together.wait()
            return [reading.store(root) for root in asked]

        for turn in range(20):
            reading._stores.clear()
            found = list(threads.map(ask, [roots[turn % 4 : turn % 4 + 1]] * 8))
            assert len({id(store) for (store,) in found}) == 1
            shuffled = [roots[i:] + roots[:i] for i in range(8)]  # more than are kept
            assert all(len(stores) == len(roots) for stores in threads.map(ask, shuffled))
            assert len(reading._stores) <= reading._MAX_STORES
    reading._stores.clear()


def test_the_store_is_found_under_its_old_name_too() -> None:
    assert daybreak.track.store.Store is Store
