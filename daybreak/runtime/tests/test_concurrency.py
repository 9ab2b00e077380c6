"""Threaded actors, concurrency groups, order, limits of pending calls; methods and their options."""

from __future__ import annotations

import asyncio
import os
import pickle
import threading
import time
from typing import Any

import pytest

from daybreak import exceptions
from daybreak.runtime.tests.conftest import ended, eventually, once_back


def test_threads_are_made_when_they_are_needed(ray: Any) -> None:
    @ray.remote(max_concurrency=1000)
    class Threaded:
        def __init__(self) -> None:
            self.all = threading.Barrier(20)

        def threads(self) -> int:
            return threading.active_count()

        def meet(self) -> int:
            self.all.wait(30)
            return threading.active_count()

    actor = Threaded.remote()
    assert {ray.get(actor.threads.remote(), timeout=30) for _ in range(50)} == {2}  # one that runs, one that waits
    assert max(ray.get([actor.meet.remote() for _ in range(20)], timeout=30)) <= 21
    assert ray.get(actor.threads.remote(), timeout=30) <= 21


def test_threads_do_not_grow_beyond_the_limit(ray: Any) -> None:
    @ray.remote(max_concurrency=3)
    class Threaded:
        def __init__(self) -> None:
            self.lock, self.inside, self.most = threading.Lock(), 0, 0

        def work(self) -> None:
            with self.lock:
                self.inside += 1
                self.most = max(self.most, self.inside)
            time.sleep(0.001)
            with self.lock:
                self.inside -= 1

        def seen(self) -> tuple[int, int]:
            return self.most, threading.active_count()

    actor = Threaded.remote()
    ray.get([actor.work.remote() for _ in range(100)], timeout=60)
    most, threads = ray.get(actor.seen.remote(), timeout=30)
    assert most <= 3 and threads == 3


def test_verbs_are_safe_in_threads(ray: Any) -> None:
    @ray.remote
    def double(x: int) -> int:
        return 2 * x

    @ray.remote(max_concurrency=10)
    class Threaded:
        def ask(self, x: int) -> int:
            return ray.get(double.remote(x))  # type: ignore[no-any-return]

    actor = Threaded.remote()
    assert ray.get([actor.ask.remote(i) for i in range(200)], timeout=60) == [2 * i for i in range(200)]


def test_a_method_of_a_threaded_actor_can_end_it(ray: Any) -> None:
    @ray.remote(max_concurrency=10)
    class Threaded:
        def __init__(self, path: str) -> None:
            import atexit

            self.go = threading.Event()
            atexit.register(lambda: open(path, "w").close())

        def wait(self) -> None:
            self.go.wait()

        def pid(self) -> int:
            return os.getpid()

        def leave(self) -> None:
            ray.runtime.exit_actor()

    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        actor = Threaded.remote(os.path.join(folder, "left"))
        pid = ray.get(actor.pid.remote(), timeout=30)
        waiting = [actor.wait.remote() for _ in range(5)]
        for ref in [actor.leave.remote(), *waiting]:
            with pytest.raises(ray.exceptions.ActorDiedError):
                ray.get(ref, timeout=30)
        assert eventually(lambda: ended(pid))
        assert os.listdir(folder) == ["left"]


def test_calls_on_other_threads_end_before_the_actor_when_its_last_handle_goes(ray: Any) -> None:
    @ray.remote(max_concurrency=4)
    class Slow:
        def work(self, seconds: float) -> float:
            time.sleep(seconds)
            return seconds

    actor = Slow.remote()
    refs = [actor.work.remote(0.05 * i) for i in range(1, 5)]
    del actor
    assert ray.get(refs, timeout=30) == [0.05 * i for i in range(1, 5)]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_blocked_group_blocks_no_other(ray: Any, asynchronous: bool) -> None:
    class Threads:
        @ray.method(concurrency_group="one")  # type: ignore[untyped-decorator]
        def block(self) -> None:
            time.sleep(600)

        @ray.method(concurrency_group="two")  # type: ignore[untyped-decorator]
        def answer(self) -> str:
            return "two"

        def default(self) -> str:
            return "default"

    class Loops(Threads):
        async def other(self) -> None: ...

    actor = ray.remote(concurrency_groups={"one": 1, "two": 1})(Loops if asynchronous else Threads).remote()
    blocked = [actor.block.remote() for _ in range(2)]
    assert ray.get([actor.answer.remote(), actor.default.remote()], timeout=30) == ["two", "default"]
    assert not ray.wait(blocked, timeout=0)[0]
    ray.kill(actor)


