"""What Ray's own tests ask for and nothing else here did."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import daybreak
from daybreak import exceptions as ex
from daybreak.runtime import state

from .conftest import eventually


class Passing(Exception):
    pass


class Lasting(Exception):
    pass


class Own(BaseException):
    pass


@daybreak.remote
class Flaky:
    """Its methods raise so many times before they give the number of tries."""

    def __init__(self) -> None:
        self.tries = 0

    def plain(self, failures: int, kind: type[Exception] = Passing) -> int:
        self.tries += 1
        if self.tries <= failures:
            raise kind(self.tries)
        return self.tries

    @daybreak.method(retry_exceptions=[Lasting], max_task_retries=3)
    def decorated(self, failures: int) -> int:
        return self.plain(failures)

    def items(self, failures: int) -> Iterator[int]:
        yield 1
        yield self.plain(failures)

    def name(self, **named: int) -> tuple[str | None, dict[str, int]]:
        return daybreak.get_runtime_context().get_task_name(), named


@daybreak.remote
class FlakyCoroutines:
    def __init__(self) -> None:
        self.tries = 0

    async def plain(self, failures: int) -> int:
        await asyncio.sleep(0)
        self.tries += 1
        if self.tries <= failures:
            raise Passing(self.tries)
        return self.tries

    async def name(self, **named: int) -> tuple[str | None, dict[str, int]]:
        return daybreak.get_runtime_context().get_task_name(), named


@pytest.mark.parametrize("kind", [Flaky, FlakyCoroutines])
def test_a_call_is_tried_again_on_the_exceptions_that_it_was_given(ray: Any, kind: Any) -> None:
    actor = kind.remote()
    again = actor.plain.options(retry_exceptions=[Passing], max_task_retries=3)
    assert daybreak.get(again.remote(3)) == 4
    with pytest.raises(Passing):
        daybreak.get(kind.remote().plain.options(retry_exceptions=[Lasting], max_task_retries=3).remote(1))
    with pytest.raises(Passing):
        daybreak.get(kind.remote().plain.options(retry_exceptions=[Passing], max_task_retries=1).remote(2))


def test_what_a_call_says_of_its_retries_goes_before_what_its_method_says(ray: Any) -> None:
    with pytest.raises(Passing):
        daybreak.get(Flaky.remote().decorated.remote(1))
    for said in (True, [Passing], (Lasting, Passing)):
        assert daybreak.get(Flaky.remote().decorated.options(retry_exceptions=said).remote(1)) == 2


def test_a_stream_of_a_method_is_begun_again_on_the_exceptions_that_the_call_was_given(ray: Any) -> None:
    items = Flaky.remote().items.options(retry_exceptions=[Passing], max_task_retries=-1)
    assert daybreak.get(list(items.remote(5))) == [1, 6]


@pytest.mark.parametrize("kind", [Flaky, FlakyCoroutines])
def test_a_call_has_the_name_that_it_was_given_and_its_arguments_alone(ray: Any, kind: Any) -> None:
    actor = kind.remote()
    named = actor.name.options(name="mine")
    assert daybreak.get([named.remote(a=1, b=2), named.remote()]) == [("mine", {"a": 1, "b": 2}), ("mine", {})]
    assert daybreak.get(actor.name.remote(a=1)) == (f"{kind.__name__}.name", {"a": 1})


def test_a_method_that_was_given_options_keeps_them_when_it_is_passed_on(ray: Any) -> None:
    @daybreak.remote
    def call(method: Any) -> Any:
        return daybreak.get(method.remote())

    assert daybreak.get(call.remote(Flaky.remote().name.options(name="far"))) == ("far", {})


def test_a_method_is_called_in_the_old_form(ray: Any) -> None:
    actor = Flaky.remote()
    assert daybreak.get(actor.plain._remote([0])) == 1
    assert daybreak.get(actor.name._remote(kwargs={"a": 1}, name="old")) == ("old", {"a": 1})
    assert actor._ray_actor_id == actor._actor_id


def test_functions_of_atexit_run_when_the_constructor_leaves(ray: Any, tmp_path: Path) -> None:
    @daybreak.remote
    class Leaves:
        def __init__(self, mark: Path) -> None:
            import atexit

            atexit.register(mark.touch)
            daybreak.runtime.exit_actor()

    actor = Leaves.remote(tmp_path / "left")
    with pytest.raises(ex.ActorDiedError, match=r"exit_actor\(\)"):
        daybreak.get(actor.__ray_ready__.remote())
    assert eventually((tmp_path / "left").exists)


def test_a_class_of_actors_has_its_class_methods_and_shows_the_names_of_all(ray: Any) -> None:
    @daybreak.remote
    class Made:
        def __init__(self, x: int) -> None:
            self.x = x

        @classmethod
        def of(cls, x: int) -> Any:
            return cls(x)

        def hidden(self) -> None:
            pass

    assert Made.of(3).x == 3
    assert {"of", "hidden", "remote", "options"} <= set(dir(Made))
    with pytest.raises(AttributeError, match="methods are those of an actor"):
        Made.hidden  # noqa: B018
    with pytest.raises(
        ex.ActorClassInheritanceException, match="Inheriting from actor classes is not currently supported"
    ):

        class Special(Made):  # type: ignore[misc, valid-type]
            pass


def test_an_exception_that_is_no_exception_can_be_caught_by_its_class(ray: Any) -> None:
    @daybreak.remote
    class Raises:
        def __init__(self, at_once: bool = False) -> None:
            if at_once:
                raise Own("at once")

        def plain(self) -> None:
            raise Own("plain")

        def items(self) -> Iterator[int]:
            yield 1
            raise Own("items")

    @daybreak.remote
    def task() -> None:
        raise Own("task")

    actor = Raises.remote()
    for ref in (actor.plain.remote(), task.remote()):
        with pytest.raises(Own) as caught:
            daybreak.get(ref)
        assert isinstance(caught.value, ex.TaskError)
    one, two = actor.items.remote()
    with pytest.raises(Own):
        daybreak.get([one, two])
    with pytest.raises(ex.ActorDiedError) as died:
        daybreak.get(Raises.remote(True).plain.remote())
    assert "Own: at once" in repr(died.value) and "Own" in str(died)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
def test_what_would_end_the_program_here_arrives_as_a_task_error_alone(ray: Any, kind: type[BaseException]) -> None:
    @daybreak.remote
    def task() -> None:
        raise kind()

    with pytest.raises(ex.TaskError) as caught:
        daybreak.get(task.remote())
    assert not isinstance(caught.value, kind)


class SlowToSend(Exception):
    """Its record takes for ever, once it has said that it has begun."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        Path(self.mark).touch()
        time.sleep(60)
        return SlowToSend, (self.mark,)


