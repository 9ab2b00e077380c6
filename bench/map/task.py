"""Map: what a call costs beside its function. Peers: executors of concurrent.futures, Lithops on this machine, dask.distributed."""

from bench.rows import Row

ROWS = [
    Row(
        "map_noop_chunk1",
        "us",
        "lower",
        "a call of a function that does nothing, by map, where a peer's chunk is one call (20,000 calls; Lithops, dask: fewer)",
        must=20,
    ),
    Row(
        "map_noop_chunked",
        "us",
        "lower",
        "a call of a function that does nothing, 100,000 by one map; a peer's chunks are 64 calls, ours as it finds them",
        must=1,
    ),
    Row(
        "map_one_call_ms",
        "ms",
        "lower",
        "one call and its result, the workers being there (median)",
        must=1000,
    ),
    Row(
        "map_arrays_1mb",
        "ms",
        "lower",
        "a call that gets an array of 1 MB and gives one of 1 MB, by one map of 1,000 calls",
        must=5,
        rounds=3,
    ),
    Row("joblib_batch1", "us", "lower", "a call by joblib.Parallel(batch_size=1), 5,000 calls", must=10),
    Row("executor_submit", "us", "lower", "a call by submit(), 10,000 futures, then their results", must=20, rounds=3),
    Row(
        "map_result_bytes",
        "bytes",
        "lower",
        "memory of the driver for each call that waits, 1,000,000 by one map (ProcessPoolExecutor: 100,000)",
        must_value=64,
        fresh=True,
        rounds=3,
    ),
]
PEERS = ["pool", "lithops", "loky", "dask"]  # a row's first peer is the first that offers it
