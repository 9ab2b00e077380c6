"""What a model may give, and what its caller reads when it may not."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import fractions
import json
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from daybreak import rl, serve
from daybreak.base import errors
from daybreak.serve import results

Start = Callable[..., serve.Server]


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


Point = collections.namedtuple("Point", "x y")

# What is given for one input, and what the caller reads.
GOOD: dict[str, tuple[Any, Any]] = {
    "float32 in a dict": ({"p": np.float32(0.5)}, {"p": 0.5}),
    "numpy at any depth": (
        {"a": [np.int64(1), {"b": (np.bool_(True), np.array([[1, 2], [3, 4]], np.uint8))}]},
        {"a": [1, {"b": [True, [[1, 2], [3, 4]]]}]},
    ),
    "float16": (np.float16(0.5), 0.5),
    "an array": (np.array([1.5, 2], np.float32), [1.5, 2.0]),
    "a column-major matrix": (np.asfortranarray([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
    "an array of dimension 0": (np.array(3), 3),
    "an empty array": (np.array([]), []),
    "an array of text": ({"labels": np.array(["a", "b"])}, {"labels": ["a", "b"]}),
    "numpy keys": ({np.int64(3): 1, np.str_("k"): 2}, {"3": 1, "k": 2}),
    "a big integer": (2**70, 2**70),
    "big integers anywhere": ({"a": [2**70, -(2**70)]}, {"a": [2**70, -(2**70)]}),
    "uint64": (np.uint64(2**64 - 1), 2**64 - 1),
    "True": (True, True),
    "None": (None, None),
    "None in a dict": ({"a": None}, {"a": None}),
    "a tuple": ((1, 2.5, "x"), [1, 2.5, "x"]),
    "a named tuple": (Point(1, 2), [1, 2]),
    "a defaultdict": (collections.defaultdict(int, a=1), {"a": 1}),
    "enums": ({"c": Colour.RED, "l": Level.HIGH}, {"c": "red", "l": 3}),
    "Decimal": (decimal.Decimal("0.5"), 0.5),
    "Fraction": (fractions.Fraction(1, 4), 0.25),
    "text": ("Setosa", "Setosa"),
    "text of numpy": (np.str_("Setosa"), "Setosa"),
    "bytes that are text": ("é".encode(), "é"),
    "a column of pandas": (pd.Series([1.5, 2.5]), [1.5, 2.5]),
    "a column of Arrow": ({"c": pa.array([1, None])}, {"c": [1, None]}),
}  # fmt: skip

# What is given for one input, and what the explanation must say.
BAD: dict[str, tuple[Any, str]] = {
    "NaN": (math.nan, "nan has no form in JSON"),
    "NaN in a list": ([1.0, math.nan], r"result\[1\]=nan has no form in JSON"),
    "infinity in an array": ({"p": np.array([1, np.inf])}, r"result\['p'\]\[1\]=inf"),
    "a set": ({"p": {1, 2}}, r"result\['p'\].*a set has no order"),
    "complex": (1j, "complex"),
    "a date": (datetime.date(2026, 1, 2), "isoformat"),
    "dates of numpy": (np.array(["2026-01-02"], "M8[D]"), "astype"),
    "records": (np.zeros(2, [("a", int)]), "one array a field"),
    "bytes that are no text": (b"\xff\xfe", "base64"),
    "bytes in a dict": ({"b": b"x"}, "base64"),
    "an object": (object(), "a object.*has no form in JSON"),
    "keys that fall together": ({1: "a", "1": "b"}, "two keys"),
    "a key that is a tuple": ({(1, 2): 3}, "key"),
    "a frame": (pd.DataFrame({"a": [1]}), r"to_dict\('records'\)"),
    "a text with half a pair": ({"t": "\ud800"}, "no Unicode"),
    "half a pair alone": ("name\udcff.txt", "no Unicode"),
    "half a pair in a list": (["\ud800"], r"result\[0\].*no Unicode"),
    "a result beyond the limit": ("x" * 2_000_000, "2000000 bytes, over the limit of 1048576"),
    "an array beyond the limit": (np.zeros(1_000_000), "over the limit"),
}  # fmt: skip

# What is given for a batch of two inputs, and what the explanation must say.
BAD_BATCHES: dict[str, tuple[Any, str]] = {
    "a dict of two": ({"a": 1, "b": 2}, "a dict for 2 inputs, not a sequence of 2 results: return a list"),
    "a text of two": ("ab", "a str for 2 inputs"),
    "bytes of two": (b"ab", "a bytes for 2 inputs"),
    "a set of two": ({1, 2}, "a set for 2 inputs"),
    "keys": ({1: 1, 2: 2}.keys(), "a dict_keys for 2 inputs"),
    "a frame of two rows": (pd.DataFrame({"a": [1, 2], "b": [1, 2]}), r"DataFrame.*to_dict\('records'\)"),
    "a table of Arrow": (pa.table({"a": [1, 2]}), "Table.*to_pylist"),
    "None": (None, "None for 2 inputs"),
    "a number": (3, "an int for 2 inputs"),
    "an array of dimension 0": (np.array(3), "ndarray"),
    "one result": ([1], "1 result for 2 inputs"),
    "three results": ((1, 2, 3), "3 results for 2 inputs"),
    "three rows": (np.zeros((3, 2)), "3 results for 2 inputs"),
    "a generator": ("generator", r"a generator.*return list\(\.\.\.\)"),
    "a map": ("map", r"a map.*return list\(\.\.\.\)"),
}  # fmt: skip

GOOD_BATCHES: dict[str, tuple[Any, list[Any]]] = {
    "a list": ([1, 2], [1, 2]),
    "a tuple": (("a", 2), ["a", 2]),
    "an array": (np.array([1.5, 2.5]), [1.5, 2.5]),
    "rows": (np.array([[1, 2], [3, 4]], np.int8), [[1, 2], [3, 4]]),
    "an array of objects": (np.array([{"a": np.int8(1)}, None]), [{"a": 1}, None]),
    "an array of text": (np.array(["a", "b"]), ["a", "b"]),
    "a column of pandas": (pd.Series([1, 2], index=[7, 8]), [1, 2]),
    "an index of pandas": (pd.Index(["x", "y"]), ["x", "y"]),
    "a column of Arrow": (pa.array([1, None]), [1, None]),
    "a range": (range(2), [0, 1]),
    "a deque": (collections.deque([1, 2]), [1, 2]),
}  # fmt: skip


@pytest.fixture(scope="module")
def shared() -> Any:
    """One model that gives what the tables say, for the text that is asked."""
    server = serve.start(None, query_port=0, admin_port=0, metrics_port=0)
    tables = (GOOD, BAD, {}, BAD_BATCHES)

    def predict(inputs: list[str]) -> Any:
        table, name = inputs[0].split(":", 1)
        given = tables[int(table)][name][0]
        if table in "01":
            return [given for _ in inputs]
        return {"a generator": (x for x in inputs), "a map": map(len, inputs)}.get(name, given)

    server.deploy("m", predict, input_type="strings", default='"default"', slo_ms=20_000, batch_size=2)
    server.deploy("none", predict, input_type="strings", slo_ms=20_000, batch_size=2)
    yield server
    server.stop()


def _ask(server: serve.Server, caller: Any, app: str, value: Any) -> Any:
    body = {"input_batch": value} if isinstance(value, list) else {"input": value}
    headers = {"Content-Type": "application/json"}
    status, found, _ = caller(server).raw(
        server.query_address, "POST", f"/{app}/predict", json.dumps(body).encode(), headers
    )
    return status, json.loads(found)


@pytest.mark.parametrize("name", GOOD)
def test_result_arrives_as_what_it_is(shared: Any, caller: Any, name: str) -> None:
    status, answer = _ask(shared, caller, "m", f"0:{name}")
    wanted = GOOD[name][1]
    assert status == 200 and not answer["default"], answer
    assert answer["output"] == wanted and type(answer["output"]) is type(wanted)


@pytest.mark.parametrize("name", BAD)
def test_result_that_cannot_be_sent_says_why(shared: Any, caller: Any, name: str) -> None:
    status, answer = _ask(shared, caller, "m", f"1:{name}")
    assert status == 200 and answer["default"] and answer["output"] == "default"
    words = answer["default_explanation"]
    assert words.startswith("model_error: ")
    assert _matches(BAD[name][1], words), words


@pytest.mark.parametrize("name", GOOD_BATCHES)
def test_batch_of_results_is_any_sequence(name: str) -> None:
    given, wanted = GOOD_BATCHES[name]
    found = results.sequence_of(given, 2)
    assert len(found) == 2 and json.loads(results.json_of(list(found))) == wanted


@pytest.mark.parametrize("name", BAD_BATCHES)
def test_batch_that_is_no_sequence_of_its_length_is_refused_by_name(name: str) -> None:
    given, words = BAD_BATCHES[name]
    given = {"generator": (x for x in "ab"), "map": map(len, "ab")}.get(name.removeprefix("a "), given)
    with pytest.raises(errors.InvalidArgumentError, match=words):
        results.sequence_of(given, 2)


@pytest.mark.parametrize("name", [name for name in BAD_BATCHES if name != "one result"])
def test_batch_that_is_no_sequence_of_its_length_says_so_to_the_caller(shared: Any, caller: Any, name: str) -> None:
    _, answer = _ask(shared, caller, "m", f"3:{name}")
    assert answer["default"] and answer["output"] == "default"
    assert _matches(r"^model_error: the model gave .* for 1 input", answer["default_explanation"]), answer
    _, answer = _ask(shared, caller, "m", [f"3:{name}"] * 2)  # together or one by one
    for each in answer["batch_predictions"]:
        assert each["output"] == "default" and "the model gave" in each["default_explanation"], each


def test_app_without_a_default_says_why_in_its_503(shared: Any, caller: Any) -> None:
    status, answer = _ask(shared, caller, "none", "1:a result beyond the limit")
    assert status == 503 and answer["error"] == "model_error" and "over the limit" in answer["cause"]


def _matches(pattern: str, text: str) -> bool:
    return re.search(pattern, text) is not None


def test_results_of_medium_size_are_answered_in_large_batches_too(server: serve.Server, call: Any) -> None:
    server.deploy("embeds", lambda x: np.ones((len(x), 5_000)), batch="array", slo_ms=60_000, batch_size=1024)
    body = json.dumps({"input_batch": [[1.0]] * 900})  # 20 KB each, 18 MB together
    status, found, _ = call.raw(server.query_address, "POST", "/embeds/predict", body.encode())
    answers = json.loads(found)["batch_predictions"]
    assert status == 200 and len(answers) == 900
    assert all(not each["default"] and len(each["output"]) == 5_000 for each in answers)


class AsyncModel:
    def __init__(self) -> None:
        self.loops: set[int] = set()

    async def warm_up(self) -> None:
        import asyncio

        self.loops.add(id(asyncio.get_running_loop()))

    async def predict(self, inputs: Any) -> Any:
        import asyncio

        self.loops.add(id(asyncio.get_running_loop()))
        await asyncio.sleep(0)
        return [len(self.loops) for _ in inputs]


def test_async_model_answers(server: serve.Server, call: Any) -> None:
    async def predict(inputs: Any) -> Any:
        import asyncio

        await asyncio.sleep(0.001)
        return [float(x.sum()) for x in inputs]

    server.deploy("sums", predict, default="0", slo_ms=10_000)
    assert call.predict("sums", [1, 2.5])["output"] == 3.5
    server.deploy("loops", AsyncModel(), default="0", slo_ms=10_000)
    assert [call.predict("loops", [1])["output"] for _ in range(3)] == [1, 1, 1]


def test_model_that_cannot_answer_is_refused_when_it_is_deployed(server: serve.Server) -> None:
    def yields(inputs: Any) -> Any:
        yield from inputs

    async def streams(inputs: Any) -> Any:
        for x in inputs:
            yield x

    for model, words in ((yields, "is a generator.*return a list"), (streams, "async generator.*return a list")):
        with pytest.raises(errors.InvalidArgumentError, match=words):
            server.deploy("m", model, default="0")
    assert server.apps() == []


def test_exception_of_a_model_stays_in_its_log(server: serve.Server, call: Any) -> None:
    def fails(inputs: Any) -> Any:
        raise ValueError("secret of the model")

    server.deploy("m", fails, default="0", slo_ms=10_000)
    answer = call.predict("m", [1])
    assert answer["default_explanation"] == "model_error" and "secret" in server.logs("m")["1/0"]


@settings(max_examples=60, deadline=None)
@given(
    arrays(
        st.sampled_from([np.bool_, np.int8, np.uint8, np.int64, np.uint64, np.float16, np.float32, np.float64]),
        array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
    ),
    st.sampled_from(["C", "F", "reversed", "in a dict"]),
)
def test_array_of_any_type_and_order_is_its_list(array: Any, form: str) -> None:
    given_array = array.T if form == "F" else array[::-1] if form == "reversed" and array.ndim else array
    value = {"a": [given_array, 2**70]} if form == "in a dict" else given_array
    wanted = {"a": [given_array.tolist(), 2**70]} if form == "in a dict" else given_array.tolist()
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        with pytest.raises(errors.InvalidArgumentError, match="no form in JSON"):
            results.json_of(value)
    else:
        assert json.loads(results.json_of(value)) == wanted


def test_a_policy_answers_nothing_to_what_is_no_number_of_its_own(server: serve.Server, call: Any) -> None:
    policy = rl.PPO("CartPole-v1").policy
    server.deploy("pole", policy, default="-", slo_ms=5000)
    good = [0.1, 0.2, 0.03, 0.4]
    for far in (1e39, -1e39, 1e308):  # doubles, which are infinite as float32
        answer = call.predict("pole", [0.1, 0.2, far, 0.4])
        words = answer["default_explanation"]
        assert answer["default"] and words.startswith("model_error: input[2]=") and "finite numbers of float32" in words
    batch = json.dumps({"input_batch": [good, [1e39, 0.0, 0.0, 0.0], good]}).encode()
    answers = json.loads(call.raw(server.query_address, "POST", "/pole/predict", batch)[1])["batch_predictions"]
    assert [answer["default"] for answer in answers] == [False, True, False]  # a neighbour in the batch loses nothing
    assert answers[0]["output"] == policy.compute_action(good)
