"""The thread that warms up the object store holds locks that all need: it must come to its end when others want the cores."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, threading, time
import daybreak

seen, over = set(), threading.Event()

def look():
    while not over.is_set():
        for task in os.listdir("/proc/self/task"):
            try:
                if open(f"/proc/self/task/{task}/comm").read().strip() == "daybreak-warm":
                    seen.add(int(open(f"/proc/self/task/{task}/stat").read().rpartition(")")[2].split()[16]))
            except (FileNotFoundError, ProcessLookupError):
                pass
        time.sleep(0.001)

looking = threading.Thread(target=look)
looking.start()
daybreak.init(num_cpus=1)

@daybreak.remote
def one():
    return 1

for _ in range(20):
    assert daybreak.get(one.remote()) == 1
    time.sleep(0.01)
over.set()
looking.join()
print(sorted(seen), os.nice(0))
"""


def test_who_warms_up_the_store_does_not_give_way_with_a_lock_in_its_hand() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    nice, usual = done.stdout.rsplit(" ", 1)
    assert nice == f"[{int(usual)}]", f"its niceness {nice}, the process's {usual}"
