"""What lives how long, what waits for more, and who sees which GPU: as Ray has it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

import pytest

import daybreak
from daybreak import exceptions as ex
from daybreak.runtime import state
from daybreak.runtime.job_config import JobConfig

from .conftest import eventually, once_back


@daybreak.remote
class Child:
    def pid(self) -> int:
        return os.getpid()


@daybreak.remote(max_restarts=1)
class Parent:
    def make(self, **options: Any) -> Any:
        self.child = Child.options(**options).remote() if options else Child.remote()
        return self.child

    def pid(self) -> int:
        return os.getpid()


@pytest.mark.parametrize("default", [None, "non_detached", "detached"])
@pytest.mark.parametrize("lifetime", [None, "non_detached", "detached"])
def test_an_actor_ends_with_the_one_that_made_it_unless_it_is_detached(
    default: str | None, lifetime: str | None
) -> None:
    daybreak.shutdown()
    config = None if default is None else JobConfig(default_actor_lifetime=default)
    daybreak.init(num_cpus=1, object_store_memory=64 << 20, job_config=config)
    try:
        parent = Parent.remote()
        options = {} if lifetime is None else {"lifetime": lifetime}
        child = daybreak.get(parent.make.remote(**options), timeout=30)
        pid = daybreak.get(child.pid.remote(), timeout=30)
        os.kill(daybreak.get(parent.pid.remote()), signal.SIGKILL)
        again = once_back(parent.make.remote)  # the parent has come back, and has a new child
        assert daybreak.get(again.pid.remote(), timeout=30) != pid
        if (lifetime or default) == "detached":
            assert daybreak.get(child.pid.remote(), timeout=30) == pid
        else:
            with pytest.raises(ex.ActorDiedError, match="the process that had created it"):
                daybreak.get(child.pid.remote(), timeout=30)
    finally:
        daybreak.shutdown()


def test_an_actor_ends_with_the_worker_whose_task_made_it_when_that_is_killed(two_cpus: Any) -> None:
    @two_cpus.remote
    def make() -> tuple[Any, int]:
        return Child.remote(), os.getpid()

    child, pid = two_cpus.get(make.remote(), timeout=30)
    two_cpus.get(child.pid.remote())
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(ex.ActorDiedError, match="the process that had created it"):
        while True:
            two_cpus.get(child.pid.remote(), timeout=30)


def run(program: str, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, **environment}, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return [*done.stdout.splitlines(), *done.stderr.splitlines()]


def test_what_asks_for_more_than_there_is_waits_under_rays_name_and_says_so() -> None:
    lines = run("""
import daybreak.compat.ray; daybreak.compat.ray.install()
import ray
ray.init(num_cpus=1, object_store_memory=64 << 20, _memory=2.2)
@ray.remote
def f(): return 1
@ray.remote
class A:
    def f(self): return 1
many, other = f.options(num_cpus=2).remote(), f.options(resources={"nowhere": 1}).remote()
actor = A.options(num_gpus=1).remote()
call = actor.f.remote()
assert ray.wait([many, other, call], timeout=0.2)[0] == []
assert ray.get(f.options(memory=2.9).remote()) == 1  # bytes are whole
assert ray.wait([f.options(memory=3.1).remote()], timeout=0.1)[0] == []
assert ray.get([f.remote() for _ in range(10)]) == [1] * 10
ray.cancel(many)
try: ray.get(many, timeout=10)
except ray.exceptions.TaskCancelledError: print("cancelled")
ray.kill(actor)
try: ray.get(call, timeout=10)
except ray.exceptions.RayActorError: print("killed")
ray.shutdown()
ray.init(num_cpus=0, object_store_memory=64 << 20)
assert ray.wait([A.remote().f.remote()], timeout=0.2)[0] == []  # wants a CPU to be there
assert ray.get(A.options(num_cpus=0).remote().f.remote()) == 1
""")
    assert lines[:2] == ["cancelled", "killed"]
    assert any("f asks for CPU=2, the runtime has 1: it waits" in line for line in lines)
    assert any("f asks for nowhere=1, the runtime has 0" in line for line in lines)
    assert sum("A asks for GPU=1" in line for line in lines) == 1


def test_gpus_are_those_that_the_driver_sees_and_others_see_none() -> None:
    program = """
import os, daybreak
daybreak.init(num_cpus=2, num_gpus=2, object_store_memory=64 << 20)
@daybreak.remote
def f(): return os.environ.get("CUDA_VISIBLE_DEVICES"), daybreak.get_gpu_ids()
@daybreak.remote
class A:
    def f(self): return os.environ.get("CUDA_VISIBLE_DEVICES"), daybreak.get_runtime_context().get_accelerator_ids()["GPU"]
