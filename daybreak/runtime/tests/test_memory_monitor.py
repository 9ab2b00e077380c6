"""A machine that says it is full has the last started task end and run again, or fail with who used what; an idle engine is not
woken. How full it is stands in a tree of files that the test writes."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

import daybreak
from daybreak._core import runtime as native
from daybreak.runtime import memory_monitor

from .conftest import ended, eventually

_ALWAYS = {"memory_monitor_refresh_ms": 5}


class Machine:
    """Half of its memory is in use, until something else is said."""

    def __init__(self, root: pathlib.Path) -> None:
        self._root = root
        (root / "proc" / "self").mkdir(parents=True)
        self.use(50)

    def use(self, percent: int) -> None:
        new = self._root / "new"
        new.write_text(f"MemTotal: 1048576 kB\nMemAvailable: {1048576 * (100 - percent) // 100} kB\n")
        new.replace(self._root / "proc" / "meminfo")

    def be_full_while_there_is(self, pid: int) -> None:
        """A control group of 1 GiB, whose use is read by way of the process: without it the group cannot be read and is none."""
        group = self._root / "sys" / "fs" / "cgroup" / "box"
        group.mkdir(parents=True)
        (group / "full").write_text(f"{990 << 20}\n")
        (group / "memory.current").symlink_to(f"/proc/{pid}/root{group}/full")
        (group / "memory.max").write_text(f"{1 << 30}\n")
        (self._root / "new").write_text("0::/box\n")
        (self._root / "new").replace(self._root / "proc" / "self" / "cgroup")


@pytest.fixture
def machine(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    daybreak.shutdown()
    made = Machine(tmp_path / "machine")
    monkeypatch.setattr(memory_monitor, "root", str(tmp_path / "machine"))
    yield made
    daybreak.shutdown()


def looked() -> None:
    """The monitor has begun to look once more, and ended that look."""
    before = native._memory_monitor()[0]
    assert eventually(lambda: native._memory_monitor()[0] >= before + 2)


@daybreak.remote
def until(gate: str, runs: str) -> int:
    """Each run leaves its pid; it ends when the gate is there."""
    import time

    with open(runs, "a") as file:
        file.write(f"{os.getpid()}\n")
    while not os.path.exists(gate):
        time.sleep(0.005)
    return os.getpid()


def pids(path: pathlib.Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def begun(tmp_path: pathlib.Path, name: str, **options: Any) -> tuple[Any, int]:
    """A task that runs and that the monitor has seen."""
    ref = until.options(**options).remote(str(tmp_path / "gate"), str(tmp_path / name))
    assert eventually(lambda: pids(tmp_path / name))
    looked()
    return ref, pids(tmp_path / name)[0]


def test_the_last_started_retriable_task_ends_and_runs_again_when_there_is_room(
    machine: Machine, tmp_path: pathlib.Path, capfd: Any
) -> None:
    daybreak.init(num_cpus=3, _system_config=_ALWAYS)
    first, first_pid = begun(tmp_path, "first", max_retries=1)
    last, last_pid = begun(tmp_path, "last", max_retries=1)
    stubborn, stubborn_pid = begun(tmp_path, "stubborn", max_retries=0)
    machine.be_full_while_there_is(last_pid)
    assert eventually(lambda: len(pids(tmp_path / "last")) == 2)
    (tmp_path / "gate").touch()
    assert daybreak.get([first, stubborn]) == [first_pid, stubborn_pid]
    assert daybreak.get(last) == pids(tmp_path / "last")[1]
    said = capfd.readouterr().err
    assert f"daybreak: the task until (pid {last_pid}) was ended by the memory monitor" in said
    assert "it is tried again when less is in use" in said and "box/memory.max allows were in use (96.7%)" in said


def test_a_task_that_may_not_be_retried_fails_with_who_used_what(machine: Machine, tmp_path: pathlib.Path) -> None:
    daybreak.init(num_cpus=2, _system_config=_ALWAYS)
    ref, pid = begun(tmp_path, "runs", max_retries=0)
    machine.use(99)
    with pytest.raises(daybreak.exceptions.OutOfMemoryError) as caught:
        daybreak.get(ref, timeout=20)
    text = str(caught.value)
    assert isinstance(caught.value, MemoryError)
    assert f"the task until (pid {pid})" in text and "1013.8 MiB of 1.00 GiB of the machine's memory" in text
    assert "(99.0%), more than the threshold of 95%" in text and "max_retries=0" in text
    assert f"pid {os.getpid()} " in text and "the driver" in text, "the five largest"
    assert "DAYBREAK_MEMORY_USAGE_THRESHOLD" in text
    assert pids(tmp_path / "runs") == [pid]


@daybreak.remote
class Model:
    def pid(self) -> int:
        return os.getpid()

    def wait(self, gate: str) -> int:
        import time

        while not os.path.exists(gate):
            time.sleep(0.005)
        return os.getpid()


def test_an_actor_without_restarts_is_out_of_memory_for_all_its_callers(
    machine: Machine, tmp_path: pathlib.Path
) -> None:
    daybreak.init(num_cpus=2, _system_config=_ALWAYS)
    model = Model.remote()
    pid = daybreak.get(model.pid.remote())
    waiting = model.wait.remote(str(tmp_path / "gate"))
    machine.use(99)
    with pytest.raises(daybreak.exceptions.OutOfMemoryError, match=rf"the actor Model \(pid {pid}\).*no restarts left"):
        daybreak.get(waiting, timeout=20)
    with pytest.raises(daybreak.exceptions.OutOfMemoryError, match="more than the threshold of 95%"):
        daybreak.get(model.pid.remote(), timeout=20)


def test_an_actor_with_restarts_comes_back_and_its_call_is_tried_again(
    machine: Machine, tmp_path: pathlib.Path
) -> None:
    daybreak.init(num_cpus=2, _system_config=_ALWAYS)
    model = Model.options(max_restarts=1, max_task_retries=1).remote()
    pid = daybreak.get(model.pid.remote())
    waiting = model.wait.remote(str(tmp_path / "gate"))
    looked()
    machine.be_full_while_there_is(pid)
    assert eventually(lambda: ended(pid))
    (tmp_path / "gate").touch()
    assert daybreak.get(waiting, timeout=20) != pid


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DAYBREAK_MEMORY_USAGE_THRESHOLD", "1"),
        ("RAY_memory_usage_threshold", "1.0"),
        ("DAYBREAK_MEMORY_MONITOR_REFRESH_MS", "0"),
        ("RAY_memory_monitor_refresh_ms", "0"),
    ],
)
def test_either_variable_by_either_name_switches_it_off(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("DAYBREAK_MEMORY_MONITOR_REFRESH_MS", "1")
    if name.startswith("RAY_memory_monitor"):
        monkeypatch.delenv("DAYBREAK_MEMORY_MONITOR_REFRESH_MS")
    monkeypatch.setenv(name, value)
    machine.use(100)
    daybreak.init(num_cpus=1)
    assert daybreak.get(Model.options(max_restarts=0).remote().pid.remote()) > 0
    assert native._memory_monitor() == (0, False)


def test_an_idle_engine_is_not_woken_and_the_next_task_wakes_the_monitor(
    machine: Machine, tmp_path: pathlib.Path
) -> None:
    daybreak.init(num_cpus=1, _system_config=_ALWAYS)
    assert eventually(lambda: native._memory_monitor()[1]), "it sleeps, and has nobody to wake it"
    ref, _ = begun(tmp_path, "runs")
    assert not native._memory_monitor()[1]
    (tmp_path / "gate").touch()
    daybreak.get(ref)
    assert eventually(lambda: native._memory_monitor()[1])


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"memory_usage_threshold": 0}, "memory_usage_threshold=0: a number above 0"),
        ({"memory_usage_threshold": True}, "memory_usage_threshold=True"),
        ({"memory_usage_threshold": float("nan")}, "memory_usage_threshold=nan"),
        ({"memory_monitor_refresh_ms": -1}, "memory_monitor_refresh_ms=-1: a whole number of milliseconds between 0"),
        ({"memory_monitor_refresh_ms": 0.5}, "memory_monitor_refresh_ms=0.5"),
        ({"memory_monitor_refresh_ms": 3_600_001}, "memory_monitor_refresh_ms=3600001"),
    ],
)
def test_what_is_no_threshold_or_no_time_is_refused_by_name(config: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        memory_monitor.settings(config)


def test_a_variable_that_is_no_number_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_memory_usage_threshold", "most")
    with pytest.raises(ValueError, match="RAY_memory_usage_threshold='most'"):
        memory_monitor.settings(None)
    monkeypatch.setenv("DAYBREAK_MEMORY_USAGE_THRESHOLD", "0.5")
    assert memory_monitor.settings(None)[0] == 0.5, "ours goes before Ray's"
    assert memory_monitor.settings({"memory_usage_threshold": 0.7})[0] == 0.7, "and the argument before both"
