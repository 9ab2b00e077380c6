"""A compute back end of Lithops for tests: hands each job to a worker half that runs here as the cloud would run it.

The driver halves of these clouds speak to fixed hosts of theirs; what they would send there goes to the worker's own door instead.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
import urllib.request
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType
from typing import Any

import lithops.constants
from lithops.version import __version__

SEND: list[Callable[[dict[str, Any]], Any]] = []  # how the test's worker is reached: its last one counts


class ServerlessBackend:
    def __init__(self, config: dict[str, Any], internal_storage: Any) -> None:
        self.name, self.type, self.config = "relay", "faas", config

    def deploy_runtime(self, name: str, memory: int, timeout: int) -> Any:
        return SEND[-1]({"get_metadata": True, "trigger": "https", "log_level": "INFO"})

    def invoke(self, name: str, memory: int, payload: dict[str, Any]) -> str:
        threading.Thread(target=SEND[-1], args=(payload,), daemon=True).start()
        return uuid.uuid4().hex

    def get_runtime_key(self, name: str, memory: int, version: str = __version__) -> str:
        return f"relay/{uuid.uuid4().hex}"

    def get_runtime_info(self) -> dict[str, Any]:
        names = ("runtime_memory", "runtime_timeout", "max_workers")
        return {"runtime_name": "relay", **{name: self.config[name] for name in names}}

    def clean(self, all: bool = False) -> None:
        pass


def install() -> None:
    if "relay" not in lithops.constants.SERVERLESS_BACKENDS:
        lithops.constants.SERVERLESS_BACKENDS += ("relay",)
    config = ModuleType("config")

    def load_config(data: dict[str, Any]) -> None:
        given = {
            "runtime_memory": 256,
            "runtime_timeout": 60,
            "max_workers": 1,
            "worker_processes": 1,
            "invoke_pool_threads": 8,
        }
        data["relay"] = {**given, **(data.get("relay") or {})}

    config.load_config = load_config  # type: ignore[attr-defined]
    sys.modules["lithops.serverless.backends.relay"] = sys.modules[__name__]
    sys.modules["lithops.serverless.backends.relay.config"] = config


def post(url: str, payload: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        url, json.dumps(payload, default=str).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.loads(answer.read() or b"null")


class LambdaHost:
    """AWS Lambda's Runtime API: a worker's runtime client asks for the next event, and posts what came of it."""

    def __init__(self) -> None:
        self.events: queue.Queue[tuple[str, dict[str, Any]]] = queue.Queue()
        self.answers: dict[str, queue.Queue[Any]] = {}
        host = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                number, event = host.events.get()
                data = json.dumps(event, default=str).encode()
                self.send_response(200)
                for name, value in (
                    ("Lambda-Runtime-Aws-Request-Id", number),
                    ("Lambda-Runtime-Deadline-Ms", "9999999999999"),
                    ("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:000000000000:function:test"),
                    ("Content-Type", "application/json"),
                    ("Content-Length", str(len(data))),
                ):
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def do_POST(self) -> None:
                body = self._body()
                parts = self.path.strip("/").split("/")
                if parts[-1] == "response":
                    host.answers[parts[-2]].put(json.loads(body))
                elif len(parts) > 2 and parts[-2] in host.answers:
                    host.answers[parts[-2]].put({"error": body.decode()})
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def _body(self) -> bytes:
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                parts = []
                while size := int(self.rfile.readline(), 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.server_port}"

    def send(self, payload: dict[str, Any]) -> Any:
        number = str(uuid.uuid4())
        answer = self.answers[number] = queue.Queue()
        self.events.put((number, payload))
        try:
            return answer.get(timeout=120)
        finally:
            del self.answers[number]
