"""Environments of tasks and actors, as every engine has them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import daybreak
from daybreak import exceptions

ENGINE = os.environ.get("DAYBREAK_TEST_ENGINE", "local")
on_ray = pytest.mark.skipif(ENGINE.startswith("local"), reason="of a Ray cluster")
not_on_ray = pytest.mark.skipif(
    ENGINE.startswith("ray"), reason="refused there: see test_a_folder_of_one_task_is_refused_with_the_way_out"
)


@not_on_ray
def test_a_task_runs_in_its_working_directory(tmp_path: Path) -> None:
    (tmp_path / "said.txt").write_text("hello")
    (tmp_path / "of_the_folder.py").write_text("VALUE = 7\n")

    @daybreak.remote
    def look() -> tuple[str, int]:
        import of_the_folder

        with open("said.txt") as file:
            return file.read(), of_the_folder.VALUE

    env = {"working_dir": str(tmp_path)}
    assert daybreak.get(look.options(runtime_env=env).remote(), timeout=120) == ("hello", 7)


@not_on_ray
def test_what_is_excluded_does_not_go_along(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("1")
    (tmp_path / "left.bin").write_text("1")

    @daybreak.remote
    def names() -> list[str]:
        return sorted(os.listdir("."))

    env = {"working_dir": str(tmp_path), "excludes": ["*.bin"]}
    found = daybreak.get(names.options(runtime_env=env).remote(), timeout=120)
    assert "kept.txt" in found and "left.bin" not in found


@not_on_ray
def test_modules_of_a_folder_are_found(tmp_path: Path) -> None:
    package = tmp_path / "brought_along"
    package.mkdir()
    (package / "__init__.py").write_text("VALUE = 9\n")

    @daybreak.remote
    class Reader:
        def value(self) -> int:
            import brought_along

            return int(brought_along.VALUE)

    reader = Reader.options(runtime_env={"py_modules": [str(package)]}).remote()
    assert daybreak.get(reader.value.remote(), timeout=120) == 9


def test_an_environment_that_is_no_dictionary_is_refused() -> None:
    @daybreak.remote
    def runs() -> None:
        pass

    with pytest.raises((TypeError, ValueError)):
        daybreak.get(runs.options(runtime_env="fast").remote(), timeout=60)
    with pytest.raises((TypeError, ValueError, exceptions.RuntimeEnvSetupError)):
        daybreak.get(runs.options(runtime_env={"env_vars": {"A": 1}}).remote(), timeout=60)


def test_the_context_says_what_environment_runs() -> None:
    @daybreak.remote
    def look() -> Any:
        return daybreak.get_runtime_context().runtime_env["env_vars"].get("CONFORMANCE_SAID")

    env = {"env_vars": {"CONFORMANCE_SAID": "yes"}}
    assert daybreak.get(look.options(runtime_env=env).remote(), timeout=60) == "yes"


@on_ray
@pytest.mark.parametrize("key", ["working_dir", "py_modules"])
def test_a_folder_of_one_task_is_refused_with_the_way_out(key: str, tmp_path: Path) -> None:
    @daybreak.remote
    def runs() -> None:
        pass

    folder: Any = str(tmp_path) if key == "working_dir" else [str(tmp_path)]
    with pytest.raises(ValueError, match=rf"{key}=.*init\(runtime_env="):
        runs.options(runtime_env={key: folder}).remote()


def test_a_program_brings_its_folder_and_its_modules_along(tmp_path: Path, cluster: Any) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "said.txt").write_text("hello")
    package = tmp_path / "brought_by_all"
    package.mkdir()
    (package / "__init__.py").write_text("VALUE = 11\n")
    env = {"working_dir": str(tmp_path / "folder"), "py_modules": [str(package)]}

    @daybreak.remote
    def look() -> tuple[str, int]:
        import brought_by_all

        with open("said.txt") as file:
            return file.read(), brought_by_all.VALUE

    where: dict[str, Any] = {"num_cpus": 2} if cluster is None else {"address": cluster.where, "log_to_driver": False}
    daybreak.shutdown()
    daybreak.init(namespace="conformance", runtime_env=env, **where)
    assert daybreak.get(look.remote(), timeout=120) == ("hello", 11)
    daybreak.shutdown()
