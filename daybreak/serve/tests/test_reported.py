"""What users of other servers reported, tried here. Each case names the public report that it comes from."""

from __future__ import annotations

import gzip
import http.client
import json
import math
import socket
import struct
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
    "Lightning-AI/LitServe#506: what has a length is no batch": (
        lambda x: type("Scores", (), {"__len__": lambda self: 1})(),
        "a Scores for 1 input, not a sequence of 1 result",
    ),
    "Lightning-AI/LitServe#340: an exception in place of one result": (
        lambda x: [ValueError("no such file")],
        "result=ValueError('no such file') (a ValueError) has no form in JSON",
    ),
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


# The head and the body of a request, and the status that is right.
BODY = b'{"input":"x"}'
REQUESTS: dict[str, tuple[bytes, bytes, int]] = {
    "mlflow/mlflow#22095: a proxy's port in Host": (b"Host: localhost:5000", BODY, 200),
    "mlflow/mlflow#22095: no port in Host": (b"Host: 127.0.0.1", BODY, 200),
    "triton-inference-server/server#2643: no content type": (b"Content-Length: 13", BODY, 200),
    "a form's type, which curl -d sends by itself": (
        b"Content-Type: application/x-www-form-urlencoded",
        BODY,
        200,
    ),
    "triton-inference-server/server#8770: ten thousand chunks of a byte": (
        b"Transfer-Encoding: chunked",
        b"1\r\n \r\n" * 10_000 + b"d\r\n" + BODY + b"\r\n0\r\n\r\n",
        200,
    ),
    "a mark of byte order": (b"Content-Length: 16", b"\xef\xbb\xbf" + BODY, 200),
    "a body that is packed": (b"Content-Encoding: gzip", gzip.compress(BODY), 415),
    "a body that is not packed, and says so": (b"Content-Encoding: identity", BODY, 200),
    "one input twice": (b"Content-Length: 25", b'{"input":"x","input":"y"}', 400),
}


@pytest.mark.parametrize("report", REQUESTS)
def test_request_that_others_mistook_is_answered_or_refused_by_name(address: str, report: str) -> None:
    head, body, status = REQUESTS[report]
    if b"Host" not in head:
        head += b"\r\nHost: " + address.encode()
    if b"chunked" not in head and b"Content-Length" not in head:
        head += b"\r\nContent-Length: %d" % len(body)
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(b"POST /m/predict HTTP/1.1\r\nConnection: close\r\n" + head + b"\r\n\r\n" + body)
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    if status == 415:
        assert b"without Content-Encoding" in answer and b"Accept-Encoding: identity" in answer
    if status == 400:
        assert b"is there twice" in answer


# The body of a request to a model that gives back what it gets, and the answer's output, or what the refusal says.
BODIES: dict[str, tuple[str, bytes, Any]] = {
    "Rizzo-AI-Academy/rizzo-flow#3, MemMachine#211: NaN": ("doubles", b'{"input":[NaN]}', "no finite number"),
    "granite-tsfm#238: nan, as Python prints it": ("doubles", b'{"input":[nan,1]}', "no finite number"),
    "MemMachine#211: Infinity": ("doubles", b'{"input":[-Infinity]}', "no finite number"),
    "a number beyond doubles": ("doubles", b'{"input":[1e400]}', "no finite number"),
    "a number beyond 32 bits": ("floats", b'{"input":[1e39]}', "no finite number"),
    "awslabs/multi-model-server#1022: a quote is missing": ("strings", b'{"input": "I missed}', "the body is no JSON"),
    "triton-inference-server/server#3119: text for numbers": ("doubles", b'{"input":["1"]}', "no finite number"),
    "triton-inference-server/server#3119: rows for one": ("doubles", b'{"input":[[1]]}', "no finite number"),
    "triton-inference-server/server#1649: another's form": ("doubles", b'{"inputs":[{"shape":[-1]}]}', "neither"),
    "ray-project/ray#47317: no body": ("doubles", b"", "the body is no JSON"),
    "half of a character beyond 16 bits": ("strings", b'{"input":"\\ud800"}', "the body is no JSON"),
    "bytes that are no UTF-8": ("strings", b'{"input":"\xe9"}', "not valid UTF-8"),
    "two documents": ("doubles", b'{"input":[1]}{"input":[2]}', "the body is no JSON"),
    "a whole number beyond 32 bits": ("integers", b'{"input":[2147483648]}', "no 32-bit integer"),
    "a truth for a number": ("integers", b'{"input":[true]}', "no 32-bit integer"),
    "-0": ("doubles", b'{"input":[-0.0, 1e-400]}', [-0.0, 0.0]),
    "the largest double": ("doubles", b'{"input":[1.7976931348623157e308]}', [1.7976931348623157e308]),
    "a character beyond 16 bits, as escapes": ("strings", b'{"input":"\\ud83d\\ude00\\u0000"}', "😀\0"),
    "no numbers at all": ("doubles", b'{"input":[]}', []),
}  # fmt: skip


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    server = serve.start(None, query_port=0, admin_port=0, metrics_port=0)
    for kind in ("doubles", "floats", "integers", "strings"):
        same = (lambda inputs: list(inputs)) if kind == "strings" else (lambda inputs: [x.tolist() for x in inputs])
        server.deploy(kind, same, input_type=kind, default="null", slo_ms=20_000)
    yield server.query_address
    server.stop()


