"""Rows that are no program against Ray's API: what goes to disk and comes back, collective operations, memory."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from bench.rows import Measure, Skip
from bench.runtime.disk import BYTES, drop_cache
from bench.runtime.gloo import REDUCED_BYTES, SWEEPS
from bench.runtime.program import Program

QUEUED = 1_000_000


def resident_bytes() -> int:
    """Of this process, pages of shared memory included: what it has touched."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Own(Program):
    def _spilled(self) -> tuple[Any, float, int]:
        """A reference to an object on disk, the seconds that writing it took, and its last element."""
        import numpy as np

        from daybreak._core import runtime as native

        self.start()
        array = np.arange(BYTES // 8, dtype=np.int64)
        ref = self.api.put(array)
        started = time.perf_counter()
        freed = native._spill(1)
        took = time.perf_counter() - started
        if freed < BYTES:
            raise Skip(f"{freed} bytes were spilled, not {BYTES}: is there a temporary folder to write to?")
        return ref, took, int(array[-1])

    def spill_gbps(self) -> Measure:
        ref, took, last = self._spilled()
        assert int(self.api.get(ref)[-1]) == last
        return Measure(BYTES / took / 1e9, last)

    def restore_gbps(self) -> Measure:
        from daybreak.runtime import state

        ref, _, last = self._spilled()
        folder = Path(state.status().spilled["folder"])
        path = folder / ref.hex()[16:]
        with path.open("rb") as file:
            drop_cache(file.fileno())
        started = time.perf_counter()
        array = self.api.get(ref)
        took = time.perf_counter() - started
        assert int(array[-1]) == last
        return Measure(BYTES / took / 1e9, last)

    def allreduce_64mib(self) -> Measure:
        self.start()

        class Member:
            def __init__(self, rank: int) -> None:
                from daybreak.util import collective

                collective.init_collective_group(2, rank)

            def sweeps(self, bytes_each: int, count: int) -> tuple[float, float]:
                import time

                import numpy as np
                from daybreak.util import collective

                array = np.ones(bytes_each // 4, dtype=np.float32)
                collective.allreduce(array)
                started = time.perf_counter()
                for _ in range(count):
                    collective.allreduce(array)
                return time.perf_counter() - started, float(array[-1])

        members = [self.api.remote(num_cpus=1)(Member).remote(rank) for rank in range(2)]
        done = self.api.get([member.sweeps.remote(REDUCED_BYTES, SWEEPS) for member in members])
        for member in members:
            self.api.kill(member)
        took = max(seconds for seconds, _ in done)
        return Measure(REDUCED_BYTES * SWEEPS / took / 1e9, done[0][1])

    def queued_task_bytes(self) -> Measure:
        count = QUEUED // 10 if self.quick else QUEUED
        api = self.api
        self.start()

        @api.remote
        def first(path: str) -> None:
            import os
            import time

            while not os.path.exists(path):
                time.sleep(0.01)

        @api.remote
        def after() -> None:
            pass

        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "gate")
            busy = [first.remote(path) for _ in range(2)]
            refs = [after.remote() for _ in range(1000)]
            before, last = resident_bytes(), -1
            while before != last:  # the store touches its own pages ahead, in the background
                time.sleep(0.5)
                before, last = resident_bytes(), before
            refs += [after.remote() for _ in range(count)]
            each = (resident_bytes() - before) / count
            Path(path).touch()
            api.get(busy)
            api.get(refs[-1])
        return Measure(each, None, {"queued": count})
