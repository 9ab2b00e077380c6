"""track.sql."""

from __future__ import annotations

import builtins
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daybreak import track
from daybreak.base import errors


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    return Path(track.init(tmp_path / "track"))


@pytest.fixture
def runs() -> list[str]:
    ids = []
    for lr in (0.1, 0.01):
        with track.run("pong", params={"lr": lr, "net": "a"}, tags={"who": "Zoë"}) as run:
            run.log_array("return", np.arange(70_000) * lr)
            run.log("nan", math.nan)
            run.artifact("policy", b"abc")
            ids.append(run.id)
    with track.run("other", params={"lr": "text"}) as run:
        with run.child("inner") as child:
            child.log("return", 1)
        ids.append(run.id)
    with track.run("deleted") as run:
        run.log("return", 1)
    track.delete(run.id)
    return ids


def rows(query: str, *parameters: object, **options: Any) -> list[tuple[Any, ...]]:
    return list(track.sql(query, parameters or None, **options).itertuples(index=False, name=None))


def test_every_table_says_what_the_runs_say(runs: list[str]) -> None:
    first, second, other = runs
    assert rows("select name, status from runs order by name") == [
        ("inner", "finished"), ("other", "finished"), ("pong", "finished"), ("pong", "finished"),
    ]  # fmt: skip
    assert rows("select r.name from runs r join runs p on r.parent = p.id") == [("inner",)]
    assert rows('select count(*) from runs where "end" >= start and year(start) > 2000') == [(4,)]
    assert rows("select run from params where name = 'lr' and number > 0.05") == [(first,)]
    assert rows("select value from params where run = ?", other) == [("text",)]
    assert set(rows("select value from tags")) == {("Zoë",)}
    assert rows("select last, max, best, count from latest where name = 'return' and run = ?", second) == [
        (699.99, 699.99, 699.99, 70_000)
    ]
    assert all(math.isnan(last) for (last,) in rows("select last from latest where name = 'nan'"))
    assert rows("select count(*), max(step) from metrics where run = ? and name = 'return'", first) == [
        (70_000, 69_999)
    ]
    assert rows("select name, size_bytes, kind from artifacts") == [("policy", 3, "bytes")] * 2


def test_metrics_may_be_read_twice_in_one_query(runs: list[str]) -> None:
    query = "select count(*) from metrics a join metrics b using (run, name, step) where a.name = 'return'"
    assert rows(query) == [(140_001,)]


def test_named_parameters_where_and_arrow(runs: list[str]) -> None:
    table = track.sql("select id from runs where name = $name", {"name": "other"}, as_="arrow")
    assert table.column("id").to_pylist() == [runs[2]]
    assert rows("select distinct run from metrics", where="params.lr = 0.1") == [(runs[0],)]
    with pytest.raises(errors.InvalidArgumentError, match="excel"):
        track.sql("select 1", as_="excel")


@pytest.mark.parametrize(
    "query",
    [
        "", "selec", "select 1; select 2", "create table t (a int)", "drop view runs", "insert into runs values (1)",
        "copy (select 1) to 'out.csv'", "select * from read_csv('/etc/passwd')", "select * from '/etc/passwd'",
        "attach 'x.db'", "set enable_external_access = true", "install httpfs", "select * from folder",
        "select " + "1," * 60_000 + "1",
    ],
)  # fmt: skip
def test_nothing_but_reading_the_runs_is_possible(query: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    folder = [1]  # a variable of the caller is no table
    with pytest.raises(errors.InvalidArgumentError):
        track.sql(query)
    assert folder and [path for path in sorted(tmp_path.iterdir()) if path not in before and path.name != "track"] == []


def test_no_runs_are_empty_tables() -> None:
    assert rows("select count(*) from metrics") == rows("select count(*) from runs") == [(0,)]


def test_without_duckdb_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "duckdb":
            raise ModuleNotFoundError("No module named 'duckdb'", name="duckdb")
        return original(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"track\.sql needs duckdb: pip install 'daybreak\[sql\]'"):
        track.sql("select 1")


def test_damage_is_an_error_and_not_a_shorter_answer(folder: Path, runs: list[str]) -> None:
    file = max((folder / "runs" / runs[0]).glob("*.col"), key=lambda path: path.stat().st_size)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(errors.DataLossError, match=file.name):
        track.sql("select sum(value) from metrics")