@pytest.mark.parametrize("report", BODIES)
def test_input_that_brought_others_down_is_a_400_or_arrives(echo: str, report: str) -> None:
    kind, body, wanted = BODIES[report]
    connection = http.client.HTTPConnection(echo, timeout=30)
    connection.request("POST", f"/{kind}/predict", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    found = json.loads(answer.read())
    if answer.status == 200:
        assert found["output"] == wanted and repr(found["output"]) == repr(wanted)
    else:
        assert answer.status == 400 and isinstance(wanted, str) and wanted in found["cause"], found


@pytest.mark.parametrize(
    ("line", "status"),
    [  # zenml-io/zenml#4816 and ChicagoBoss#132: HEAD of a health check; ray-project/ray#47317: GET of what takes POST alone
        ("HEAD /healthz HTTP/1.1", 200),
        ("HEAD /healthz HTTP/1.0", 200),
        ("GET /healthz?at=1 HTTP/1.1", 200),
        ("HEAD /m/predict HTTP/1.1", 405),
        ("GET /m/predict HTTP/1.1", 405),
        ("GET / HTTP/1.1", 404),
        ("GET /m/../healthz HTTP/1.1", 404),
        ("PRI * HTTP/2.0", 505),
    ],
)
def test_health_check_of_any_kind_is_answered_and_closes(address: str, line: str, status: int) -> None:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(f"{line}\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
        head, _, body = b"".join(iter(lambda: connection.recv(65_536), b"")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status) and (not body) == line.startswith("HEAD"), head
    # javaee/grizzly#985, restlet#317: a head alone, or an answer to HTTP/1.0, that announces chunks
    assert b"chunked" not in head and (status != 405 or b"Allow: POST" in head)


def test_client_that_waits_for_a_word_before_its_body_gets_it(address: str) -> None:
    """curl sends `Expect: 100-continue` with what is large, and waits a second for an answer."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        head = f"POST /m/predict HTTP/1.1\r\nHost: {address}\r\nExpect: 100-continue\r\nContent-Length: 13\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(BODY)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")


def test_client_that_leaves_after_the_status_line_harms_nobody(address: str) -> None:
    """yaoweibin/nginx_upstream_check_module#171: a health check that closes at once."""
    host, _, port = address.rpartition(":")
    for _ in range(50):
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
            connection.sendall(f"GET /healthz HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
            connection.recv(8)
    connection = http.client.HTTPConnection(address, timeout=20)
    connection.request("GET", "/healthz")
    assert connection.getresponse().status == 200


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


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"origins": "http://localhost:3000"},
            r"origins='http://localhost:3000': a list is meant, such as origins=\['http",
        ),
        ({"origins": ["http://localhost:3000/"]}, "matches nothing: what a browser sends is meant"),
        ({"origins": ["localhost:3000"]}, "matches nothing: what a browser sends is meant"),
        ({"origins": ["http://Localhost"]}, "in lower case, without a path"),
        ({"origins": ["https://*.example"]}, r"origins: 'https://\*\.example' matches nothing: .*; '\*' is for all"),
        ({"origins": [5]}, "origins: 5 matches nothing"),
        ({"hosts": "models.example"}, r"a list is meant, such as hosts=\['models.example'\]"),
        ({"hosts": ["https://models.example"]}, "a name or an address is meant"),
        ({"hosts": None}, "hosts=None: a list is meant"),
    ],
)
def test_page_or_name_that_could_never_match_is_refused(options: Any, words: str) -> None:
    """AKVorrat/dearmep#340, keycloak/keycloak#25522: a slash at the end; adamchainz/django-cors-headers#339: a text for a list;
    mailcow/mailcow-dockerized#7346: no scheme. Each was taken, and no page was ever let in."""
    with pytest.raises(errors.InvalidArgumentError, match=words):
        serve.start(None, query_port=0, admin_port=0, metrics_port=0, **options)


def test_names_and_pages_that_are_meant_are_taken(start: Start) -> None:
    pages = ["*", "null", "http://localhost:3000", "https://friend.example", "moz-extension://a-b", "http://[::1]:80"]
    server = start(origins=pages, hosts=("*", "Models.example:8000", "[::1]", "10.0.0.1"))
    connection = http.client.HTTPConnection(server.query_address, timeout=20)
    connection.request("GET", "/healthz", headers={"Origin": "http://localhost:3000", "Host": "models.example"})
    answer = connection.getresponse()
    assert answer.status == 200 and answer.getheader("Access-Control-Allow-Origin") in ("*", "http://localhost:3000")


def test_default_and_lineage_of_no_form_are_refused_by_their_names(server: serve.Server) -> None:
    for options, words in (
        ({"default": math.nan}, "^default=nan has no form in JSON"),
        ({"default": {1}}, "^default={1}"),
        ({"lineage": {1, 2}}, "^lineage must be a mapping, not set"),
        ({"lineage": {"a": {1}}}, r"lineage\['a'\]={1}"),
    ):
        with pytest.raises(errors.InvalidArgumentError, match=words):
            server.deploy("m", lambda inputs: inputs, **options)
