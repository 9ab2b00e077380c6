"""What models and callers do wrong: every request is answered, and the server goes on."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from daybreak import net, serve


def replica(server: serve.Server) -> dict[str, Any]:
    [model] = server.models()
    found: dict[str, Any] = model["versions"][0]["replicas"][0]
    return found


def post(call: Any, body: bytes, path: str = "/m/predict") -> tuple[int, Any]:
    status, answer, _ = call.raw(call.server.query_address, "POST", path, body)
    return status, json.loads(answer)


def test_a_replica_killed_in_the_middle_of_a_batch_loses_no_request(
    server: serve.Server, call: Any, tmp_path: Path
) -> None:
    began = tmp_path / "began"

    def predict(inputs: Any) -> Any:
        with began.open("a") as file:
            file.write(f"{os.getpid()}\n")
        first = began.read_text().split()[0]
        if str(os.getpid()) == first:
            time.sleep(30)  # until it is killed
        return [float(x[0]) for x in inputs]

    server.deploy("m", predict, default="-1", slo_ms=20_000)
    answers: list[Any] = []
    asked = [threading.Thread(target=lambda i=i: answers.append((i, call.predict("m", [i])))) for i in range(8)]
    for thread in asked:
        thread.start()
    while not began.exists() or not began.read_text():
        time.sleep(0.005)
    time.sleep(0.05)
    os.kill(int(began.read_text().split()[0]), signal.SIGKILL)
    for thread in asked:
        thread.join()
    assert sorted((i, answer["output"], answer["default"]) for i, answer in answers) == [
        (i, float(i), False) for i in range(8)
    ]


def test_an_input_that_kills_two_replicas_is_given_up_and_others_are_answered(
    server: serve.Server, call: Any, tmp_path: Path
) -> None:
    deaths = tmp_path / "deaths"

    def predict(inputs: Any) -> Any:
        if any(x[0] == 13 for x in inputs):
            with deaths.open("a") as file:
                file.write("x")
            os._exit(3)
        return [1 for _ in inputs]

    server.deploy("m", predict, default="-1", slo_ms=20_000, batch_size=1)
    answer = call.predict("m", [13])
    assert answer["default"] and answer["default_explanation"] == "model_error" and answer["output"] == -1
    assert deaths.read_text() == "xx"  # once, and once again
    assert call.predict("m", [1])["output"] == 1


def test_bad_results_become_defaults_and_the_next_ones_are_right(server: serve.Server, call: Any) -> None:
    def predict(inputs: Any) -> Any:
        kind = int(inputs[0][0])
        if kind == 0:
            return ["x" * 100_000_000] * len(inputs)
        if kind == 1:
            return [1] * (len(inputs) + 1)
        if kind == 2:
            return [math.nan] * len(inputs)
        if kind == 3:
            raise ValueError("no\x00\n" + "y" * 100_000)
        if kind == 4:
            return None
        if kind == 5:
            return "text"
        if kind == 6:
            return [object()] * len(inputs)
        if kind == 7:
            return [[1, math.inf]] * len(inputs)
        if kind == 8:
            return [b"\xff\xfe"] * len(inputs)
        return [kind] * len(inputs)

    server.deploy("m", predict, default="-1", slo_ms=20_000, batch_size=1)
    for kind in range(9):
        answer = call.predict("m", [kind])
        # What it raises is for its log alone.
        wanted = "model_error" if kind == 3 else answer["default_explanation"]
        assert answer["status"] == 200 and answer["default_explanation"] == wanted, (kind, answer)
        assert answer["output"] == -1 and wanted.startswith("model_error"), (kind, answer)
    assert call.predict("m", [9])["output"] == 9
    assert "ValueError" in server.logs("m")["1/0"]


def test_a_replica_that_hangs_costs_its_requests_their_answer_and_nobody_elses(server: serve.Server, call: Any) -> None:
    def predict(inputs: Any) -> Any:
        if inputs[0][0] == 1:
            time.sleep(8)
        return [7 for _ in inputs]

    server.deploy("m", predict, default="-1", slo_ms=1000, replicas=2, batch_size=1)
    began = time.monotonic()
    hung = call.predict("m", [1])
    assert hung["default"] and 0.9 < time.monotonic() - began < 5
    answers = [call.predict("m", [0]) for _ in range(20)]
    assert sum(answer["output"] == 7 for answer in answers) >= 19, answers  # by the other one


@pytest.mark.parametrize(
    "body",
    [
        b'{"input":[1e400]}',
        b'{"input":[-1e400]}',
        b'{"input":[NaN]}',
        b'{"input":[Infinity]}',
        b'{"input":[123456789012345678901234567890e999999999]}',
        b'{"input":"\xff\xfe"}',
        b'{"\xff":1,"input":[1]}',
        b"\xff\xfe\x00",
        b'{"input":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"x":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b',"input":[1]}',
        b'{"input_batch":[' + b",".join([b"[1]"] * 100_000) + b"]}",
        b'{"input":[1],"version":"../../etc/passwd"}',
        b"",
        b"null",
    ],
    ids=lambda body: body[:24].decode(errors="replace"),
)
def test_bad_bodies_are_400_with_a_cause(server: serve.Server, call: Any, body: bytes) -> None:
    if not server.apps():
        server.deploy("m", lambda inputs: [1 for _ in inputs], default="-1", slo_ms=20_000)
    status, answer = post(call, body)
    assert status == 400 and answer["error"] in ("Json error", "Query processing error") and answer["cause"], answer
    assert len(answer["cause"]) < 1000
    assert post(call, b'{"input":[1]}')[1]["output"] == 1


def test_a_batch_of_many_thousand_is_answered_whole(server: serve.Server, call: Any) -> None:
    server.deploy("m", lambda xs: xs[:, 0].tolist(), batch="array", default="-1", slo_ms=20_000)
    body = json.dumps({"input_batch": [[i, 0] for i in range(10_000)]}).encode()
    status, answer = post(call, body)
    assert status == 200
    results = answer["batch_predictions"]
    assert [result["output"] for result in results] == list(range(10_000))
    assert not any(result["default"] for result in results)


@pytest.mark.parametrize(
    "path", ["/../m/predict", "/m/../../etc/passwd", "/%2e%2e/predict", "//m/predict", "/m%2fpredict"]
)
def test_paths_mean_what_they_say(server: serve.Server, call: Any, path: str) -> None:
    server.deploy("m", lambda inputs: [1 for _ in inputs], default="-1", slo_ms=20_000)
    assert post(call, b'{"input":[1]}', path)[0] == 404


def test_a_name_that_was_bound_to_this_address_gets_nothing(server: serve.Server, call: Any) -> None:
    server.deploy("m", lambda inputs: [1 for _ in inputs], default="-1", slo_ms=20_000)
    for address in (server.query_address, server.admin_address, server.metrics_address):
        for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example"):
            status, _, _ = call.raw(address, "GET", "/metrics", b"", {"Host": host})
            assert status == 421, (address, host)
    status, _, headers = call.raw(
        server.query_address, "POST", "/m/predict", b'{"input":[1]}', {"Origin": "http://evil.example"}
    )
    assert status == 403 and "access-control-allow-origin" not in headers


def test_a_websocket_that_floods_is_closed_and_others_are_served(server: serve.Server, call: Any) -> None:
    server.deploy("m", lambda inputs: [1 for _ in inputs], default="-1", slo_ms=20_000)
    host, port = server.query_address.split(":")
    flood = net.WebSocketClient(host, int(port), "/m/predict")
    with pytest.raises(Exception, match="."):
        for _ in range(200_000):
            flood.send('{"input":[1]}')
        while True:
            flood.receive()
    assert flood.close_code in (1008, 0, 1006)
    calm = net.WebSocketClient(host, int(port), "/m/predict")
    calm.send('{"id":1,"input":[1]}')
    assert json.loads(calm.receive())["output"] == 1
    calm.close()


def test_half_a_request_does_not_hold_the_others_up(server: serve.Server, call: Any) -> None:
    server.deploy("m", lambda inputs: [1 for _ in inputs], default="-1", slo_ms=20_000)
    host, port = server.query_address.split(":")
    halves = [socket.create_connection((host, int(port))) for _ in range(50)]
    for half in halves:
        half.sendall(b'POST /m/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{"input":')
    assert call.predict("m", [1])["output"] == 1
    for half in halves:
        half.close()


def test_kept_views_of_large_inputs_stay_what_they_were(server: serve.Server, call: Any) -> None:
    kept: list[Any] = []

    def predict(inputs: Any) -> Any:
        kept.extend(inputs)
        return [float(sum(x[0] for x in kept))] * len(inputs)

    server.deploy("m", predict, default="-1", slo_ms=20_000, batch_size=1)
    total = 0.0
    for i in range(1, 6):
        total += i
        assert call.predict("m", [float(i)] * 20_000)["output"] == total  # 160 kB each: a view


def test_inputs_cannot_be_written_to(server: serve.Server, call: Any) -> None:
    def predict(inputs: Any) -> Any:
        return [bool(x.flags.writeable) for x in inputs]

    server.deploy("m", predict, default="-1", slo_ms=20_000)
    assert call.predict("m", [1.0])["output"] is False
    assert call.predict("m", [1.0] * 20_000)["output"] is False


def test_more_than_can_be_answered_in_time_is_refused_at_once_and_all_are_answered(
    server: serve.Server, call: Any
) -> None:
    def predict(inputs: Any) -> Any:
        time.sleep(0.02)
        return [1 for _ in inputs]

    server.deploy("m", predict, default="-1", slo_ms=200, batch_size=2)
    server.add_app("strict", input_type="doubles", default="-1", slo_ms=200, overload="503")
    server.link("strict", "m")
    for _ in range(10):
        call.predict("m", [1])
    outcomes: list[tuple[Any, float]] = []

    def ask(app: str) -> None:
        for _ in range(6):
            began = time.monotonic()
            answer = call.predict(app, [1])
            outcomes.append(
                (answer.get("default_explanation") or answer.get("error") or "answered", time.monotonic() - began)
            )

    threads = [threading.Thread(target=ask, args=("m" if i % 2 else "strict",)) for i in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 64 * 6  # never silence
    reasons = {reason for reason, _ in outcomes}
    assert {"answered", "overloaded"} <= reasons, reasons
    metrics = call.raw(server.metrics_address, "GET", "/metrics")[1].decode()
    assert 'daybreak_serve_inputs_total{app="m",outcome="overloaded"}' in metrics
