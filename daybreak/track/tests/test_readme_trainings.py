"""The trainings of the room's README, copied and pasted."""

import re
from pathlib import Path

import pytest

from daybreak import track

TEXT = (Path(__file__).resolve().parent.parent / "README.md").read_text()
SECTION = TEXT[TEXT.index("## A training with checkpoints") : TEXT.index("## What is written down by itself")]
BLOCKS = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)


def block(library: str) -> str:
    pytest.importorskip(library, reason=f"{library} is not installed")
    (found,) = [text for text in BLOCKS if f"import {library}" in text or f"from {library}" in text]
    return found


def test_a_scikit_learn_training_with_checkpoints_runs_as_it_is_written(tmp_path, monkeypatch):
    text = block("sklearn")
    monkeypatch.chdir(tmp_path)
    track.init("runs")
    names: dict[str, object] = {}
    exec(compile(text, "README.md", "exec"), names)
    (record,) = track.runs()
    assert record.status == "finished" and record.metrics["accuracy"] > 0.9 and record.params["alpha"] == 1e-4
    assert [artifact.meta["epoch"] for artifact in record.artifacts] == list(range(5))
    assert record.history("accuracy").steps.tolist() == list(range(5))


def test_a_torch_training_with_checkpoints_runs_as_it_is_written(tmp_path, monkeypatch):
    text = block("torch")
    monkeypatch.chdir(tmp_path)
    track.init("runs")
    exec(compile(text, "README.md", "exec"), {})
    (record,) = track.runs()
    losses = record.history("loss").values
    assert record.status == "finished" and losses[-1] < losses[0] and len(record.artifacts) == 20
    first, last = record.artifacts[0], record.artifacts[-1]
    assert first.kind == "dict" and first.id != last.id
