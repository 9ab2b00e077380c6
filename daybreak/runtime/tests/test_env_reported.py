"""What users of Ray reported about environments of tasks, as it is here."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import daybreak
from daybreak import exceptions as ex
from daybreak.runtime.env import RuntimeEnv, folders, maker, requirements

from .wheels import write_wheel


@daybreak.remote
def value_of(module: str, name: str = "VERSION") -> Any:
    import importlib

    return getattr(importlib.import_module(module), name)


@daybreak.remote
def variable(name: str) -> str | None:
    return os.environ.get(name)


@daybreak.remote
def files() -> list[str]:
    return sorted(str(path) for path in Path(".").rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def ray(index: Path) -> Iterator[Any]:
    daybreak.shutdown()
    daybreak.init(num_cpus=2, object_store_memory=64 << 20)
    yield daybreak
    daybreak.shutdown()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    path = tmp_path / "work"
    path.mkdir()
    return path


def test_a_requirement_file_in_the_working_folder_alone_is_named_in_the_error(ray: Any, work: Path) -> None:
    """ray#16176, ray#20597: "requirements.txt is not a valid file", although it is in working_dir."""
    (work / "requirements.txt").write_text("envpkg==1.0\n")
    with pytest.raises(
        ValueError, match=f"requirements.txt is not a valid file.*; {work}/requirements.txt is: write that"
    ):
        variable.options(runtime_env={"working_dir": work, "pip": "requirements.txt"})
    task = value_of.options(runtime_env={"working_dir": work, "pip": work / "requirements.txt"})
    assert ray.get(task.remote("envpkg"), timeout=60) == "1.0"


def test_files_of_the_working_folder_can_be_named_in_the_list(ray: Any, work: Path) -> None:
    """ray#18210, ray#42697: `-r` and wheels by ${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}."""
    (work / "more.txt").write_text("envpkg==2.0\n")
    wheel = write_wheel(work, "inside", "1.0")
    lines = [
        "-r ${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}/more.txt",
        f"${{RAY_RUNTIME_ENV_CREATE_WORKING_DIR}}/{wheel.name}",
    ]
    task = value_of.options(runtime_env={"working_dir": work, "uv": lines})
    assert ray.get([task.remote("envpkg"), task.remote("inside")], timeout=60) == ["2.0", "1.0"]


def test_the_working_folder_can_be_named_in_a_variable(ray: Any, work: Path) -> None:
    """ray#44633: RAY_RUNTIME_ENV_CREATE_WORKING_DIR in env_vars."""
    env = {"working_dir": work, "env_vars": {"DATA": "${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}/data"}}

    @ray.remote(runtime_env=env)
    def look() -> bool:
        return os.environ["DATA"] == os.path.join(os.getcwd(), "data")

    assert ray.get(look.remote()) is True


def test_an_edited_file_behind_r_makes_another_environment(ray: Any, tmp_path: Path) -> None:
    """ray#61759: the environment of the old contents was used again."""
    (tmp_path / "base.txt").write_text("envpkg==1.0\n")
    env = {"pip": [f"-r {tmp_path}/base.txt"]}
    assert ray.get(value_of.options(runtime_env=env).remote("envpkg"), timeout=60) == "1.0"
    (tmp_path / "base.txt").write_text("envpkg==2.0\n")
    assert ray.get(value_of.options(runtime_env=env).remote("envpkg"), timeout=60) == "2.0"


