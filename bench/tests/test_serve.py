"""The load generator and the CPU clock of bench/serve, against servers whose answers are known."""

import ast
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench.serve import client, task


@contextmanager
def serving(answer: Callable[[int], tuple[int, dict[str, object]]]) -> Iterator[str]:
    """A server whose n-th answer `answer` gives."""
    lock, count = threading.Lock(), iter(range(1_000_000))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert sent == {"input": client.INPUT}
            with lock:
                status, said = answer(next(count))
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-LENGTH", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_every_request_is_timed_from_the_moment_at_which_it_was_meant_to_be_sent() -> None:
    def stalls(n: int) -> tuple[int, dict[str, object]]:
        if n == 10:
            time.sleep(1.0)
        return 200, {"output": 1, "default": False}

    with serving(stalls) as address:
        result = client.open_loop(address, "/", rate=50, seconds=2, connections=2)
    assert result["sent"] == result["answered"] == result["real"]
    # A client that waits for its answers would have seen the stall once or twice: here whatever came in that second has waited.
    assert result["latency_us"]["p99"] > 700_000 and result["latency_us"]["p50"] < result["latency_us"]["p99"]
    late = result["latency_us"]["max"]
    assert 900_000 < late < 5_000_000


def test_defaults_refusals_and_real_answers_are_told_apart() -> None:
    def mixed(n: int) -> tuple[int, dict[str, object]]:
        if n % 4 == 0:
            return 503, {"error": "busy"}
        if n % 4 == 1:
            return 200, {"output": 0, "default": True, "default_explanation": "overloaded"}
        return 200, {"output": 1, "default": False}

    with serving(mixed) as address:
        result = client.open_loop(address, "/", rate=200, seconds=1, connections=8)
    assert result["answered"] == result["sent"] > 100 and result["unanswered"] == result["errors"] == 0
    assert set(result["statuses"]) == {"200", "503"} and sum(result["statuses"].values()) == result["sent"]
    (defaults,) = result["defaults"].values()
    assert result["real"] + defaults + result["statuses"]["503"] == result["sent"]
    assert abs(result["real"] - result["sent"] / 2) < 12


def test_the_same_seed_gives_the_same_arrivals() -> None:
    with serving(lambda n: (200, {"output": 1, "default": False})) as address:
        sent = [
            client.open_loop(address, "/", rate=300, seconds=0.5, seed=seed, connections=4)["sent"]
            for seed in (7, 7, 8)
        ]
    assert sent[0] == sent[1] != sent[2]
    assert 90 < sent[0] < 220


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(RuntimeError, match="cannot connect to 127.0.0.1:1"):
        client.open_loop("127.0.0.1:1", "/", rate=10, seconds=0.1, connections=1)


def test_cpu_of_processes_below_counts() -> None:
    before = client.cpu_seconds()
    busy = "import sys, time\nwhile time.process_time() < 0.4: pass\nprint(flush=True)\nsys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdin is not None
        child.stdout.readline()
        used = client.cpu_seconds() - before
        child.stdin.close()
    assert 0.25 < used < 5


def test_every_row_is_measured_for_us_and_the_peers_offer_no_others() -> None:
    def names(peer: str) -> set[str]:
        text = (client.FOLDER / f"{peer}.py").read_text()
        tree = ast.parse(text)
        assigned = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
        flat = [name for target in assigned for name in (target.elts if isinstance(target, ast.Tuple) else [target])]
        defined = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        shared = set(client.HONEST) if "for name in client.HONEST})" in text else set()
        return {name.id for name in flat if isinstance(name, ast.Name)} | set(defined) | shared

    rows = {row.name for row in task.ROWS}
    assert rows <= names("ours")
    assert {"noop_http", "noop_http_cpu", "noop_http_p50_c1", "noop_native"} <= names("fastapi")
    assert {"noop_http_2", *client.HONEST} <= names("uvicorn_2")
    assert "slo_at_2x_overload" in names("ray_serve")
