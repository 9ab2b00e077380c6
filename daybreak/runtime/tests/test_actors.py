"""Actors: state, order, names, restarts, ends, threads."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import daybreak
from daybreak import exceptions as ex
from daybreak._core import runtime as native

from .conftest import eventually, once_back


@daybreak.remote
class Counter:
    def __init__(self, start: int = 0) -> None:
        self.n = start

    def add(self, k: int = 1) -> int:
        self.n += k
        return self.n

    def pid(self) -> int:
        return os.getpid()

    def sleep(self, seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    def hold_once(self, marker: str) -> str:
        """The first time until it is killed, then not at all."""
        if not os.path.exists(marker):
            open(marker, "x").close()
            time.sleep(600)
        return "held"

    def fail(self) -> None:
        raise ValueError("in a method")

    def die(self) -> None:
        os._exit(7)

    def leave(self) -> None:
        daybreak.exit_actor()

    @daybreak.method(num_returns=2)
    def pair(self) -> tuple[int, int]:
        return self.n, -self.n


def test_state_and_order_of_calls(ray: Any) -> None:
    counter = Counter.remote(10)
    assert ray.get([counter.add.remote() for _ in range(1000)]) == list(range(11, 1011))
    assert ray.get(counter.pair.remote()) == [1010, -1010]
    assert ray.get(counter.add.options(num_returns=1).remote(k=5)) == 1015


def test_calls_of_each_caller_run_in_order(ray: Any) -> None:
    @ray.remote
    class Log:
        def __init__(self) -> None:
            self.seen: dict[int, list[int]] = {}

        def note(self, caller: int, i: int) -> None:
            self.seen.setdefault(caller, []).append(i)

        def all(self) -> dict[int, list[int]]:
            return self.seen

    @ray.remote
    def caller(log: Any, me: int) -> None:
        daybreak.get([log.note.remote(me, i) for i in range(200)])

    log = Log.remote()
    ray.get([caller.remote(log, c) for c in range(4)])
    assert ray.get(log.all.remote()) == {c: list(range(200)) for c in range(4)}


def test_a_call_whose_argument_is_late_holds_up_its_own_caller_only(ray: Any) -> None:
    @ray.remote
    def late() -> int:
        time.sleep(0.5)
        return 100

    @ray.remote
    def other(counter: Any) -> tuple[float, int]:
        start = time.monotonic()
        value = daybreak.get(counter.add.remote(1))
        return time.monotonic() - start, value

    counter = Counter.remote()
    ray.get(counter.add.remote(0))
    first, second = counter.add.remote(late.remote()), counter.add.remote(1)
    waited, value = ray.get(other.remote(counter), timeout=10)
    assert value == 1 and waited < 0.4
    assert ray.get([first, second], timeout=10) == [101, 102]


def test_exception_in_a_method_leaves_the_actor_alive(ray: Any) -> None:
    counter = Counter.remote()
    with pytest.raises(ValueError, match="in a method"):
        ray.get(counter.fail.remote())
    assert ray.get(counter.add.remote()) == 1


def test_missing_method_and_direct_calls_say_what_to_do(ray: Any) -> None:
    counter = Counter.remote()
    with pytest.raises(AttributeError, match="Counter has no method 'nothing'"):
        _ = counter.nothing
    with pytest.raises(TypeError, match=r"add\.remote"):
        counter.add()
    with pytest.raises(TypeError, match=r"Counter\.remote"):
        Counter()
    with pytest.raises(TypeError):
        Counter.remote(1, 2, 3)
    assert hasattr(Counter, "remote")


def test_constructor_error_surfaces_at_the_first_call(ray: Any) -> None:
    @ray.remote
    class Broken:
        def __init__(self) -> None:
            raise KeyError("constructor")

        def f(self) -> int:
            return 1

    broken = Broken.remote()
    for _ in range(2):
        with pytest.raises(ex.ActorDiedError, match="constructor") as caught:
            ray.get(broken.f.remote(), timeout=10)
        assert isinstance(caught.value, KeyError) and isinstance(caught.value, ex.RayActorError)


def test_handles_travel_to_tasks_and_actors_and_inside_objects(ray: Any) -> None:
    @ray.remote
    def use(counter: Any) -> int:
        return int(daybreak.get(counter.add.remote()))

    @ray.remote
    class Holder:
        def __init__(self, inside: dict[str, Any]) -> None:
            self.counter = inside["counter"]

        def use(self) -> int:
            return int(daybreak.get(self.counter.add.remote()))

    counter = Counter.remote()
    holder = Holder.remote({"counter": counter})
    assert ray.get(use.remote(counter)) == 1
    assert ray.get(holder.use.remote()) == 2
    assert ray.get(ray.get(ray.put([counter]))[0].add.remote()) == 3
    assert ray.get(ray.put(counter)) == counter


def test_actor_ends_when_its_last_handle_goes_after_its_calls_are_done(ray: Any) -> None:
    counter = Counter.remote()
    pid = ray.get(counter.pid.remote())
    last = counter.sleep.remote(0.2)
    del counter
    assert ray.get(last, timeout=10) == 0.2
    assert eventually(lambda: not os.path.exists(f"/proc/{pid}"))


def test_call_of_an_actor_that_is_never_kept(ray: Any) -> None:
    assert ray.get(Counter.remote(5).add.remote(), timeout=10) == 6


def test_names_and_namespaces(ray: Any) -> None:
    bob = Counter.options(name="bob").remote(1)
    assert ray.get(ray.get_actor("bob").add.remote()) == 2
    with pytest.raises(ValueError, match="bob"):
        Counter.options(name="bob").remote()
    again = Counter.options(name="bob", get_if_exists=True).remote()
    assert again == bob and ray.get(again.add.remote()) == 3
    other = Counter.options(name="bob", namespace="other").remote(50)
    assert ray.get(ray.get_actor("bob", namespace="other").add.remote()) == 51
    with pytest.raises(ValueError, match="alice"):
        ray.get_actor("alice")

    @ray.remote
    def find() -> int:
        return int(daybreak.get(daybreak.get_actor("bob").add.remote()))

    assert ray.get(find.remote()) == 4
    del bob, again, other

    def gone() -> bool:
        try:
            ray.get_actor("bob")
        except ValueError:
            return True
        return False

    assert eventually(gone)


def test_get_if_exists_from_many_callers_makes_one(ray: Any) -> None:
    @ray.remote
    def pid(_: int) -> int:
        return int(
            daybreak.get(Counter.options(name="single", get_if_exists=True, lifetime="detached").remote().pid.remote())
        )

    assert len(set(ray.get([pid.remote(i) for i in range(8)], timeout=30))) == 1
    ray.kill(ray.get_actor("single"))


def test_get_if_exists_from_all_workers_at_the_same_instant(ray: Any) -> None:
    @ray.remote
    class Holder:
        def __init__(self, text: str) -> None:
            self.text = text

        def size(self) -> int:
            return len(self.text)

    @ray.remote
    def meet(name: str, at: float) -> tuple[str, int]:
        while time.monotonic() < at:
            pass
        holder = Holder.options(name=name, get_if_exists=True).remote("x" * 3000)
        return repr(holder), daybreak.get(holder.size.remote())

    ray.get([meet.remote(f"first{i}", 0.0) for i in range(4)])
    for i in range(20):
        at = time.monotonic() + 0.01
        both = ray.get([meet.remote(f"meeting{i}", at) for _ in range(2)], timeout=30)
        assert [size for _, size in both] == [3000, 3000]


def test_detached_actor_survives_its_handles(ray: Any) -> None:
    Counter.options(name="kept", lifetime="detached").remote(7)
    time.sleep(0.3)
    assert ray.get(ray.get_actor("kept").add.remote()) == 8
    ray.kill(ray.get_actor("kept"))


def test_kill_and_later_calls(ray: Any) -> None:
    counter = Counter.remote()
    pending = counter.sleep.remote(30)
    queued = counter.add.remote()
    time.sleep(0.1)
    ray.kill(counter)
    for ref in (pending, queued, counter.add.remote()):
        with pytest.raises(ex.ActorDiedError):
            ray.get(ref, timeout=10)
    with pytest.raises(ValueError):
        ray.kill(queued)


def test_killed_actor_restarts_up_to_max_restarts(ray: Any) -> None:
    counter = Counter.options(max_restarts=2).remote(10)
    for _ in range(2):
        assert once_back(counter.add.remote) == 11
        with pytest.raises(ex.ActorUnavailableError, match="exit code 7"):
            ray.get(counter.die.remote(), timeout=10)
    assert once_back(counter.add.remote) == 11
    os.kill(ray.get(counter.pid.remote()), 9)
    assert eventually(lambda: native._actor_state(counter) == "DEAD")
    with pytest.raises(ex.ActorDiedError, match="signal 9"):
        ray.get(counter.add.remote(), timeout=10)


def test_kill_with_restart_allowed(ray: Any) -> None:
    counter = Counter.options(max_restarts=1).remote(3)
    first = ray.get(counter.pid.remote())
    ray.kill(counter, no_restart=False)
    assert eventually(lambda: not os.path.exists(f"/proc/{first}"))
    assert once_back(counter.pid.remote) != first


@pytest.mark.parametrize("retries", [0, 1])
def test_a_call_that_waited_at_an_actor_that_dies_has_lost_a_try_as_the_one_that_ran(
    ray: Any, tmp_path: Path, retries: int
) -> None:
    counter = Counter.options(max_restarts=1, max_task_retries=retries).remote()
    pid = ray.get(counter.pid.remote())
    refs = [counter.hold_once.remote(str(tmp_path / "marker")), counter.add.remote(), counter.pair.remote()[0]]
    assert eventually((tmp_path / "marker").exists)
    os.kill(pid, 9)
    if retries:
        assert ray.get(refs, timeout=20) == ["held", 1, 1]
        return
    for ref in refs:
        with pytest.raises(ex.ActorUnavailableError, match="signal 9.*is being restarted"):
            ray.get(ref, timeout=20)
    assert once_back(counter.add.remote) == 1, "none of them ran"


def test_a_call_while_its_actor_is_being_restarted_fails_at_once_or_waits_if_it_may_be_tried_again(
    ray: Any, tmp_path: Path
) -> None:
    @ray.remote(max_restarts=1)
    class Slow:
        def __init__(self, folder: str) -> None:
            while os.path.exists(os.path.join(folder, "made")) and not os.path.exists(os.path.join(folder, "go")):
                time.sleep(0.005)
            open(os.path.join(folder, "made"), "w").close()

        def pid(self) -> int:
            return os.getpid()

    slow = Slow.remote(str(tmp_path))
    first = ray.get(slow.pid.remote(), timeout=20)
    os.kill(first, 9)
    assert eventually(lambda: native._actor_state(slow) == "RESTARTING")
    for _ in range(3):
        with pytest.raises(
            ex.ActorUnavailableError, match="took no call, and max_task_retries=0.*being restarted"
        ) as caught:
            ray.get(slow.pid.remote(), timeout=20)
        assert len(caught.value.actor_id or "") == 32
    patient = slow.pid.options(max_task_retries=1).remote()
    assert ray.wait([patient], timeout=0.1)[0] == []
    (tmp_path / "go").touch()
    second = ray.get(patient, timeout=20)
    assert second != first and ray.get(slow.pid.remote(), timeout=20) == second
    os.kill(second, 9)
    assert eventually(lambda: native._actor_state(slow) == "DEAD")
    for options in ({}, {"max_task_retries": 5}):
        with pytest.raises(ex.ActorDiedError):
            ray.get(slow.pid.options(**options).remote(), timeout=20)


def test_calls_are_retried_in_order_after_a_restart(ray: Any) -> None:
    counter = Counter.options(max_restarts=1, max_task_retries=2).remote()
    pid = ray.get(counter.pid.remote())
    refs = [counter.sleep.remote(0.15), *[counter.add.remote() for _ in range(50)]]
    time.sleep(0.05)
    os.kill(pid, 9)
    assert ray.get(refs, timeout=20) == [0.15, *range(1, 51)]


def test_forty_thousand_queued_calls_survive_a_restart(ray: Any, tmp_path: Path) -> None:
    counter = Counter.options(max_restarts=-1, max_task_retries=-1).remote()
    pid = ray.get(counter.pid.remote())
    blocking = counter.hold_once.remote(str(tmp_path / "marker"))
    refs = [counter.add.remote() for _ in range(40_000)]
    assert eventually((tmp_path / "marker").exists, 30)
    os.kill(pid, 9)
    assert ray.get(blocking, timeout=30) == "held"
    assert ray.get(refs, timeout=30) == list(range(1, 40_001))


def test_exit_actor_and_system_exit_end_the_actor(ray: Any) -> None:
    counter = Counter.options(max_restarts=5).remote()
    with pytest.raises(ex.ActorDiedError, match="left"):
        ray.get(counter.leave.remote(), timeout=10)
    with pytest.raises(ex.ActorDiedError):
        ray.get(counter.add.remote(), timeout=10)
    with pytest.raises(TypeError):
        ray.exit_actor()


def test_threaded_actor_runs_calls_at_the_same_time(ray: Any) -> None:
    @ray.remote(max_concurrency=4)
    class Threaded:
        def __init__(self) -> None:
            self.barrier = threading.Barrier(4)

        def meet(self) -> int:
            return self.barrier.wait(timeout=10)

    actor = Threaded.remote()
    assert sorted(ray.get([actor.meet.remote() for _ in range(4)], timeout=20)) == [0, 1, 2, 3]


def test_two_hundred_actors(two_cpus: Any) -> None:
    ray = two_cpus
    actors = [Counter.remote(i) for i in range(200)]
    assert ray.get([a.add.remote() for a in actors], timeout=90) == [i + 1 for i in range(200)]
    del actors
    assert eventually(lambda: native._usage()["actors"] == 0, 30)


def test_actor_that_asks_for_too_much_is_dead_with_the_reason(ray: Any) -> None:
    greedy = Counter.options(num_cpus=100).remote()
    with pytest.raises(ex.ActorUnschedulableError, match="num_cpus=100"):
        ray.get(greedy.add.remote(), timeout=10)


def test_actor_holds_its_resources_for_life(two_cpus: Any) -> None:
    ray = two_cpus
    one = Counter.options(num_cpus=2).remote()
    ray.get(one.add.remote())
    two = Counter.options(num_cpus=1).remote()
    ref = two.add.remote()
    assert ray.wait([ref], timeout=0.2)[0] == []
    ray.kill(one)
    assert ray.get(ref, timeout=10) == 1


def test_arrays_as_arguments_may_be_kept(ray: Any) -> None:
    @ray.remote
    class Keeper:
        def __init__(self) -> None:
            self.kept: list[Any] = []

        def keep(self, a: Any) -> float:
            self.kept.append(a)
            return float(a.sum())

        def total(self) -> float:
            return float(sum(a.sum() for a in self.kept))

    keeper = Keeper.remote()
    expected = 0.0
    for size in (10, 1000, 200_000):
        for i in range(5):
            expected += size * i
            assert ray.get(keeper.keep.remote(np.full(size, float(i)))) == size * i
    assert ray.get(keeper.total.remote()) == expected


def test_actors_are_reachable_from_actors_without_deadlock(ray: Any) -> None:
    @ray.remote
    class Chain:
        def __init__(self, below: Any) -> None:
            self.below = below

        def depth(self) -> int:
            return 1 if self.below is None else 1 + int(daybreak.get(self.below.depth.remote()))

    top = None
    for _ in range(6):
        top = Chain.remote(top)
    assert ray.get(top.depth.remote(), timeout=30) == 6


def test_context_inside_an_actor(ray: Any) -> None:
    @ray.remote
    class Me:
        def me(self) -> Any:
            return daybreak.get_runtime_context().current_actor

        def name(self) -> Any:
            return daybreak.get_runtime_context().get_actor_name()

    me = Me.options(name="myself").remote()
    assert ray.get(me.me.remote()) == me
    assert ray.get(me.name.remote()) == "myself"


def test_output_of_an_actor_reaches_the_driver_with_its_name(tmp_path: Any) -> None:
    import subprocess

    script = tmp_path / "prints.py"
    script.write_text(
        "import daybreak as ray, sys\n"
        "@ray.remote\nclass Speaker:\n    def say(self): print('hello from inside'); print('to stderr', file=sys.stderr)\n"
        "ray.init(num_cpus=1)\ns = Speaker.remote()\nray.get(s.say.remote())\nray.shutdown()\n"
    )
    out = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    assert out.returncode == 0, out.stderr
    assert "(Speaker pid=" in out.stdout and "hello from inside" in out.stdout
    assert "to stderr" in out.stderr


def test_an_actor_that_is_killed_for_good_does_not_come_back_by_a_kill_that_restarts() -> None:
    @daybreak.remote
    class Idle:
        def ok(self) -> str:
            return "ok"

    actor = Idle.options(max_restarts=-1).remote()
    assert daybreak.get(actor.ok.remote()) == "ok"
    daybreak.kill(actor, no_restart=True)
    daybreak.kill(actor, no_restart=False)
    with pytest.raises(ex.ActorDiedError):
        for _ in range(1000):
            daybreak.get(actor.ok.remote())
            time.sleep(0.01)
