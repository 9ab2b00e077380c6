"""What an engine says of itself, to its own process and to another terminal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import daybreak
from daybreak._core import runtime as native
from daybreak.base import errors
from daybreak.runtime import state

from .conftest import eventually


@pytest.fixture(autouse=True)
def runtime_dir(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory of the test's own, so that other engines of this user are not seen."""
    daybreak.shutdown()
    path = tmp_path_factory.mktemp("run")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(path))
    yield path
    daybreak.shutdown()


@pytest.fixture
def engine() -> Iterator[Any]:
    daybreak.init(num_cpus=2, resources={"licence": 2}, object_store_memory=128 << 20)
    yield daybreak
    daybreak.shutdown()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Path]:
    """Tasks wait until this file is there."""
    path = tmp_path / "gate"
    yield path
    path.touch()


def _wait_for(path: str) -> str:
    import time

    while not os.path.exists(path):
        time.sleep(0.005)
    return path


def test_tasks_are_listed_with_their_names_and_states(engine: Any, gate: Path) -> None:
    wait_for = daybreak.remote(_wait_for)

    @daybreak.remote
    def fails() -> None:
        raise ValueError("no")

    @daybreak.remote
    def after(_: Any) -> int:
        return 1

    running = [wait_for.remote(str(gate)) for _ in range(2)]
    waiting, behind = wait_for.remote(str(gate)), after.remote(running[0])
    assert eventually(lambda: len(state.list_tasks(filters=[("state", "=", "RUNNING")])) == 2)
    rows = {row.task_id: row for row in state.list_tasks()}
    assert sorted(row.state for row in rows.values()) == [
        "PENDING_ARGS_AVAIL", "PENDING_NODE_ASSIGNMENT", "RUNNING", "RUNNING",
    ]  # fmt: skip
    assert {row.name for row in rows.values() if row.state == "RUNNING"} == {"_wait_for"}
    (pending,) = state.list_tasks(filters=[("state", "=", "PENDING_ARGS_AVAIL")])
    assert pending.name.endswith("after") and len(pending.waits_for) == 1
    assert all(
        row.worker_pid in {pid for pid, _ in native._processes()} for row in rows.values() if row.state == "RUNNING"
    )
    gate.touch()
    daybreak.get([*running, waiting, behind])
    failed = fails.remote()
    daybreak.wait([failed])
    (row,) = state.list_tasks(filters=[("state", "=", "FAILED")])
    assert row.error_type == "USER" and row.name.endswith("fails") and row.type == "NORMAL_TASK"
    assert state.get_task(row.task_id) == row
    assert state.summarize_tasks()["_wait_for"]["state_counts"] == {"FINISHED": 3}
    del failed, running, waiting, behind
    assert eventually(lambda: native._usage()["objects"] == native._usage()["functions"])
    assert sorted((row.name.rpartition(".")[2], row.state) for row in state.list_tasks()) == [
        ("_wait_for", "FINISHED"), ("_wait_for", "FINISHED"), ("_wait_for", "FINISHED"), ("after", "FINISHED"), ("fails", "FAILED"),
    ]  # fmt: skip


def test_actors_are_listed_by_name_with_their_end(engine: Any) -> None:
    @daybreak.remote
    class Counter:
        def pid(self) -> int:
            return os.getpid()

    actor = Counter.options(name="one", resources={"licence": 1}).remote()
    pid = daybreak.get(actor.pid.remote())
    (row,) = state.list_actors()
    assert (row.class_name, row.name, row.ray_namespace, row.state, row.pid) == (
        "Counter",
        "one",
        "default",
        "ALIVE",
        pid,
    )
    assert row.required_resources == {"licence": 1.0} and row.death_cause is None
    assert state.status().resources["licence"] == (2.0, 1.0)
    assert [w.actor_id for w in state.list_workers(filters=[("worker_type", "=", "actor")])] == [row.actor_id]
    daybreak.kill(actor)
    assert eventually(lambda: state.list_actors()[0].state == "DEAD")
    assert "kill()" in state.list_actors()[0].death_cause
    assert state.get_actor(row.actor_id).state == "DEAD" and state.summarize_actors() == {
        "Counter": {"state_counts": {"DEAD": 1}}
    }


