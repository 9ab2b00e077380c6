"""Event files without TensorBoard: their bytes; what loggers are told of trials that go on; who is missing is named."""

from __future__ import annotations

import importlib
import importlib.util
import struct
from pathlib import Path
from typing import Any

import pytest

from daybreak._core.tune import crc32c
from daybreak.tune.event_files import EventFile
from daybreak.tune.logger import TBXLoggerCallback, pretty_print


class OfTrial:
    trial_id = "t"
    config: dict[str, Any] = {}

    def __init__(self, folder: Path) -> None:
        self.logdir = str(folder)


def records(path: Path) -> list[bytes]:
    """Each record's data, its lengths and masked checksums checked by the words of the format."""
    data, found = path.read_bytes(), []
    while data:
        length = struct.unpack("<Q", data[:8])[0]
        for piece, at in ((data[:8], 8), (data[12 : 12 + length], 12 + length)):
            crc = crc32c(piece)
            assert struct.unpack("<I", data[at : at + 4])[0] == ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32
        found.append(data[12 : 12 + length])
        data = data[16 + length :]
    return found


def test_the_checksum_is_that_of_the_standard() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32C


def test_an_event_file_has_the_bytes_of_the_format(tmp_path: Path) -> None:
    file = EventFile(tmp_path)
    file.scalars([("loss", 0.5)], 300, 12.0)
    file.close()
    first, second = records(file.path)
    assert first[9:] == b"\x1a\x0dbrain.Event:2" and first[0] == 9
    assert (
        second
        == b"\x09" + struct.pack("<d", 12.0) + b"\x10\xac\x02" + b"\x2a\x0d\x0a\x0b\x0a\x04loss\x15\x00\x00\x00\x3f"
    )


def test_a_trial_that_goes_on_has_a_further_file_and_no_file_stays_open(tmp_path: Path) -> None:
    logger, trial = TBXLoggerCallback(), OfTrial(tmp_path)
    logger.log_trial_start(trial)
    logger.log_trial_result(0, trial, {"loss": 1, "training_iteration": 1, "done": False, "flag": True, "huge": 1e300})
    logger.log_trial_start(trial)
    logger.log_trial_result(0, trial, {"loss": 2, "training_iteration": 2, "timesteps_total": 40})
    logger.log_trial_end(trial)
    assert not logger._files
    first, second = sorted(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    assert b"ray/tune/loss" in records(first)[1] and b"flag" not in records(first)[1]
    assert struct.pack("<f", float("inf")) in records(first)[1]
    assert b"\x10\x28" in records(second)[1]  # the step is timesteps_total where there is one


def test_a_result_is_shown_without_its_config() -> None:
    assert pretty_print({"config": {"a": 1}, "loss": 0.5, "none": None}) == '{\n  "loss": 0.5\n}'


@pytest.mark.parametrize(
    ("module", "needs"), [("pytorch_lightning", "lightning"), ("xgboost", "xgboost"), ("mlflow", "mlflow")]
)
def test_an_integration_names_the_package_that_is_missing(module: str, needs: str) -> None:
    if importlib.util.find_spec(needs) is not None or importlib.util.find_spec(module) is not None:
        pytest.skip(f"{needs} is installed here")
    with pytest.raises(ImportError, match=needs):
        importlib.import_module(f"daybreak.tune.integration.{module}")
