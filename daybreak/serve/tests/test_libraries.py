"""Models of other libraries, served by the README's own words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import daybreak.serve
from daybreak import rl, serve
from daybreak.base import errors

README = Path(daybreak.serve.__file__).with_name("README.md")


def words_for(app: str) -> str:
    """The README's program that deploys this app."""
    section = README.read_text().split("## Models of other libraries")[1].split("\n## ")[0]
    programs = re.findall(r"```python\n(.*?)```", section, re.S)
    (found,) = [program for program in programs if f'deploy("{app}"' in program]
    return str(found)


def run(app: str, server: serve.Server) -> dict[str, Any]:
    # As a notebook's cell: what it defines is of __main__ and travels by value.
    names: dict[str, Any] = {"server": server, "__name__": "__main__"}
    exec(compile(words_for(app), f"{README} ({app})", "exec"), names)
    return names


def test_scikit_learn_pipeline_is_served(server: serve.Server, call: Any) -> None:
    pytest.importorskip("sklearn")
    names = run("iris", server)
    rows, pipeline = names["X"][::30], names["pipeline"]
    assert [call.predict("iris", list(row))["output"] for row in rows] == pipeline.predict(rows).tolist()
    odds = call.predict("iris-odds", list(rows[0]))["output"]
    assert odds == pytest.approx(pipeline.predict_proba(rows[:1])[0].tolist())


def test_torch_module_is_served(server: serve.Server, call: Any) -> None:
    torch = pytest.importorskip("torch")
    names = run("torch-net", server)
    row = [0.1, 0.2, 0.3, 0.4]
    with torch.inference_mode():
        wanted = int(names["module"](torch.tensor([row])).argmax())
    assert call.predict("torch-net", row)["output"] == wanted
    with pytest.raises(errors.InvalidArgumentError, match=r"takes tensors; give a function"):
        server.deploy("raw", names["module"])


def test_onnx_model_is_served(server: serve.Server, call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    policy = rl.PPO("CartPole-v1", seed=1).policy
    policy.to_onnx(tmp_path / "model.onnx")
    monkeypatch.chdir(tmp_path)
    run("onnx-net", server)
    row = np.array([0.1, 0.2, 0.03, 0.4], np.float32)
    session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
    wanted = session.run(None, {session.get_inputs()[0].name: row[None]})[0][0]
    assert call.predict("onnx-net", row.tolist())["output"] == pytest.approx(wanted.tolist())
    with pytest.raises(errors.InvalidArgumentError, match="a InferenceSession is no model as it is.*warm_up"):
        server.deploy("raw", session)


def test_function_of_pandas_is_served(server: serve.Server, call: Any) -> None:
    run("flats", server)
    assert call.predict("flats", [2, 30])["output"] == {"rooms": 2.0, "area": 30.0, "price": 190.0}
