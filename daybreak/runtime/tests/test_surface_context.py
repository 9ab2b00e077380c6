"""Ids, contexts, the state of what there is, errors by Ray's names and with Ray's texts."""

from __future__ import annotations

import pickle
import re
from typing import Any

import pytest

import daybreak
from daybreak import exceptions as ex
from daybreak.runtime import ids, state
from daybreak.runtime.reducers import deregister_serializer, register_serializer


@pytest.mark.parametrize("kind", [getattr(ids, name) for name in ids.__all__])
def test_an_id_is_its_bytes(kind: Any) -> None:
    one = kind.from_random()
    assert kind.from_hex(one.hex()) == one == kind(one.binary()) == pickle.loads(pickle.dumps(one))
    assert hash(kind(one.binary())) == hash(one) and one != kind.from_random() and one.hex() in repr(one)
    assert kind.nil().is_nil() and not one.is_nil() and len(one.binary()) == kind.size()
    assert one != one.binary()
    with pytest.raises(ValueError, match="has 3 bytes"):
        kind(b"abc")
    with pytest.raises(TypeError, match="made of"):
        kind("abc")


def test_each_place_has_its_ids(ray: Any) -> None:
    @ray.remote
    class Asked:
        def ids(self) -> dict[str, Any]:
            return daybreak.get_runtime_context().get()

        def own(self) -> Any:
            return daybreak.get_runtime_context().current_actor

    @ray.remote
    def ask() -> tuple[Any, ...]:
        context = daybreak.get_runtime_context()
        found = context.get()
        assert found["task_id"].hex() == context.get_task_id() and "actor_id" not in found
        assert context.get_actor_id() is None and context.get_actor_name() is None
        return found["job_id"], found["node_id"], context.get_worker_id()

    here = ray.get_runtime_context()
    assert set(here.get()) == {"job_id", "node_id", "namespace"} and here.get_task_id() is None
    job, node, worker = ray.get(ask.remote())
    assert (job.hex(), node.hex()) == (here.get_job_id(), here.get_node_id()) and worker != here.get_worker_id()
    actor = Asked.remote()
    found = ray.get(actor.ids.remote())
    assert found["actor_id"] == ray.get(actor.own.remote())._actor_id == actor._actor_id and "task_id" in found
    with pytest.raises(RuntimeError, match="only available in an actor"):
        here.current_actor  # noqa: B018
    for name in ("job_id", "node_id", "worker_id", "task_id", "actor_id"):
        with pytest.warns(DeprecationWarning, match=rf"Use get_{name}\(\) instead"):
            getattr(here, name)


def test_tasks_know_their_names(ray: Any) -> None:
    def names() -> tuple[str | None, str | None]:
        context = daybreak.get_runtime_context()
        return context.get_task_name(), context.get_task_function_name()

    @ray.remote
    class Named:
        def names(self) -> tuple[str | None, str | None]:
            context = daybreak.get_runtime_context()
            return context.get_task_name(), context.get_task_function_name()

    task = ray.remote(names)
    where = f"{__name__}."
    assert ray.get(task.remote()) == ("names", where + "names")
    assert ray.get(task.options(name="mine").remote()) == ("mine", where + "names")
    assert ray.get(task.remote()) == ("names", where + "names")
    for threads in (1, 2):
        actor = Named.options(max_concurrency=threads).remote()
        assert ray.get(actor.names.remote()) == ("Named.names", where + "Named.names")
    assert names() == (None, None)


def test_actors_are_listed_with_what_is_known_of_them(two_cpus: Any) -> None:
    @two_cpus.remote
    class Listed:
        def pid(self) -> int:
            import os

            return os.getpid()

    one, two = Listed.options(name="one").remote(), Listed.options(num_cpus=1, namespace="other", name="two").remote()
    pids = two_cpus.get([one.pid.remote(), two.pid.remote()])
    listed = {found.name: found for found in state.list_actors()}
    assert [listed["one"].pid, listed["two"]["pid"]] == pids
    assert listed["one"].state == "ALIVE" and listed["one"].class_name == "Listed"
    assert listed["one"].actor_id == one._actor_id.hex() and listed["two"].required_resources == {"CPU": 1}
    assert state.get_actor(two._actor_id.hex()) == listed["two"] and state.get_actor("00") is None
    assert state.list_named_actors() == ["one"]
    both = state.list_named_actors(all_namespaces=True)
    assert sorted(both, key=lambda each: each["name"])[1] == {"name": "two", "namespace": "other"}
    two_cpus.kill(one)
    with pytest.raises(ex.ActorDiedError):
        two_cpus.get(one.pid.remote())
    [dead] = state.list_actors(filters=[("state", "=", "DEAD")])
    assert dead.name == "one" and "killed" in dead.death_cause
    assert len(state.list_actors(filters=[("state", "!=", "dead")])) == 1 == len(state.list_actors(limit=1))
    assert state.summarize_actors() == {"Listed": {"ALIVE": 1, "DEAD": 1}}
    assert state.list_tasks.__name__ == "list_tasks"
    with pytest.raises(NotImplementedError, match=r"list_tasks\(\): this is not recorded"):
        state.list_tasks()
    assert not hasattr(state, "list_nonsense")
    for filters, text in (([("nonsense", "=", 1)], "no such field"), ([("state", ">", 1)], "'=' or '!='")):
        with pytest.raises(ValueError, match=text):
            state.list_actors(filters=filters)