def test_each_group_of_a_coroutine_actor_has_a_loop_of_its_own(ray: Any) -> None:
    @ray.remote(concurrency_groups={"io": 2, "compute": 4})
    class Groups:
        def __init__(self) -> None:
            self.default = asyncio.get_running_loop()

        @ray.method(concurrency_group="io")
        async def io(self) -> tuple[int, int]:
            return threading.get_ident(), id(asyncio.get_running_loop())

        @ray.method(concurrency_group="io")
        def plain_io(self) -> tuple[int, int]:
            return threading.get_ident(), id(asyncio.get_running_loop())

        @ray.method(concurrency_group="compute")
        async def compute(self) -> tuple[int, int]:
            return threading.get_ident(), id(asyncio.get_running_loop())

        async def in_default(self) -> bool:
            return asyncio.get_running_loop() is self.default

    actor = Groups.remote()
    io, plain, compute = ray.get([actor.io.remote(), actor.plain_io.remote(), actor.compute.remote()], timeout=30)
    assert io == plain != compute
    assert ray.get(actor.in_default.remote(), timeout=30)
    assert ray.get(actor.plain_io.options(concurrency_group="compute").remote(), timeout=30) == compute
    again = pickle.loads(pickle.dumps(actor))
    assert ray.get(again.io.remote(), timeout=30) == io


def test_a_group_limits_its_own_calls(ray: Any) -> None:
    @ray.remote(concurrency_groups={"three": 3})
    class Batches:
        def __init__(self) -> None:
            self.batch: list[int] = []
            self.full: asyncio.Event | None = None

        @ray.method(concurrency_group="three")
        async def add(self, x: int) -> list[int]:
            self.full = self.full or asyncio.Event()
            self.batch.append(x)
            if len(self.batch) == 3:
                self.full.set()
            await self.full.wait()
            return sorted(self.batch)

    actor = Batches.remote()
    assert ray.get([actor.add.remote(i) for i in range(3)], timeout=30) == [[0, 1, 2]] * 3


def test_an_unknown_group_is_refused_where_it_is_named(ray: Any) -> None:
    class Grouped:
        @ray.method(concurrency_group="io")  # type: ignore[untyped-decorator]
        def work(self) -> None: ...

    with pytest.raises(ValueError, match="concurrency_group='io' of Grouped.work: the actor has no such group"):
        ray.remote(Grouped).remote()
    actor = ray.remote(concurrency_groups={"io": 1})(Grouped).remote()
    with pytest.raises(ValueError, match="'disk'.*it has io"):
        actor.work.options(concurrency_group="disk")
    with pytest.raises(ValueError, match=r"concurrency_groups\['io'\]=0"):
        ray.remote(concurrency_groups={"io": 0})(Grouped)
    with pytest.raises(TypeError, match="dict of names and numbers"):
        ray.remote(concurrency_groups=3)(Grouped)


def test_a_threaded_actor_runs_what_is_ready_first(ray: Any) -> None:
    @ray.remote
    def after(path: str) -> int:
        while not os.path.exists(path):
            time.sleep(0.001)
        return 1

    class Echo:
        def say(self, x: int) -> int:
            return x

    import tempfile

    for options in ({"max_concurrency": 2}, {"allow_out_of_order_execution": True}):
        with tempfile.TemporaryDirectory() as folder:
            actor = ray.remote(Echo).options(**options).remote()
            first = actor.say.remote(after.remote(os.path.join(folder, "go")))
            assert ray.get(actor.say.remote(2), timeout=30) == 2
            open(os.path.join(folder, "go"), "w").close()
            assert ray.get(first, timeout=30) == 1


