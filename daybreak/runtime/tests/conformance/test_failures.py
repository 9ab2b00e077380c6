"""Exceptions: each that a program can meet, as every engine has them."""

from __future__ import annotations

import os
import pickle
import time
from typing import Any

import pytest

import daybreak
from daybreak import exceptions


class Refused(Exception):
    """With attributes, and a constructor that is no help in rebuilding it."""

    def __init__(self, code: int, *, why: str) -> None:
        super().__init__(f"{code}: {why}")
        self.code, self.why = code, why

    def __reduce__(self) -> Any:
        return _refused, (self.code, self.why)


def _refused(code: int, why: str) -> Refused:
    return Refused(code, why=why)


@daybreak.remote(num_cpus=0)
class Fragile:
    def die(self) -> None:
        os._exit(1)

    def hello(self) -> str:
        return "hello"


def failing(error: Any, **options: Any) -> Any:
    @daybreak.remote(**({"max_retries": 0} | options))
    def fails() -> None:
        error()

    return fails.remote()


def raised(error: BaseException, cause: BaseException | None = None) -> Any:
    def raises() -> None:
        raise error from cause

    return raises


def test_an_exception_keeps_its_attributes() -> None:
    with pytest.raises(Refused) as caught:
        daybreak.get(failing(raised(Refused(7, why="closed"))), timeout=60)
    assert (caught.value.code, caught.value.why) == (7, "closed")
    assert isinstance(caught.value, exceptions.TaskError)


def test_a_task_error_shows_where_it_was_raised() -> None:
    with pytest.raises(exceptions.TaskError, match="raises"):
        daybreak.get(failing(raised(LookupError("no such thing"))), timeout=60)


def test_stop_iteration_of_a_task_does_not_end_the_caller_s_loop() -> None:
    with pytest.raises(Exception) as caught:
        list(map(daybreak.get, [failing(raised(StopIteration(3)))]))
    assert not isinstance(caught.value, StopIteration) or isinstance(caught.value, exceptions.TaskError)


def test_an_exception_that_cannot_be_pickled_is_a_task_error_with_its_text() -> None:
    def local() -> None:
        class Local(Exception):
            def __reduce__(self) -> Any:
                raise TypeError("not this one")

        raise Local("the text of it")

    with pytest.raises(exceptions.TaskError, match="the text of it"):
        daybreak.get(failing(local), timeout=60)


def test_a_worker_that_dies_is_a_worker_crashed_error() -> None:
    with pytest.raises(exceptions.WorkerCrashedError):
        daybreak.get(failing(lambda: os._exit(3)), timeout=60)


def test_a_worker_that_is_killed_is_a_worker_crashed_error() -> None:
    with pytest.raises(exceptions.WorkerCrashedError):
        daybreak.get(failing(lambda: os.kill(os.getpid(), 9)), timeout=60)


def test_calls_of_a_dead_actor_are_actor_died_errors() -> None:
    fragile = Fragile.remote()
    assert daybreak.get(fragile.hello.remote(), timeout=60) == "hello"
    with pytest.raises(exceptions.RayActorError):
        daybreak.get(fragile.die.remote(), timeout=60)
    with pytest.raises(exceptions.ActorDiedError):
        for _ in range(100):
            daybreak.get(fragile.hello.remote(), timeout=60)


def test_a_get_that_gives_up_is_a_timeout_error() -> None:
    with pytest.raises(TimeoutError) as caught:
        daybreak.get(failing(lambda: time.sleep(2)), timeout=0.05)
    assert isinstance(caught.value, exceptions.GetTimeoutError)


def test_the_object_of_an_owner_that_died_is_lost() -> None:
    @daybreak.remote(num_cpus=0)
    class Owner:
        def make(self) -> list[Any]:
            return [daybreak.put(bytearray(200_000))]

        def die(self) -> None:
            os._exit(1)

    owner = Owner.remote()
    (ref,) = daybreak.get(owner.make.remote(), timeout=60)
    with pytest.raises(exceptions.RayActorError):
        daybreak.get(owner.die.remote(), timeout=60)
    try:
        assert len(daybreak.get(ref, timeout=60)) == 200_000  # the embedded engine keeps it: the store is one
    except exceptions.ObjectLostError as error:
        assert isinstance(error, exceptions.OwnerDiedError)


def test_an_environment_that_cannot_be_made_is_a_runtime_env_setup_error(tmp_path: Any) -> None:
    @daybreak.remote
    def runs() -> None:
        pass

    missing = str(tmp_path / "missing")
    with pytest.raises((exceptions.RuntimeEnvSetupError, ValueError), match="missing"):
        daybreak.get(runs.options(runtime_env={"working_dir": missing}).remote(), timeout=60)


def test_exceptions_are_pickled_and_are_of_their_classes_again() -> None:
    ref = failing(raised(LookupError("no such thing")))
    with pytest.raises(LookupError) as caught:
        daybreak.get(ref, timeout=60)
    again = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(again, LookupError) and isinstance(again, exceptions.TaskError)
    for name in ("ActorDiedError", "WorkerCrashedError", "GetTimeoutError", "TaskCancelledError", "ObjectLostError"):
        error = getattr(exceptions, name)("the text of it")
        assert type(pickle.loads(pickle.dumps(error))).__name__ == name


def test_every_name_of_ray_s_page_is_a_class_that_crosses() -> None:
    for name in (
        "RayError", "RayTaskError", "RayActorError", "ActorDiedError", "ActorUnavailableError", "ActorUnschedulableError",
        "TaskUnschedulableError", "TaskCancelledError", "GetTimeoutError", "ObjectLostError", "ObjectStoreFullError",
        "OutOfMemoryError", "OwnerDiedError", "PendingCallsLimitExceeded", "RuntimeEnvSetupError", "WorkerCrashedError",
        "ObjectFetchTimedOutError", "ObjectReconstructionFailedError", "ReferenceCountingAssertionError",
        "OutOfDiskError", "NodeDiedError", "LocalRayletDiedError", "CrossLanguageError", "AsyncioActorExit",
        "ObjectFreedError", "ObjectReconstructionFailedMaxAttemptsExceededError", "RaySystemError", "RpcError",
        "ObjectReconstructionFailedLineageEvictedError", "UnserializableException", "UserCodeException",
        "AuthenticationError", "TaskPlacementGroupRemoved", "ActorPlacementGroupRemoved", "PlasmaObjectNotAvailable",
    ):  # fmt: skip
        cls = getattr(exceptions, name)
        error = cls("the text of it")
        assert isinstance(error, BaseException), name
        assert type(pickle.loads(pickle.dumps(error))) is cls, name
