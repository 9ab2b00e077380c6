"""The clients that every server here is measured with: `wrk` (closed loop) and `load.cc` (open loop), and the servers' CPU time.

Standard library only: each peer's own environment runs it.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.rows import Measure

FOLDER = Path(__file__).resolve().parent
INPUT = [3.5, 0.25, 0.125, 1.0, 2.0, 4.0, 8.0, 16.0]
BODY = json.dumps({"input": INPUT})
READY_S = 60.0

# The model of slo_at_2x_overload.
FIXED_S, EACH_S, MAX_BATCH, SLO_S = 0.002, 0.0005, 16, 0.050
GRACE_S = 0.005  # what p99.9 may be above the SLO


def program() -> str:
    """`load.cc`, compiled once for each version of it."""
    source = FOLDER / "load.cc"
    name = f"load-{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}"
    path = FOLDER.parent.parent / "out" / "bench" / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(f".{os.getpid()}")
        subprocess.run(["c++", "-O2", "-std=c++23", str(source), "-o", str(scratch)], check=True)
        scratch.rename(path)
    return str(path)


def open_loop(
    address: str, path: str, rate: float, seconds: float, seed: int = 1, connections: int = 512
) -> dict[str, Any]:
    """What `load` prints: Poisson arrivals at `rate`, each timed from its intended send."""
    host, port = address.rsplit(":", 1)
    command = [program(), host, port, path, BODY, str(rate), str(seconds), str(connections), "0.5", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60)
    if done.returncode != 0:
        raise RuntimeError(f"load ended with {done.returncode}: {done.stderr.strip()}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


LUA = """wrk.method = "POST"
wrk.body = [[%s]]
wrk.headers["Content-Type"] = "application/json"
%s
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\n{"requests": %%d, "us": %%d, "p50_us": %%.1f, "p99_us": %%.1f, "errors": %%d}\\n', summary.requests,
    summary.duration, latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
"""


def wrk(
    address: str,
    path: str,
    seconds: float,
    connections: int = 64,
    body: str = BODY,
    headers: dict[str, str] | None = None,
) -> dict[str, float]:
    """One run of wrk with one thread: rate (1/s), p50_us, p99_us, requests, errors (anything but a 2xx or 3xx)."""
    lines = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in (headers or {}).items())
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(LUA % (body, lines))
        script.flush()
        command = [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{max(1, round(seconds))}s",
            "-s",
            script.name,
            f"http://{address}{path}",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60)
    if done.returncode != 0:
        raise RuntimeError(f"wrk ended with {done.returncode}: {done.stderr.strip()}")
    result: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return {**result, "rate": result["requests"] / (result["us"] / 1e6)}


def ask(address: str, path: str, body: str = BODY, headers: dict[str, str] | None = None) -> Any:
    """One request; the JSON of its answer, whatever its status."""
    request = urllib.request.Request(
        f"http://{address}{path}", body.encode(), {"Content-Type": "application/json", **(headers or {})}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return {"status": error.code, "body": error.read(1000).decode(errors="replace")}


def cpu_seconds(root: int | None = None) -> float:
    """CPU seconds that this process (or `root`) and all below it have used, as /proc tells."""
    ticks: dict[int, float] = {}
    below: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path("/proc", entry, "stat").read_text()
            except OSError:
                continue
            fields = stat[stat.rindex(")") + 2 :].split()
            ticks[int(entry)] = int(fields[11]) + int(fields[12])
            below.setdefault(int(fields[1]), []).append(int(entry))
    todo, total = [os.getpid() if root is None else root], 0.0
    while todo:
        pid = todo.pop()
        total += ticks.get(pid, 0.0)
        todo += below.get(pid, [])
    return total / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@contextmanager
def process(command: list[str], address: str, path: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server as a child; ready when it answers."""
    child = subprocess.Popen([sys.executable, *command], stdout=sys.stderr)
    try:
        end = time.monotonic() + READY_S
        while True:
            try:
                ask(address, path)
                break
            except OSError:
                if child.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"{' '.join(command)} does not answer") from None
                time.sleep(0.05)
        yield child
    finally:
        child.terminate()
        child.wait(10)


HONEST = ["open_1k_p50", "open_1k_p99", "open_1k_p999", "open_4k_p50", "open_4k_p99", "open_4k_p999"]
HONEST += ["input_2mb", "model_5ms", "model_5ms_p99"]
BUSY_S = 0.005


@contextmanager
def fastapi(address: str, workers: int) -> Iterator[None]:
    """`fastapi_app.py` under uvicorn, on uvloop and httptools."""
    port = address.rsplit(":", 1)[1]
    command = ["-m", "uvicorn", "bench.serve.fastapi_app:app", "--app-dir", str(FOLDER.parent.parent), "--port", port]
    command += ["--workers", str(workers), "--loop", "uvloop", "--http", "httptools", "--log-level", "warning"]
    with process([*command, "--no-access-log"], address, "/noop/predict"):
        yield


