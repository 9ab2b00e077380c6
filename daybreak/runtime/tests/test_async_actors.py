"""Coroutine actors: a class with an `async def` method runs its calls on an event loop, each as an asyncio.Task."""

from __future__ import annotations

import asyncio
import contextvars
import os
import socket
import threading
import time
from typing import Any

import pytest

import daybreak
from daybreak.runtime.tests.conftest import ended, eventually


def test_calls_of_a_coroutine_actor_wait_for_each_other(ray: Any) -> None:
    @ray.remote
    class Barrier:
        def __init__(self, count: int) -> None:
            self.arrived: list[int] = []
            self.count = count
            self.full = asyncio.Event()

        async def arrive(self, who: int) -> list[int]:
            self.arrived.append(who)
            if len(self.arrived) == self.count:
                self.full.set()
            await self.full.wait()
            return self.arrived

    barrier = Barrier.remote(3)
    assert ray.get([barrier.arrive.remote(i) for i in range(3)], timeout=30) == [[0, 1, 2]] * 3


def test_plain_methods_run_on_the_loop_too_and_in_turn(ray: Any) -> None:
    @ray.remote
    class Where:
        def __init__(self) -> None:
            self.made_on = threading.get_ident(), asyncio.get_running_loop()
            self.order: list[int] = []

        def plain(self, i: int) -> bool:
            self.order.append(i)
            return (threading.get_ident(), asyncio.get_running_loop()) == self.made_on

        async def coroutine(self, i: int) -> bool:
            self.order.append(i)
            return (threading.get_ident(), asyncio.get_running_loop()) == self.made_on

        def seen(self) -> list[int]:
            return self.order

    where = Where.remote()
    refs = [(where.plain if i % 2 else where.coroutine).remote(i) for i in range(100)]
    assert all(ray.get(refs, timeout=30))
    assert ray.get(where.seen.remote(), timeout=30) == list(range(100))


def test_a_constructor_starts_tasks_of_its_own(ray: Any) -> None:
    @ray.remote
    class Ticking:
        def __init__(self) -> None:
            self.ticked = asyncio.Event()
            self.task = asyncio.get_running_loop().create_task(self.tick())

        async def tick(self) -> None:
            self.ticked.set()

        async def wait(self) -> bool:
            return await asyncio.wait_for(self.ticked.wait(), 30)

    assert ray.get(Ticking.remote().wait.remote(), timeout=30) is True


def test_a_call_is_a_task_with_a_context_of_its_own(ray: Any) -> None:
    @ray.remote
    class Contexts:
        def __init__(self) -> None:
            self.variable: contextvars.ContextVar[int] = contextvars.ContextVar("v", default=-1)
            self.tasks: set[Any] = set()

        async def use(self, i: int) -> tuple[int, int]:
            before = self.variable.get()
            self.variable.set(i)
            self.tasks.add(asyncio.current_task())
            await asyncio.sleep(0.001)
            return before, self.variable.get()

        async def late(self) -> str:
            try:
                async with asyncio.timeout(0.01):
                    await asyncio.Event().wait()
            except TimeoutError:
                return "late"
            return "not reached"

        def count(self) -> int:
            return len(self.tasks)

    actor = Contexts.remote()
    assert ray.get([actor.use.remote(i) for i in range(50)], timeout=30) == [(-1, i) for i in range(50)]
    assert ray.get(actor.count.remote(), timeout=30) == 50
    assert ray.get(actor.late.remote(), timeout=30) == "late"


def test_the_runtime_context_in_a_coroutine_is_its_own_calls(ray: Any) -> None:
    @ray.remote
    class Contexts:
        async def ids(self) -> tuple[str, str, str]:
            before = ray.get_runtime_context().get_task_id()
            await asyncio.sleep(0.005)
            beside = await asyncio.gather(asyncio.create_task(self.own()))
            return before, ray.get_runtime_context().get_task_id(), beside[0]

        async def own(self) -> str:
            await asyncio.sleep(0)
            return str(ray.get_runtime_context().get_task_id())

    actor = Contexts.remote()
    refs = [actor.ids.remote() for _ in range(20)]
    for ref, ids in zip(refs, ray.get(refs, timeout=30), strict=True):
        assert set(ids) == {ref.task_id().hex()}


