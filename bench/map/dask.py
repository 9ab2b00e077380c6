REQUIREMENTS = ["distributed==2026.7.1"]
QUICK = False

import statistics  # noqa: E402
import time  # noqa: E402

from distributed import Client, LocalCluster  # noqa: E402

from bench.map import program  # noqa: E402
from bench.map.program import noop  # noqa: E402
from bench.rows import Measure  # noqa: E402

client: Client


def setup() -> None:
    global client
    cluster = LocalCluster(n_workers=program.CPUS, threads_per_worker=1, processes=True, dashboard_address=None)
    client = Client(cluster)
    client.gather(client.map(noop, range(10), pure=False))


def teardown() -> None:
    client.cluster.close()
    client.close()


def _noop(calls: int) -> Measure:
    calls = calls // 10 if QUICK else calls
    return Measure(program.us_each(lambda: client.gather(client.map(noop, range(calls), pure=False)), calls), "None")


def map_noop_chunk1() -> Measure:
    return _noop(2_000)


def map_one_call_ms() -> Measure:
    times = []
    for _ in range(20 if QUICK else 100):
        started = time.perf_counter()
        result = client.submit(program.magnitude, -7, pure=False).result()
        times.append(time.perf_counter() - started)
    return Measure(statistics.median(times) * 1e3, result)
