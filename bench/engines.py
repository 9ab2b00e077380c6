"""What a call costs here and on a Ray cluster: one program on both engines. `python -m bench.engines` prints the table of
docs/cluster.md. The cluster is one node of this machine: a network comes on top."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.peers import Peer
from tools import suite

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 5

PROGRAM = """
import json, sys, time
import numpy as np
began = time.perf_counter()
import daybreak
daybreak.init(engine=sys.argv[1], num_cpus=2, log_to_driver=False)

@daybreak.remote
def nothing(value=None):
    return value

@daybreak.remote(num_cpus=0)
class Actor:
    def nothing(self, value=None):
        return value

daybreak.get(nothing.remote())
found = {"init to the first result, s": time.perf_counter() - began}
actor = Actor.remote()
daybreak.get([nothing.remote() for _ in range(20)] + [actor.nothing.remote() for _ in range(20)])
megabyte = np.ones(1 << 20, dtype=np.uint8)

def timed(what, count, call):
    began = time.perf_counter()
    for _ in range(count):
        call()
    found[what] = (time.perf_counter() - began) / count * 1e6

timed("a task and its result, us", 300, lambda: daybreak.get(nothing.remote()))
timed("a call of an actor and its result, us", 300, lambda: daybreak.get(actor.nothing.remote()))
timed("a task among 1,000 submitted at once, us", 1, lambda: daybreak.get([nothing.remote() for _ in range(1000)]))
found["a task among 1,000 submitted at once, us"] /= 1000
timed("put and get of 1 MiB, us", 100, lambda: daybreak.get(daybreak.put(megabyte)))
timed("a task that takes and gives 1 MiB, us", 100, lambda: daybreak.get(nothing.remote(megabyte)))
daybreak.shutdown()
print(json.dumps(found))
"""


def measured(engine: str, python: str, folder: Path) -> dict[str, float]:
    environment = {**os.environ, "PYTHONPATH": str(folder), "RAY_AUTH_MODE": "disabled"}
    done = subprocess.run(
        [python, "-P", "-c", PROGRAM, engine], env=environment, capture_output=True, text=True, timeout=120
    )
    if done.returncode != 0:
        raise RuntimeError(f"the program failed on {engine}:\n{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Prints the table: medians of ROUNDS interleaved rounds."""
    rays = Peer.of(suite.suites_of(ROOT)["on_ray"]).python()
    rounds: dict[str, list[dict[str, float]]] = {"local": [], "ray": []}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "daybreak").symlink_to(ROOT / "daybreak")
        for _ in range(ROUNDS):
            for engine, python in (("local", sys.executable), ("ray", rays)):
                rounds[engine].append(measured(engine, python, folder))
    print("| one call | here | on a Ray node | times |\n|---|---|---|---|")
    for what in rounds["local"][0]:
        here, there = (statistics.median(found[what] for found in rounds[engine]) for engine in ("local", "ray"))
        print(f"| {what} | {here:,.3g} | {there:,.3g} | {there / here:,.0f} |")


if __name__ == "__main__":
    main()
