"""Clients as they are: names of this machine, old HTTP, what curl, wget and Python's clients send."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daybreak import serve
from daybreak.base import errors

Start = Callable[..., serve.Server]
BODY = b'{"input": [1, 2.5]}'


def sums(inputs: Any) -> list[float]:
    return [float(x.sum()) for x in inputs]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of a server with the app `sums`."""
    server = serve.start(
        None, query_port=0, admin_port=0, metrics_port=0, host="localhost", origins=["https://friend.example"]
    )
    server.deploy("sums", sums, default="0", slo_ms=20_000)
    yield server.query_address
    server.stop()


def raw(address: str, text: bytes) -> bytes:
    """What the server says to these bytes until it closes."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), 10) as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        heard = b""
        while part := connection.recv(65536):
            heard += part
    return heard


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1"])
def test_names_and_addresses_of_loopback_need_no_tls(start: Start, host: str) -> None:
    try:
        family, kind, proto, _, where = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        socket.socket(family, kind, proto).bind(where)
    except OSError as error:
        pytest.skip(f"{host} is no address of this machine: {error}")
    server = start(host=host)
    server.deploy("sums", sums, default="0", slo_ms=20_000)
    for url in {
        server.query_address,
        f"{f'[{host}]' if ':' in host else host}:{server.query_address.rpartition(':')[2]}",
    }:
        request = urllib.request.Request(f"http://{url}/sums/predict", BODY)
        assert json.load(urllib.request.urlopen(request, timeout=20))["output"] == 3.5


def test_host_that_is_not_loopback_alone_needs_tls_and_a_gate(start: Start) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1"):
        with pytest.raises(errors.InvalidArgumentError, match="tls and gate are not given"):
            start(host=host)
    with pytest.raises(errors.InvalidArgumentError, match="'no.such.name.invalid' is no address.*tls and gate are"):
        start(host="no.such.name.invalid")
    with pytest.raises(errors.InvalidArgumentError, match="host="):
        start(host=b"127.0.0.1")


def test_health_checks_of_http_1_0_without_a_host_are_answered(address: str) -> None:
    assert raw(address, b"GET /healthz HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 OK")
    assert raw(address, b"HEAD /sums/ready HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 OK")
    assert raw(address, b"OPTIONS / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 204")  # HAProxy's
    length = b"Content-Length: %d\r\n" % len(BODY)
    assert b'"output":3.5' in raw(address, b"POST /sums/predict HTTP/1.0\r\n" + length + b"\r\n" + BODY)


def test_preflight_of_an_accepted_page_lets_it_ask_and_read(address: str) -> None:
    connection = http.client.HTTPConnection(address, timeout=20)
    page = {"Origin": "https://friend.example"}
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    connection.request("OPTIONS", "/sums/predict", headers=page | asks)
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (204, b"")
    assert answer.getheader("Access-Control-Allow-Origin") == "https://friend.example"
    assert "POST" in str(answer.getheader("Access-Control-Allow-Methods"))
    assert answer.getheader("Access-Control-Allow-Headers") == "content-type"
    connection.request("POST", "/sums/predict", BODY, page)
    answer = connection.getresponse()
    assert json.load(answer)["output"] == 3.5
    assert answer.getheader("Access-Control-Allow-Origin") == "https://friend.example"
    connection.request("OPTIONS", "/sums/predict", headers={"Origin": "https://evil.example"} | asks)
    answer = connection.getresponse()
    assert answer.status == 403 and answer.getheader("Access-Control-Allow-Origin") is None


def test_forms_of_http_that_clients_use(address: str) -> None:
    end = b"Host: " + address.encode() + b"\r\nConnection: close\r\n"
    length = b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    chunked = (
        b"tRANSFER-eNCODING: chunked\r\n\r\n5\r\n" + BODY[:5] + b"\r\ne;x=y\r\n" + BODY[5:] + b"\r\n0\r\nT: 1\r\n\r\n"
    )
    for form in (
        b"POST /sums/predict HTTP/1.1\r\n" + end + length,
        b"POST /sums/predict/ HTTP/1.1\r\n" + end.lower() + length.replace(b"Content-Length", b"CONTENT-LENGTH"),
        b"POST /sums/predict?x=1 HTTP/1.1\r\n" + end + length,
        b"POST http://" + address.encode() + b"/sums/predict HTTP/1.1\r\n" + end + length,
        b"\r\nPOST /sums/predict HTTP/1.1\r\n" + end + length,
        b"POST /sums/predict HTTP/1.1\r\n" + end + b"Expect: 100-continue\r\n" + length,
        b"POST /sums/predict HTTP/1.1\r\n" + end + b"Content-Type: application/x-www-form-urlencoded\r\n" + length,
        b"POST /sums/predict HTTP/1.1\r\n" + end + chunked,
    ):
        assert b'"output":3.5' in raw(address, form), form


def test_requests_of_one_connection_in_a_row_are_answered_in_a_row(address: str) -> None:
    one = b"POST /sums/predict HTTP/1.1\r\nHost: %b\r\nContent-Length: %d\r\n\r\n%b" % (
        address.encode(),
        len(BODY),
        BODY,
    )
    last = one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
    heard = raw(address, one * 20 + last)
    assert heard.count(b'"output":3.5') == 21 and heard.count(b"HTTP/1.1 200 OK") == 21


@pytest.mark.parametrize(
    "options",
    [
        "-d BODY",
        "-d BODY -H Content-Type:application/json",
        "--http1.0 -d BODY",
        "-H Expect:100-continue -d BODY",
        "-H Transfer-Encoding:chunked -d BODY",
        "--data-binary BODY --compressed",
        "-X POST -d BODY -L",
        "-d BODY --request-target http://ADDRESS/sums/predict",
    ],
)
def test_curl_is_answered(address: str, options: str) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    words = [BODY.decode() if word == "BODY" else word.replace("ADDRESS", address) for word in options.split()]
    done = subprocess.run(
        ["curl", "-sS", "-m", "20", "--noproxy", "*", *words, f"http://{address}/sums/predict"], capture_output=True
    )
    assert json.loads(done.stdout)["output"] == 3.5, done


def test_wget_is_answered(address: str) -> None:
    if shutil.which("wget") is None:
        pytest.skip("wget is not installed")
    url = f"http://{address}/sums/predict"
    done = subprocess.run(
        ["wget", "-q", "--no-proxy", "-O", "-", f"--post-data={BODY.decode()}", url], capture_output=True, timeout=30
    )
    assert json.loads(done.stdout)["output"] == 3.5, done


def test_requests_is_answered(address: str) -> None:
    requests = pytest.importorskip("requests")
    url = f"http://{address}/sums/predict"
    with requests.Session() as session:
        session.trust_env = False
        for _ in range(3):
            assert session.post(url, json={"input": [1, 2.5]}, timeout=20).json()["output"] == 3.5
        assert session.post(url, data=iter([BODY[:5], BODY[5:]]), timeout=20).json()["output"] == 3.5
        assert session.head(f"http://{address}/healthz", timeout=20).ok
        allowed = session.options(url, timeout=20)
        assert allowed.status_code == 204 and allowed.headers["Allow"] == "POST, OPTIONS"


def test_relative_state_directory_stays_where_it_was(
    start: Start, caller: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    server = start("state")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    os.chdir(elsewhere)
    server.deploy("sums", sums, default="0", slo_ms=20_000)
    assert caller(server).predict("sums", [1, 2.5])["output"] == 3.5
    server.scale("sums", None, 2)
    assert not list(elsewhere.iterdir()) and list((tmp_path / "state" / "models").iterdir())
    server.stop()
    os.chdir(tmp_path)
    server = start("state")
    assert server.wait_ready(30) and caller(server).predict("sums", [1, 2.5])["output"] == 3.5


def test_program_that_forgets_to_stop_its_server_ends_well() -> None:
    program = (
        "from daybreak import serve\n"
        "server = serve.start(query_port=0, admin_port=0, metrics_port=0)\n"
        "server.deploy('m', lambda x: [0 for _ in x], default='0')\n"
        "other = serve.start(query_port=0, admin_port=0, metrics_port=0)\n"
        "print(server.query_address, flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith("127.0.0.1:") and not done.stderr


def test_numbers_of_numpy_are_numbers_and_are_kept(start: Start, caller: Any, tmp_path: Path) -> None:
    import numpy as np

    server = start(tmp_path / "s", ready_timeout_s=np.float32(30))
    server.deploy(
        "sums",
        sums,
        version=np.int64(3),
        slo_ms=np.float32(20_000),
        default=np.float64(0.5),
        replicas=np.int64(1),
        batch_size=np.int32(4),
        lineage={"seed": np.int64(7), "scores": np.array([0.5])},
    )
    server.scale("sums", "3", np.int64(2))
    server.stop()
    server = start(tmp_path / "s")
    assert server.wait_ready(30) and caller(server).predict("sums", [1, 2.5])["output"] == 3.5
    (version,) = server.models()[0]["versions"]
    assert version["version"] == "3" and version["lineage"] == {"seed": 7, "scores": [0.5]}
    assert len(version["replicas"]) == 2 and server.apps()[0]["slo_ms"] == 20_000
    for wrong in (np.bool_(True), True, 1.5, "2", np.array([1, 2])):
        with pytest.raises(errors.InvalidArgumentError, match="number of replicas"):
            server.scale("sums", "3", wrong)


def test_state_directory_below_home_is_no_folder_named_tilde(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path)
    assert start("~/state").state_dir == str(tmp_path / "home" / "state")
    assert not (tmp_path / "~").exists()
    for wrong in ("", "file:///x", "a\0b"):
        with pytest.raises(errors.InvalidArgumentError, match="state_dir"):
            start(wrong)
