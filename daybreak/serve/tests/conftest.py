"""What the tests of this room share: a server on free ports, and HTTP to it."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daybreak import serve


class Caller:
    """Speaks HTTP to a server; answers are (status, JSON or text)."""

    def __init__(self, server: serve.Server) -> None:
        self.server = server
        self.token = Path(server.admin_token_file).read_text().strip()

    def raw(
        self, address: str, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection(address, timeout=30)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()

    def admin(self, path: str, body: Any = None, method: str = "POST", token: str | None = None) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {token or self.token}", "Content-Type": "application/json"}
        status, found, _ = self.raw(self.server.admin_address, method, path, data, headers)
        return status, _parsed(found)

    def basic(self, path: str, body: Any) -> tuple[int, Any]:
        secret = base64.b64encode(f"token:{self.token}".encode()).decode()
        headers = {"Authorization": f"Basic {secret}", "Content-Type": "application/json"}
        status, found, _ = self.raw(self.server.admin_address, "POST", path, json.dumps(body).encode(), headers)
        return status, _parsed(found)

    def predict(self, app: str, value: Any, **more: Any) -> dict[str, Any]:
        body = json.dumps({"input": value, **more}).encode()
        headers = {"Content-Type": "application/json"}
        status, found, _ = self.raw(self.server.query_address, "POST", f"/{app}/predict", body, headers)
        answer: dict[str, Any] = {"status": status, **json.loads(found)}
        return answer


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode()


@pytest.fixture
def start() -> Iterator[Callable[..., serve.Server]]:
    """Starts servers on free ports; all are stopped after the test."""
    servers: list[serve.Server] = []

    def made(state_dir: Path | None = None, **options: Any) -> serve.Server:
        server = serve.start(state_dir, query_port=0, admin_port=0, metrics_port=0, **options)
        servers.append(server)
        return server

    yield made
    for server in servers:
        server.stop()


@pytest.fixture
def server(start: Callable[..., serve.Server]) -> serve.Server:
    return start()


@pytest.fixture
def call(server: serve.Server) -> Caller:
    return Caller(server)


@pytest.fixture
def caller() -> type[Caller]:
    return Caller
