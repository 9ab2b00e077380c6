"""Our rows of objects that go to disk and come back."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from bench.rows import Measure, Skip
from bench.runtime.disk import BYTES, drop_cache
from bench.runtime.program import Program


class Spilling(Program):
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