class Rows:
    """The rows that all servers have, over an address and paths. `noop` is measured once a round for its three rows."""

    def __init__(self, address: str, path: str, quick: Callable[[], bool]) -> None:
        self.address, self.path, self.quick = address, path, quick
        self._loaded: dict[str, float] = {}
        self._open_loops: dict[int, dict[str, float]] = {}

    def _load(self) -> dict[str, float]:
        if not self._loaded:
            wrk(self.address, self.path, 1)
            before = cpu_seconds()
            result = wrk(self.address, self.path, 1 if self.quick() else 3)
            result["cpu_ms_per_1000"] = (cpu_seconds() - before) * 1e6 / result["requests"]
            self._loaded = result
        return self._loaded

    def _check(self) -> Any:
        answer = ask(self.address, self.path)
        return [answer.get("output"), answer.get("default")]

    def noop_http(self) -> Measure:
        result = self._load()
        return Measure(result["rate"], self._check(), result)

    def noop_http_cpu(self) -> Measure:
        result = self._load()
        return Measure(result["cpu_ms_per_1000"], self._check(), result)

    def _open(self, rate: int) -> dict[str, float]:
        """Poisson arrivals, each timed from the moment at which it was meant to be sent."""
        if rate not in self._open_loops:
            seconds = 2.0 if self.quick() else 5.0
            result = open_loop(self.address, self.path, rate, seconds, connections=64)
            if result["answered"] < result["sent"] or result["errors"]:
                raise RuntimeError(f"{result['sent'] - result['answered']} of {result['sent']} requests had no answer")
            self._open_loops[rate] = result["latency_us"]
        return self._open_loops[rate]

    def open_1k_p50(self) -> Measure:
        return Measure(self._open(1000)["p50"], self._check(), self._open(1000))

    def open_1k_p99(self) -> Measure:
        return Measure(self._open(1000)["p99"], self._check(), self._open(1000))

    def open_1k_p999(self) -> Measure:
        return Measure(self._open(1000)["p99.9"], self._check(), self._open(1000))

    def open_4k_p50(self) -> Measure:
        return Measure(self._open(4000)["p50"], self._check(), self._open(4000))

    def open_4k_p99(self) -> Measure:
        return Measure(self._open(4000)["p99"], self._check(), self._open(4000))

    def open_4k_p999(self) -> Measure:
        return Measure(self._open(4000)["p99.9"], self._check(), self._open(4000))

    def input_2mb(self) -> Measure:
        """A JSON list of doubles, 2 MB of text; the model answers with its first."""
        values = [i / 7 for i in range(2_000_000 // 19)]
        body = json.dumps({"input": values})
        answer = ask(self.address, self.path, body)
        wrk(self.address, self.path, 1, connections=4, body=body)
        result = wrk(self.address, self.path, 1 if self.quick() else 3, connections=4, body=body)
        if result["errors"]:
            raise RuntimeError(f"{result['errors']:.0f} errors with {len(body)} bytes")
        return Measure(result["rate"], answer.get("output"), {**result, "mb": len(body) / 1e6})

    def model_5ms(self) -> Measure:
        """A model that keeps a core busy for 5 ms an input."""
        path = self.path.replace("noop", "busy")
        wrk(self.address, path, 1, connections=8)
        result = wrk(self.address, path, 1 if self.quick() else 3, connections=8)
        if result["errors"]:
            raise RuntimeError(f"{result['errors']:.0f} errors")
        return Measure(result["rate"], ask(self.address, path).get("output"), result)

    def model_5ms_p99(self) -> Measure:
        path = self.path.replace("noop", "busy")
        wrk(self.address, path, 1, connections=8)
        result = open_loop(self.address, path, 150, 2.0 if self.quick() else 5.0, connections=64)
        return Measure(result["latency_us"]["p99"] / 1e3, None, result["latency_us"])

    def noop_http_p50_c1(self) -> Measure:
        wrk(self.address, self.path, 1, connections=1)
        result = wrk(self.address, self.path, 1 if self.quick() else 2, connections=1)
        return Measure(result["p50_us"], self._check(), result)


def overload(address: str, patient_path: str, path: str, quick: bool) -> Measure:
    """Capacity in a closed loop without a deadline, then twice as much in an open loop; medians of the runs. The capacity is the
    best of three measurements, one of them after the runs: a server that was still cold would else beat its own.

    The value is the share of the capacity that got real answers within the SLO and the grace. ``slack_ms`` is what p99.9 of all
    answers has left, ``answered`` the share of the requests that were answered at all.
    """
    runs, seconds = (1, 2.0) if quick else (5, 4.0)
    wrk(address, patient_path, 1)

    def closed() -> float:
        return wrk(address, patient_path, 1 if quick else 2)["rate"]

    capacity = max(closed(), closed())
    results = [open_loop(address, path, 2 * capacity, seconds, seed) for seed in range(1, runs + 1)]
    capacity = max(capacity, closed())

    def median(of: Callable[[dict[str, Any]], float]) -> float:
        return sorted(map(of, results))[runs // 2]

    p999_ms = median(lambda r: r["latency_us"]["p99.9"] / 1e3)
    info = {
        "capacity": capacity,
        "real_per_s": median(lambda r: r["real"] / r["seconds"]),
        "defaults_per_s": median(lambda r: sum(r["defaults"].values()) / r["seconds"]),
        "refused_per_s": median(lambda r: sum(n for s, n in r["statuses"].items() if s != "200") / r["seconds"]),
        "answered": min(r["answered"] / max(1, r["sent"]) for r in results),
        "p50_ms": median(lambda r: r["latency_us"]["p50"] / 1e3),
        "p99_ms": median(lambda r: r["latency_us"]["p99"] / 1e3),
        "p99.9_ms": p999_ms,
        "real_p99.9_ms": median(lambda r: r["real_latency_us"]["p99.9"] / 1e3),
        "slack_ms": (SLO_S + GRACE_S) * 1e3 - p999_ms,
    }
    return Measure(info["real_per_s"] / capacity, None, info)
