"""What users of Ray reported of several drivers, of lists of tasks and of timelines: each tried here, kept as a test."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import daybreak
from daybreak._core import runtime as native
from daybreak.runtime import history, state

from .conftest import eventually


@pytest.fixture(autouse=True)
def engine(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The only engine that can be seen."""
    daybreak.shutdown()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
    for name in ("RAY_ADDRESS", "DAYBREAK_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    daybreak.init(num_cpus=2, object_store_memory=64 << 20, namespace="first")
    yield daybreak
    daybreak.shutdown()


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def whole(program: str, **variables: str) -> subprocess.CompletedProcess[str]:
        path = tmp_path / "driver.py"
        path.write_text("import daybreak, os, signal, sys, time\n" + textwrap.dedent(program))
        environment = {**os.environ, **variables}
        return subprocess.run(
            [sys.executable, str(path)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100
        )

    return whole


Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_what_a_killed_driver_queued_does_not_begin_and_its_cpus_are_free(run: Run, tmp_path: Path) -> None:
    """ray#376, ray#2809: workers went on with the tasks of a driver that had gone."""
    done = run(
        """
        daybreak.init("auto")

        @daybreak.remote
        def long(i):
            open(f"began-{i}", "w").close()
            time.sleep(600)

        refs = [long.remote(i) for i in range(40)]
        while len([name for name in os.listdir(".") if name.startswith("began")]) < 2:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    assert done.returncode == -9

    @daybreak.remote
    def mine() -> int:
        return 1

    assert daybreak.get([mine.remote() for _ in range(20)], timeout=60) == [1] * 20
    assert eventually(lambda: daybreak.available_resources().get("CPU") == 2.0)
    assert len(list(tmp_path.glob("began-*"))) == 2
    assert eventually(lambda: native._usage()["objects"] == 1), native._usage()  # the function of this driver


def test_tasks_of_a_killed_driver_are_not_listed_as_running(run: Run) -> None:
    """ray#31354."""
    done = run(
        """
        daybreak.init("auto")

        @daybreak.remote
        def of_the_killed(path):
            open(path, "w").close()
            time.sleep(600)

        ref = of_the_killed.remote("began")
        while not os.path.exists("began"):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    assert done.returncode == -9

    def states() -> set[str]:
        return {row.state for row in state.list_tasks(limit=1000) if row.name == "of_the_killed"}

    assert eventually(lambda: states() <= {"FAILED"}), states()


def test_a_detached_actor_of_a_driver_that_has_left_makes_tasks_and_actors(run: Run) -> None:
    """ray#11437."""
    done = run(
        """
        daybreak.init("auto", namespace="first")

        @daybreak.remote(num_cpus=0)
        class Inner:
            def value(self):
                return 3

        @daybreak.remote
        def square(x):
            return x * x

        @daybreak.remote(num_cpus=0)
        class Outer:
            def work(self):
                return daybreak.get([square.remote(4), Inner.remote().value.remote()])

        outer = Outer.options(name="outer", lifetime="detached").remote()
        print(daybreak.get(outer.work.remote()))
        """
    )
    assert done.stdout == "[16, 3]\n", done.stderr
    assert eventually(lambda: sum(row.worker_type == "DRIVER" and row.is_alive for row in state.list_workers()) == 1)
    outer = daybreak.get_actor("outer")
    assert daybreak.get(outer.work.remote(), timeout=60) == [16, 3]
    daybreak.kill(outer)


def test_a_detached_actor_lives_on_when_the_actor_that_made_it_crashes() -> None:
    """ray#40864."""

    @daybreak.remote(num_cpus=0)
    class Child:
        def hello(self) -> str:
            return "hello"

    @daybreak.remote(num_cpus=0)
    class Parent:
        def make(self) -> None:
            daybreak.get(Child.options(name="child", lifetime="detached").remote().hello.remote())

        def crash(self) -> None:
            os._exit(1)

    parent = Parent.remote()
    daybreak.get(parent.make.remote(), timeout=60)
    with pytest.raises(daybreak.exceptions.RayActorError):
        daybreak.get(parent.crash.remote(), timeout=60)
    child = daybreak.get_actor("child")
    assert daybreak.get([child.hello.remote() for _ in range(5)], timeout=60) == ["hello"] * 5
    daybreak.kill(child)


def test_a_call_of_an_actor_that_is_found_in_the_same_expression_arrives() -> None:
    """ray#33020: the reference to the actor was lost between the two."""

    @daybreak.remote(num_cpus=0)
    class Reducer:
        def add(self, a: int, b: int) -> int:
            return a + b

    keeper = Reducer.options(name="reducer").remote()
    assert [daybreak.get(daybreak.get_actor("reducer").add.remote(i, 1), timeout=60) for i in range(20)] == list(
        range(1, 21)
    )
    daybreak.kill(keeper)


def test_a_filter_sees_all_tasks_and_not_the_last_ones_alone(tmp_path: Path) -> None:
    """ray#50378: what ran was cut off before the filter looked."""
    gate = tmp_path / "gate"

    @daybreak.remote(num_cpus=1)
    def long_one(path: str) -> None:
        while not os.path.exists(path):
            time.sleep(0.01)

    @daybreak.remote
    def short() -> None:
        pass

    running = long_one.remote(str(gate))
    daybreak.get([short.remote() for _ in range(3000)], timeout=100)
    rows = state.list_tasks(filters=[("state", "=", "RUNNING")])
    assert [row.name for row in rows] == ["long_one"]
    gate.touch()
    daybreak.get(running, timeout=60)


def test_a_list_that_was_cut_says_of_how_many() -> None:
    """ray#50378: a list ended at its limit without a word."""

    @daybreak.remote
    def short() -> None:
        pass

    daybreak.get([short.remote() for _ in range(300)], timeout=60)
    with pytest.warns(UserWarning, match=r"list_tasks: the first 100 of \d+;.*limit="):
        assert len(state.list_tasks()) == 100
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(state.list_tasks(limit=5000)) >= 300


def test_the_timeline_has_what_ended_a_moment_ago() -> None:
    """ray#24673: a short program saw an empty one."""

    @daybreak.remote
    def just_now() -> None:
        pass

    daybreak.get(just_now.remote(), timeout=60)
    assert any(event["name"] == "just_now" for event in history.timeline())


def test_the_timeline_is_what_the_viewer_reads(tmp_path: Path) -> None:
    """ray#27921: text where numbers belong; the viewer showed one row for all."""

    @daybreak.remote
    def shown(i: int) -> int:
        return os.getpid()

    pids = set(daybreak.get([shown.remote(i) for i in range(20)], timeout=60))
    path = tmp_path / "trace.json"
    history.timeline(str(path))
    events = json.loads(path.read_text())
    spans = [event for event in events if event["ph"] == "X"]
    assert {event["pid"] for event in spans if event["name"] == "shown"} == pids
    for event in events:
        assert isinstance(event["pid"], int) and isinstance(event.get("tid", 0), int), event
    assert all(event["dur"] >= 0 and isinstance(event["ts"], (int, float)) for event in spans)
    named = {event["pid"] for event in events if event["ph"] == "M" and event["name"] == "process_name"}
    assert pids <= named


def test_a_program_below_a_driver_joins_it_when_the_variable_says_so(run: Run) -> None:
    """rllm#436: a subprocess began an engine of its own and did not find the actors."""

    @daybreak.remote(num_cpus=0)
    class There:
        def hello(self) -> str:
            return "hello"

    there = There.options(name="there").remote()
    program = """
        daybreak.init(namespace="first")
        print(daybreak.get(daybreak.get_actor("there").hello.remote()))
        """
    done = run(program, DAYBREAK_ADDRESS="auto")
    assert done.stdout == "hello\n", done.stderr
    alone = run(program)
    assert alone.returncode != 0 and "Failed to look up actor with name 'there'" in alone.stderr
    daybreak.kill(there)


def test_an_address_where_nothing_runs_is_an_exception(run: Run) -> None:
    """ray#17769: the process was aborted."""
    daybreak.shutdown()
    done = run(
        """
        for address in ("auto", "999999999"):
            try:
                daybreak.init(address)
            except (ConnectionError, ValueError) as error:
                print(type(error).__name__, address in str(error))
        """
    )
    assert done.stdout.splitlines() == ["ConnectionError True", "ValueError True"], done.stderr


def test_what_a_killed_engine_left_stands_in_nobody_s_way(run: Run) -> None:
    """ray#27021: the address of an engine that had gone was taken for one that runs."""
    daybreak.shutdown()
    killed = run("daybreak.init(num_cpus=1)\nos.kill(os.getpid(), signal.SIGKILL)")
    assert killed.returncode == -9
    done = run(
        """
        try:
            daybreak.init("auto")
        except ConnectionError:
            print("nobody")
        daybreak.init(num_cpus=1)
        print(daybreak.get(daybreak.remote(lambda: 5).remote()))
        """
    )
    assert done.stdout == "nobody\n5\n", done.stderr


def test_an_actor_restarts_with_a_large_argument_that_nobody_else_holds() -> None:
    """ray#53713, ray#53727: what it was made with was gone by then."""

    @daybreak.remote(num_cpus=0, max_restarts=2, max_task_retries=2)
    class Model:
        def __init__(self, weights: Any, more: dict[str, Any]) -> None:
            self.total = int(weights.sum()) + int(more["bias"].sum())

        def ask(self) -> tuple[int, int]:
            return os.getpid(), self.total

    weights = np.ones(20 << 20, dtype=np.uint8)
    model = Model.remote(daybreak.put(weights), {"bias": np.ones(1 << 20, dtype=np.uint8)})
    pid, total = daybreak.get(model.ask.remote(), timeout=60)
    fill = [daybreak.put(np.ones(15 << 20, dtype=np.uint8)) for _ in range(5)]  # more than the store has
    for _ in range(2):
        os.kill(pid, 9)
        again, same = daybreak.get(model.ask.remote(), timeout=60)
        assert again != pid and same == total == 21 << 20
        pid = again
    assert all(int(daybreak.get(ref)[-1]) == 1 for ref in fill)


def test_the_error_of_a_task_whose_result_nobody_holds_is_said(run: Run) -> None:
    """ray#28296, ray-legacy#450, ray#1206: a task failed and nothing was shown."""
    program = """
        daybreak.init(num_cpus=1)

        @daybreak.remote
        def fails(text):
            time.sleep(0.02)  # until its reference has gone: who holds one may still look
            raise LookupError(text)

        @daybreak.remote
        class Quiet:
            def fails(self):
                time.sleep(0.02)
                raise KeyError("of the actor")

        fails.remote("nobody looks")
        quiet = Quiet.remote()
        quiet.fails.remote()
        held = fails.remote("somebody does")
        try:
            daybreak.get(held)
        except LookupError:
            pass
        time.sleep(1.2)
        for i in range(50):
            fails.remote(f"again {i}")
        daybreak.get(quiet.__ray_ready__.remote())
        time.sleep(1.2)
        fails.remote("the last")
        daybreak.get(daybreak.remote(lambda: None).remote())
        time.sleep(1.5)
        """
    done = run(program)
    assert done.returncode == 0, done.stderr
    assert "Unhandled error: nobody holds the result of fails" in done.stderr and "nobody looks" in done.stderr
    assert "Quiet.fails" in done.stderr and "of the actor" in done.stderr and "somebody does" not in done.stderr
    shown = done.stderr.count("Unhandled error:")
    counted = sum(int(more) for more in re.findall(r"Unhandled errors: (\d+) more within a second", done.stderr))
    assert shown + counted == 53, done.stderr
    assert "Unhandled" not in run(program, RAY_IGNORE_UNHANDLED_ERRORS="1").stderr
