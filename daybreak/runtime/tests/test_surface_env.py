"""Environments of tasks and actors: theirs alone, inherited by what they submit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import daybreak
from daybreak import exceptions as ex

from .conftest import ended, eventually


@daybreak.remote
def look(*names: str) -> list[str | None]:
    return [os.environ.get(name) for name in names]


@daybreak.remote
def process_of(name: str) -> tuple[str | None, int]:
    return os.environ.get(name), os.getpid()


@daybreak.remote
class Looker:
    def look(self, *names: str) -> list[str | None]:
        return [os.environ.get(name) for name in names]

    def child(self, *names: str) -> Any:
        return daybreak.get(look.remote(*names))

    def other(self, *names: str) -> Any:
        return daybreak.get(look.options(runtime_env={"env_vars": {"SURFACE_B": "child"}}).remote(*names))


def test_variables_are_those_of_the_task_and_of_no_other(ray: Any) -> None:
    assert "SURFACE_A" not in os.environ
    with_a = look.options(runtime_env={"env_vars": {"SURFACE_A": "1"}})
    with_b = look.options(runtime_env={"env_vars": {"SURFACE_A": "2"}})
    plain = look
    for _ in range(2):
        assert ray.get([plain.remote("SURFACE_A"), with_a.remote("SURFACE_A"), with_b.remote("SURFACE_A")]) == [
            [None],
            ["1"],
            ["2"],
        ]
    assert ray.get([plain.remote("SURFACE_A") for _ in range(20)]) == [[None]] * 20


def test_a_worker_is_used_again_for_the_same_environment_alone(ray: Any) -> None:
    def run(value: str) -> tuple[str | None, int]:
        env = {"env_vars": {"SURFACE_PID": value}}
        return ray.get(process_of.options(runtime_env=env).remote("SURFACE_PID"))  # type: ignore[no-any-return]

    first, second, third, fourth = run("1"), run("2"), run("1"), run("2")
    assert [first[0], second[0]] == ["1", "2"] and first == third and second == fourth and first[1] != second[1]
    assert ray.get(process_of.remote("SURFACE_PID"))[1] not in (first[1], second[1])


def test_a_fresh_interpreter_sees_its_variables_from_the_start(ray: Any) -> None:
    @ray.remote(runtime_env={"env_vars": {"PYTHONHASHSEED": "7", "SURFACE_PATH": "here:${PATH}"}})
    def seeded() -> tuple[int, str]:
        return hash("a text"), os.environ["SURFACE_PATH"]

    hashed, path = ray.get(seeded.remote())
    import subprocess
    import sys

    told = subprocess.run(
        [sys.executable, "-c", "print(hash('a text'))"], env={"PYTHONHASHSEED": "7"}, capture_output=True, text=True
    )
    assert hashed == int(told.stdout) and path == f"here:{os.environ['PATH']}"


def test_actors_have_environments_and_children_inherit_and_change_them(ray: Any) -> None:
    actor = Looker.options(runtime_env={"env_vars": {"SURFACE_A": "a", "SURFACE_B": "b"}}).remote()
    names = ("SURFACE_A", "SURFACE_B")
    assert ray.get(actor.look.remote(*names)) == ["a", "b"]
    assert ray.get(actor.child.remote(*names)) == ["a", "b"]
    assert ray.get(actor.other.remote(*names)) == ["a", "child"]


def test_tasks_of_an_environment_fail_retry_and_nest_as_others(ray: Any) -> None:
    env = {"env_vars": {"SURFACE_N": "1"}}

    @ray.remote(runtime_env=env)
    def down(n: int) -> int:
        return 0 if n == 0 else 1 + daybreak.get(down.remote(n - 1))  # type: ignore[no-any-return]

    @ray.remote(runtime_env=env, max_retries=1)
    def dies(path: str) -> str | None:
        if not os.path.exists(path):
            open(path, "w").close()
            os.kill(os.getpid(), 9)
        return os.environ.get("SURFACE_N")

    assert ray.get(down.remote(4), timeout=60) == 4
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        assert ray.get(dies.remote(os.path.join(folder, "ran")), timeout=60) == "1"
    with pytest.raises(ex.WorkerCrashedError, match="signal 9"):
        ray.get(look.options(runtime_env=env, max_retries=0).remote(Killer()), timeout=60)


class Killer:
    """Ends the process that unpickles it."""

    def __reduce__(self) -> Any:
        return _end, ()


def _end() -> None:
    os.kill(os.getpid(), 9)


def test_an_environment_that_cannot_be_entered_fails_its_tasks_with_what_was_printed(ray: Any) -> None:
    def hook() -> None:
        raise LookupError("no such licence")

    env = {"worker_process_setup_hook": hook}
    with pytest.raises(ex.RuntimeEnvSetupError, match="no such licence"):
        ray.get(look.options(runtime_env=env).remote("A"), timeout=60)
    with pytest.raises(ex.ActorDiedError, match="no such licence"):
        ray.get(Looker.options(runtime_env=env).remote().look.remote("A"), timeout=60)
    assert ray.get(look.remote("SURFACE_A")) == [None]


def test_a_working_folder_and_modules_are_those_of_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    daybreak.shutdown()
    monkeypatch.setenv("DAYBREAK_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "surface_here.py").write_text("VALUE = 1\n")
    (tmp_path / "surface_module").mkdir()
    (tmp_path / "surface_module" / "__init__.py").write_text("VALUE = 2\n")
    daybreak.init(
        num_cpus=1,
        object_store_memory=64 << 20,
        runtime_env={
            "working_dir": str(tmp_path / "work"),
            "py_modules": [f"file://localhost{tmp_path}/surface_module"],
            "env_vars": {"SURFACE_JOB": "job"},
        },
    )
    try:

        @daybreak.remote
        def values() -> tuple[Any, ...]:
            import surface_here  # type: ignore[import-not-found]
            import surface_module  # type: ignore[import-not-found]

            context = daybreak.get_runtime_context()
            return surface_here.VALUE, surface_module.VALUE, os.getcwd(), context.runtime_env["env_vars"]

        one, two, folder, variables = daybreak.get(values.remote())
        assert (one, two, variables) == (1, 2, {"SURFACE_JOB": "job"}) and folder != str(tmp_path / "work")
        other = values.options(runtime_env={"env_vars": {"SURFACE_TASK": "task"}}).remote()
        joined = {"SURFACE_JOB": "job", "SURFACE_TASK": "task"}
        assert daybreak.get(other) == (1, 2, folder, joined)
        assert daybreak.get_runtime_context().runtime_env["env_vars"] == {"SURFACE_JOB": "job"}
        assert "SURFACE_JOB" not in os.environ
    finally:
        daybreak.shutdown()


@pytest.mark.parametrize(
    ("env", "kind", "text"),
    [
        ("env", TypeError, "runtime_env must be a dict"),
        ({"env_vars": ["A"]}, TypeError, "Dict"),
        ({"env_vars": {"A": 1}}, TypeError, "Dict"),
        ({"env_vars": {"A=B": "1"}}, ValueError, "no variable"),
        ({"working_dir": "/nonexistent/folder"}, ValueError, "does not exist"),
        ({"working_dir": "s3://bucket/a.zip"}, ValueError, "copy it here"),
        ({"working_dir": "file://elsewhere/tmp"}, ValueError, "copy it here"),
        ({"working_dir": "file:///nonexistent/folder"}, ValueError, ": /nonexistent/folder does not exist"),
        ({"py_modules": "folder"}, TypeError, "must be a list"),
        ({"conda": "base"}, ValueError, "'conda'.* is not supported: name its packages as uv"),
        ({"nonsense": 1}, ValueError, "'nonsense'.* valid are env_vars"),
        ({"worker_process_setup_hook": 3}, TypeError, "function without arguments"),
        ({"env_vars": {"A": "x" * 9000}}, ValueError, "at most 8191"),
    ],
)
def test_a_bad_environment_is_refused_by_name(ray: Any, env: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        look.options(runtime_env=env).remote("A")
    with pytest.raises(kind, match=text):
        Looker.options(runtime_env=env).remote()


def test_workers_of_an_environment_end_with_the_runtime() -> None:
    daybreak.shutdown()
    daybreak.init(num_cpus=1, object_store_memory=64 << 20)
    pid = daybreak.get(process_of.options(runtime_env={"env_vars": {"A": "1"}}).remote("A"))[1]
    daybreak.shutdown()
    assert eventually(lambda: ended(pid))


@daybreak.remote
def parents() -> tuple[int, int]:
    return os.getpid(), os.getppid()


def _parent_of(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as stat:
        return int(stat.read().rsplit(")", 1)[1].split()[1])


def test_workers_of_an_environment_are_forks_of_one_process_that_has_it(two_cpus: Any) -> None:
    env = {"env_vars": {"SURFACE_ZYGOTE": "1"}}
    task = parents.options(runtime_env=env)
    first, below = two_cpus.get(task.remote(), timeout=60)
    actors = [Looker.options(runtime_env=env).remote() for _ in range(3)]
    pids = two_cpus.get([actor.__ray_call__.remote(lambda self: (os.getpid(), os.getppid())) for actor in actors])
    assert {parent for _, parent in pids} == {below} and len({first, *(pid for pid, _ in pids)}) == 4
    plain = two_cpus.get(parents.remote())[1]
    assert plain != below and _parent_of(below) == plain  # which dies with the first zygote


def test_the_death_of_an_environments_zygote_costs_its_workers_and_nothing_else(two_cpus: Any) -> None:
    env = {"env_vars": {"SURFACE_ZYGOTE": "2"}}
    task = parents.options(runtime_env=env)
    pid, below = two_cpus.get(task.remote(), timeout=60)
    actor = Looker.options(runtime_env=env, max_restarts=1, max_task_retries=1).remote()
    other = Looker.remote()
    assert two_cpus.get([actor.look.remote("SURFACE_ZYGOTE"), other.look.remote("SURFACE_ZYGOTE")]) == [["2"], [None]]
    os.kill(below, 9)
    assert eventually(lambda: ended(below) and ended(pid))
    assert two_cpus.get(actor.look.remote("SURFACE_ZYGOTE"), timeout=60) == ["2"]
    again, another = two_cpus.get(task.remote(), timeout=60)
    assert again != pid and another != below and two_cpus.get(other.look.remote("SURFACE_ZYGOTE")) == [None]


def test_the_death_of_the_first_zygote_is_that_of_all_and_all_come_back(two_cpus: Any) -> None:
    env = {"env_vars": {"SURFACE_ZYGOTE": "4"}}
    pid, below = two_cpus.get(parents.options(runtime_env=env).remote(), timeout=60)
    first = two_cpus.get(parents.remote())[1]
    os.kill(first, 9)
    assert eventually(lambda: all(ended(each) for each in (first, below, pid)))
    again, another = two_cpus.get(parents.options(runtime_env=env).remote(), timeout=60)
    assert again != pid and another != below and two_cpus.get(parents.remote(), timeout=60)[1] == _parent_of(another)


def test_a_worker_of_an_environment_that_dies_is_replaced_by_another_fork(two_cpus: Any) -> None:
    env = {"env_vars": {"SURFACE_ZYGOTE": "3"}}
    _, below = two_cpus.get(parents.options(runtime_env=env).remote(), timeout=60)
    with pytest.raises(ex.WorkerCrashedError, match="signal 9"):
        two_cpus.get(look.options(runtime_env=env, max_retries=0).remote(Killer()), timeout=60)
    assert two_cpus.get(parents.options(runtime_env=env).remote(), timeout=60)[1] == below


def test_each_worker_calls_the_hook_of_its_environment(two_cpus: Any) -> None:
    def hook() -> None:
        os.environ["SURFACE_HOOK"] = str(os.getpid())

    env = {"worker_process_setup_hook": hook}
    actors = [Looker.options(runtime_env=env).remote() for _ in range(2)]
    found = two_cpus.get(
        [actor.__ray_call__.remote(lambda self: (os.environ["SURFACE_HOOK"], os.getpid())) for actor in actors]
    )
    assert all(said == str(pid) for said, pid in found) and found[0] != found[1]
