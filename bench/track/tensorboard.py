"""TensorBoard's SummaryWriter, as torch has it: event files, written by a thread behind a queue."""

REQUIREMENTS = ["torch==2.13.0", "tensorboard==2.*", "numpy"]
QUICK = False

import shutil  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: E402
from torch.utils.tensorboard import SummaryWriter  # noqa: E402

from bench.rows import Measure, rate  # noqa: E402
from bench.track import workload  # noqa: E402

_folder = ""


def setup() -> None:
    global _folder
    _folder = tempfile.mkdtemp(prefix="tensorboard-bench-track-")


def teardown() -> None:
    shutil.rmtree(_folder)


def _kept(folder: str) -> list[tuple[int, float]]:
    events = EventAccumulator(folder, size_guidance={"scalars": 0})
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars("return")]


def log_metric_files() -> Measure:
    with SummaryWriter(f"{_folder}/rate") as writer:

        def thousand() -> None:
            for step in range(1000):
                writer.add_scalar("return", 3.2, step)

        value = rate(thousand, 0.3 if QUICK else 1.5, batch=1000)
    return Measure(value)


def log_metric_files_closed() -> Measure:
    folder = tempfile.mkdtemp(dir=_folder)
    started = time.perf_counter()
    with SummaryWriter(folder) as writer:
        for step in range(workload.FILE_POINTS):
            writer.add_scalar("return", float(step), step)
    took = time.perf_counter() - started
    kept = _kept(folder)
    return Measure(workload.FILE_POINTS / took, [len(kept), float(sum(value for _, value in kept))])