@pytest.mark.parametrize("why", ["async", "threads", "groups"])
def test_order_cannot_be_promised_where_several_run_at_once(ray: Any, why: str) -> None:
    class Plain:
        def work(self) -> None: ...

    class Coroutine:
        async def work(self) -> None: ...

    more: dict[str, Any] = {"threads": {"max_concurrency": 2}, "groups": {"concurrency_groups": {"io": 1}}}.get(why, {})
    cls = Coroutine if why == "async" else Plain
    with pytest.raises(ValueError, match="allow_out_of_order_execution=False"):
        ray.remote(allow_out_of_order_execution=False, **more)(cls).remote()


def test_calls_over_the_limit_of_pending_ones_are_refused(ray: Any) -> None:
    @ray.remote(max_pending_calls=3, max_concurrency=2)
    class Limited:
        def __init__(self) -> None:
            self.go = threading.Event()

        def wait(self) -> None:
            self.go.wait()

    actor = Limited.remote()
    refs = [actor.wait.remote() for _ in range(3)]
    with pytest.raises(ray.exceptions.PendingCallsLimitExceeded, match="max_pending_calls=3"):
        actor.wait.remote()
    ray.kill(actor)
    ray.wait(refs, num_returns=3, timeout=30)


def test_a_method_is_pickled_with_its_options(ray: Any) -> None:
    @ray.remote
    class Counter:
        def __init__(self) -> None:
            self.n = 0

        def add(self, k: int = 1) -> int:
            self.n += k
            return self.n

        def two(self) -> tuple[int, int]:
            return 1, 2

    @ray.remote
    def call(method: Any, k: int) -> int:
        return ray.get(method.remote(k))  # type: ignore[no-any-return]

    @ray.remote
    def both(methods: list[Any]) -> list[Any]:
        return [ray.get(m.remote()) for m in methods]

    counter = Counter.remote()
    assert ray.get(call.remote(counter.add, 5), timeout=30) == 5
    first, second = pickle.loads(pickle.dumps(counter.two.options(num_returns=2))).remote()
    assert ray.get([first, second], timeout=30) == [1, 2]
    assert ray.get(both.remote([counter.add, counter.two]), timeout=30) == [6, (1, 2)]


def test_a_methods_retries_are_its_own(ray: Any, tmp_path: Any) -> None:
    @ray.remote(max_restarts=-1)
    class Flaky:
        def __init__(self) -> None:
            self.calls = 0

        @ray.method(retry_exceptions=[KeyError], max_task_retries=3)
        def listed(self, error: type[Exception], times: int) -> int:
            return self.fail(error, times)

        @ray.method(max_task_retries=1)
        def crash_once(self, path: str) -> int:
            if not os.path.exists(path):
                open(path, "w").close()
                os._exit(1)
            return 7

        def fail(self, error: type[Exception], times: int) -> int:
            self.calls += 1
            if self.calls <= times:
                raise error()
            done, self.calls = self.calls, 0
            return done

        def reset(self) -> None:
            self.calls = 0

    actor = Flaky.remote()
    assert ray.get(actor.listed.remote(KeyError, 3), timeout=30) == 4
    with pytest.raises(KeyError):
        ray.get(actor.listed.remote(KeyError, 9), timeout=30)
    ray.get(actor.reset.remote(), timeout=30)
    with pytest.raises(ValueError):
        ray.get(actor.listed.remote(ValueError, 1), timeout=30)
    ray.get(actor.reset.remote(), timeout=30)
    retried = actor.fail.options(retry_exceptions=True, max_task_retries=2)
    assert ray.get(retried.remote(ValueError, 2), timeout=30) == 3
    assert ray.get(actor.crash_once.remote(str(tmp_path / "crashed")), timeout=30) == 7


