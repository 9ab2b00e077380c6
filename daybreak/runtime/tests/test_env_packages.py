"""Tasks and actors with packages of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import daybreak
from daybreak import exceptions as ex
from daybreak.runtime.env import RuntimeEnv, RuntimeEnvConfig, cache

from .wheels import write_project, write_wheel


@daybreak.remote
def version() -> tuple[str, int]:
    import envpkg  # type: ignore[import-not-found]

    return envpkg.VERSION, os.getpid()


@daybreak.remote
def nested() -> str:
    return str(daybreak.get(version.remote())[0])


@daybreak.remote
class Holder:
    def version(self) -> str:
        import envpkg

        return str(envpkg.VERSION)


@pytest.fixture(scope="module")
def ray(index: Path) -> Iterator[Any]:
    daybreak.shutdown()
    daybreak.init(num_cpus=2, object_store_memory=64 << 20)
    yield daybreak
    daybreak.shutdown()


def test_two_versions_of_a_package_run_side_by_side(ray: Any) -> None:
    first = version.options(runtime_env={"uv": ["envpkg==1.0"]})
    second = version.options(runtime_env={"pip": ["envpkg==2.0"]})
    found = ray.get([each.remote() for _ in range(3) for each in (first, second)], timeout=60)
    assert [each for each, _ in found] == ["1.0", "2.0"] * 3
    with pytest.raises(ImportError):
        ray.get(version.remote())
    assert "envpkg" not in sys.modules and found[0][1] != found[1][1]


def test_actors_and_what_a_task_submits_have_the_packages_and_may_have_others(ray: Any) -> None:
    assert ray.get(Holder.options(runtime_env={"uv": ["envpkg==1.0"]}).remote().version.remote(), timeout=60) == "1.0"
    assert ray.get(nested.options(runtime_env={"uv": ["envpkg==1.0"]}).remote(), timeout=60) == "1.0"

    @ray.remote
    def changes() -> str:
        return str(ray.get(version.options(runtime_env={"pip": ["envpkg==2.0"]}).remote())[0])

    assert ray.get(changes.options(runtime_env={"uv": ["envpkg==1.0"]}).remote(), timeout=60) == "2.0"


def test_a_worker_has_what_the_driver_has_and_its_own_before_it(ray: Any, index: Path) -> None:
    write_wheel(index, "iniconfig", "99.0")

    @ray.remote(runtime_env={"uv": ["iniconfig==99.0"], "env_vars": {"PATH": "${PATH}:/nowhere"}})
    def look() -> tuple[Any, ...]:
        import shutil
        import subprocess

        import iniconfig  # type: ignore[import-not-found]
        import numpy

        code = "import iniconfig, numpy, daybreak; print(iniconfig.VERSION)"
        told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
        inside = [
            path.startswith(sys.prefix) for path in (iniconfig.__file__, numpy.__file__, shutil.which("python") or "")
        ]
        return iniconfig.VERSION, told, inside, os.environ["VIRTUAL_ENV"] == sys.prefix, os.environ["PATH"][-9:]

    assert ray.get(look.remote(), timeout=60) == ("99.0", "99.0", [True, False, True], True, ":/nowhere")


def test_a_hundred_tasks_that_ask_at_once_wait_for_one_environment(ray: Any) -> None:
    before = set(os.listdir(Path(cache.root()) / "environments"))
    refs = [version.options(runtime_env={"uv": ["envpkg>=1,<2"]}).remote() for _ in range(100)]
    assert {each for each, _ in ray.get(refs, timeout=120)} == {"1.0"}
    made = set(os.listdir(Path(cache.root()) / "environments")) - before
    assert len([name for name in made if not name.endswith(".lock")]) == 1


def test_what_cannot_be_solved_fails_its_tasks_with_what_the_resolver_says_and_no_other(ray: Any) -> None:
    bad = version.options(runtime_env={"uv": ["envpkg==3.0"]})
    good = version.options(runtime_env={"uv": ["envpkg==1.0"]})
    refs = [bad.remote(), good.remote(), bad.remote()]
    for ref in (refs[0], refs[2]):
        with pytest.raises(ex.RuntimeEnvSetupError, match="there is no version of envpkg==3.0"):
            ray.get(ref, timeout=60)
    assert ray.get(refs[1], timeout=60)[0] == "1.0"
    actor = Holder.options(runtime_env={"uv": ["envpkg==4.0"]}, max_restarts=-1).remote()
    with pytest.raises(ex.RuntimeEnvSetupError, match="there is no version of envpkg==4.0") as raised:
        ray.get(actor.version.remote(), timeout=60)
    assert isinstance(raised.value, ex.ActorDiedError) and raised.value.actor_id == actor._actor_id.hex()


def test_what_takes_longer_than_its_configuration_says_fails(ray: Any, tmp_path: Path) -> None:
    project = write_project(tmp_path / "hangs", "hangs", hook="import time; time.sleep(600)")
    env = RuntimeEnv(uv=[str(project)], config=RuntimeEnvConfig(setup_timeout_seconds=1))
    with pytest.raises(ex.RuntimeEnvSetupError, match="setup_timeout_seconds=1: raise it"):
        ray.get(version.options(runtime_env=env).remote(), timeout=60)


ATTACHED = """
import os, sys
import daybreak
here = os.getcwd()
daybreak.init(sys.argv[1], runtime_env={"uv": ["envpkg==2.0"], "working_dir": sys.argv[2]})

