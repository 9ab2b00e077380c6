"""The rows as one program of Modin's; only what `import ray` means differs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.rows import Measure, seconds

CPUS = 2
FRAME_ROWS = 400_000
APPLY_ROWS = 40_000  # a Python function a row: the rows are its cost


class Program:
    def __init__(self) -> None:
        self.quick = False
        self._folder = tempfile.TemporaryDirectory()
        self._frames: dict[tuple[int, int], Any] = {}

    def stop(self) -> None:
        import ray

        self._frames.clear()
        ray.shutdown()
        self._folder.cleanup()

    def _pandas(self, rows: int) -> Any:
        import numpy as np
        import pandas

        draw = np.random.default_rng(1)
        return pandas.DataFrame(
            {
                "key": draw.integers(0, 100, rows),
                "x": draw.integers(0, 1_000_000, rows),
                "y": draw.normal(size=rows).round(6),
                "z": draw.normal(size=rows).round(6),
            }
        )

    def _partitioned(self, partitions: int) -> Any:
        os.environ.setdefault("MODIN_ENGINE", "ray")
        os.environ.setdefault("MODIN_CPUS", str(CPUS))
        import modin.config
        import modin.pandas

        modin.config.NPartitions.put(partitions)
        return modin.pandas

    def _frame(self, partitions: int, rows: int) -> Any:
        pd = self._partitioned(partitions)
        key = (partitions, rows)
        if key not in self._frames:
            frame = self._frames[key] = pd.DataFrame(self._pandas(rows))
            made = frame._query_compiler._modin_frame._partitions.shape[0]
            assert made == partitions, f"{made} partitions, {partitions} expected"
        return self._frames[key]

    def _timed(self, call: Callable[[], Any], check: Callable[[Any], Any]) -> Measure:
        result = check(call())  # the first one makes the workers import pandas
        return Measure(seconds(call, 1 if self.quick else 3), check=result)

    def _groupby(self, partitions: int) -> Measure:
        frame = self._frame(partitions, FRAME_ROWS)
        return self._timed(
            lambda: frame.groupby("key").sum()._to_pandas(),
            lambda done: [*map(int, done["x"]), *(round(float(y), 3) for y in done["y"])],
        )

    def _apply(self, partitions: int) -> Measure:
        frame = self._frame(partitions, APPLY_ROWS)
        return self._timed(
            lambda: frame.apply(lambda row: row["x"] % 7 + row["key"], axis=1)._to_pandas(),
            lambda done: [len(done), float(done.sum())],
        )

    def _read_csv(self, partitions: int) -> Measure:
        pd = self._partitioned(partitions)
        from modin.utils import execute

        path = Path(self._folder.name, "frame.csv")
        if not path.exists():
            self._pandas(FRAME_ROWS).to_csv(path, index=False)

        def read() -> Any:
            frame = pd.read_csv(path)
            execute(frame)
            return frame

        return self._timed(read, lambda done: [*done.shape, int(done["x"].sum())])

    def modin_groupby(self) -> Measure:
        return self._groupby(1000)

    def modin_apply(self) -> Measure:
        return self._apply(1000)

    def modin_read_csv(self) -> Measure:
        return self._read_csv(1000)

    def modin_groupby_2(self) -> Measure:
        return self._groupby(CPUS)

    def modin_apply_2(self) -> Measure:
        return self._apply(CPUS)

    def modin_read_csv_2(self) -> Measure:
        return self._read_csv(CPUS)