def test_options_of_methods_are_looked_at(ray: Any) -> None:
    @ray.remote
    class Plain:
        def work(self) -> str:
            return "done"

    method = Plain.remote().work
    for wrong in ({"num_returns": -3}, {"nonsense": 1}, {"max_task_retries": -2}, {"window": 1}):
        with pytest.raises(ValueError):
            method.options(**wrong)
    assert ray.get(method.options(name="a name", enable_task_events=False).remote(), timeout=30) == "done"
    with pytest.raises(ValueError, match="takes options"):
        ray.method()
    with pytest.raises(ValueError, match="no option 'num_return'"):
        ray.method(num_return=2)
    for bound in (method, Plain, ray.remote(len)):
        with pytest.raises(NotImplementedError, match="graphs of calls"):
            bound.bind()
    with pytest.raises(TypeError):
        method()


def test_ids_of_references_are_those_of_their_tasks(ray: Any) -> None:
    @ray.remote(num_returns=2)
    def own() -> tuple[str, str]:
        context = ray.get_runtime_context()
        return context.get_task_id(), context.get_job_id()

    first, second = own.remote()
    task, job = ray.get([first, second], timeout=30)
    assert first.task_id().hex() == second.task_id().hex() == task
    assert first.job_id().hex() == job
    assert not first.is_nil() and ray.ObjectRef.nil().is_nil() and ray.ObjectRef.nil() == ray.ObjectRef.nil()
    assert len(first.task_id().binary()) == 24 and first.task_id().job_id() == first.job_id()


@pytest.mark.parametrize("ending", ["sys.exit(1)", "sys.exit('why')", "os._exit(0)", "os._exit(3)"])
@pytest.mark.parametrize("kind", ["plain", "coroutine", "threaded"])
def test_an_actor_that_ends_otherwise_than_by_leaving_is_restarted_and_its_call_tried_again(
    ray: Any, kind: str, ending: str, tmp_path: Any
) -> None:
    path = str(tmp_path / "tries")

    def once() -> int:
        import os
        import sys  # noqa: F401 - in `ending`

        with open(path, "a") as f:
            f.write("x")
        if os.path.getsize(path) == 1:
            exec(ending)
        return os.path.getsize(path)

    class Plain:
        def call(self) -> int:
            return once()

    class Coroutine:
        async def call(self) -> int:
            return once()

    cls = ray.remote(max_restarts=1, max_task_retries=1)(Coroutine if kind == "coroutine" else Plain)
    actor = cls.options(max_concurrency=2).remote() if kind == "threaded" else cls.remote()
    assert ray.get(actor.call.remote(), timeout=60) == 2


def test_a_call_that_is_not_tried_again_says_that_its_actor_comes_back(ray: Any) -> None:
    @ray.remote(max_restarts=1)
    class Ends:
        def end(self, code: int) -> None:
            import sys

            sys.exit(code)

        def hello(self) -> str:
            return "hello"

    ends = Ends.remote()
    with pytest.raises(exceptions.ActorUnavailableError, match="is being restarted"):
        ray.get(ends.end.remote(1), timeout=60)
    assert once_back(ends.hello.remote) == "hello"
    with pytest.raises(exceptions.ActorDiedError):
        ray.get(ends.end.remote(2), timeout=60)
    leaves = Ends.remote()
    with pytest.raises(exceptions.ActorDiedError, match="has left"):
        ray.get(leaves.end.remote(0), timeout=60)


def test_a_call_that_is_tried_again_goes_before_those_that_wait_for_its_result(ray: Any) -> None:
    @ray.remote
    class Actor:
        def __init__(self) -> None:
            self.calls = 0

        @ray.method(max_task_retries=1, retry_exceptions=True)
        def one(self, gate: Any) -> int:
            self.calls += 1
            if self.calls == 1:
                ray.get(gate.wait.remote())
                raise ValueError("once")
            return 1

        def two(self, one: int) -> int:
            return one + 1

    @ray.remote(max_concurrency=2)
    class Gate:
        def __init__(self) -> None:
            import threading

            self.event = threading.Event()

        def wait(self) -> None:
            self.event.wait(30)

        def open(self) -> None:
            self.event.set()

    gate, actor = Gate.remote(), Actor.remote()
    one = actor.one.remote(gate)
    two = actor.two.remote(one)
    ray.get(gate.open.remote())
    assert ray.get(two, timeout=30) == 2
