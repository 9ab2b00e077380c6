"""cancel() of tasks and calls: queued, running, nested, by force; max_calls."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from daybreak.runtime.tests.conftest import ended, eventually


def cancelled(ray: Any, ref: Any) -> None:
    with pytest.raises((ray.exceptions.TaskCancelledError, ray.exceptions.WorkerCrashedError)):
        ray.get(ref, timeout=30)


def test_a_running_coroutine_is_cancelled_where_it_awaits(ray: Any) -> None:
    @ray.remote
    class Sleeps:
        def __init__(self) -> None:
            self.seen: list[str] = []

        async def sleep(self, who: str) -> None:
            self.seen.append(f"{who} began")
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                self.seen.append(f"{who} cancelled")
                raise

        async def what(self) -> list[str]:
            return self.seen

    actor = Sleeps.remote()
    for i in range(20):
        one, other = actor.sleep.remote(f"{i}"), actor.sleep.remote("other")
        assert eventually(lambda i=i: f"{i} began" in ray.get(actor.what.remote(), timeout=30))
        ray.cancel(one)
        with pytest.raises(ray.exceptions.TaskCancelledError, match="was cancelled"):
            ray.get(one, timeout=30)
        assert ray.get(actor.what.remote(), timeout=30)[-1] in (f"{i} cancelled", "other began")
        assert not ray.wait([other], timeout=0)[0]
        ray.cancel(other)
        cancelled(ray, other)


def test_many_coroutines_are_cancelled_at_once(ray: Any) -> None:
    @ray.remote
    class Sleeps:
        async def sleep(self) -> None:
            await asyncio.sleep(600)

    actor = Sleeps.remote()
    refs = [actor.sleep.remote() for _ in range(500)]
    ray.get(actor.__ray_ready__.remote(), timeout=30)
    for ref in refs[::2]:
        ray.cancel(ref)
    for ref in refs[::2]:
        cancelled(ray, ref)
    assert not ray.wait(refs[1::2], timeout=0)[0]
    ray.kill(actor)


def test_a_coroutine_that_catches_its_cancellation_has_a_result(ray: Any) -> None:
    @ray.remote
    class Stubborn:
        def __init__(self) -> None:
            self.began = asyncio.Event()

        async def sleep(self) -> str:
            try:
                self.began.set()
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                await asyncio.sleep(0.01)  # which no second cancellation ends
            return "caught"

        async def wait(self) -> None:
            await self.began.wait()

    actor = Stubborn.remote()
    ref = actor.sleep.remote()
    ray.get(actor.wait.remote(), timeout=30)
    ray.cancel(ref)
    ray.cancel(ref)
    assert ray.get(ref, timeout=30) == "caught"


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_call_that_waits_for_its_turn_never_begins(ray: Any, asynchronous: bool) -> None:
    class Threaded:
        def __init__(self) -> None:
            self.begun = 0

        def block(self) -> None:
            time.sleep(600)

        def work(self) -> None:
            self.begun += 1

        def count(self) -> int:
            return self.begun

    class Coroutine(Threaded):
        async def block(self) -> None:  # type: ignore[override]
            await asyncio.sleep(600)

    group = {"concurrency_groups": {"count": 1}}
    actor = ray.remote(**group)(Coroutine if asynchronous else Threaded).options(max_concurrency=1).remote()
    blocking = actor.block.remote()
    waiting = [actor.work.remote() for _ in range(10)]
    for ref in waiting:
        ray.cancel(ref)
    for ref in waiting:
        cancelled(ray, ref)  # although the actor is busy still
    assert not ray.wait([blocking], timeout=0)[0]
    assert ray.get(actor.count.options(concurrency_group="count").remote(), timeout=30) == 0
    ray.kill(actor)


def test_a_call_that_waits_for_its_argument_is_cancelled(ray: Any) -> None:
    @ray.remote
    def sleep() -> None:
        time.sleep(600)

    @ray.remote
    class Takes:
        async def take(self, x: Any) -> Any:
            return x

    argument = sleep.remote()
    actor = Takes.remote()
    ref = actor.take.remote(argument)
    ray.get(actor.__ray_ready__.remote(), timeout=30)
    ray.cancel(ref)
    cancelled(ray, ref)
    ray.cancel(argument)
    cancelled(ray, argument)


def test_what_is_done_stays_done(ray: Any) -> None:
    @ray.remote
    class Done:
        async def one(self) -> int:
            return 1

    ref = Done.remote().one.remote()
    assert ray.get(ref, timeout=30) == 1
    ray.cancel(ref)
    assert ray.get(ref, timeout=30) == 1


def test_an_actor_is_not_ended_for_a_call(ray: Any) -> None:
    @ray.remote
    class Waits:
        async def wait(self) -> None:
            await asyncio.sleep(600)

        @ray.method(num_returns=2)
        async def two(self) -> None:
            await asyncio.sleep(600)

    actor = Waits.remote()
    for ref in (actor.wait.remote(), *actor.two.remote()):
        with pytest.raises(ValueError, match="force=True is not supported for actor tasks"):
            ray.cancel(ref, force=True)
        ray.cancel(ref)
        cancelled(ray, ref)


def test_a_coroutine_that_cancels_a_call_of_another_actor(ray: Any) -> None:
    @ray.remote
    class Sleeps:
        async def sleep(self) -> None:
            await asyncio.sleep(600)

    @ray.remote
    def cancel(held: list[Any]) -> None:
        ray.cancel(held[0])

    ref = Sleeps.remote().sleep.remote()
    ray.get(cancel.remote([ref]), timeout=30)
    cancelled(ray, ref)


@pytest.mark.parametrize("recursive", [True, False])
def test_children_of_a_coroutine_are_cancelled_with_it(ray: Any, tmp_path: Any, recursive: bool) -> None:
    @ray.remote
    class Child:
        async def sleep(self) -> None:
            await asyncio.sleep(600)

    @ray.remote
    def sleep() -> None:
        time.sleep(600)

    @ray.remote
    class Parent:
        def __init__(self) -> None:
            self.children: list[Any] = []
            self.ready = asyncio.Event()

        async def start(self, child: Any) -> None:
            self.children = [child.sleep.remote(), sleep.remote()]
            self.ready.set()
            await asyncio.gather(*self.children)

        async def started(self) -> list[Any]:
            await self.ready.wait()
            return self.children

    parent, child = Parent.remote(), Child.remote()
    ref = parent.start.remote(child)
    children = ray.get(parent.started.remote(), timeout=30)
    ray.cancel(ref, recursive=recursive)
    cancelled(ray, ref)
    if recursive:
        for each in children:
            cancelled(ray, each)
    else:
        assert not ray.wait(children, timeout=0)[0]
        for each in children:
            ray.cancel(each)
            cancelled(ray, each)


@pytest.mark.parametrize("force", [True, False])
def test_a_chain_of_waiting_tasks_falls_from_where_it_is_cancelled(two_cpus: Any, force: bool) -> None:
    ray = two_cpus

    @ray.remote
    class Gate:
        def __init__(self) -> None:
            self.open = asyncio.Event()

        async def wait(self) -> None:
            await self.open.wait()

        def let_on(self) -> None:
            self.open.set()

    @ray.remote
    def wait_for(held: list[Any]) -> Any:
        return ray.get(held[0])

    gate = Gate.remote()
    chain = [wait_for.remote([gate.wait.remote()])]
    for _ in range(3):
        chain.append(wait_for.remote([chain[-1]]))
    ray.cancel(chain[2], force=force)
    for ref in chain[2:]:
        with pytest.raises(ray.exceptions.Error):
            ray.get(ref, timeout=30)
    assert not ray.wait(chain[:2], num_returns=2, timeout=0)[0]
    gate.let_on.remote()
    assert ray.get(chain[:2], timeout=30) == [None, None]


def test_random_cancellations_leave_results_or_cancelled_tasks(two_cpus: Any) -> None:
    ray = two_cpus

    @ray.remote
    def echo(x: int) -> int:
        return x

    @ray.remote
    class Echo:
        async def say(self, x: int) -> int:
            await asyncio.sleep(0)
            return x

    actor = Echo.remote()
    refs = []
    for i in range(2000):
        ref = (echo if i % 2 else actor.say).remote(i)
        if i % 3 == 0:
            ray.cancel(ref)
        refs.append(ref)
    for i, ref in enumerate(refs):
        try:
            assert ray.get(ref, timeout=60) == i
        except ray.exceptions.TaskCancelledError:
            assert i % 3 == 0


def test_a_call_on_another_thread_does_not_take_the_main_threads_interrupt(ray: Any) -> None:
    @ray.remote(max_concurrency=3)
    class Threaded:
        def __init__(self) -> None:
            self.go = threading.Event()

        def wait(self) -> str:
            while not self.go.wait(0.001):
                pass
            return "waited"

        def let_on(self) -> None:
            self.go.set()

    actor = Threaded.remote()
    first, second = actor.wait.remote(), actor.wait.remote()
    ray.get(actor.__ray_ready__.remote(), timeout=30)
    ray.cancel(first)
    ray.get(actor.let_on.remote(), timeout=30)
    assert ray.get(second, timeout=30) == "waited"
    try:
        assert ray.get(first, timeout=30) == "waited"
    except ray.exceptions.TaskCancelledError:
        pass  # it was the main thread's


def test_a_worker_ends_after_max_calls_of_the_function(two_cpus: Any) -> None:
    ray = two_cpus

    @ray.remote(max_calls=2)
    def pid() -> int:
        return os.getpid()

    pids = [ray.get(pid.remote(), timeout=30) for _ in range(8)]
    assert all(eventually(lambda p=p: ended(p)) for p in set(pids) if pids.count(p) >= 2)
    assert max(pids.count(p) for p in pids) == 2
    with pytest.raises(ValueError, match="max_calls"):
        pid.options(max_calls=1)
    with pytest.raises(ValueError, match="max_calls=-1"):
        ray.remote(max_calls=-1)(lambda: None)


def test_a_cancellation_is_an_error_of_the_task_for_who_waited_for_it_and_is_pickled(ray: Any) -> None:
    import pickle

    @ray.remote
    class Sleeps:
        async def sleep(self) -> None:
            await asyncio.sleep(600)

    @ray.remote
    def wait_for(held: list[Any]) -> None:
        ray.get(held[0])

    ref = Sleeps.remote().sleep.remote()
    above = wait_for.remote([ref])
    ray.cancel(ref)
    for each in (ref, above):
        with pytest.raises(ray.exceptions.TaskCancelledError, match="was cancelled") as caught:
            ray.get(each, timeout=30)
        assert isinstance(caught.value, ray.exceptions.RayTaskError)
        again = pickle.loads(pickle.dumps(caught.value))
        assert isinstance(again, ray.exceptions.TaskCancelledError) and "was cancelled" in str(again)


def test_an_interrupt_that_nobody_has_seen_comes_again(two_cpus: Any, tmp_path: Any) -> None:
    """As when it comes just before a sleep in the kernel begins, which it then does not end."""
    ray = two_cpus

    @ray.remote
    def loses_the_first(path: str) -> None:
        import signal

        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        open(path, "w").close()
        signal.sigwait([signal.SIGINT])
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        time.sleep(600)

    @ray.remote
    def cleans_up(path: str) -> None:
        try:
            open(path, "w").close()
            time.sleep(600)
        finally:
            time.sleep(0.2)  # which no second interrupt ends
            os.rename(path, path + ".cleaned")

    for task in (loses_the_first, cleans_up):
        path = tmp_path / task.__name__
        ref = task.remote(str(path))
        assert eventually(path.exists)
        ray.cancel(ref)
        with pytest.raises(ray.exceptions.TaskCancelledError):
            ray.get(ref, timeout=30)
    assert (tmp_path / "cleans_up.cleaned").exists()


def test_a_task_that_waits_in_a_verb_is_interrupted(two_cpus: Any, tmp_path: Any) -> None:
    ray = two_cpus

    @ray.remote
    class Gate:
        async def wait(self) -> None:
            await asyncio.Event().wait()

    @ray.remote
    def wait_for(held: list[Any], path: str, verb: str) -> Any:
        open(path, "w").close()
        return ray.get(held[0]) if verb == "get" else ray.wait(held)

    gate = Gate.remote()
    for i in range(30):
        path = tmp_path / str(i)
        ref = wait_for.remote([gate.wait.remote()], str(path), "get" if i % 2 else "wait")
        assert eventually(path.exists)
        ray.cancel(ref)
        cancelled(ray, ref)


def test_a_cancellation_in_the_middle_of_an_import_leaves_no_module_half_there(ray: Any, tmp_path: Path) -> None:
    package = tmp_path / "slow_to_load"  # as asyncio does: a second import of it would not find its part
    package.mkdir()
    (package / "part.py").write_text("ANSWER = 42\n")
    (package / "__init__.py").write_text(
        "from .part import *\nimport pathlib, time\n"
        "pathlib.Path(__file__).with_name('begun').touch()\ntime.sleep(0.5)\nANSWER = part.ANSWER\n"
    )

    @ray.remote(runtime_env={"env_vars": {"PYTHONPATH": str(tmp_path)}})
    def answer(wait_s: float) -> int:
        import slow_to_load

        time.sleep(wait_s)
        return int(slow_to_load.ANSWER)

    ref = answer.remote(600)
    assert eventually(lambda: (package / "begun").exists(), 30)
    ray.cancel(ref)
    cancelled(ray, ref)
    assert ray.get(answer.remote(0), timeout=30) == 42
