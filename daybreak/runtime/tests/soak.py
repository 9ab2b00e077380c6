"""`./dev test --soak=SECONDS runtime`: mixed load for so long. Between two rounds of it everything is dropped and what the runtime
uses is written down. The rule: after a warm-up (the first fifth), the median of the last third of what was written down is above
that of the first third by no more than the limit of its row, however long it ran. Ends with a table, and with status 1 if a row
grew."""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import daybreak
from daybreak import exceptions as ex
from daybreak._core import runtime as native
from daybreak.runtime import tasks

_MIB = 1 << 20
_WARM_UP = 0.2  # of the time: what is filled once may grow in it
_FEWEST = 9  # rounds after the warm-up that make a verdict


@dataclass(frozen=True)
class Row:
    """Something that must stay flat. limit: how much its median may grow, in its unit."""

    name: str
    unit: str
    limit: float


ROWS = (
    Row("driver, its own memory (Pss_Anon)", "MiB", 4.0),
    Row("workers, their own memory each (Pss_Anon)", "MiB", 4.0),
    Row("shared memory in use, all processes (Pss_Shmem)", "MiB", 16.0),
    Row("object store in use, functions too", "MiB", 4.0),
    Row("objects that are no functions, and actors", "", 0.0),
    Row("functions, of which the last that are gone are kept", "", float(tasks._MAX_RETIRED + 8)),
    Row("descriptors of the driver", "", 8.0),  # two for each process, of which three more may be there
    Row("descriptors of a worker", "", 2.0),
    Row("threads of the driver", "", 1.0),
    Row("processes", "", 3.0),
    Row("files of the engine and of its spill folder", "", 2.0),
    Row("bytes of these files", "MiB", 1.0),
)


def rollup(pid: int) -> dict[str, float]:
    """MiB of a process; nothing where it has just ended."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup") as lines:
        found = (line.split() for line in lines if line.startswith("Pss"))
        return {words[0].rstrip(":"): int(words[1]) / 1024 for words in found}
    return {}


def descriptors(pid: int) -> int:
    with contextlib.suppress(OSError):
        return len(os.listdir(f"/proc/{pid}/fd"))
    return 0


def measured(folders: list[Path]) -> list[float]:
    """A number for each of ROWS, when nobody holds anything."""
    workers = [pid for pid, _ in native._processes() if pid]
    memory = {pid: rollup(pid) for pid in [os.getpid(), *workers]}
    usage = native._usage()
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    own = [memory[pid].get("Pss_Anon", 0.0) for pid in workers]
    return [
        memory[os.getpid()].get("Pss_Anon", 0.0),
        statistics.median(own) if own else 0.0,
        sum(m.get("Pss_Shmem", 0.0) for m in memory.values()),
        usage["store_bytes"] / _MIB,
        usage["objects"] - usage["functions"] + usage["actors"],
        usage["functions"],
        descriptors(os.getpid()),
        statistics.median(map(descriptors, workers)) if workers else 0,
        len(os.listdir("/proc/self/task")),
        len(workers),
        len(files),
        sum(path.stat().st_size for path in files) / _MIB,
    ]


@daybreak.remote
def add(*numbers: Any) -> Any:
    return sum(int(np.sum(n)) for n in numbers)


@daybreak.remote
def nested(depth: int) -> int:
    return 1 if depth == 0 else sum(daybreak.get([nested.remote(depth - 1) for _ in range(2)]))


@daybreak.remote
def fails(text: str) -> None:
    raise KeyError(text)


@daybreak.remote(max_retries=2)
def dies_once(path: str) -> str:
    if not os.path.exists(path):
        open(path, "x").close()
        os.kill(os.getpid(), signal.SIGKILL)
    os.remove(path)
    return "alive"


@daybreak.remote
def numbers(n: int, size: int) -> Iterator[Any]:
    for i in range(n):
        yield np.full(size, i)


@daybreak.remote
def sleeps() -> None:
    time.sleep(600)


@daybreak.remote
class Counter:
    def __init__(self) -> None:
        self.count = 0
        self.kept: Any = None

    def add(self, value: Any) -> int:
        self.kept = value
        self.count += 1
        return self.count


@daybreak.remote
class Waits:
    async def add(self, value: int) -> int:
        return value + 1


def load(number: int, folder: Path) -> None:
    """One round; what it makes is dropped at its end. AssertionError: a result is wrong."""
    refs = [add.remote(i, daybreak.put(i)) for i in range(200)]
    assert daybreak.get(refs) == [2 * i for i in range(200)]
    arrays = [daybreak.put(np.full(_MIB // 8, i)) for i in range(24)]
    assert daybreak.get([add.remote(a) for a in arrays[:8]]) == [i * (_MIB // 8) for i in range(8)]
    assert daybreak.get(nested.remote(4)) == 16
    new = daybreak.remote(lambda x, y=number: x + y)  # a function that no round before had
    assert daybreak.get([new.remote(i) for i in range(10)]) == [i + number for i in range(10)]
    actors = [Counter.options(name=f"counter {number}").remote(), Counter.remote(), Waits.remote()]
    assert daybreak.get([actors[0].add.remote(a) for a in arrays]) == list(range(1, 25))
    assert daybreak.get([a.add.remote(1) for a in actors[1:]]) == [1, 2]
    assert daybreak.get(daybreak.get_actor(f"counter {number}").add.remote(0)) == 25
    assert sum(int(daybreak.get(ref)[0]) for ref in numbers.remote(10, 50_000)) == 45
    next(numbers.remote(1000, 10))  # and nobody wants the rest
    failed = [fails.remote(f"{number}") for _ in range(5)]
    for ref in failed:
        try:
            daybreak.get(ref)
        except KeyError:
            continue
        raise AssertionError("a task that raises has a result")
    waiting = [sleeps.remote() for _ in range(3)]
    assert len(daybreak.wait(waiting + refs[:1], num_returns=1)[0]) == 1
    for ref in waiting:
        daybreak.cancel(ref)
    for ref in waiting:
        with contextlib.suppress(ex.TaskCancelledError):
            daybreak.get(ref)
    if number % 4 == 0:
        assert daybreak.get(dies_once.remote(str(folder / f"died{number}"))) == "alive"


def settled(seconds: float = 20.0) -> None:
    """Until nothing is left of a round; what stays longer is seen in the table."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        gc.collect()
        usage = native._usage()
        if usage["objects"] == usage["functions"] and usage["actors"] == 0:
            return
        time.sleep(0.005)


