"""What has ended is remembered: tasks, calls, dead actors and spans, for people and for a trace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import daybreak
from daybreak._core import runtime as native
from daybreak.runtime import history, state

from .conftest import eventually


@pytest.fixture(autouse=True)
def engine(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    daybreak.shutdown()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
    daybreak.init(num_cpus=2, object_store_memory=128 << 20)
    yield daybreak
    daybreak.shutdown()


def rows_of(name: str) -> list[Any]:
    return state.list_tasks(filters=[("name", "=", name)], limit=10_000)


def test_a_task_whose_result_nobody_holds_is_listed_with_its_times_and_its_process() -> None:
    @daybreak.remote
    def work() -> int:
        time.sleep(0.05)
        return os.getpid()

    before = time.time() * 1e3
    pid = daybreak.get(work.remote())
    [row] = rows_of("work")
    assert row.state == "FINISHED" and row.worker_pid == pid and row.type == "NORMAL_TASK" and row.error_type is None
    assert before - 5 <= row.start_time_ms <= row.end_time_ms <= time.time() * 1e3 + 5
    assert row.end_time_ms - row.start_time_ms >= 49


def test_a_name_that_is_too_long_ends_with_dots() -> None:
    def f() -> None:
        pass

    f.__qualname__ = f.__name__ = "n" * 200
    daybreak.get(daybreak.remote(f).remote())
    assert [row.name for row in state.list_tasks() if row.name[:1] == "n"] == ["n" * 133 + "..."]


def test_one_that_is_held_is_listed_once() -> None:
    def held() -> int:
        return 1

    ref = daybreak.remote(held).remote()
    assert daybreak.get(ref) == 1
    [row] = rows_of("held")
    assert row.state == "FINISHED" and row.start_time_ms <= row.end_time_ms and row.task_id == ref.task_id().hex()
    del ref
    [again] = rows_of("held")
    assert again.task_id == row.task_id


def test_failed_cancelled_and_crashed_tasks_say_what_they_ended_with() -> None:
    @daybreak.remote(max_retries=0)
    def ends(how: str) -> None:
        if how == "raises":
            raise KeyError(how)
        if how == "dies":
            os._exit(1)
        time.sleep(600)

    for how in ("raises", "dies"):
        with pytest.raises(Exception):  # noqa: B017 - which one is no matter here
            daybreak.get(ends.remote(how))
    assert eventually(lambda: len(rows_of(ends.__qualname__)) == 2)
    ref = ends.remote("waits")
    assert eventually(lambda: any(row.state == "RUNNING" for row in rows_of(ends.__qualname__)))
    daybreak.cancel(ref)
    with pytest.raises(daybreak.exceptions.TaskCancelledError):
        daybreak.get(ref)
    del ref
    assert [row.error_type for row in rows_of(ends.__qualname__)] == ["USER", "WORKER_CRASHED", "CANCELLED"]
    assert {row.state for row in rows_of(ends.__qualname__)} == {"FAILED"}


def test_calls_of_actors_have_their_actor_and_nested_tasks_their_parent() -> None:
    @daybreak.remote
    def inner() -> str:
        return daybreak.get_runtime_context().get_task_id()

    @daybreak.remote
    def outer() -> tuple[str, str]:
        return daybreak.get_runtime_context().get_task_id(), daybreak.get(inner.remote())

    @daybreak.remote
    class Slow:
        async def ask(self) -> str:
            return daybreak.get_runtime_context().get_task_id()

    parent, child = daybreak.get(outer.remote())
    [row] = rows_of(inner.__qualname__)
    assert row.task_id == child and row.parent_task_id == parent
    actor = Slow.remote()
    task = daybreak.get(actor.ask.remote())
    [row] = state.list_tasks(filters=[("type", "=", "ACTOR_TASK")])
    assert row.task_id == task and row.actor_id == actor._actor_id.hex()


def test_a_dead_actor_is_listed_when_nobody_has_its_handle_any_more() -> None:
    @daybreak.remote
    class Gone:
        def ping(self) -> int:
            return 1

    actor = Gone.options(name="gone").remote()
    daybreak.get(actor.ping.remote())
    id = actor._actor_id.hex()
    del actor
    assert eventually(lambda: native._usage()["actors"] == 0)
    [row] = state.list_actors(filters=[("actor_id", "=", id)])
    assert row.state == "DEAD" and row.name == "gone" and "nobody had its handle" in row.death_cause
    assert state.list_named_actors() == []


def test_a_process_remembers_the_last_two_thousand_and_forty_eight_also_after_its_death() -> None:
    @daybreak.remote(num_cpus=0)
    class Counter:
        def add(self, k: int) -> int:
            return os.getpid()

    counter = Counter.remote()
    [pid] = set(daybreak.get([counter.add.remote(k) for k in range(3000)]))
    daybreak.kill(counter)
    assert eventually(lambda: not os.path.exists(f"/proc/{pid}"))
    rows = [row for row in native._view(None).ended() if row["name"].endswith("add")]
    assert len(rows) == 2048 and {row["worker_pid"] for row in rows} == {pid}
    assert all(first["end_ns"] <= then["start_ns"] for first, then in zip(rows, rows[1:], strict=False))


def test_the_timeline_has_an_event_for_each_task_and_span_and_loads_as_json(tmp_path: Path) -> None:
    @daybreak.remote
    def load(k: int) -> int:
        with history.profile("read", {"file": f"{k}.csv"}):
            time.sleep(0.02)
        return k

    daybreak.get([load.remote(k) for k in range(4)])
    path = tmp_path / "trace.json"
    assert history.timeline(path) is None
    events = json.loads(path.read_text())
    tasks = [event for event in events if event["name"] == load.__qualname__]
    spans = [event for event in events if event.get("cat") == "span"]
    assert len(tasks) == 4 and sorted(span["args"]["file"] for span in spans) == [f"{k}.csv" for k in range(4)]
    for span in spans:  # within its task, in the same thread
        around = [t for t in tasks if (t["pid"], t["tid"]) == (span["pid"], span["tid"])]
        assert any(t["ts"] <= span["ts"] and span["ts"] + span["dur"] <= t["ts"] + t["dur"] + 1 for t in around)
    names = {event["pid"]: event["args"]["name"] for event in events if event["ph"] == "M"}
    assert {event["pid"] for event in tasks} <= set(names) and all(
        name.startswith("worker ") for name in names.values()
    )


def test_spans_of_threads_and_of_the_driver_are_in_it() -> None:
    def measured() -> None:
        with history.profile("in a thread"):
            time.sleep(0.01)

    threads = [threading.Thread(target=measured) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = [event for event in history.timeline() or () if event["name"] == "in a thread"]
    assert len({event["tid"] for event in events}) == 2 and {event["pid"] for event in events} == {os.getpid()}


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        (("x" * 137,), ValueError, "take 137 bytes, at most 136"),
        (("é" * 69,), ValueError, "take 138 bytes"),
        (("a", {"b": "c" * 136}), ValueError, "at most 136"),
        ((3,), TypeError, "event_type=3"),
        (("a", {"b": 1}), TypeError, "dict of strings"),
    ],
)
def test_a_span_that_cannot_be_kept_is_refused_by_name(arguments: Any, kind: type, text: str) -> None:
    with pytest.raises(kind, match=text), history.profile(*arguments):
        pass


def test_a_span_without_an_engine_is_just_the_block() -> None:
    daybreak.shutdown()
    with history.profile("alone"):
        pass
    assert not daybreak.is_initialized()


@pytest.mark.parametrize("how", ["variable", "config"])
def test_it_can_be_left_off(how: str) -> None:
    program = (
        "import daybreak\n"
        f"daybreak.init(num_cpus=1{', _system_config=dict(enable_task_events=False)' if how == 'config' else ''})\n"
        "from daybreak.runtime import history, state\n"
        "daybreak.get(daybreak.remote(abs).remote(-1))\n"
        "print(state.list_tasks(), history.timeline())\n"
    )
    variables = {"DAYBREAK_TASK_EVENTS": "0"} if how == "variable" else {}
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **variables}, capture_output=True, text=True
    )
    assert done.stdout == "[] []\n", done.stderr


def test_the_command_writes_the_trace_of_another_process(tmp_path: Path) -> None:
    daybreak.get(daybreak.remote(abs).remote(-1))
    path = tmp_path / "trace.json"
    done = subprocess.run(
        [sys.executable, "-m", "daybreak.cli", "timeline", "--output", str(path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "abs" in {event["name"] for event in json.loads(path.read_text())}