with_gpu = f.options(num_gpus=1)
for _ in range(3):
    print(daybreak.get(f.remote()), daybreak.get(with_gpu.remote()))
a, b = A.remote(), A.options(num_gpus=1).remote()
print(daybreak.get([a.f.remote(), b.f.remote()]))
print(daybreak.get(f.options(runtime_env={"env_vars": {"CUDA_VISIBLE_DEVICES": "9"}}).remote()))
try: f.options(num_gpus=1.5).remote()
except ValueError as error: print(error)
"""
    lines = run(program, CUDA_VISIBLE_DEVICES="")
    assert lines[:4] == ["('', []) ('0', [0])"] * 3 + ["[('', []), ('0', ['0'])]"]
    assert lines[4] == "('9', [])" and "must be whole numbers" in lines[5]
    named = run(program, CUDA_VISIBLE_DEVICES="GPU-abc,7")
    assert named[0] == "('', []) ('GPU-abc', ['GPU-abc'])" and named[3] == "[('', []), ('GPU-abc', ['GPU-abc'])]"
    failed = run(
        "import daybreak\ntry: daybreak.init(num_gpus=3)\nexcept ValueError as e: print(e)", CUDA_VISIBLE_DEVICES="1"
    )
    assert "CUDA_VISIBLE_DEVICES has 1" in failed[0]


def test_the_older_form_of_a_call_takes_arguments_and_options(ray: Any) -> None:
    @ray.remote
    def f(n: int, more: int = 0) -> list[int]:
        return list(range(n + more))

    assert f._remote([0], num_returns=0) is None
    assert ray.get(f._remote(args=[1], kwargs={"more": 1}, num_returns=1)) == [0, 1]
    assert ray.get(f._remote(args=[2], num_returns=2)) == [0, 1]
    assert isinstance(ray.get(Child._remote([], {}, num_cpus=0).pid.remote()), int)
    assert isinstance(ray.get(Child._remote().pid.remote()), int)


@daybreak.remote
class Failing:
    def __init__(self) -> None:
        raise OSError("of no use")


def test_put_takes_an_owner(ray: Any) -> None:
    child = Child.remote()
    ref = ray.put("kept", _owner=child)
    ray.kill(child)
    assert ray.get(ref) == "kept" == ray.get(ray.put("kept", _owner=None))
    with pytest.raises(TypeError, match="_owner=3"):
        ray.put("kept", _owner=3)
    with pytest.raises(TypeError, match="not owner="):
        ray.put("kept", owner=child)


def test_names_of_actors_are_refused_in_rays_words(ray: Any) -> None:
    actor = Child.options(name="lives", namespace="one").remote()
    assert ray.get(ray.get_actor("lives", "one").pid.remote()) == ray.get(actor.pid.remote())
    with pytest.raises(ValueError, match=r"The name lives \(namespace=one\) is already taken"):
        Child.options(name="lives", namespace="one").remote()
    with pytest.raises(ValueError, match="Failed to look up actor with name 'lives'"):
        ray.get_actor("lives")
    with pytest.raises(TypeError, match="None or a string"):
        ray.get_actor("lives", namespace=3)
    with pytest.raises(ValueError, match="not a valid namespace"):
        ray.get_actor("lives", namespace="")
    with pytest.raises(ValueError, match="name must be specified"):
        Child.options(get_if_exists=True).remote()
    del actor
    assert eventually(lambda: state.list_named_actors(all_namespaces=True) == [])


def test_a_killed_actors_name_is_free_at_once(ray: Any) -> None:
    pids = set()
    for _ in range(5):
        actor = Child.options(name="again").remote()
        pids.add(ray.get(actor.pid.remote()))
        ray.kill(actor)
        assert state.list_named_actors() == []
        with pytest.raises(ValueError, match="Failed to look up actor with name 'again'"):
            ray.get_actor("again")
    assert len(pids) == 5


def test_the_error_of_a_dead_actor_says_which_it_was(ray: Any) -> None:
    actors = [Child.remote(), Child.remote()]
    ray.get([actor.pid.remote() for actor in actors])
    for actor in actors:
        ray.kill(actor)
        with pytest.raises(ex.ActorDiedError, match="killed by kill") as caught:
            ray.get(actor.pid.remote())
        assert caught.value.actor_id == actor._actor_id.hex()
    failing = Failing.remote()
    with pytest.raises(ex.ActorDiedError, match="of no use") as caught:
        ray.get(failing.__ray_ready__.remote())
    assert caught.value.actor_id == failing._actor_id.hex()
    assert ex.ActorDiedError("of another engine").actor_id is None
