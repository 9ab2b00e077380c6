"""What is encoded stays what it was, whatever other threads do to it meanwhile."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
