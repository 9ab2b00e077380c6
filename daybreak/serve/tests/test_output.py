"""What replicas print, kept within bounds."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from daybreak.serve.output import RING_BYTES, Logs


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[Logs]:
    made = Logs(tmp_path)
    yield made
    made.close()


def test_the_last_words_of_a_process_that_kills_itself_are_kept(logs: Logs) -> None:
    pipe = logs.open("m", "1", 0)
    code = f"import os; os.write(os.open({pipe!r}, os.O_WRONLY), b'farewell'); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert logs.read("m") == {"1/0": "farewell"}


def test_endless_output_keeps_its_newest_part_and_a_bounded_file(logs: Logs, tmp_path: Path) -> None:
    pipe = logs.open("m", "1", 0)
    with open(pipe, "wb", buffering=0) as file:
        for i in range(5 * RING_BYTES // 1024):
            file.write(b"%1023d\n" % i)
    text = logs.read("m")["1/0"]
    assert text.endswith(f"{5 * RING_BYTES // 1024 - 1}\n")
    assert RING_BYTES // 4 < len(text) <= RING_BYTES
    files = list(tmp_path.rglob("*.log*"))
    assert sum(path.stat().st_size for path in files) <= RING_BYTES
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)


def test_versions_and_replicas_have_their_own_and_deleting_a_version_forgets_it(logs: Logs) -> None:
    for version, index in (("1", 0), ("1", 1), ("2", 0)):
        with open(logs.open("m", version, index), "wb") as file:
            file.write(f"{version}.{index}".encode())
    assert logs.read("m") == {"1/0": "1.0", "1/1": "1.1", "2/0": "2.0"}
    assert logs.read("m", "2") == {"2/0": "2.0"}
    logs.close_one("m", "1", 1)
    assert logs.read("m", "1") == {"1/0": "1.0", "1/1": "1.1"}
    logs.close_one("m", "2", 0)
    logs.remove("m", "2")
    assert logs.read("m") == {"1/0": "1.0", "1/1": "1.1"}


def test_a_replica_that_starts_again_goes_on_in_its_file(tmp_path: Path) -> None:
    for word in (b"one ", b"two"):
        logs = Logs(tmp_path)
        with open(logs.open("m", "1", 0), "wb") as file:
            file.write(word)
        logs.close()
    assert (tmp_path / "m" / "1" / "0.log").read_bytes() == b"one two"


def test_closing_leaves_no_descriptor(tmp_path: Path) -> None:
    logs = Logs(tmp_path)
    for i in range(20):
        logs.open("m", "1", i)
    assert len(of_folder(tmp_path)) >= 20
    logs.close()
    assert of_folder(tmp_path) == []


def of_folder(folder: Path) -> list[str]:
    """This process's descriptors of what lies there; others come and go with what other tests have left to the collector."""
    found = [os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
    return [path for path in found if path.startswith(f"{folder}/")]
