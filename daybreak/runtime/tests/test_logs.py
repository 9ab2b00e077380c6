"""`daybreak logs`: what workers have printed is there for whoever asks, as long as the engine runs, and no longer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from daybreak.base import errors
from daybreak.runtime import logs, state

from .conftest import eventually

COMMAND = [sys.executable, "-m", "daybreak.cli"]


def _says(*lines: str) -> int:
    for line in lines:
        print(line, flush=True)
    print("to stderr", file=sys.stderr, flush=True)
    return os.getpid()


class Speaker:
    def says(self, line: str) -> int:
        print(line)
        return os.getpid()


def _texts(**where: Any) -> list[str]:
    return list(state.get_log(**where))


def test_what_a_worker_prints_is_found_by_its_process_its_file_and_its_actor(ray: Any) -> None:
    pid = ray.get(ray.remote(_says).remote("one", "two\tthree", ""))
    assert eventually(lambda: _texts(pid=pid) == ["one\n", "two\tthree\n", "\n"])
    assert eventually(lambda: _texts(pid=pid, suffix="err") == ["to stderr\n"])
    assert _texts(filename=f"worker-{pid}.out", tail=2) == ["two\tthree\n", "\n"]
    assert _texts(pid=pid, tail=0) == []
    names = state.list_logs()
    assert f"worker-{pid}.out" in names["worker_out"] and f"worker-{pid}.err" in names["worker_err"]
    assert state.list_logs(glob_filter="*.err")["worker_out"] == []
    speaker = ray.remote(Speaker).remote()
    ray.get(speaker.says.remote("here I am"))
    (actor,) = [row for row in state.list_actors() if row.class_name == "Speaker" and row.state == "ALIVE"]
    assert eventually(lambda: _texts(actor_id=actor.actor_id) == ["here I am\n"])
    (line,) = [line for line in logs.kept(logs.folder_of(None)) if line.text == "here I am"]
    assert line.shown() == f"(Speaker pid={actor.pid}) here I am"


def test_what_cannot_be_found_is_refused_by_name(ray: Any) -> None:
    with pytest.raises(errors.InvalidArgumentError, match="process 1 is none of this engine's"):
        state.get_log(pid=1)
    with pytest.raises(errors.InvalidArgumentError, match="one of filename, pid and actor_id"):
        state.get_log()
    with pytest.raises(errors.InvalidArgumentError, match="filename='raylet.out': worker-PID.out"):
        state.get_log(filename="raylet.out")
    with pytest.raises(errors.InvalidArgumentError, match="lines are kept by process"):
        state.get_log(task_id="00")
    with pytest.raises(errors.InvalidArgumentError, match="no such actor"):
        state.get_log(actor_id="00")
    with pytest.raises(errors.InvalidArgumentError, match="suffix='log'"):
        state.get_log(pid=os.getpid(), suffix="log")
    with pytest.raises(errors.UnimplementedError, match="node_id='n'"):
        state.list_logs(node_id="n")
    with pytest.raises(TypeError, match="unexpected keyword argument 'pids'"):
        state.get_log(pids=[1])
    with pytest.raises(errors.InvalidArgumentError, match="no engine of address=1"):
        state.list_logs(1)


def test_from_another_terminal_it_is_shown_and_followed_until_the_engine_ends(tmp_path: Path) -> None:
    program = (
        "import sys, daybreak\n"
        "@daybreak.remote\n"
        "def says(line): print(line)\n"
        "daybreak.init(num_cpus=1, log_to_driver=False)\n"
        "for line in sys.stdin:\n"
        "    daybreak.get(says.remote(line.strip()))\n"
        "    print('said', flush=True)\n"
    )
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
    ) as running:
        assert running.stdin and running.stdout
        running.stdin.write("first\n")
        running.stdin.flush()
        assert running.stdout.readline() == "said\n"
        with subprocess.Popen(
            [*COMMAND, "logs", "--follow"], stdout=subprocess.PIPE, env=environment, text=True
        ) as follower:
            assert follower.stdout
            assert follower.stdout.readline().endswith(") first\n")
            running.stdin.write("second\n")
            running.stdin.flush()
            assert follower.stdout.readline().endswith(") second\n")
            shown = subprocess.run(
                [*COMMAND, "logs", "--json", "--tail", "1"], capture_output=True, env=environment, text=True, timeout=60
            )
            (row,) = json.loads(shown.stdout)
            assert row["text"] == "second" and row["stream"] == 1 and row["name"] == "worker"
            (folder,) = [path for path in (tmp_path / "daybreak").iterdir() if path.is_dir()]
            assert (folder / "output").stat().st_mode & 0o777 == 0o600
            running.stdin.write("third\n")
            running.stdin.close()
            assert running.wait(60) == 0
            assert follower.stdout.read().endswith(") third\n")
            assert follower.wait(60) == 0
    assert not folder.exists()
    shown = subprocess.run([*COMMAND, "logs"], capture_output=True, env=environment, text=True, timeout=60)
    assert shown.returncode == 1 and "no engine runs here" in shown.stderr


def test_nothing_is_lost_where_one_file_ends_and_the_next_begins(tmp_path: Path) -> None:
    """A writer as the engine is one, whose files are small, and a reader that follows it."""
    stop = threading.Event()
    count = 5_000

    def writes() -> None:
        size = 1 << 20
        for number in range(count):
            line = f"{number}\t7\t1\tworker\tline {number}\n"
            if size + len(line) > 20_000:
                if (tmp_path / "output").exists():
                    assert eventually(
                        lambda read_at=number - 300: len(seen) >= read_at
                    )  # no faster than two files behind
                    (tmp_path / "output").rename(tmp_path / "output.1")
                size = 0
            with open(tmp_path / "output", "a") as file:
                file.write(line)
            size += len(line)
        stop.set()

    seen: list[str] = []
    writer = threading.Thread(target=writes)
    writer.start()
    for line in logs.follow(str(tmp_path), lambda: not stop.is_set()):
        if line is not None:
            seen.append(line.text)
    writer.join()
    assert seen == [f"line {number}" for number in range(count)]
    left = [line.text for line in logs.kept(str(tmp_path))]
    assert left == seen[-len(left) :] and len(left) > 300


def test_half_a_line_is_none_yet_and_a_broken_one_is_none(tmp_path: Path) -> None:
    (tmp_path / "output").write_bytes(b"1\t7\t1\tworker\tone\nbroken\n2\t7\t2\tw\t\xff\n3\t7\t1\tworker\tha")
    assert [line.text for line in logs.kept(str(tmp_path))] == ["one", "\ufffd"]


def test_an_engine_that_records_nothing_keeps_nothing(tmp_path: Path) -> None:
    program = (
        "import daybreak\n"
        "from daybreak.runtime import state\n"
        "@daybreak.remote\n"
        "def says(): print('secret')\n"
        "daybreak.init(num_cpus=1)\n"
        "daybreak.get(says.remote())\n"
        "print(state.list_logs())\n"
    )
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "DAYBREAK_TASK_EVENTS": "0"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment, text=True, timeout=60)
    assert "{'worker_out': [], 'worker_err': []}" in done.stdout, done.stderr
