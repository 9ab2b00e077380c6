"""A few seconds of the mixed load under which nothing may grow. Longer: `./dev test --soak=3600 runtime`."""

from __future__ import annotations

import pytest

import daybreak
from daybreak.runtime.tests import soak


def test_what_the_runtime_uses_is_flat_under_mixed_load() -> None:
    daybreak.shutdown()
    text, grew = soak.soak(6.0)
    assert not grew, text


def test_the_table_names_the_row_that_grows() -> None:
    flat = [[float(row) for row in range(len(soak.ROWS))] for _ in range(12)]
    assert soak.table(flat, 10.0)[1] == []
    for row, limit in enumerate(soak.ROWS):
        grows = [list(sample) for sample in flat]
        for i, sample in enumerate(grows):
            sample[row] += i * (limit.limit + 1) / 4
        text, grew = soak.table(grows, 10.0)
        assert grew == [limit.name] and "GROWS" in text


def test_an_object_that_is_kept_after_each_round_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []
    load = soak.load

    def planted(*arguments: object) -> None:
        load(*arguments)  # type: ignore[arg-type]
        kept.append(daybreak.put(bytes(100_000)))

    monkeypatch.setattr(soak, "load", planted)
    monkeypatch.setattr(soak, "settled", lambda: None)
    daybreak.shutdown()
    _, grew = soak.soak(2.0)
    assert "objects that are no functions, and actors" in grew
