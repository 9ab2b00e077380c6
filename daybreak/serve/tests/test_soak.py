"""Under load for long, with versions switching: nothing grows. `./dev test --soak=600`; not a part of the tests otherwise."""

from __future__ import annotations

import json
import os
import statistics
import threading
import time
from http.client import HTTPConnection
from typing import Any

import pytest

from daybreak import serve

SECONDS = float(os.environ.get("DAYBREAK_SOAK", "0"))
CLIENTS = 4
WARM_UP = 0.2  # of the time: what is filled once may grow in it
MAX_GROWTH_MB = 16
MAX_SLOWER = 1.5  # of the median latency


def resident_mb(pid: int) -> float:
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))


def replica_pids(server: serve.Server) -> list[int]:
    return [replica["pid"] or 0 for model in server.models() for v in model["versions"] for replica in v["replicas"]]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(SECONDS <= 0, reason="takes as long as ./dev test --soak=SECONDS says")
@pytest.mark.timeout(SECONDS + 120)
def test_nothing_grows_under_load_while_versions_switch(server: serve.Server) -> None:
    for version in ("1", "2"):
        server.deploy("m", lambda xs: [float(x.sum()) for x in xs], version=version, default="-1", slo_ms=2000)
    stop = threading.Event()
    latencies: list[tuple[float, float]] = []
    wrong: list[Any] = []

    def load(number: int) -> None:
        host, port = server.query_address.split(":")
        connection = HTTPConnection(host, int(port), timeout=30)
        count = 0
        while not stop.is_set():
            size = (8, 300, 20_000)[count % 200 == 0 and 2 or count % 10 == 0]
            began = time.monotonic()
            connection.request("POST", "/m/predict", json.dumps({"input": [number] * size}))
            answer = json.loads(connection.getresponse().read())
            if size == 8 and count % 50 == 1:
                latencies.append((began, time.monotonic() - began))
            if answer.get("output") != number * size:
                wrong.append(answer)
            count += 1
            if count % 500 == 0:  # connections come and go
                connection.close()
                connection = HTTPConnection(host, int(port), timeout=30)

    clients = [threading.Thread(target=load, args=(i,)) for i in range(CLIENTS)]
    for client in clients:
        client.start()

    def measured() -> tuple[float, int]:
        """With one replica for each version, under load: memory of server and replica, descriptors."""
        server.scale("m", "1", 1)
        end = time.monotonic() + 10
        while (pids := replica_pids(server)) and (len(pids) != 2 or 0 in pids) and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(1)
        return resident_mb(os.getpid()) + max(resident_mb(pid) for pid in pids), descriptors()

    begin = time.monotonic()
    switches = 0
    early: tuple[float, int] | None = None
    while (passed := time.monotonic() - begin) < SECONDS:
        if early is None and passed > SECONDS * WARM_UP:
            early = measured()
        server.set_version("m", "12"[switches % 2])
        if switches % 20 == 10:
            server.scale("m", "1", 1 + switches // 20 % 3)
        switches += 1
        time.sleep(0.25)
    late = measured()
    stop.set()
    for client in clients:
        client.join()
    assert not wrong, wrong[:3]
    assert early is not None
    growth, files = late[0] - early[0], late[1] - early[1]
    split = begin + SECONDS * (WARM_UP + (1 - WARM_UP) / 2)
    before = statistics.median(took for at, took in latencies if begin + SECONDS * WARM_UP < at < split)
    after = statistics.median(took for at, took in latencies if at > split)
    print(
        f"\n{SECONDS:.0f} s: memory {growth:+.1f} MB, descriptors {files:+.0f}, "
        f"median latency {before * 1e3:.2f} -> {after * 1e3:.2f} ms, {switches} switches"
    )
    assert growth < MAX_GROWTH_MB and abs(files) <= 4 and after < MAX_SLOWER * before + 0.001
