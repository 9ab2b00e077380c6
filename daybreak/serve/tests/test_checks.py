"""What is refused before it is used."""

from __future__ import annotations

import pytest

from daybreak.base import errors
from daybreak.serve import checks


@pytest.mark.parametrize("name", ["a", "pong", "my_app_name", "image-2.0", "0", "a" * 128])
def test_good_names_pass(name: str) -> None:
    assert checks.checked_name(name, "the app") == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "../x", "a,b", "a:b", "-a", "a-", "_a", "a b", "A", "ä", "a\n", "a\0", "a" * 129, 7, None],
)
def test_bad_names_are_refused_with_what_is_allowed(name: object) -> None:
    with pytest.raises(errors.InvalidArgumentError, match=r"the app"):
        checks.checked_name(name, "the app")


@pytest.mark.parametrize(
    ("spelling", "name"),
    [(s, "bytes") for s in ("bytes", "byte", "b")]
    + [(s, "integers") for s in ("integers", "ints", "integer", "int", "i")]
    + [(s, "floats") for s in ("floats", "float", "f")]
    + [(s, "doubles") for s in ("doubles", "double", "d")]
    + [(s, "strings") for s in ("strings", "string", "str", "strs", "s")],
)
def test_all_of_clippers_spellings_of_input_types_are_known(spelling: str, name: str) -> None:
    assert checks.checked_input_type(spelling) == name


def test_other_input_types_are_refused() -> None:
    for wrong in ("Doubles", "", "tensor", None, 3):
        with pytest.raises(errors.InvalidArgumentError, match="is none of"):
            checks.checked_input_type(wrong)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "Expecting value"),
        (b"{", "at character 1"),
        (b"[1]", "an object expected"),
        (b"{}", "name is missing"),
        (b'{"name": 3}', "name must be of type string"),
        (b'{"name": "a", "n": true}', "n must be of type int"),
        (b'{"name": "a", "n": 1.5}', "n must be of type int"),
        (b'{"name": "a", "n": "1"}', "n must be of type int"),
        (b'{"name": "a", "n": NaN}', "cannot be read"),
        (b'{"name": "a", "n": ' + b"9" * 5000 + b"}", "cannot be read"),
        (b'{"name": "a", "n": 1, "l": ["x", 2]}', r"l must be of type \[string\]"),
        (b'{"name": "\xff"}', "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_a_bad_body_is_told_what_is_wrong_and_what_is_expected(body: bytes, problem: str) -> None:
    with pytest.raises(errors.InvalidArgumentError, match=problem) as raised:
        checks.body(body, {"name": "string", "n": "int", "l": "[string]"})
    assert str(raised.value).startswith("Error parsing JSON: ")
    assert 'Expected JSON schema: {"name" := string, "n" := int, "l" := [string]}' in str(raised.value)


def test_limits_hold_at_their_edges() -> None:
    assert checks.checked_replicas(checks.MAX_REPLICAS) == checks.MAX_REPLICAS
    assert checks.checked_batch_size(-1) == -1
    assert checks.checked_slo_us(checks.MAX_SLO_US) == checks.MAX_SLO_US
    for check, wrong in [
        (checks.checked_replicas, checks.MAX_REPLICAS + 1),
        (checks.checked_replicas, -1),
        (checks.checked_replicas, True),
        (checks.checked_batch_size, 0),
        (checks.checked_batch_size, -2),
        (checks.checked_slo_us, 0),
        (checks.checked_slo_us, 2**31),
        (checks.checked_labels, ["a,b"]),
        (checks.checked_labels, ["a"] * (checks.MAX_LABELS + 1)),
        (checks.checked_labels, "abc"),
        (checks.checked_lineage, [1]),
        (checks.checked_lineage, {"x": float("nan")}),
        (checks.checked_lineage, {"x": "a" * checks.MAX_LINEAGE_BYTES}),
        (checks.checked_lineage, {"x": object()}),
    ]:
        with pytest.raises(errors.InvalidArgumentError):
            check(wrong)  # type: ignore[operator]
