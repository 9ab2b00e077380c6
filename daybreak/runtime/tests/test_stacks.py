"""`daybreak stack`: where each process is, also of one that hangs, is stopped, or uses the signal itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import daybreak
from daybreak.base import errors
from daybreak.runtime import stacks, state

from .conftest import eventually


def _rests(path: str) -> int:
    import os
    import time

    while not os.path.exists(path):
        time.sleep(0.005)
    return os.getpid()


def test_each_process_says_where_it_is(ray: Any, tmp_path: Path) -> None:
    ref = ray.remote(_rests).remote(str(tmp_path / "gate"))
    assert eventually(lambda: any("in _rests" in row.stack for row in state.list_stacks()))
    rows = {row.pid: row for row in state.list_stacks()}
    driver = rows[os.getpid()]
    assert driver.worker_type == "DRIVER" and "test_each_process_says_where_it_is" in driver.stack
    (busy,) = [row for row in rows.values() if "in _rests" in row.stack]
    assert busy.task == "_rests" and busy.error is None
    assert [row.pid for row in state.list_stacks(pids=[busy.pid])] == [busy.pid]
    with pytest.raises(errors.InvalidArgumentError, match="process 1 is none of this engine's"):
        state.list_stacks(pids=[1])
    (tmp_path / "gate").touch()
    assert ray.get(ref) == busy.pid


def test_a_worker_that_is_stopped_is_named_and_the_others_answer(ray: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(stacks, "_WITHIN_S", 0.3)
    ref = ray.remote(_rests).remote(str(tmp_path / "gate"))
    assert eventually(lambda: any("in _rests" in row.stack for row in state.list_stacks()))
    (pid,) = [row.pid for row in state.list_stacks() if "in _rests" in row.stack]
    os.kill(pid, signal.SIGSTOP)
    try:
        rows = {row.pid: row for row in state.list_stacks()}
    finally:
        os.kill(pid, signal.SIGCONT)
    assert rows[pid].error == f"process {pid} did not answer within 0.3 s: it may be stopped"
    assert rows[os.getpid()].stack
    (tmp_path / "gate").touch()
    assert ray.get(ref) == pid


HANGS = """
import sys, daybreak
daybreak.init(num_cpus=1)
print("up", flush=True)
def deaf():
    10 ** 10 ** 9  # holds the GIL for minutes
deaf()
"""


def test_a_driver_that_never_lets_go_of_the_gil_is_seen_from_another_terminal(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    program = subprocess.Popen([sys.executable, "-c", HANGS], stdout=subprocess.PIPE, env=environment, text=True)
    try:
        assert program.stdout is not None and program.stdout.readline() == "up\n"
        command = [sys.executable, "-m", "daybreak.cli", "stack", "--json", str(program.pid)]

        def shown() -> bool:
            done = subprocess.run(command, capture_output=True, env=environment, text=True, timeout=60)
            assert done.returncode == 0, done.stderr
            (row,) = json.loads(done.stdout)
            return "in deaf" in row["stack"]

        assert eventually(shown)
        text = subprocess.run(command[:-2], capture_output=True, env=environment, text=True, timeout=60).stdout
        assert f"== driver {program.pid}\n" in text and "in deaf" in text and "== worker " in text
    finally:
        program.kill()
        program.wait()
        assert program.stdout is not None
        program.stdout.close()


def test_a_program_keeps_its_own_use_of_the_signal() -> None:
    program = (
        "import signal, daybreak\n"
        "from daybreak.runtime import stacks, state\n"
        "got = []\n"
        "signal.signal(stacks.SIGNAL, lambda *_: got.append(1))\n"
        "daybreak.init(num_cpus=1)\n"
        "signal.raise_signal(stacks.SIGNAL)\n"
        "(driver,) = [row for row in state.list_stacks() if row.worker_type == 'DRIVER']\n"
        "print(got, driver.error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("[1] process ") and "uses the signal" in done.stdout, done.stderr


def test_a_process_that_has_ended_or_is_no_part_of_an_engine_is_named() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    with pytest.raises(stacks.NoStackError, match="has ended"):
        stacks.stack_of(ended.pid)
    other = subprocess.Popen(["sleep", "60"])
    try:
        with pytest.raises(stacks.NoStackError, match="shows no stacks"):
            stacks.stack_of(other.pid)
    finally:
        other.kill()
        other.wait()


def test_children_of_tasks_have_no_part_in_it(ray: Any) -> None:
    @daybreak.remote
    def child() -> str:
        return subprocess.run(["ls", "-l", "/proc/self/fd"], capture_output=True, text=True).stdout

    assert "daybreak-stacks" not in ray.get(child.remote())