def test_hashes_as_pip_compile_writes_them_are_checked(index: Path, tmp_path: Path) -> None:
    """ray#29904: packages with hashes. A comment behind a continued line ends it."""
    import hashlib

    right = hashlib.sha256((index / "envpkg-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    text = (
        f"envpkg==1.0 \\\n    --hash=sha256:{right} \\\n    # via something\nabsent==1 ; sys_platform == 'win32' \\\n"
    )
    (tmp_path / "locked.txt").write_text(f"{text}    --hash=sha256:{'1' * 64}\n    # via something else\n")
    lines = RuntimeEnv(uv=str(tmp_path / "locked.txt"))["uv"]["packages"]
    assert lines == [
        f"envpkg==1.0 --hash=sha256:{right}",
        f"absent==1 ; sys_platform == 'win32' --hash=sha256:{'1' * 64}",
    ]
    maker.make(maker.Spec(tuple(lines), options=("--require-hashes",))).close()


def test_two_environments_with_the_same_packages_at_once_do_not_disturb_each_other(ray: Any) -> None:
    """ray#24513, ray#38312: the same packages for two environments that differ in a variable."""
    tasks = [value_of.options(runtime_env={"uv": ["envpkg<2"], "env_vars": {"N": str(n)}}) for n in range(3)]
    assert ray.get([task.remote("envpkg") for task in tasks], timeout=60) == ["1.0"] * 3


def test_calls_of_an_actor_whose_environment_cannot_be_made_raise(ray: Any) -> None:
    """ray#19501: the call waited for ever."""

    @ray.remote(runtime_env={"pip": ["this-does-not-exist"]})
    class A:
        def task(self) -> bool:
            return True

    actor = A.remote()
    with pytest.raises(ex.RayActorError, match="this-does-not-exist was not found"):
        ray.get(actor.task.remote(), timeout=60)


def test_an_environment_without_pip_and_with_uv_is_enough(index: Path, tmp_path: Path) -> None:
    """ray#54134, ray#60570: in an environment that uv has made there is no pip, and no project around it."""
    uv = maker.find_uv()
    assert uv is not None
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(tmp_path / "venv")], check=True)
    for folder in maker.folders_below():  # where daybreak and what it needs are
        (tmp_path / "venv/lib" / Path(folder).parent.name / "site-packages/below.pth").write_text(
            f"import site; site.addsitedir({folder!r})\n{Path(daybreak.__file__).parent.parent}\n"
        )
    program = "from daybreak.runtime.env import maker; print(maker.make(maker.Spec(('envpkg==1.0',))).path)"
    done = subprocess.run(
        [tmp_path / "venv/bin/python", "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": str(Path(uv).parent)},
    )
    assert done.returncode == 0 and "environments" in done.stdout, done.stderr


def test_a_wheel_is_a_module_of_one_task_and_what_it_needs_is_not_installed_again(ray: Any, tmp_path: Path) -> None:
    """ray#22096, ray#35589, ray#27624: local wheels, for a task, whose needs are here already though no index has them."""
    wheel = write_wheel(tmp_path, "plugin", "1.0", "import numpy\n", requires=("numpy>=1", "cloudpickle"))
    task = value_of.options(runtime_env={"py_modules": [str(wheel)]})
    assert ray.get(task.remote("plugin"), timeout=60) == "1.0"
    with pytest.raises(ImportError):
        ray.get(value_of.remote("plugin"))