def test_a_task_that_is_cancelled_while_its_error_is_recorded_is_cancelled(ray: Any, tmp_path: Path) -> None:
    @daybreak.remote
    def task(mark: str) -> None:
        raise SlowToSend(mark)

    ref = task.remote(str(tmp_path / "begun"))
    assert eventually((tmp_path / "begun").exists)
    daybreak.cancel(ref)
    with pytest.raises(ex.TaskCancelledError):
        daybreak.get(ref, timeout=30)


def test_what_is_no_reference_is_refused_by_its_type(ray: Any) -> None:
    for wrong in ({"a": 1}, 3, "text", None):
        with pytest.raises(ValueError, match="Invalid type of object refs, <class"):
            daybreak.get(wrong)
    with pytest.raises(
        TypeError, match=r"only supported for object refs. For actors, try ray.kill\(\). Got: <class 'int'>"
    ):
        daybreak.cancel(1)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"max_calls": 0.5}, TypeError, "type of keyword 'max_calls' must be (<class 'int'>, <class 'NoneType'>)"),
        (
            {"num_cpus": "1"},
            TypeError,
            "must be (<class 'float'>, <class 'int'>, <class 'NoneType'>), but received type <",
        ),
        ({"num_returns": 0.5}, TypeError, "must be (<class 'int'>, <class 'str'>, <class 'NoneType'>)"),
        ({"num_returns": -1}, ValueError, "'num_returns' only accepts None, a non-negative integer, 'streaming'"),
        ({"num_returns": "many"}, ValueError, "'streaming' (for generators), or 'dynamic'"),
        ({"max_retries": -2}, ValueError, "None, 0, -1 or a positive integer, where -1 represents infinity."),
        ({"max_calls": -1}, ValueError, "only accepts None, 0 or a positive integer."),
        ({"resources": 3}, TypeError, "must be (<class 'dict'>, <class 'NoneType'>), but received type <class 'int'>"),
        ({"resources": {"GPU": 1}}, ValueError, "'num_cpus' and 'num_gpus' keyword instead of 'CPU' and 'GPU'"),
        ({"resources": {"memory": 1}}, ValueError, "Use the 'memory' and 'object_store_memory' keyword instead of"),
    ],
)
def test_a_wrong_option_is_refused_in_rays_words(options: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error) as refused:
        daybreak.remote(**options)(lambda: None)
    assert says in str(refused.value)


def test_a_function_that_takes_too_much_along_is_refused_with_the_way_out(ray: Any) -> None:
    large = np.zeros(96 << 20, dtype=np.uint8)

    @daybreak.remote
    def task() -> int:
        return len(large)

    @daybreak.remote
    class Holder:
        def size(self) -> int:
            return len(large)

    for make in (task.remote, Holder.remote):
        with pytest.raises(ValueError, match=r"takes 96 MiB .* at most 95 MiB are possible: put\(\) the large ones"):
            make()
    large = large[:1000].copy()
    assert daybreak.get(task.remote()) == 1000


def test_objects_are_listed_by_the_id_of_their_reference_and_without_functions() -> None:
    daybreak.shutdown()
    daybreak.init(num_cpus=1)
    try:
        actor = Flaky.options(name="listed").remote()
        assert state.list_named_actors() == ["listed"]  # at once, also while it is being made
        daybreak.get(actor.plain.remote(0))
        ref = daybreak.put(os.urandom(1000))
        id = ref.hex()
        assert eventually(lambda: [row.object_id for row in state.list_objects()] == [id])
        del ref
        assert eventually(lambda: state.list_objects() == [])
    finally:
        daybreak.shutdown()


