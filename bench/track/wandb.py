"""Weights & Biases, offline: runs in files, written by its service."""

REQUIREMENTS = ["wandb==0.*"]
ENV = {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_CONSOLE": "off", "WANDB_ERROR_REPORTING": "false"}
QUICK = False

import shutil  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402

import wandb  # noqa: E402

from bench.rows import Measure, rate  # noqa: E402
from bench.track import workload  # noqa: E402

_folder = ""


def setup() -> None:
    global _folder
    _folder = tempfile.mkdtemp(prefix="wandb-bench-track-")


def teardown() -> None:
    wandb.teardown()
    shutil.rmtree(_folder, ignore_errors=True)


def log_metric_files() -> Measure:
    with wandb.init(project="bench", dir=_folder, save_code=False) as run:
        value = rate(lambda: run.log({"return": 3.2}), 0.3 if QUICK else 1.5, warm_up=20)
    return Measure(value)


def log_metric_files_closed() -> Measure:
    started = time.perf_counter()
    with wandb.init(project="bench", dir=_folder, save_code=False) as run:
        began = time.perf_counter()
        for step in range(workload.FILE_POINTS):
            run.log({"return": float(step)}, step=step)
    took = time.perf_counter() - began
    return Measure(workload.FILE_POINTS / took, None, {"init_s": began - started})
