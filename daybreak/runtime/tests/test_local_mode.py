"""`init(local_mode=True)`: everything in this process, one thing after the other, with what else a program relies on."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import daybreak
from daybreak import exceptions
from daybreak.runtime.state import list_named_actors


@pytest.fixture
def local() -> Iterator[Any]:
    daybreak.shutdown()
    daybreak.init(num_cpus=2, local_mode=True)
    yield daybreak
    daybreak.shutdown()


def test_the_conformance_suite_holds_but_for_what_needs_processes() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(Path(__file__).parent / "conformance")],
        env={**os.environ, "DAYBREAK_TEST_ENGINE": "local_mode"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    found = re.search(r"\[100%\]", done.stdout)
    assert found and done.stdout.split()[0].count(".") >= 55, done.stdout


def test_a_task_runs_in_this_thread_below_who_submitted_it(local: Any) -> None:
    @daybreak.remote
    def where() -> tuple[int, int, str]:
        return os.getpid(), threading.get_ident(), "".join(traceback.format_stack())

    def submitter() -> Any:
        return where.remote()

    pid, thread, stack = daybreak.get(submitter())
    assert (pid, thread) == (os.getpid(), threading.get_ident()) and "in submitter" in stack


def test_arguments_and_results_are_copies(local: Any) -> None:
    @daybreak.remote
    def change(values: list[int]) -> list[int]:
        values.append(4)
        return values

    mine = [1, 2, 3]
    ref = change.remote(mine)
    assert mine == [1, 2, 3] and daybreak.get(ref) == [1, 2, 3, 4] and daybreak.get(ref) is not daybreak.get(ref)
    with pytest.raises(ValueError, match="read-only"):
        daybreak.get(daybreak.put(np.zeros(8)))[0] = 1
    with pytest.raises(TypeError, match="lock"):
        change.remote(threading.Lock())


def test_a_reference_within_a_value_is_held_by_it(local: Any) -> None:
    @daybreak.remote
    def nest(value: Any) -> list[Any]:
        return [daybreak.put(value)]

    outer = daybreak.get(nest.remote(daybreak.put({"deep": 1})))
    assert daybreak.get(daybreak.get(nest.remote(outer))[0])[0] == outer[0] and daybreak.get(outer[0]) == {"deep": 1}


def test_generators_give_references_and_their_error_last(local: Any) -> None:
    @daybreak.remote
    def items(count: int) -> Iterator[int]:
        yield from range(count)
        raise KeyError("end")

    found = []
    with pytest.raises(KeyError):
        for ref in items.remote(3):
            found.append(daybreak.get(ref))
    assert found == [0, 1, 2]
    dynamic = daybreak.get(items.options(num_returns="dynamic").remote(2))
    assert [daybreak.get(ref) for ref in list(dynamic)[:2]] == [0, 1]


def test_coroutine_actors_run_also_where_a_loop_runs(local: Any) -> None:
    @daybreak.remote
    class Slow:
        async def add(self, a: int, b: int) -> int:
            await asyncio.sleep(0)
            return a + b

        async def count(self, n: int) -> Any:
            for i in range(n):
                yield i

    actor = Slow.remote()
    assert daybreak.get(actor.add.remote(1, 2)) == 3

    async def main() -> tuple[int, list[int]]:
        return await actor.add.remote(3, 4), [await ref async for ref in actor.count.remote(3)]

    assert asyncio.run(main()) == (7, [0, 1, 2])


def test_an_actor_leaves_is_killed_and_its_name_is_free(local: Any) -> None:
    @daybreak.remote
    class One:
        def name(self) -> str:
            return "one"

        def leave(self) -> None:
            daybreak.exit_actor()

    first = One.options(name="it").remote()
    with pytest.raises(ValueError, match="taken"):
        One.options(name="it").remote()
    assert daybreak.get(daybreak.get_actor("it").name.remote()) == "one"
    daybreak.kill(first)
    with pytest.raises(exceptions.ActorDiedError, match=r"killed by kill\(\)"):
        daybreak.get(first.name.remote())
    second = One.options(name="it").remote()
    with pytest.raises(exceptions.ActorDiedError, match="has left"):
        daybreak.get(second.leave.remote())
    with pytest.raises(ValueError, match="it"):
        daybreak.get_actor("it")
    with pytest.raises(TypeError, match=r"name\.remote\(\)"):
        One.remote().name()


def test_an_actor_goes_with_its_last_handle_and_a_detached_one_stays(local: Any) -> None:
    @daybreak.remote
    class One:
        def ping(self) -> int:
            return 1

    one, other = One.options(name="one").remote(), One.options(name="other", lifetime="detached").remote()
    assert daybreak.get([one.ping.remote(), other.ping.remote()]) == [1, 1]
    del one, other
    assert daybreak.util.list_named_actors() == ["other"]
    assert daybreak.get(daybreak.get_actor("other").ping.remote()) == 1
    daybreak.kill(daybreak.get_actor("other"))
    assert daybreak.util.list_named_actors() == []


def test_what_there_is_no_second_process_for_is_refused(local: Any) -> None:
    task = daybreak.remote(runtime_env={"env_vars": {"A": "1"}})(lambda: 1)
    with pytest.raises(ValueError, match="runtime_env: with local_mode"):
        task.remote()
    daybreak.shutdown()
    with pytest.raises(ValueError, match="runtime_env: with local_mode"):
        daybreak.init(local_mode=True, runtime_env={"env_vars": {"A": "1"}})
    for where in ({"address": "ray://nowhere:10001"}, {"engine": "ray"}):
        with pytest.raises(ValueError, match="local_mode: everything runs in this process, without a cluster"):
            daybreak.init(local_mode=True, **where)
    assert not daybreak.is_initialized()


def test_after_it_the_runtime_has_processes_again(local: Any) -> None:
    pid = daybreak.remote(os.getpid)
    assert daybreak.get(pid.remote()) == os.getpid()
    daybreak.shutdown()
    daybreak.init(num_cpus=1)
    assert daybreak.get(pid.remote()) != os.getpid()


def test_named_actors_are_listed_until_they_are_killed(local: Any) -> None:
    class Named:
        def three(self) -> int:
            return 3

    actor = daybreak.remote(Named).options(name="one", namespace="other").remote()
    daybreak.remote(Named).options(name="two", lifetime="detached").remote()
    assert list_named_actors() == ["two"]
    assert {"name": "one", "namespace": "other"} in list_named_actors(all_namespaces=True)
    daybreak.kill(daybreak.get_actor("two"))
    assert list_named_actors() == []
    assert daybreak.get(actor.three.remote()) == 3
