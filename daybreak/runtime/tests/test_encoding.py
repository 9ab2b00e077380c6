"""What is encoded stays what it was, whatever other threads do to it meanwhile."""

from __future__ import annotations

import gc
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import daybreak

# A container that is encoded, and by another thread emptied 4 ms later: while its bytes are copied without the GIL. In a
# process of its own, which used to crash.
PRELUDE = """
import threading, time
import daybreak

daybreak.init(num_cpus=1, object_store_memory=700 << 20)
SIZE = 150 << 20

def cleared_soon(container):
    thread = threading.Thread(target=lambda: (time.sleep(0.004), container.clear()))
    thread.start()
    return container

def check(value):
    items = list(value.values()) if isinstance(value, dict) else list(value)
    if items:  # else it was emptied before we came to it
        assert len(items) == 1 and len(items[0]) == SIZE and items[0][-1] in (120, "x"), len(items)
    return len(items)

@daybreak.remote
def take(container=(), **named):
    return check(container)

@daybreak.remote(max_retries=0)
def give(make):
    return cleared_soon(make())

"""
CONTAINERS = {
    "a list of bytes": "lambda: [b'x' * SIZE]",
    "a list of str": "lambda: ['x' * SIZE]",
    "a dict of bytes": "lambda: {'key': b'x' * SIZE}",
    "a list of bytearray": "lambda: [bytearray(b'x') * SIZE]",
}
WAYS = {
    "put": "check(daybreak.get(daybreak.put(cleared_soon(make()))))",
    "an argument": "daybreak.get(take.remote(cleared_soon(make())))",
    "a named argument": "daybreak.get(take.remote(container=cleared_soon(make())))",
    "a result": "check(daybreak.get(give.remote(make)))",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("what", CONTAINERS)
def test_bytes_outlive_the_list_that_held_them_while_they_are_copied(what: str, way: str) -> None:
    rounds = {"put": 20, "an argument": 10, "a result": 10}.get(way, 2) if what == "a list of bytes" else 2
    script = f"{PRELUDE}\nmake = {CONTAINERS[what]}\nfor _ in range({rounds}):\n    {WAYS[way]}\n"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert out.returncode == 0, (out.returncode, out.stderr[-2000:])


class Counted:
    """Counts how often it is pickled; carries bytes, an array and references."""

    pickled = 0

    def __init__(self, size: int, *refs: Any) -> None:
        self.text = "x" * size
        self.array = np.arange(size // 8)
        self.refs = refs

    def __reduce__(self) -> Any:
        Counted.pickled += 1
        return _counted, (self.text, self.array, self.refs)


def _counted(text: str, array: Any, refs: Any) -> Counted:
    counted = Counted(0, *refs)
    counted.text, counted.array = text, array
    return counted


@pytest.mark.parametrize("size", [100, 5_000, 300_000])
def test_an_argument_is_pickled_once_and_keeps_its_references(ray: Any, size: int) -> None:
    @ray.remote
    def look(first: Any, counted: Any, last: Any, *, named: Any) -> list[Any]:
        values = [daybreak.get(first[0])]
        for one in (counted, last, named):
            assert len(one.text) == size and list(one.array) == list(range(size // 8))
            values += daybreak.get(list(one.refs))
        return values

    refs = [ray.put(i) for i in range(6)]
    Counted.pickled = 0
    last = Counted(size, refs[3])
    arguments = ([refs[0]], Counted(size, refs[1], refs[2]), last)
    assert ray.get(look.remote(*arguments, named=Counted(size, refs[4], refs[5])), timeout=20) == list(range(6))
    assert Counted.pickled == 3


def test_a_reference_that_is_made_while_its_owner_is_pickled_stays_alive(ray: Any) -> None:
    class Maker:
        def __reduce__(self) -> Any:
            return list, ((ray.put("made for the pickle"),),)

    for _ in range(100):
        ref = ray.put([Maker(), "x" * 1000])
        others = [ray.put("another") for _ in range(10)]
        ((inner,), _) = ray.get(ref)
        assert ray.get(inner) == "made for the pickle"
        del others


def test_a_finalizer_that_submits_does_not_disturb_the_submission_that_it_interrupts(ray: Any) -> None:
    three = ray.remote(num_returns=3)(lambda base: (base, base + 1, base + 2))
    ray.get(three.remote(0))
    others: list[Any] = []

    class Cycle:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            others.append(three.remote(-10))

    before = gc.get_threshold()
    gc.set_threshold(3, 1, 1)
    kept: list[Any] = []
    try:
        for i in range(200):
            Cycle()
            for _ in range(i % 7):  # so that it is sometimes the list of results that makes the collector run
                kept.append([])
            refs = three.remote(i)
            assert ray.get(refs, timeout=10) == [i, i + 1, i + 2]
    finally:
        gc.set_threshold(*before)
    gc.collect()
    assert len(others) == 200
    for refs in others:
        assert ray.get(refs, timeout=10) == [-10, -9, -8]