def test_objects_are_listed_with_their_bytes_and_holders(engine: Any) -> None:
    ref = daybreak.put(bytes(1 << 20))
    small = daybreak.put(1)
    rows = state.list_objects()
    assert rows[0].object_size >= 1 << 20 and rows[0].pids == [os.getpid()] and rows[0].type == "PUT"
    assert len(rows) >= 2 and rows[-1].object_size < 100
    assert state.summarize_objects()["PUT"]["total_size_bytes"] >= 1 << 20
    assert state.status().store[0] >= 1 << 20
    del ref, small


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"filters": [("state", "<", 1)]}, "operator '<'"),
        ({"filters": ["state"]}, "no (key"),
        ({"filters": [("colour", "=", 1)]}, "'colour' is no key"),
        ({"limit": 0}, "limit=0"),
        ({"limit": 10_001}, "limit=10001"),
        ({"address": "999999999"}, "no engine of address='999999999'"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused_by_name(engine: Any, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(errors.InvalidArgumentError, match=says.replace("(", r"\(")):
        state.list_workers(**arguments)


def test_nothing_runs_and_that_is_said() -> None:
    assert state.engines() == []
    with pytest.raises(errors.InvalidArgumentError, match="running: none"):
        state.list_tasks()


_PROGRAM = """
    import os, sys, time
    import daybreak
    daybreak.init(num_cpus=1, object_store_memory=64 << 20)

    @daybreak.remote
    def endless():
        time.sleep(1000)

    @daybreak.remote
    class Listener:
        def pid(self):
            return os.getpid()

    listener = Listener.options(name="ear").remote()
    daybreak.get(listener.pid.remote())
    ref = endless.remote()
    print("up", flush=True)
    {ending}
"""


def _program(ending: str) -> subprocess.Popen[str]:
    code = textwrap.dedent(_PROGRAM).format(ending=ending)
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "up\n"
    return child


def _daybreak(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "daybreak.cli", *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_another_terminal_sees_an_engine_whose_driver_holds_the_interpreter() -> None:
    child = _program("import re; re.match('(a+)+$', 'a' * 50 + 'b')")  # never lets go of the GIL
    try:
        assert [engine.pid for engine in state.engines()] == [child.pid]
        assert eventually(
            lambda: [row.state for row in state.list_tasks(filters=[("name", "=", "endless")])] == ["RUNNING"]
        )
        assert "1 ALIVE" in _daybreak("status") and "1 RUNNING" in _daybreak("status", "--address", str(child.pid))
        assert "ear" in _daybreak("list", "actors") and "endless" in _daybreak(
            "list", "tasks", "--filter", "state=running"
        )
        (row,) = json.loads(_daybreak("list", "actors", "--json"))
        assert row["class_name"] == "Listener"
        assert "endless: 1 RUNNING" in _daybreak("summary", "tasks")
        assert "in use" in _daybreak("memory")
    finally:
        child.kill()
        child.wait()


def test_a_killed_engine_s_directory_is_swept_and_an_ended_one_s_is_gone(runtime_dir: Path) -> None:
    child = _program("time.sleep(1000)")
    assert len(list((runtime_dir / "daybreak").iterdir())) == 1
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert len(list((runtime_dir / "daybreak").iterdir())) == 1
    assert state.engines() == [] and list((runtime_dir / "daybreak").iterdir()) == []
    assert "no engine" in _daybreak("status")
    daybreak.init(num_cpus=1, object_store_memory=64 << 20)
    assert len(state.engines()) == 1
    daybreak.shutdown()
    assert list((runtime_dir / "daybreak").iterdir()) == []


def test_of_several_engines_one_must_be_named(engine: Any) -> None:
    child = _program("time.sleep(1000)")
    try:
        assert {row.pid for row in state.engines()} == {os.getpid(), child.pid}
        assert state.list_actors() == []  # this process's own
        assert [row.name for row in state.list_actors(address=child.pid)] == ["ear"]
        done = subprocess.run([sys.executable, "-m", "daybreak.cli", "list", "actors"], capture_output=True, text=True)
        assert done.returncode == 1 and "several engines" in done.stderr and str(child.pid) in done.stderr
    finally:
        child.kill()
        child.wait()


def test_without_a_place_for_its_directory_an_engine_runs_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/proc/nowhere")
    daybreak.init(num_cpus=1, object_store_memory=64 << 20)
    assert daybreak.get(daybreak.put(1)) == 1
    path, why = native._door()
    assert path is None and "/proc/nowhere" in why