def test_an_attribute_of_the_instance_does_not_hide_the_method_of_that_name(ray: Any) -> None:
    class Hides:
        def __init__(self) -> None:
            self.value = True

        def value(self) -> bool:
            return self.value  # type: ignore[return-value]

    class HidesAsync(Hides):
        async def later(self) -> None:
            pass

    for cls in (Hides, HidesAsync):
        assert daybreak.get(daybreak.remote(cls).remote().value.remote()) is True


def test_a_handle_shows_the_methods_of_its_actor(ray: Any) -> None:
    actor = daybreak.remote(type("Shown", (), {"seen": lambda self: 1})).remote()
    assert [name for name in dir(actor) if not name.startswith("_")] == ["seen"]
    assert {name for name in dir(actor.seen) if not name.startswith("_")} == {"bind", "options", "remote"}


def test_a_function_may_say_how_it_is_submitted(ray: Any) -> None:
    def backwards(submit: Any) -> Any:
        return lambda args, kwargs: (submit(args[::-1], {"d": 5}), kwargs)

    def of_four(a: int, b: int, c: int, d: int = 0) -> tuple[int, ...]:
        return a, b, c, d

    of_four.__ray_invocation_decorator__ = backwards  # type: ignore[attr-defined]
    ref, asked = daybreak.remote(of_four).remote(1, 2, 3, d=4)
    assert daybreak.get(ref) == (3, 2, 1, 5) and asked == {"d": 4}


def test_the_title_of_a_worker_is_the_name_of_what_runs(ray: Any) -> None:
    from daybreak.runtime import process_title

    @daybreak.remote
    class Titled:
        def __init__(self) -> None:
            self.at_first = process_title.getproctitle()

        def titles(self) -> tuple[str, str]:
            return self.at_first, process_title.getproctitle()

    @daybreak.remote
    def alone() -> str:
        return process_title.getproctitle()

    actor = Titled.remote()
    assert daybreak.get(actor.titles.remote()) == ("ray::Titled.__init__", "ray::Titled.titles")
    assert daybreak.get(actor.titles.options(name="mine").remote())[1] == "ray::mine"
    assert daybreak.get([alone.remote(), alone.options(name="named").remote()]) == ["ray::alone", "ray::named"]
    assert process_title.getproctitle().startswith(sys.argv[0]) or "python" in process_title.getproctitle()


def test_a_title_that_was_given_is_the_title_and_what_ps_shows(ray: Any) -> None:
    @daybreak.remote
    class Renamed:
        def rename(self) -> tuple[str, str]:
            from daybreak.runtime import process_title

            process_title.setproctitle("a title of one's own")
            return process_title.getproctitle(), Path("/proc/self/comm").read_text().strip()

    assert daybreak.get(Renamed.remote().rename.remote()) == ("a title of one's own", "a title of one'")
    with pytest.raises(TypeError, match="title=3"):
        from daybreak.runtime import process_title

        process_title.setproctitle(3)  # type: ignore[arg-type]


def test_an_object_that_asks_itself_for_its_state_while_it_is_empty_comes_back(ray: Any) -> None:
    class State:
        """As starlette.datastructures has it."""

        def __init__(self, state: dict[str, Any]) -> None:
            super().__setattr__("_state", state)

        def __getattr__(self, key: str) -> Any:
            try:
                return self._state[key]
            except KeyError:
                raise AttributeError(key) from None

    State.__module__ = "starlette.datastructures"
    assert daybreak.get(daybreak.put(State({"a": 1}))).a == 1


def test_a_thread_that_a_task_has_started_knows_its_task(ray: Any) -> None:
    @daybreak.remote
    def task() -> tuple[str | None, str | None]:
        from concurrent.futures import ThreadPoolExecutor

        def own() -> str | None:
            return daybreak.get_runtime_context().get_task_id()

        with ThreadPoolExecutor(1) as pool:
            return own(), pool.submit(own).result()

    here, there = daybreak.get(task.remote())
    assert here is not None and here == there


def test_what_is_no_actor_cannot_be_killed(ray: Any) -> None:
    for wrong in ("text", ray.put(1), Flaky):
        with pytest.raises(ValueError, match=r"only supported for actors. For tasks, try ray.cancel\(\). Got: <class"):
            daybreak.kill(wrong)


def test_a_call_that_waits_for_its_actor_to_begin_can_be_cancelled() -> None:
    daybreak.shutdown()
    daybreak.init(num_cpus=1)
    try:
        holder = Flaky.options(num_cpus=1).remote()
        daybreak.get(holder.plain.remote(0))
        waiting = Flaky.options(num_cpus=1).remote()
        refs = [waiting.plain.remote(0) for _ in range(5)]
        for i in (1, 3):
            daybreak.cancel(refs[i])
            with pytest.raises(ex.TaskCancelledError):
                daybreak.get(refs[i], timeout=30)
        daybreak.kill(holder)
        assert daybreak.get([refs[0], refs[2], refs[4]], timeout=30) == [1, 2, 3]
    finally:
        daybreak.shutdown()
