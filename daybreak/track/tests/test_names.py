"""Names that are none: refused, with what was given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daybreak import track
from daybreak.base import errors


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    track.init(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("metrics", "says"),
    [
        (b"loss", "metrics is a dict, not bytes"),
        ([("loss", 1)], "metrics is a dict, not list"),
        (("loss", 1), "metrics is a dict, not tuple"),
        ("\ud800", r"'\\ud800' is no Unicode"),
        ({"\udcff": 1.0}, r"'\\udcff' is no Unicode"),
        ({5: 1.0}, "a metric's name is a str, not int"),
    ],
)
def test_what_is_no_name_of_a_metric_is_refused_by_its_name(metrics: Any, says: str) -> None:
    with track.run("names") as run:
        with pytest.raises(errors.InvalidArgumentError, match=says):
            run.log(metrics, *([1.0] if isinstance(metrics, (str, bytes)) else []))
        run.log("loss", 1.0)
    assert dict(track.get(run.id).metrics) == {"loss": 1.0}


def test_an_array_is_named_by_text() -> None:
    with track.run("names") as run, pytest.raises(TypeError, match=r"an array is named by 1 \(a int\)"):
        run.artifact("weights", {1: np.arange(2)})