def test_max_concurrency_limits_the_calls_that_have_begun(ray: Any) -> None:
    @ray.remote
    class Order:
        def __init__(self) -> None:
            self.seen: list[str] = []

        async def work(self) -> None:
            self.seen.append("begun")
            await asyncio.sleep(0)
            self.seen.append("ended")

        async def all_seen(self) -> list[str]:
            return self.seen

    actor = Order.options(max_concurrency=1).remote()
    ray.get([actor.work.remote() for _ in range(20)], timeout=30)
    assert ray.get(actor.all_seen.remote(), timeout=30) == ["begun", "ended"] * 20


@pytest.mark.parametrize(("limit", "calls"), [(None, 1000), (5000, 4000)])
def test_thousands_of_calls_run_at_once_without_threads(ray: Any, limit: int | None, calls: int) -> None:
    @ray.remote
    class Gate:
        def __init__(self) -> None:
            self.inside = 0
            self.open = asyncio.Event()

        async def enter(self) -> int:
            self.inside += 1
            if self.inside == calls:
                self.open.set()
            await self.open.wait()
            return threading.active_count()

    actor = (Gate.options(max_concurrency=limit) if limit else Gate).remote()
    assert max(ray.get([actor.enter.remote() for _ in range(calls)], timeout=60)) < 5


def test_references_are_awaited_in_a_coroutine(ray: Any) -> None:
    @ray.remote
    def square(x: int) -> int:
        return x * x

    @ray.remote
    def fails() -> None:
        raise KeyError("k")

    @ray.remote
    class Asks:
        async def one(self, held: list[Any]) -> Any:
            return await held[0]

        async def many(self, n: int) -> list[int]:
            return await asyncio.gather(*[square.remote(i) for i in range(n)])

        async def late(self, held: list[Any]) -> str:
            try:
                await asyncio.wait_for(held[0], 0.01)
            except TimeoutError:
                return "late"
            return "not reached"

        async def wrong(self) -> str:
            try:
                await fails.remote()
            except KeyError as error:
                return str(error.args[0])
            return "not reached"

        async def gets(self) -> int:
            return ray.get(square.remote(4))  # type: ignore[no-any-return]

        async def never(self) -> None:
            await asyncio.Event().wait()

    actor = Asks.remote()
    assert ray.get(actor.one.remote([ray.put(5)]), timeout=30) == 5
    assert ray.get(actor.many.remote(100), timeout=30) == [i * i for i in range(100)]
    assert ray.get(actor.wrong.remote(), timeout=30) == "k"
    assert ray.get(actor.gets.remote(), timeout=30) == 16
    assert ray.get(actor.late.remote([actor.never.remote()]), timeout=30) == "late"


def test_a_blocking_get_in_a_coroutine_says_what_it_does(two_cpus: Any, capfd: pytest.CaptureFixture[str]) -> None:
    @daybreak.remote
    def slow() -> int:
        time.sleep(0.05)
        return 1

    @daybreak.remote
    class Blocks:
        async def ask(self) -> int:
            return daybreak.get(slow.remote()) + daybreak.get(slow.remote())

    assert daybreak.get(Blocks.remote().ask.remote(), timeout=30) == 2
    assert eventually(lambda: "await the reference instead" in capfd.readouterr().err)


def test_an_exception_of_a_call_is_that_calls_alone(ray: Any) -> None:
    @ray.remote
    class Fails:
        async def fail(self, i: int) -> int:
            await asyncio.sleep(0)
            if i % 2:
                raise ValueError(f"odd {i}")
            return i

        def fail_plainly(self) -> None:
            raise KeyError("plain")

    actor = Fails.remote()
    refs = [actor.fail.remote(i) for i in range(10)]
    for i, ref in enumerate(refs):
        if i % 2:
            with pytest.raises(ValueError, match=f"odd {i}") as caught:
                ray.get(ref, timeout=30)
            assert "coroutines.py" not in str(caught.value)  # the frames are the user's
        else:
            assert ray.get(ref, timeout=30) == i
    with pytest.raises(KeyError):
        ray.get(actor.fail_plainly.remote(), timeout=30)