def test_every_error_is_there_by_rays_name_and_pickles() -> None:
    for name in ex.__all__:
        kind = getattr(ex, name)
        assert issubclass(kind, ex.RayError)
        again = pickle.loads(pickle.dumps(kind("a text"))) if kind is not ex.TaskError else None
        assert again is None or (type(again) is kind and again.args == ("a text",))
    assert issubclass(ex.ActorUnavailableError, ex.RayActorError) and issubclass(ex.ActorDiedError, ex.RayActorError)
    assert not issubclass(ex.ActorUnavailableError, ex.ActorDiedError)
    for name in ("ObjectFetchTimedOutError", "OwnerDiedError", "ObjectReconstructionFailedError", "ObjectFreedError"):
        assert issubclass(getattr(ex, name), ex.ObjectLostError)


def scrubbed(error: BaseException) -> list[str]:
    text = re.sub(r"pid=\d+", "pid=P", str(error))
    text = re.sub(r"actor_id=\w+", "actor_id=A", text)
    lines = re.sub(r'File ".*", line \d+', "File F", text).split("\n")
    return [line for line in lines if not re.fullmatch(r"[ ^~]+", line)]  # Python's marks below the code


def test_an_error_reads_as_a_person_of_ray_expects(ray: Any) -> None:
    def g(value: int) -> None:
        raise ValueError(value)

    @ray.remote
    def f() -> None:
        return g(7)

    @ray.remote
    def calls() -> Any:
        return daybreak.get(f.remote())

    @ray.remote
    class Says:
        def f(self) -> None:
            return g(7)

        def __repr__(self) -> str:
            return "ABC"

    @ray.remote
    class Fails:
        def __init__(self) -> None:
            g(3)

        def f(self) -> None:
            pass

    frames = ["  File F, in f", "    return g(7)", "  File F, in g", "    raise ValueError(value)", "ValueError: 7"]
    with pytest.raises(ValueError) as of_task:
        ray.get(f.remote())
    assert scrubbed(of_task.value) == ["ray::f() (pid=P, ip=127.0.0.1)", *frames]
    with pytest.raises(ValueError) as of_named:
        ray.get(f.options(name="mine").remote())
    assert scrubbed(of_named.value)[0] == "ray::mine() (pid=P, ip=127.0.0.1)"
    with pytest.raises(ValueError) as of_method:
        ray.get(Says.remote().f.remote())
    assert scrubbed(of_method.value) == ["ray::Says.f() (pid=P, ip=127.0.0.1, actor_id=A, repr=ABC)", *frames]
    with pytest.raises(ValueError) as nested:
        ray.get(calls.remote())
    assert scrubbed(nested.value) == [
        "ray::calls() (pid=P, ip=127.0.0.1)",
        "  File F, in calls",
        "    return daybreak.get(f.remote())",
        "daybreak.exceptions.TaskError(ValueError): ray::f() (pid=P, ip=127.0.0.1)",
        *frames,
    ]
    with pytest.raises(ex.RayActorError) as of_constructor:
        ray.get(Fails.remote().f.remote())
    first, *rest = scrubbed(of_constructor.value)
    assert first.startswith(
        "The actor died because of an error raised in its creation task, ray::Fails.__init__() (pid=P, ip=127.0.0.1, actor_id=A"
    )
    assert rest == ["  File F, in __init__", "    g(3)", *frames[2:4], "ValueError: 3"]


def test_the_error_of_an_argument_names_the_tasks_on_its_way(ray: Any) -> None:
    @ray.remote
    def fails() -> None:
        raise ValueError("first")

    @ray.remote
    def passes(value: Any) -> Any:
        return value

    with pytest.raises(ValueError) as caught:
        ray.get(passes.remote(passes.remote(fails.remote())))
    head = [
        "ray::passes() (pid=P, ip=127.0.0.1)",
        "  At least one of the input arguments for this task could not be computed:",
    ]
    inner = "daybreak.exceptions.TaskError: ray::"
    assert scrubbed(caught.value) == [
        *head,
        f"{inner}passes() (pid=P, ip=127.0.0.1)",
        head[1],
        f"{inner}fails() (pid=P, ip=127.0.0.1)",
        "  File F, in fails",
        '    raise ValueError("first")',
        "ValueError: first",
    ]
    assert caught.value.args == ("first",) and caught.value.function_name.endswith("fails")  # type: ignore[attr-defined]


def test_what_depends_on_an_actor_that_died_fails_as_a_task_and_as_the_actor(ray: Any) -> None:
    @ray.remote
    class Dies:
        def now(self) -> None:
            import os

            os._exit(3)

    @ray.remote
    def passes(value: Any) -> Any:
        return value

    with pytest.raises(ex.RayTaskError, match="At least one of the input arguments(.|\n)*exit code 3") as caught:
        ray.get(passes.remote(Dies.remote().now.remote()))
    assert isinstance(caught.value, ex.ActorDiedError) and isinstance(caught.value.cause, ex.ActorDiedError)


class Handmade:
    def __init__(self, value: int) -> None:
        self.value = value

    def __reduce__(self) -> Any:
        raise TypeError("not by pickle")


def test_a_class_goes_as_its_registered_serializer_says(ray: Any) -> None:
    with pytest.raises(TypeError, match="not by pickle"):
        ray.put(Handmade(3))
    register_serializer(Handmade, serializer=lambda made: made.value, deserializer=lambda value: Handmade(value + 1))
    try:

        @ray.remote
        def look(made: Handmade) -> int:
            return made.value

        assert ray.get(look.remote(Handmade(3))) == 4
        assert [each.value for each in ray.get(ray.put([Handmade(1), Handmade(2)]))] == [2, 3]
    finally:
        deregister_serializer(Handmade)
    deregister_serializer(Handmade)
    with pytest.raises(TypeError, match="not by pickle"):
        ray.put(Handmade(3))
    with pytest.raises(TypeError, match="serializer=3"):
        register_serializer(Handmade, serializer=3, deserializer=len)  # type: ignore[arg-type]