@daybreak.remote
def look():
    import envpkg, of_folder
    return envpkg.VERSION, of_folder.VALUE, os.path.basename(os.getcwd()) != os.path.basename(here)

@daybreak.remote
def another():
    import envpkg
    return envpkg.VERSION

print(daybreak.get(look.remote()), daybreak.get(another.options(runtime_env={"pip": ["envpkg==1.0"]}).remote()))
"""


def test_a_driver_that_attaches_has_packages_and_a_folder_of_its_own(ray: Any, tmp_path: Path) -> None:
    (tmp_path / "of_folder.py").write_text("VALUE = 'folder'\n")
    address = ray.init(ignore_reinit_error=True)["address"]
    command = [sys.executable, "-c", ATTACHED, address, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "('2.0', 'folder', True) 1.0", done.stderr
    with pytest.raises(ImportError):
        ray.get(version.remote(), timeout=60)


def test_a_worker_that_runs_holds_its_environment(ray: Any) -> None:
    actor = Holder.options(runtime_env={"uv": ["envpkg==2.0"]}).remote()
    assert ray.get(actor.version.remote(), timeout=60) == "2.0"
    path = ray.get(actor.__ray_call__.remote(lambda self: sys.prefix))
    os.utime(os.path.join(path, cache.READY), (0, 0))
    assert path not in cache.sweep()
    assert os.path.isdir(path)


def test_a_list_that_is_longer_than_a_description_goes_along(ray: Any) -> None:
    lines = ["envpkg==1.0", *(f"absent-{n}==1.0; sys_platform == 'win32' --hash=sha256:{'0' * 64}" for n in range(200))]

    @ray.remote(runtime_env={"uv": lines})
    def count() -> tuple[str, int]:
        import envpkg

        return envpkg.VERSION, len(daybreak.get_runtime_context().runtime_env["uv"]["packages"])

    assert ray.get(count.remote(), timeout=60) == ("1.0", 201)


def test_an_edited_constraint_is_seen_by_the_next_submission(ray: Any, tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text("envpkg<2")
    (tmp_path / "requirements.txt").write_text("envpkg\n-c c.txt\n")
    task = version.options(runtime_env={"uv": str(tmp_path / "requirements.txt")})
    assert ray.get(task.remote(), timeout=60)[0] == "1.0"
    (tmp_path / "c.txt").write_text("envpkg<3")
    assert ray.get(task.remote(), timeout=60)[0] == "2.0"


def test_all_workers_of_a_runtime_have_the_packages_that_init_is_given(index: Path) -> None:
    daybreak.shutdown()
    daybreak.init(num_cpus=2, object_store_memory=64 << 20, runtime_env={"uv": {"packages": ["envpkg==1.0"]}})
    try:
        assert daybreak.get(version.remote(), timeout=60)[0] == "1.0"
        assert daybreak.get(Holder.remote().version.remote(), timeout=60) == "1.0"
        assert daybreak.get(version.options(runtime_env={"uv": ["envpkg==2.0"]}).remote(), timeout=60)[0] == "2.0"
        assert daybreak.get(version.options(runtime_env={"env_vars": {"A": "1"}}).remote(), timeout=60)[0] == "1.0"
        assert "VIRTUAL_ENV" not in os.environ or "environments" not in os.environ["VIRTUAL_ENV"]
    finally:
        daybreak.shutdown()
    lines = [
        "envpkg==1.0",
        *(f"absent-{n}==1.0; sys_platform == 'win32' --hash=sha256:{'0' * 64}" for n in range(2000)),
    ]
    daybreak.init(
        num_cpus=1, object_store_memory=64 << 20, runtime_env={"uv": lines}
    )  # 200 KB: more than a variable may have
    try:
        assert daybreak.get(version.remote(), timeout=60)[0] == "1.0"
        assert len(daybreak.get_runtime_context().runtime_env.uv_config()["packages"]) == 2001
    finally:
        daybreak.shutdown()
    with pytest.raises(ex.RuntimeEnvSetupError, match="there is no version of envpkg==3.0"):
        daybreak.init(num_cpus=1, object_store_memory=64 << 20, runtime_env={"uv": ["envpkg==3.0"]})
    assert not daybreak.is_initialized()


@pytest.mark.parametrize(
    ("env", "kind", "text"),
    [
        ({"uv": 3}, TypeError, "'uv'. must be of type str, List.str. or dict, got <class 'int'>"),
        ({"uv": ["a", 3]}, TypeError, "got <class 'int'> for 1-th item"),
        ({"uv": {"package": ["a"]}}, ValueError, "can only have these fields: packages, uv_check, uv_version"),
        ({"uv": {"uv_check": True}}, ValueError, "must include field 'packages'"),
        ({"uv": {"packages": 3}}, ValueError, "'packages'. must be of type str or list"),
        ({"uv": {"packages": ["a"], "uv_check": 1}}, TypeError, "'uv_check'. must be of type bool"),
        ({"uv": {"packages": ["a"], "uv_version": 1}}, TypeError, "'uv_version'. must be of type str"),
        ({"uv": {"packages": ["a"], "uv_pip_install_options": "x"}}, TypeError, "must be of type list.str."),
        (
            {"pip": {"packages": ["a"], "pip_install_options": [1]}},
            TypeError,
            "'pip_install_options'. must be of type list",
        ),
        ({"pip": {"packages": ["a"], "uv_check": True}}, ValueError, "can only have these fields: packages, pip_check"),
        ({"pip": ["a"], "uv": ["b"]}, ValueError, "'pip' field and 'uv' field .* cannot be specified at the same time"),
        ({"uv": "absent.txt"}, ValueError, "absent.txt is not a valid file"),
        ({"config": {"setup_timeout": 3}}, ValueError, "has no field 'setup_timeout'; valid are setup_timeout_seconds"),
        ({"config": 3}, TypeError, "must be of type dict or RuntimeEnvConfig"),
        ({"excludes": "x"}, TypeError, "'excludes'. must be of type List"),
        ({"py_executable": "python3"}, ValueError, "'py_executable'. is not supported: start the program with it"),
    ],
)
def test_what_is_no_list_of_packages_is_refused_by_name(env: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        version.options(runtime_env=env)


def test_the_accessors_are_rays() -> None:
    env = RuntimeEnv(
        uv={"packages": ["a"], "uv_version": "==1"}, env_vars={"A": "1"}, config={"setup_timeout_seconds": 5}
    )
    assert env.has_uv() and env.uv_config() == {"packages": ["a"], "uv_check": False, "uv_version": "==1"}
    assert not env.has_pip() and env.pip_config() == {} and env.virtualenv_name() is None
    assert RuntimeEnv(pip=["a", "a", "b"]).pip_config() == {"packages": ["a", "b"], "pip_check": False}
    assert not env.has_conda() and env.conda_config() is None and env.py_executable() is None
    assert not env.has_working_dir() and env.working_dir() == "" and env.py_modules_uris() == []
    assert env["config"]["setup_timeout_seconds"] == 5 and env.plugins() == [] and env.java_jars() == []
    assert RuntimeEnv.deserialize(env.serialize()) == env
    env.set("pip", None)
    assert "pip" not in env and "uv" not in RuntimeEnv(uv=[]) and RuntimeEnv() == {}
    with pytest.raises(ValueError, match="cannot be specified at the same time"):
        env["pip"] = ["b"]