def test_a_failed_task_of_the_actors_own_is_reported_with_its_name(
    two_cpus: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    @daybreak.remote
    class Careless:
        async def start(self) -> None:
            asyncio.get_running_loop().call_soon(self.broken)

        def broken(self) -> None:
            raise RuntimeError("nobody awaits this")

    actor = Careless.remote()
    daybreak.get(actor.start.remote(), timeout=30)
    text = ""

    def reported() -> bool:
        nonlocal text
        text += capfd.readouterr().err
        return "actor Careless" in text and "nobody awaits this" in text

    assert eventually(reported)
    daybreak.get(actor.start.remote(), timeout=30)


def test_sockets_and_threads_wake_the_loop(ray: Any) -> None:
    @ray.remote
    class Server:
        async def start(self) -> int:
            async def echo(reader: Any, writer: Any) -> None:
                writer.write(await reader.readline())
                await writer.drain()
                writer.close()

            self.server = await asyncio.start_server(echo, "127.0.0.1", 0)
            return int(self.server.sockets[0].getsockname()[1])

        async def in_thread(self) -> int:
            return await asyncio.to_thread(lambda: 7)

        async def child(self) -> bytes:
            process = await asyncio.create_subprocess_exec("echo", "hi", stdout=asyncio.subprocess.PIPE)
            return (await process.communicate())[0]

    server = Server.remote()
    port = ray.get(server.start.remote(), timeout=30)
    for i in range(20):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(b"%d\n" % i)
            assert connection.makefile("rb").readline() == b"%d\n" % i
    assert ray.get(server.in_thread.remote(), timeout=30) == 7
    assert ray.get(server.child.remote(), timeout=30) == b"hi\n"


def test_a_call_whose_argument_is_not_there_holds_nobody_up(ray: Any) -> None:
    @ray.remote
    class Gate:
        def __init__(self) -> None:
            self.open = asyncio.Event()

        async def wait(self) -> int:
            await self.open.wait()
            return 1

        def let_on(self) -> None:
            self.open.set()

    @ray.remote
    class Echo:
        async def say(self, x: int) -> int:
            return x

    gate, echo = Gate.remote(), Echo.options(max_concurrency=2).remote()
    first = echo.say.remote(gate.wait.remote())
    assert ray.get(echo.say.remote(2), timeout=30) == 2
    gate.let_on.remote()
    assert ray.get(first, timeout=30) == 1


def test_exit_actor_ends_all_calls_at_once(ray: Any) -> None:
    @ray.remote
    class Leaves:
        async def wait(self) -> None:
            await asyncio.Event().wait()

        async def leave(self) -> None:
            daybreak.runtime.exit_actor()

        async def pid(self) -> int:
            return os.getpid()

    for how in ("leave", "__ray_terminate__"):
        actor = Leaves.remote()
        pid = ray.get(actor.pid.remote(), timeout=30)
        waiting = [actor.wait.remote() for _ in range(5)]
        for ref in [getattr(actor, how).remote(), *waiting]:
            with pytest.raises(ray.exceptions.ActorDiedError):
                ray.get(ref, timeout=30)
        with pytest.raises(ray.exceptions.ActorDiedError):
            ray.get(actor.pid.remote(), timeout=30)
        assert eventually(lambda pid=pid: ended(pid))


def test_kill_and_a_crash_end_all_calls(ray: Any) -> None:
    @ray.remote
    class Waits:
        async def wait(self) -> None:
            await asyncio.Event().wait()

        async def crash(self) -> None:
            os._exit(3)

    actor = Waits.remote()
    waiting = [actor.wait.remote() for _ in range(5)]
    ray.get(actor.__ray_ready__.remote(), timeout=30)
    ray.kill(actor)
    for ref in waiting:
        with pytest.raises(ray.exceptions.ActorDiedError):
            ray.get(ref, timeout=30)
    actor = Waits.remote()
    waiting = [actor.wait.remote() for _ in range(5)]
    for ref in [actor.crash.remote(), *waiting]:
        with pytest.raises(ray.exceptions.ActorDiedError, match="exit code 3"):
            ray.get(ref, timeout=30)


def test_a_restarted_actor_runs_its_calls_again(ray: Any) -> None:
    @ray.remote(max_restarts=1, max_task_retries=1)
    class Comes:
        async def pid(self) -> int:
            await asyncio.sleep(0)
            return os.getpid()

        async def back(self, first: int) -> int:
            if os.getpid() == first:
                os._exit(1)
            return os.getpid()

    actor = Comes.remote()
    first = ray.get(actor.pid.remote(), timeout=30)
    assert ray.get(actor.back.remote(first), timeout=30) != first


def test_calls_end_before_the_actor_when_its_last_handle_goes(ray: Any) -> None:
    @ray.remote
    class Slow:
        async def work(self) -> int:
            await asyncio.sleep(0.05)
            return os.getpid()

    pids = ray.get([Slow.remote().work.remote() for _ in range(3)], timeout=30)
    assert all(eventually(lambda pid=pid: ended(pid)) for pid in pids)


def test_a_constructor_that_fails_says_so(ray: Any) -> None:
    @ray.remote
    class Broken:
        def __init__(self) -> None:
            raise LookupError("no luck")

        async def call(self) -> None: ...

    with pytest.raises(LookupError, match="no luck"):
        ray.get(Broken.remote().call.remote(), timeout=30)


def test_arguments_and_results_of_every_kind_cross(ray: Any) -> None:
    import numpy as np

    @ray.remote
    class Mirror:
        async def look(self, *args: Any, **kwargs: Any) -> Any:
            return args, kwargs

        @ray.method(num_returns=2)
        async def two(self) -> tuple[int, int]:
            return 1, 2

        async def unpicklable(self) -> Any:
            return threading.Lock()

    mirror = Mirror.remote()
    args, kwargs = ray.get(mirror.look.remote(1, ray.put("two"), three=ray.put([3])), timeout=30)
    assert (args, kwargs) == ((1, "two"), {"three": [3]})
    assert ray.get(mirror.look.remote(np.arange(300_000)), timeout=30)[0][0].sum() == sum(range(300_000))
    assert ray.get(list(mirror.two.remote()), timeout=30) == [1, 2]
    with pytest.raises(TypeError):
        ray.get(mirror.unpicklable.remote(), timeout=30)
    with pytest.raises(TypeError):
        ray.get(mirror.two.remote(1)[0], timeout=30)


def test_a_dependency_that_failed_fails_the_call(ray: Any) -> None:
    @ray.remote
    def fails() -> None:
        raise ZeroDivisionError("first")

    @ray.remote
    class Takes:
        async def take(self, x: Any) -> Any:
            return x

    with pytest.raises(ZeroDivisionError):
        ray.get(Takes.remote().take.remote(fails.remote()), timeout=30)


@pytest.mark.parametrize("kind", ["coroutine", "async generator"])
def test_a_task_cannot_be_a_coroutine_function(ray: Any, kind: str) -> None:
    async def waits() -> None: ...

    async def yields() -> Any:
        yield 1

    with pytest.raises(ValueError, match="coroutine function"):
        ray.remote(waits if kind == "coroutine" else yields)


def test_a_call_that_somebody_cancels_before_it_begins_fails(ray: Any) -> None:
    @ray.remote
    class Cancels:
        async def all_others(self) -> int:
            await asyncio.sleep(0)
            others = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
            for task in others:
                task.cancel()
            return len(others)

        async def wait(self) -> None:
            await asyncio.Event().wait()

    actor = Cancels.remote()
    waiting = [actor.wait.remote() for _ in range(10)]
    ray.get(actor.__ray_ready__.remote(), timeout=30)
    assert ray.get(actor.all_others.remote(), timeout=30) >= 10
    for ref in waiting:
        with pytest.raises(ray.exceptions.TaskError, match="CancelledError"):
            ray.get(ref, timeout=30)


def test_completion_calls_back(ray: Any) -> None:
    seen: list[Any] = []
    ray.put(3)._on_completed(seen.append)
    assert eventually(lambda: seen == [3])


def test_actors_run_at_once_on_few_cores(ray: Any) -> None:
    @ray.remote
    class Chain:
        def __init__(self, below: Any) -> None:
            self.below = below

        async def depth(self) -> int:
            return 1 + (await self.below.depth.remote() if self.below is not None else 0)

    chain = None
    for _ in range(8):
        chain = Chain.remote(chain)
    assert ray.get([chain.depth.remote() for _ in range(20)], timeout=60) == [8] * 20  # type: ignore[attr-defined]
