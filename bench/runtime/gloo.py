"""torch.distributed with gloo, two processes of this machine."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from typing import Any

from bench.rows import Measure

REQUIREMENTS = ["torch==2.13.0", "numpy"]
ENV = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
QUICK = False
REDUCED_BYTES = 64 << 20
SWEEPS = 10


def member(rank: int, meeting: str, results: Any) -> None:
    import torch
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    array = torch.ones(REDUCED_BYTES // 4, dtype=torch.float32)
    dist.all_reduce(array)
    started = time.perf_counter()
    for _ in range(SWEEPS):
        dist.all_reduce(array)
    results.put((time.perf_counter() - started, float(array[-1])))
    dist.destroy_process_group()


def allreduce_64mib() -> Measure:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    with tempfile.TemporaryDirectory() as folder:
        processes = [context.Process(target=member, args=(rank, f"{folder}/meeting", results)) for rank in range(2)]
        for process in processes:
            process.start()
        done = [results.get(timeout=120) for _ in processes]
        for process in processes:
            process.join()
    return Measure(REDUCED_BYTES * SWEEPS / max(took for took, _ in done) / 1e9, done[0][1])
