"""What users of other servers reported, tried here. Each case names the public report that it comes from."""

from __future__ import annotations

import http.client
import json
import math
import socket
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from daybreak import serve
from daybreak.base import errors

Start = Callable[..., serve.Server]


class Many:
    """One model for all cases: the input says which."""

    def __init__(self, cases: dict[str, Any]) -> None:
        self.cases = cases

    def predict(self, inputs: list[str]) -> Any:
        return self.cases[inputs[0]](inputs)


# What a model gives for one input, and the output that is read, or the words of the refusal.
CASES: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "pallets/flask#4012, numpy/numpy#18994: float32 in a dict": (lambda x: [{"value": np.float32(0.5)}], {"value": 0.5}),
    "fastapi/fastapi#1733: a dict of scalars of numpy": (
        lambda x: [{"label": np.str_("cat"), "score": np.float32(0.25), "ok": np.bool_(True)}],
        {"label": "cat", "score": 0.25, "ok": True},
    ),
    "ucbrise/clipper#552: a double of numpy": (lambda x: [np.double(len(x))], 1.0),
    "ucbrise/clipper#552: the input itself": (lambda x: [x[0]], "ucbrise/clipper#552: the input itself"),
    "ucbrise/clipper#117: one of a thousand classes": (lambda x: np.array([999]), 999),
    "ucbrise/clipper#575: predictions for a frame": (
        lambda x: pd.Series([0.5 for _ in x], name="prediction"),
        0.5,
    ),
    "ray-project/ray#9441: an array": (lambda x: [np.ones((2, 2))], [[1.0, 1.0], [1.0, 1.0]]),
    "bentoml/BentoML#4052: an array of rows": (lambda x: np.ones((1, 3)), [1.0, 1.0, 1.0]),
    "pytorch/serve#1304: NaN in a dict": (lambda x: [{"number": math.nan}], "nan has no form in JSON"),
    "pytorch/serve#632, #1094, #2849: a large response": (lambda x: ["x" * 15_615_479], "15615479 bytes, over the limit"),
    "awslabs/multi-model-server#762: a large list of arrays": (lambda x: [[np.zeros(400_000)]], "over the limit"),
    "bentoml/BentoML#1593, #2291: fewer results": (lambda x: [], "0 results for 1 input: return one for each"),
    "aws/amazon-sagemaker-examples#3525: one result for three": (lambda x: [1, 2, 3], "3 results for 1 input"),
    "ray-project/ray#8315: no list": (lambda x: 5, "an int for 1 input, not a sequence of 1 result"),
    "bentoml/BentoML#802: a generator": (lambda x: (i for i in x), r"a generator for 1 input"),
    "a frame for a batch": (lambda x: pd.DataFrame({"a": [1]}), "to_dict('records')"),
}  # fmt: skip


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = serve.start(None, query_port=0, admin_port=0, metrics_port=0, origins=["http://localhost:3000"])
    server.deploy(
        "m",
        Many({name: give for name, (give, _) in CASES.items()}),
        input_type="strings",
        default="null",
        slo_ms=20_000,
    )
    yield server.query_address
    server.stop()


@pytest.mark.parametrize("report", CASES)
def test_result_that_others_lost_arrives_or_says_why(address: str, report: str) -> None:
    connection = http.client.HTTPConnection(address, timeout=30)
    connection.request("POST", "/m/predict", json.dumps({"input": report}))
    answer = json.load(connection.getresponse())
    wanted = CASES[report][1]
    if answer["default"]:
        assert isinstance(wanted, str) and wanted in answer["default_explanation"], answer
    else:
        assert answer["output"] == wanted


def test_page_of_another_port_may_ask(address: str) -> None:
    """pytorch/serve#1740, kserve/kserve#1902, tensorflow/serving#1817"""
    connection = http.client.HTTPConnection(address, timeout=30)
    page = {"Origin": "http://localhost:3000"}
    for method in ("POST", "PUT", "DELETE"):
        connection.request("OPTIONS", "/m/predict", headers=page | {"Access-Control-Request-Method": method})
        answer = connection.getresponse()
        assert answer.status == 204 and not answer.read()
        allowed = str(answer.getheader("Access-Control-Allow-Methods")).split(", ")
        assert (method in allowed) == (method != "PUT")  # nothing here takes PUT
    connection.request("GET", "/healthz", headers=page)
    answer = connection.getresponse()
    assert answer.read() and answer.getheader("Access-Control-Allow-Origin") == page["Origin"]


def test_server_listens_on_an_address_of_ipv6(start: Start) -> None:
    """triton-inference-server/server#5305"""
    try:
        socket.socket(socket.AF_INET6).bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    server = start(host="::1")
    connection = http.client.HTTPConnection(server.query_address, timeout=20)
    connection.request("GET", "/healthz")
    assert connection.getresponse().status == 200


def test_session_of_onnxruntime_is_refused_with_the_way_out(server: serve.Server, tmp_path: Any) -> None:
    """microsoft/onnxruntime#643, #7846, #10786"""
    onnxruntime = pytest.importorskip("onnxruntime")
    from daybreak import rl

    path = rl.PPO("CartPole-v1").policy.to_onnx(tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for model in (session, lambda rows: session.run(None, {"x": rows})):
        with pytest.raises(errors.InvalidArgumentError, match="InferenceSession"):
            server.deploy("m", model)
