"""The files of a trial: what is made of results that are many, long or cut."""

from __future__ import annotations

import json
from pathlib import Path

from daybreak.tune import files


def test_the_native_table_is_made_in_blocks(tmp_path: Path) -> None:
    from daybreak._core import tune as native

    results = tmp_path / "result.json"
    for rows in (["x" * 10] * 200_000, ["y" * 700_000, "z", "w" * 600_000]):
        results.write_text("".join(json.dumps({"i": i, "t": text}) + "\n" for i, text in enumerate(rows)))
        assert native.table_file(str(results), str(tmp_path / "made.csv"))
        table = "i,t\r\n" + "".join(f"{i},{text}\r\n" for i, text in enumerate(rows))
        assert (tmp_path / "made.csv").read_bytes() == table.encode()


def test_a_first_line_that_a_death_has_cut_makes_no_table(tmp_path: Path) -> None:
    made = files.TrialFiles(tmp_path)
    (tmp_path / "result.json").write_text('{"cut')
    made.table()
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
