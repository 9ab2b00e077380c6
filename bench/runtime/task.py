"""The verbs of the runtime beside Ray, and beside what else runs Python functions in other processes."""

from __future__ import annotations

from bench.rows import Row
from bench.runtime.metg import PATTERNS

PEERS = ["ray", "pool", "loky", "monarch", "mpi4py", "disk", "gloo"]

ROUNDS = 3


def _rate(name: str, what: str, must: float, goal: float | None = None) -> Row:
    return Row(name, "calls/s", "higher", what, must=must, goal=goal, rounds=ROUNDS)


def _metg(percent: int, graph: str) -> Row:
    what = f"METG: the smallest task at which both cores spend {percent}% of their time in user code; graph: {graph}"
    return Row(f"metg_{percent}_{graph}", "us", "lower", what, rounds=ROUNDS, against="best")


def _latency(name: str, what: str, must: float) -> Row:
    return Row(name, "us", "lower", what, must=must, rounds=ROUNDS)


ROWS = [
    _rate("tasks_sync", "get(f.remote()), result b'ok'", 80, 500),
    _rate("tasks_pipelined", "1,000 tasks in flight, no arguments", 300, 1000),
    _rate("tasks_pipelined_args", "the same with a list, a dict and a 1 KB bytes argument", 150, 300),
    _rate("actor_sync", "calls of one method of one actor, one at a time", 40, 300),
    _rate("actor_pipelined", "the same, 1,000 in flight", 150, 500),
    _rate("actor_sync_8kb", "with an 8 KB numpy array as argument, one at a time", 40, 200),
    _rate("async_actor_sync", "calls of an async method of one actor, each an asyncio.Task, one at a time", 20),
    _rate("async_actor_pipelined", "the same, 1,000 in flight", 40),
    _rate("generator_items", "items of a streaming generator, each fetched as it comes", 50),
    _rate("nested_tasks", "one task submits 1,000 and gets them", 100, 300),
    _rate("put_small", "put(0)", 300, 1000),
    _rate("get_small", "get of a small object", 100, 500),
    Row(
        "put_800mib_first",
        "GB/s",
        "higher",
        "the first put of an 800 MiB array after init",
        3,
        rounds=ROUNDS,
        fresh=True,
    ),
    Row("put_800mib", "GB/s", "higher", "warm puts of an 800 MiB array", 1.2, rounds=ROUNDS, theirs="best"),
    Row(
        "spill_gbps",
        "GB/s",
        "higher",
        "a 512 MiB object is written to disk, with a checksum; the peer: the same bytes, write and fdatasync",
        0.8,
        rounds=ROUNDS,
    ),
    Row(
        "restore_gbps",
        "GB/s",
        "higher",
        "get of that object from disk, nothing of its file in memory; the peer: a read of such a file",
        0.8,
        rounds=ROUNDS,
    ),
    Row(
        "allreduce_64mib",
        "GB/s",
        "higher",
        "the sum of a 64 MiB float32 array of each of two processes, in both; the peer: torch.distributed with gloo",
        2,
        rounds=ROUNDS,
    ),
    Row(
        "queued_task_bytes",
        "B",
        "lower",
        "memory that one of a million queued tasks takes, its reference in the driver included",
        must_value=300,
        rounds=ROUNDS,
        fresh=True,
    ),
    Row(
        "env_two_versions_cold",
        "s",
        "lower",
        "two tasks with two versions of a package, in environments that are made for them; empty caches",
        2,
        rounds=ROUNDS,
        fresh=True,
    ),
    Row(
        "env_two_versions_warm",
        "s",
        "lower",
        "an actor in each of these environments, which are there: a new process and its first result",
        10,
        rounds=ROUNDS,
        fresh=True,
    ),
    Row("wait_1k", "rounds/s", "higher", "wait one by one over 1,000 references", 100, 250, rounds=ROUNDS),
    Row("get_10k_refs", "gets/s", "higher", "get of an object that holds 10,000 references", 30, 150, rounds=ROUNDS),
    Row(
        "init_to_first_result",
        "s",
        "lower",
        "init and the first task, import untimed",
        40,
        100,
        rounds=ROUNDS,
        fresh=True,
    ),
    Row(
        "worker_idle_pss",
        "MB",
        "lower",
        "memory of a worker (PSS), cloudpickle and numpy loaded",
        must=4,
        must_value=12,
        rounds=ROUNDS,
        fresh=True,
    ),
    _rate("tasks_sync_contended", "tasks_sync beside one other busy process", 10),
    _latency("tasks_after_idle_p50", "a call after 1 ms of silence, median", 40),
    _latency("tasks_after_idle_p99", "the same, 99th percentile", 10),
    *[_metg(percent, graph) for graph in PATTERNS for percent in (50, 95)],
]