def growth(samples: list[list[float]]) -> list[tuple[float, float]]:
    """Of each row: the medians of the first and of the last third."""
    third = max(len(samples) // 3, 1)
    return [
        (statistics.median(s[row] for s in samples[:third]), statistics.median(s[row] for s in samples[-third:]))
        for row in range(len(ROWS))
    ]


def table(samples: list[list[float]], seconds: float) -> tuple[str, list[str]]:
    """The table, and the names of the rows that grew."""
    lines, grew = [f"{'':52}{'first':>10}{'last':>10}{'grows':>10}{'limit':>8}{'per hour':>10}"], []
    for row, (first, last) in zip(ROWS, growth(samples), strict=True):
        more = last - first
        wrong = more > row.limit
        if wrong:
            grew.append(row.name)
        hourly = more / (seconds * 2 / 3) * 3600 if seconds else 0.0
        name = f"{row.name}{', ' + row.unit if row.unit else ''}"
        lines.append(
            f"{name:52}{first:10.1f}{last:10.1f}{more:10.2f}{row.limit:8.1f}{hourly:10.1f}{'  GROWS' if wrong else ''}"
        )
    return "\n".join(lines), grew


def soak(seconds: float) -> tuple[str, list[str]]:
    """Runs for so long, and at least as many rounds as make a verdict. The table and what grew."""
    samples: list[list[float]] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="daybreak-soak-") as name:
        folder = Path(name)
        (folder / "spilled").mkdir()
        daybreak.init(num_cpus=2, object_store_memory=64 * _MIB, object_spilling_directory=folder / "spilled")
        try:
            door, _ = native._door()
            folders = [folder / "spilled", *([Path(door).parent] if door else [])]
            number = 0
            while True:
                load(number, folder)
                settled()
                number += 1
                passed = time.monotonic() - began
                if passed >= seconds * _WARM_UP and number > 2:
                    samples.append(measured(folders))
                if passed >= seconds and len(samples) >= _FEWEST:
                    break
        finally:
            daybreak.shutdown()
    text, grew = table(samples, time.monotonic() - began)
    return f"{number} rounds, {len(samples)} written down, in {time.monotonic() - began:.0f} s\n{text}", grew


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./dev test --soak", description=__doc__)
    parser.add_argument("--seconds", type=float, required=True)
    text, grew = soak(parser.parse_args(arguments).seconds)
    print(text)
    print(f"soak: {'flat' if not grew else 'grows: ' + '; '.join(grew)}")
    return 1 if grew else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
