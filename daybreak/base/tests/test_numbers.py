"""Numbers and flags from Python: every kind that libraries hand out, taken as what it is or refused by name."""

import array
import collections
import dataclasses
import enum
import math
import pathlib
import subprocess
import sys
import types
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest

from daybreak.base.numbers import flag, integer, integers, plain, real, reals

REALS = [np.float16, np.float32, np.float64, np.longdouble]
INTS = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64]


class Color(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    HIGH = 3


class Word(enum.StrEnum):
    TANH = "tanh"


class Index:
    def __init__(self, value: Any) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


class Float:
    def __float__(self) -> float:
        return 2.0


class LyingInt(int):
    def __int__(self) -> int:
        return 99

    def __str__(self) -> str:
        return "ninety-nine"


def ones(one: Any) -> list[Any]:
    """A number in every guise."""
    numpys = [kind(one) for kind in INTS + REALS]
    arrays = [np.array(one), np.array([one]), np.array([[one]], np.float32), np.array(one, object)]
    return [one, float(one), LyingInt(one), Decimal(one), Fraction(one), Index(one), *numpys, *arrays]


@pytest.mark.parametrize(
    "value", ones(1) + [True, np.bool_(True), np.array(True), np.array([True]), Color.RED, 0.5, -1]
)
def test_every_truthy_scalar_is_a_true_flag(value: Any) -> None:
    assert flag(value, "terminated") is True


@pytest.mark.parametrize("value", ones(0) + [False, np.bool_(False), np.array([False]), -0.0])
def test_every_zero_is_a_false_flag(value: Any) -> None:
    assert flag(value, "terminated") is False


@pytest.mark.parametrize(
    "value",
    [None, "True", "", b"1", [], [True], {}, (), np.array([True, False]), np.array([]), math.nan, np.float32("nan")]
    + [object(), 1j, np.complex64(1), np.datetime64("2020-01-01"), Decimal("NaN"), Decimal("sNaN"), np.ma.masked, {1}],
)
def test_what_is_no_scalar_is_no_flag_and_the_refusal_says_its_name(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^terminated=.* is no flag"):
        flag(value, "terminated")


@pytest.mark.parametrize("value", [*ones(3), Level.HIGH, 3.0])
def test_a_whole_number_in_every_guise_is_an_int(value: Any) -> None:
    found = integer(value, "n")
    assert found == 3 and type(found) is int


@pytest.mark.parametrize(
    "value",
    [
        0.5,
        np.float32(0.5),
        np.array([0.5]),
        Decimal("0.1"),
        Fraction(1, 3),
        math.nan,
        math.inf,
        np.longdouble("inf"),
        3 + 0j,
    ]
    + [
        "3",
        b"3",
        None,
        True,
        np.bool_(True),
        np.array([1, 2]),
        [3],
        np.complex128(3),
        Decimal("NaN"),
        np.timedelta64(3),
    ]
    + [Float, Index, Index("x"), np.array(["3"]), np.array([(3,)], dtype=[("a", int)]), np.ma.array([3], mask=[True])],
)
def test_what_is_no_whole_number_is_refused_by_its_name(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^seed=.*is no whole number"):
        integer(value, "seed")


def test_a_whole_number_out_of_range_names_the_range() -> None:
    assert integer(2**64 - 1, "seed", minimum=0, maximum=2**64 - 1) == 2**64 - 1
    assert integer(np.uint64(2**64 - 1), "seed") == 2**64 - 1
    for value in (-1, 2**64, 1e300):
        with pytest.raises(ValueError, match=r"seed=-?\d+ is not from 0 to 18446744073709551615"):
            integer(value, "seed", minimum=0, maximum=2**64 - 1)
    with pytest.raises(ValueError, match="n=0 is below 1"):
        integer(np.int8(0), "n", minimum=1)


@pytest.mark.parametrize("value", [*ones(2), Float(), Decimal("2.0"), np.array([[[2.0]]])])
def test_a_number_in_every_guise_is_a_float(value: Any) -> None:
    found = real(value, "reward")
    assert found == 2.0 and type(found) is float


def test_a_flag_is_a_number_and_decimals_and_fractions_are_the_nearest_float() -> None:
    assert [real(x, "x") for x in (True, np.bool_(False), Decimal("0.1"), Fraction(1, 3), np.float32(0.1))] == [
        1.0,
        0.0,
        0.1,
        1 / 3,
        0.10000000149011612,
    ]
    assert math.isnan(real(np.float16("nan"), "x")) and real(Decimal("Infinity"), "x") == math.inf


@pytest.mark.parametrize(
    "value",
    ["1", b"1", None, 1j, np.complex64(1), np.array([1 + 0j]), [1.0], np.array([1.0, 2.0]), {}, np.datetime64(0, "ns")]
    + [10**400, Fraction(10**400), Decimal("1e400"), np.longdouble("1e400"), Decimal("sNaN"), np.ma.masked],
)
def test_what_is_no_number_or_too_large_for_one_is_refused_by_its_name(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^reward="):
        real(value, "reward")


def test_a_number_that_is_not_finite_or_out_of_range_is_refused_where_it_matters() -> None:
    for value in (math.nan, -math.inf, np.float32("inf")):
        with pytest.raises(ValueError, match="lr=.* is not finite"):
            real(value, "lr", finite=True)
    with pytest.raises(ValueError, match="gamma=1.5 is not from 0 to 1"):
        real(1.5, "gamma", minimum=0, maximum=1)
    with pytest.raises(ValueError, match="gamma=nan is not from 0 to 1"):
        real(math.nan, "gamma", minimum=0, maximum=1)


@pytest.mark.parametrize(
    "values",
    [[1, 2], (1.0, 2), np.array([1, 2], np.uint64), np.array([1.0, 2.0], np.float16), [np.int8(1), Decimal(2)]]
    + [range(1, 3), np.array([1, 2], object), np.array([0, 1, 9, 2], np.int16)[1::2], array.array("q", [1, 2])],
)
def test_many_whole_numbers_are_one_int64_array(values: Any) -> None:
    found = integers(values, "step")
    assert found.tolist() == [1, 2] and found.dtype == np.int64


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([0.5, 1.5], r"step\[0\]=0.5"),
        (np.array([1.0, 1.5], np.float32), r"step\[1\]=1.5 \(a float32\) is no whole number"),
        (np.array([1, 2**63], np.uint64), r"step\[1\]=9223372036854775808 is not from"),
        ([1, 2**63], r"step\[1\]=9223372036854775808 is not from"),
        (np.array([1.0, 2.0**63]), r"step\[1\]=9223372036854775808 is not from"),
        (np.array([[1, 2], [3, np.nan]]), r"step\[1\]\[1\]=.*nan"),
        (np.array([1j]), r"step\[0\]="),
        (np.array([True]), r"step\[0\]="),
        (["1"], r"step\[0\]='1'"),
        ([[1], [2, 3]], r"step\[0\]=\[1\]"),
        (np.array(["2020-01-01"], "datetime64[D]"), r"step\[0\]="),
    ],
)
def test_the_first_of_many_that_is_no_whole_number_is_named_by_its_place(values: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        integers(values, "step")


def test_many_numbers_are_one_float64_array_and_complex_ones_are_refused() -> None:
    assert reals([1, np.float32(0.5), Decimal("0.25"), True], "loss").tolist() == [1.0, 0.5, 0.25, 1.0]
    assert reals(np.ones((2, 3), ">f4").T, "loss").shape == (3, 2)
    assert reals([], "loss").shape == (0,)
    for wrong in (np.array([1, 1j]), ["1"], [None], np.array([np.longdouble("1e400")])):
        with pytest.raises(ValueError, match=r"loss\[\d\]="):
            reals(wrong, "loss")
    with pytest.raises(ValueError, match=r"loss\[1\]=nan is not finite"):
        reals([1.0, math.nan], "loss", finite=True)


Pair = collections.namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.longdouble(0.5), 0.5),
        (np.array(7), 7),
        (np.array([64, 64], np.int16), [64, 64]),
        (np.zeros((2, 1), np.float16), [[0.0], [0.0]]),
        (np.arange(6, dtype=">i4").reshape(2, 3).T, [[0, 3], [1, 4], [2, 5]]),
        (np.array(["cat", "dog"]), ["cat", "dog"]),
        (np.array(["cat", 2, np.float32(0.5)], object), ["cat", 2, 0.5]),
        ({"p": [np.float32(0.5), (np.int8(1), {"q": np.array([True])})]}, {"p": [0.5, [1, {"q": [True]}]]}),
        ({1: 2, np.int64(3): 4, Word.TANH: 5}, {"1": 2, "3": 4, "tanh": 5}),
        (collections.OrderedDict(a=collections.deque([1])), {"a": [1]}),
        (types.MappingProxyType({"a": 1}), {"a": 1}),
        (Pair(1, np.int8(2)), [1, 2]),
        (range(3), [0, 1, 2]),
        ([Color.RED, Level.HIGH, Word.TANH], [1, 3, "tanh"]),
        (LyingInt(5), 5),
        (np.str_("a"), "a"),
        (pathlib.Path("/tmp/x"), "/tmp/x"),
        (Decimal("0.1"), 0.1),
        (Decimal("3"), 3),
        (Fraction(1, 2), 0.5),
        (Index(3), 3),
        (None, None),
    ],
)
def test_a_value_is_the_same_value_of_plain_types(value: Any, expected: Any) -> None:
    def kinds(x: Any) -> Any:
        return (
            {k: kinds(v) for k, v in x.items()} if type(x) is dict else [*map(kinds, x)] if type(x) is list else type(x)
        )

    found = plain(value, "result")
    assert found == expected and kinds(found) == kinds(expected)


CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"a": [1j]}, r"result\['a'\]\[0\]=1j \(a complex\)"),
        (np.array([1j]), "give its real and imag"),
        ({"a": {1, 2}}, r"result\['a'\]=.*give sorted"),
        (b"x", "decode"),
        (np.array([b"x"]), "decode"),
        (np.datetime64("2020-01-01"), "as text"),
        (np.array([(1, 2.0)], [("a", int), ("b", float)]), "one array a field"),
        (datetime.now(UTC), "isoformat"),
        (uuid.uuid4(), "str"),
        ((x for x in [1]), "list"),
        (object(), "object"),
        (math.nan, "result=nan"),
        ([np.float32("inf")], r"result\[0\]=inf"),
        (2**64, "beyond 64 bits"),
        (-(2**63) - 1, "beyond 64 bits"),
        ({"1": 1, 1: 2}, "two keys that are '1'"),
        ({(1, 2): 3}, "keys are text"),
        ({1.5: 3}, "keys are text"),
        ("\udc80", "no Unicode"),
        (np.longdouble("0.1"), "rounded"),
        (Decimal("0.1000000000000000000001"), "rounded"),
        (Fraction(1, 3), "rounded"),
        (np.ma.array([1, 2], mask=[0, 1]), "masked"),
        (CYCLE, "more than 64 deep"),
    ],
)
def test_what_json_cannot_hold_is_refused_by_its_place(value: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        plain(value, "result")


def test_not_finite_and_wide_numbers_stay_where_the_caller_allows_them() -> None:
    assert math.isnan(plain([np.float32("nan")], "x", nan=True)[0])
    assert plain({"n": 2**70}, "x", wide=True) == {"n": 2**70}


def test_torch_pandas_and_arrow_scalars_and_columns_are_taken_where_they_are_installed() -> None:
    pandas = pytest.importorskip("pandas")
    pyarrow = pytest.importorskip("pyarrow")
    assert plain({"s": pandas.Series([1, 2]), "a": pyarrow.array([1, None])}, "x") == {"s": [1, 2], "a": [1, None]}
    assert integer(pyarrow.scalar(3), "n") == 3 and real(pandas.Series([0.5]), "x") == 0.5
    for wrong, says in [
        (pandas.Series([1], index=["a"]), "index"),
        (pandas.DataFrame({"a": [1]}), "records"),
        (pandas.NA, "no form"),
    ]:
        with pytest.raises(ValueError, match=says):
            plain(wrong, "x")
    for wrong in (pandas.NA, pandas.Timestamp(0), pandas.DataFrame({"a": [1]}), pyarrow.scalar(None)):
        with pytest.raises(ValueError, match="n="):
            integer(wrong, "n")


def test_tensors_of_torch_are_taken_where_it_is_installed() -> None:
    torch = pytest.importorskip("torch")
    assert flag(torch.tensor(True), "x") and integer(torch.tensor([3]), "n") == 3
    assert real(torch.tensor(0.5, requires_grad=True, dtype=torch.bfloat16), "x") == 0.5
    assert plain({"w": torch.ones(2, 1)}, "x") == {"w": [[1.0], [1.0]]}
    for wrong in (torch.ones(2), torch.tensor(1j)):
        with pytest.raises(ValueError, match="x="):
            real(wrong, "x")


def test_the_module_loads_without_numpy() -> None:
    code = "import sys, daybreak.base.numbers; sys.exit('numpy' in sys.modules or 'typing' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class NoNumbers:
    """As tensors of torch's meta device, and sparse ones: a type and a shape, and nothing to read."""

    dtype, shape, size = "float32", (), 1

    def item(self) -> float:
        raise RuntimeError("cannot be called on meta tensors")

    def tolist(self) -> float:
        raise NotImplementedError("cannot be called on meta tensors")

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError("cannot be called on meta tensors")


@pytest.mark.parametrize("taken", [flag, integer, real, plain, integers, reals])
def test_a_tensor_without_numbers_is_refused_by_name(taken: Any) -> None:
    with pytest.raises(ValueError, match="^reward .*cannot be called on meta tensors"):
        taken(NoNumbers(), "reward")


@dataclasses.dataclass
class Point:
    x: int = 1


class Model:
    def model_dump(self) -> dict[str, int]:
        return {"x": 1}


@pytest.mark.parametrize(
    ("value", "way"), [(Point(), r"dataclasses\.asdict"), (Model(), r"model_dump\(\)"), (pd.NaT, "None"), (pd.NA, "None"),
                       (pd.Timestamp(0), r"isoformat\(\)")]
)  # fmt: skip
def test_an_object_without_a_form_in_json_says_how_to_get_one(value: Any, way: str) -> None:
    with pytest.raises(ValueError, match=rf"result\['p'\]=.* has no form in JSON: give {way}"):
        plain({"p": value}, "result")
