"""Plans, prices and the commands of clouds, without one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from daybreak.base.errors import InvalidArgumentError
from daybreak.map.clouds import doctor
from daybreak.map.clouds.plan import CostExceeded, Spending, plan
from daybreak.map.clouds.prices import PRICES, Price, table_of

CHEAP = {"here": Price(0.5, 2.0, 3.0, 4.0, 100, "a test")}


def test_a_plan_is_the_sum_of_its_parts() -> None:
    found = plan("here", 1000, seconds=0.101, memory_mib=512, input_bytes=7, output_bytes=9000, prices=CHEAP)
    assert found.gb_seconds == pytest.approx(1000 * 0.2 * 0.5)  # whole tenths of a second are charged
    assert (found.reads, found.writes, found.input_bytes, found.output_bytes) == (2003, 2002, 7000, 9_000_000)
    expected = {"GB-seconds": 50.0, "calls": 0.002, "storage reads": 6.009, "storage writes": 8.008}
    assert found.costs == pytest.approx(expected) and found.cost == pytest.approx(sum(expected.values()))
    assert "64.02 USD" in str(found) and "a test" in str(found)


def test_nothing_costs_nothing_and_what_has_no_price_is_refused() -> None:
    assert plan("localhost", 10**6).cost == 0
    assert plan("here", 0, prices=CHEAP).gb_seconds == 0
    with pytest.raises(InvalidArgumentError, match="no price for 'moon'.*aws_lambda"):
        plan("moon", 1)
    for wrong in ({"calls": -1}, {"seconds": float("nan")}, {"seconds": -1}, {"memory_mib": 0.5}, {"input_bytes": -1}):
        with pytest.raises(InvalidArgumentError):
            plan("aws_lambda", **{"calls": 1, **wrong})  # type: ignore[arg-type]


def test_a_limit_counts_what_was_planned_before() -> None:
    made = Spending("here", {"here": {"runtime_memory": 1024, "runtime_timeout": 10}}, CHEAP, 12.0, None)
    made.check(1, 0, None, 1.0)
    before = made.planned
    made.check(1, 0, 1 << 30, 1.0)
    assert made.planned == pytest.approx(2 * before) and before == pytest.approx(0.5 + 2e-6 + 0.012 + 0.012)
    with pytest.raises(CostExceeded, match="max_cost=12 USD.*raise it"):
        made.check(5, 0, None, None)  # ten seconds each, as nothing else is said
    assert made.planned == pytest.approx(2 * before)
    Spending("here", {}, CHEAP, None, None).check(10**9, 0, None, None)  # without a limit nothing is refused


def test_tables_of_prices_are_read_from_files_and_refused_when_they_are_none(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text(
        json.dumps({"moon": {"gb_second": 1, "million_calls": 0, "thousand_reads": 0, "thousand_writes": 0}})
    )
    assert table_of(path)["moon"] == Price(1.0, 0.0, 0.0, 0.0) and set(PRICES) < set(table_of(str(path)))
    fields = ('"x"', "-1", "1")  # no number, below zero, and the other prices are missing
    for text in ("[]", "{", '{"moon": 3}', *(f'{{"moon": {{"gb_second": {value}}}}}' for value in fields)):
        path.write_text(text)
        with pytest.raises(InvalidArgumentError, match="prices"):
            table_of(path)


def test_each_price_has_a_source() -> None:
    assert all(price.source for price in PRICES.values())


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "daybreak.cli", "map", *arguments], capture_output=True, text=True, timeout=100
    )


def test_the_command_plan_prints_and_keeps_its_limit() -> None:
    asked = ["plan", "--backend", "aws_lambda", "--calls", "1000", "--seconds", "1"]
    done = run(*asked, "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["calls"] == 1000, done.stderr
    done = run(*asked, "--max-cost", "0.001")
    assert done.returncode != 0 and "together" in done.stdout and "--max-cost 0.001" in done.stderr


def test_the_doctor_says_what_is_missing_and_fails() -> None:
    done = run("doctor", "--backend", "aws_lambda", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 1, done.stderr
    assert any(each["state"] == "missing" and each["way"] for each in found)


def test_secrets_of_the_configuration_are_taken_out_of_errors() -> None:
    config = {"aws": {"secret_access_key": "hush-hush", "region": "here"}, "rabbitmq": {"amqp_url": "amqp://u:pass@h/"}}
    text = doctor._without_secrets("no hush-hush at amqp://u:pass@h/ in here", config)
    assert text == "no *** at *** in here"
