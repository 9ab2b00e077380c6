"""Actors, as every engine has them."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

import daybreak
from daybreak import exceptions


@daybreak.remote
class Counter:
    """Counts."""

    def __init__(self, start: int = 0) -> None:
        self.n = start

    def add(self, k: int = 1) -> int:
        self.n += k
        return self.n

    def pid(self) -> int:
        return os.getpid()

    def fail(self) -> None:
        raise LookupError("no such thing")

    @daybreak.method(num_returns=2)
    def two(self) -> tuple[int, int]:
        return self.n, -self.n

    def leave(self) -> None:
        daybreak.exit_actor()

    def die(self) -> None:
        os._exit(1)


def test_calls_of_one_caller_run_in_their_order() -> None:
    counter = Counter.remote(10)
    assert daybreak.get([counter.add.remote() for _ in range(50)]) == list(range(11, 61))
    assert daybreak.get(counter.add.remote(k=-60)) == 0


def test_an_actor_has_a_process_of_its_own_and_keeps_it() -> None:
    one, other = Counter.remote(), Counter.remote()
    pids = daybreak.get([one.pid.remote(), one.pid.remote(), other.pid.remote()])
    assert pids[0] == pids[1] and len({os.getpid(), pids[0], pids[2]}) == 3


def test_a_method_with_several_results() -> None:
    a, b = Counter.remote(4).two.remote()
    assert daybreak.get([a, b]) == [4, -4]


def test_an_exception_of_a_method_leaves_the_actor_alive() -> None:
    counter = Counter.remote()
    with pytest.raises(LookupError):
        daybreak.get(counter.fail.remote())
    assert daybreak.get(counter.add.remote()) == 1


def test_handles_pass_to_tasks_and_actors() -> None:
    counter = Counter.remote()

    @daybreak.remote
    def use(handle: Any) -> int:
        return int(daybreak.get(handle.add.remote(5)))

    @daybreak.remote
    class User:
        def __init__(self, handle: Any) -> None:
            self.handle = handle

        def use(self) -> int:
            return int(daybreak.get(self.handle.add.remote(5)))

    assert daybreak.get(use.remote(counter)) == 5
    assert daybreak.get(User.remote(counter).use.remote()) == 10


def test_a_named_actor_is_found_by_whoever_knows_the_name() -> None:
    counter = Counter.options(name="found").remote(1)
    daybreak.get(counter.add.remote())

    @daybreak.remote
    def from_afar() -> int:
        return int(daybreak.get(daybreak.get_actor("found").add.remote()))

    assert daybreak.get(from_afar.remote()) == 3
    assert daybreak.get(daybreak.get_actor("found").add.remote()) == 4
    with pytest.raises(ValueError):
        Counter.options(name="found").remote()
    same = Counter.options(name="found", get_if_exists=True).remote()
    assert daybreak.get(same.add.remote()) == 5
    with pytest.raises(ValueError):
        daybreak.get_actor("nobody")


def test_a_killed_actor_fails_its_calls_and_frees_its_name(eventually: Any) -> None:
    counter = Counter.options(name="killed").remote()
    daybreak.get(counter.add.remote())
    daybreak.kill(counter)

    def dead() -> bool:
        try:
            daybreak.get(counter.add.remote(), timeout=30)
        except exceptions.ActorUnavailableError:  # a cluster may not know yet
            return False
        except exceptions.ActorDiedError:
            return True
        return False

    assert eventually(dead)

    def gone() -> bool:
        try:
            daybreak.get_actor("killed")
        except ValueError:
            return True
        return False

    assert eventually(gone)


def test_a_constructor_that_raises_is_the_error_of_the_calls() -> None:
    @daybreak.remote
    class Broken:
        def __init__(self) -> None:
            raise ZeroDivisionError("built on sand")

        def hello(self) -> None: ...

    with pytest.raises(exceptions.ActorDiedError, match="built on sand"):
        daybreak.get(Broken.remote().hello.remote(), timeout=60)


def test_an_actor_that_leaves_is_not_restarted() -> None:
    counter = Counter.options(max_restarts=1).remote()
    with pytest.raises(exceptions.ActorDiedError):
        daybreak.get(counter.leave.remote(), timeout=30)
    with pytest.raises(exceptions.ActorDiedError):
        daybreak.get(counter.add.remote(), timeout=30)


def test_an_actor_that_dies_is_restarted_as_often_as_asked(eventually: Any) -> None:
    counter = Counter.options(max_restarts=1).remote(7)
    first = daybreak.get(counter.pid.remote())
    with pytest.raises((exceptions.ActorDiedError, exceptions.ActorUnavailableError)):
        daybreak.get(counter.die.remote(), timeout=60)

    def answers() -> bool:
        try:
            return bool(daybreak.get(counter.pid.remote(), timeout=30) != first)
        except (exceptions.ActorDiedError, exceptions.ActorUnavailableError):
            return False

    assert eventually(answers)
    assert daybreak.get(counter.add.remote()) == 8  # its constructor ran again
    with pytest.raises((exceptions.ActorDiedError, exceptions.ActorUnavailableError)):
        daybreak.get(counter.die.remote(), timeout=60)


def test_calls_of_an_actor_that_dies_are_tried_again_when_asked(tmp_path: Any) -> None:
    path = str(tmp_path / "died")

    @daybreak.remote(max_restarts=1, max_task_retries=1)
    class Fragile:
        def once(self) -> str:
            if not os.path.exists(path):
                open(path, "w").close()
                os._exit(1)
            return "alive"

    fragile = Fragile.remote()
    assert daybreak.get(fragile.once.remote(), timeout=60) == "alive"


def test_a_threaded_actor_runs_calls_side_by_side() -> None:
    import threading

    @daybreak.remote(max_concurrency=3)
    class Meeting:
        def __init__(self) -> None:
            self.barrier = threading.Barrier(3)

        def arrive(self) -> int:
            return self.barrier.wait(30)

    meeting = Meeting.remote()
    assert sorted(daybreak.get([meeting.arrive.remote() for _ in range(3)], timeout=60)) == [0, 1, 2]


def test_the_ready_and_the_terminate_method() -> None:
    counter = Counter.remote()
    daybreak.get(counter.__ray_ready__.remote())
    counter.__ray_terminate__.remote()
    with pytest.raises(exceptions.ActorDiedError):
        for _ in range(100):
            daybreak.get(counter.add.remote(), timeout=30)
            time.sleep(0.1)


def test_wrong_arguments_are_refused_when_the_actor_is_made() -> None:
    with pytest.raises(TypeError):
        Counter.remote(1, 2, 3)
    with pytest.raises(TypeError):
        Counter()
    with pytest.raises(AttributeError):
        getattr(Counter.remote(), "no_such_method")  # noqa: B009