def test_single_files_and_imported_modules_are_modules(
    ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ray#23151, ray#29200: `py_modules` of a file, and of a module that is imported."""
    (tmp_path / "reported_file.py").write_text("VERSION = 'file'\n")
    (tmp_path / "reported_module").mkdir()
    (tmp_path / "reported_module" / "__init__.py").write_text("VERSION = 'module'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import reported_file  # type: ignore[import-not-found]
    import reported_module  # type: ignore[import-not-found]

    for modules in (
        [tmp_path / "reported_file.py", reported_module],
        [reported_file, str(tmp_path / "reported_module")],
    ):
        task = value_of.options(runtime_env={"py_modules": modules})
        assert ray.get([task.remote("reported_file"), task.remote("reported_module")]) == ["file", "module"]


def test_modules_and_the_working_folder_go_together_also_in_tasks_of_tasks(
    work: Path, tmp_path: Path, index: Path
) -> None:
    """ray#61080: with both, tasks had the folder alone."""
    (work / "of_folder.py").write_text("VERSION = 'folder'\n")
    (tmp_path / "of_module.py").write_text("VERSION = 'module'\n")
    daybreak.shutdown()
    env = {"working_dir": work, "py_modules": [tmp_path / "of_module.py"]}
    daybreak.init(num_cpus=2, object_store_memory=64 << 20, runtime_env=env)
    try:

        @daybreak.remote
        def both() -> list[Any]:
            return list(daybreak.get([value_of.remote("of_folder"), value_of.remote("of_module")]))

        assert daybreak.get(both.remote()) == ["folder", "module"]
        assert daybreak.get(both.options(runtime_env={"env_vars": {"A": "1"}}).remote()) == ["folder", "module"]
    finally:
        daybreak.shutdown()
        daybreak.init(num_cpus=2, object_store_memory=64 << 20)


def test_the_path_of_the_user_stays(ray: Any, work: Path) -> None:
    """ray#22668, ray#56697, ray#34394: PYTHONPATH was replaced by the folder; PATH in terms of itself."""
    env = {
        "working_dir": work,
        "env_vars": {"PYTHONPATH": "/of/the/user", "PATH": "/mine:${PATH}"},
        "uv": ["envpkg==1.0"],
    }

    @ray.remote(runtime_env=env)
    def look() -> tuple[str, bool, str]:
        return os.environ["PYTHONPATH"], "/of/the/user" in sys.path, os.environ["PATH"].split(":")[1]

    assert ray.get(look.remote(), timeout=60) == ("/of/the/user", True, "/mine")


def test_patterns_with_an_exclamation_mark_take_back(work: Path) -> None:
    """ray#28502, ray#18279: "!*.py" after "*"; ray#19236: "*" alone leaves out all."""
    for name in ("a.py", "b.txt", "c.pkl"):
        (work / name).touch()

    def copied(*excludes: str) -> list[str]:
        return sorted(os.listdir(folders.copied("working_dir", str(work), excludes, named=False)))

    assert copied("*", "!*.py") == ["a.py"]
    assert copied("*") == copied("**") == []
    (work / ".gitignore").write_text("*.pkl\n!c.pkl\n")
    assert copied() == [".gitignore", "a.py", "b.txt", "c.pkl"]


def test_ignore_files_of_both_names_are_heeded(ray: Any, work: Path) -> None:
    """ray#53648, ray#58500: .rayignore beside .gitignore."""
    for name in ("kept.py", "docs.md", "model.pkl"):
        (work / name).touch()
    (work / ".gitignore").write_text("*.pkl\n")
    (work / ".rayignore").write_text("*.md\n.*\n")
    assert ray.get(files.options(runtime_env={"working_dir": work}).remote()) == ["kept.py"]


def test_a_zip_is_a_working_folder(ray: Any, tmp_path: Path) -> None:
    """ray#20826: local zips, also with a folder at the top, which stays."""
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as archive:
        archive.writestr("top/of_zip.py", "VERSION = 'zip'\n")
    assert ray.get(files.options(runtime_env={"working_dir": tmp_path / "w.zip"}).remote()) == ["top/of_zip.py"]


def test_threads_that_submit_the_same_folder_at_once_do_not_disturb_each_other(ray: Any, work: Path) -> None:
    """ray#47471: two uploads of one folder removed each other's file."""
    (work / "of_threads.py").write_text("VERSION = 'threads'\n")
    task = value_of.options(runtime_env={"working_dir": work})
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.append(ray.get(task.remote("of_threads"), timeout=60))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["threads"] * 8


def test_links_are_followed_out_of_the_folder(ray: Any, work: Path, tmp_path: Path) -> None:
    """ray#47284: what a link leads to goes along."""
    (tmp_path / "of_link.py").write_text("VERSION = 'link'\n")
    (work / "of_link.py").symlink_to(tmp_path / "of_link.py")
    assert ray.get(value_of.options(runtime_env={"working_dir": work}).remote("of_link")) == "link"


def test_two_versions_at_once_are_the_first_thing_that_works(ray: Any) -> None:
    """ray#17086: two actors with two versions, made at the same time."""

    @ray.remote
    class Worker:
        def version(self) -> str:
            import envpkg  # type: ignore[import-not-found]

            return str(envpkg.VERSION)

    actors = [Worker.options(runtime_env={"pip": [f"envpkg=={each}"]}).remote() for each in ("1.0", "2.0")]
    assert ray.get([actor.version.remote() for actor in actors], timeout=60) == ["1.0", "2.0"]


def test_a_list_may_have_the_same_line_twice() -> None:
    assert requirements.of_list("pip", ["six", "six", " six  # again"], None) == ["six"]
