"""Folders and modules of an environment: copies, which the user's edits do not reach."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import daybreak
from daybreak import exceptions as ex
from daybreak.runtime import env
from daybreak.runtime.env import cache, folders, ignore

from .wheels import write_wheel


@daybreak.remote
def listed() -> list[str]:
    found = []
    for path, names, files in os.walk("."):
        found += [os.path.relpath(os.path.join(path, name), ".") for name in (*names, *files)]
    return sorted(found)


@daybreak.remote
def read(name: str) -> tuple[str, str]:
    with open(name) as file:
        return os.getcwd(), file.read()


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAYBREAK_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "cache"))
        yield


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder as people have them, with a space and a letter beyond ASCII in its name."""
    path = tmp_path / "my wörk"
    (path / "sub").mkdir(parents=True)
    (path / "here.txt").write_text("before")
    (path / "sub" / "there.txt").write_text("there")
    return path


def copy(path: Path, *excludes: str) -> Path:
    return Path(folders.copied("working_dir", str(path), excludes, named=False))


def names(path: Path) -> list[str]:
    return sorted(str(each.relative_to(path)) for each in path.rglob("*"))


def test_what_is_edited_after_the_submission_is_seen_by_the_next_alone(ray: Any, work: Path) -> None:
    actor = ray.remote(Keeper).options(runtime_env={"working_dir": work}).remote()
    task = read.options(runtime_env={"working_dir": str(work)})
    first, text = ray.get(task.remote("here.txt"))
    assert text == "before" and not first.startswith(str(work))
    (work / "here.txt").write_text("after")
    assert ray.get(actor.read.remote("here.txt")) == "before"
    second, text = ray.get(task.remote("here.txt"))
    assert text == "after" and second != first
    (work / "here.txt").write_text("before")
    assert ray.get(task.remote("here.txt")) == (first, "before")


class Keeper:
    def read(self, name: str) -> str:
        return Path(name).read_text()

    def nested(self) -> list[str]:
        return list(daybreak.get(listed.remote()))


def test_children_have_the_folder_of_who_submits_them_or_one_of_their_own(ray: Any, work: Path, tmp_path: Path) -> None:
    actor = ray.remote(Keeper).options(runtime_env={"working_dir": work}).remote()
    assert ray.get(actor.nested.remote()) == ["here.txt", "sub", "sub/there.txt"]

    @ray.remote
    def with_another(path: str) -> list[str]:
        return list(daybreak.get(listed.options(runtime_env={"working_dir": path}).remote()))

    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x").touch()
    assert ray.get(with_another.remote(str(tmp_path / "other"))) == ["x"]


def test_paths_are_taken_as_people_write_them(ray: Any, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work.parent)
    monkeypatch.setenv("HOME", str(work.parent))
    for path in (work, str(work), f"file://{work}", "my wörk", "./my wörk/", "~/my wörk"):
        assert ray.get(read.options(runtime_env={"working_dir": path}).remote("sub/there.txt"))[1] == "there"


def test_ignore_files_excludes_and_defaults_leave_out(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (".git", ".venv", "venv", "__pycache__", "sub/__pycache__", "data"):
        (work / name).mkdir()
        (work / name / "x").touch()
    (work / ".gitignore").write_text("*.log\n!keep.log\n")
    (work / ".rayignore").write_text("/data/\n")
    (work / "sub" / ".gitignore").write_text("!mine.log\n/only\n")
    for name in ("a.log", "keep.log", "sub/mine.log", "sub/b.log", "sub/only", "only"):
        (work / name).touch()
    kept = [
        ".gitignore",
        ".rayignore",
        "here.txt",
        "keep.log",
        "only",
        "sub",
        "sub/.gitignore",
        "sub/mine.log",
        "sub/there.txt",
    ]
    assert names(copy(work)) == kept
    assert names(copy(work, "sub/**", "!here.txt", "*.txt")) == [".gitignore", ".rayignore", "keep.log", "only", "sub"]
    assert names(copy(work, f"{work}/sub")) == [each for each in kept if not each.startswith("sub")]
    monkeypatch.setenv("RAY_RUNTIME_ENV_IGNORE_GITIGNORE", "1")
    assert {"a.log", "sub/b.log", "sub/only"} <= set(names(copy(work))) and "data" not in names(copy(work))
    monkeypatch.setenv("RAY_OVERRIDE_RUNTIME_ENV_DEFAULT_EXCLUDES", "")
    assert "venv/x" in names(copy(work, "!here.txt"))


def test_patterns_mean_what_git_says_they_mean(tmp_path: Path) -> None:
    files = ["a.log", "b/a.log", "b/c/d.txt", "d.txt", "foo/bar", "x/foo/bar", "b/foo", "#hash", "!bang", "sp ", "q1", "qa", "[z]",
             "deep/a/b/c.o", "deep/c.o", "ü.py", "n/ew\nline", "b.d/e", "k/keep/x", "k/drop/x"]  # fmt: skip
    patterns = ["*.log", "/d.txt", "foo/bar", "\\#hash", "\\!bang", "sp\\ ", "q[0-9]", "\\[z]", "deep/**/c.o", "**/foo", "b.d/",
                "k/*", "!k/keep", "ü.*", "n/", "q[!0-9]x", "# no", "", "/", "b/c/**", "[a-", "a/"]  # fmt: skip
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("\n".join(patterns) + "\n", encoding="utf-8")
    command = ["git", "-C", str(tmp_path), "ls-files", "-z", "--others", "--exclude-standard"]
    told = subprocess.run(command, capture_output=True, check=True).stdout.decode().split("\0")
    ours = [name for name in names(copy(tmp_path)) if (tmp_path / name).is_file()]
    assert ours == sorted(filter(None, told))
    assert ignore.parsed(["/"]) == []


def test_links_inside_go_along_and_those_that_lead_out_are_copied(work: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "far.txt").write_text("far")
    (work / "inside").symlink_to("sub/there.txt")
    (work / "absolute").symlink_to(work / "here.txt")
    (work / "outside").symlink_to(tmp_path / "out")
    (work / "dangling").symlink_to("nowhere")
    found = copy(work)
    assert (found / "inside").is_symlink() and (found / "inside").read_text() == "there"
    assert not (found / "absolute").is_symlink() and (found / "absolute").read_text() == "before"
    assert not (found / "outside").is_symlink() and (found / "outside" / "far.txt").read_text() == "far"
    assert os.readlink(found / "dangling") == "nowhere"
    (tmp_path / "out" / "back").symlink_to(tmp_path / "out")
    with pytest.raises(
        ValueError, match="back is a link to a folder that it lies in: remove it, or add it to excludes"
    ):
        copy(work)
    assert "outside" not in names(copy(work, "outside"))


def test_what_is_no_file_is_refused_by_name_unless_it_is_excluded(work: Path) -> None:
    os.mkfifo(work / "pipe")
    with pytest.raises(
        ValueError, match="my wörk/pipe is a FIFO, which cannot be copied: remove it, or add it to excludes"
    ):
        copy(work)
    with socket.socket(socket.AF_UNIX) as bound:
        os.chdir(work)
        try:
            bound.bind("door")
        finally:
            os.chdir("/")
    with pytest.raises(ValueError, match="my wörk/door is a socket"):
        copy(work, "pipe")
    assert names(copy(work, "pipe", "door")) == ["here.txt", "sub", "sub/there.txt"]


def test_modes_times_and_names_decide_what_is_another_copy(work: Path) -> None:
    (work / "run").write_text("#!/bin/sh\n")
    first = copy(work)
    os.utime(work / "here.txt", (1, 1))
    assert copy(work) == first  # the contents are the same
    (work / "run").chmod(0o755)
    second = copy(work)
    assert (
        second != first
        and os.stat(second / "run").st_mode & stat.S_IXUSR
        and not os.stat(first / "run").st_mode & stat.S_IXUSR
    )
    (work / "empty").mkdir()
    assert copy(work) not in (first, second)


def test_a_folder_that_is_too_large_is_refused_with_what_is_large(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(work / "sub" / "huge", "wb") as file:
        file.truncate((512 << 20) + 1)
    with pytest.raises(
        ValueError, match=r"has 512.0 MiB, at most 512 MiB are copied; the most has sub \(512.0 MiB\).*: add what is"
    ):
        copy(work)
    assert names(copy(work, "huge")) == ["here.txt", "sub", "sub/there.txt"]
    monkeypatch.setenv("RAY_max_grpc_message_size", "10")
    (work / "more.txt").write_text("more")
    with pytest.raises(ValueError, match="at most 9.53674e-06 MiB are copied"):
        copy(work, "huge")


def test_what_may_not_be_read_is_refused_by_name() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "secret").touch(mode=0)
        os.chmod(folder, 0o755)
        root = os.geteuid() == 0  # who may read everything
        if root:
            os.seteuid(65534)
        try:
            with pytest.raises(
                ValueError, match="secret cannot be read .Permission denied.: allow it, or add it to excludes"
            ):
                folders.digest(folder)
        finally:
            if root:
                os.seteuid(0)


def test_archives_are_folders_too(ray: Any, work: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("here.txt", "zipped")
        archive.writestr("sub/", "")
        archive.write(work / "sub" / "there.txt", "sub/there.txt")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        tar.add(work, ".")
    for name, text in (("a.zip", "zipped"), ("a.tar.gz", "before")):
        task = read.options(runtime_env={"working_dir": tmp_path / name})
        assert ray.get(task.remote("here.txt"))[1] == text
        assert ray.get(task.remote("sub/there.txt"))[1] == "there"


def test_archives_that_lead_out_or_are_broken_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("../out", "/out", "a/../../out"):
        with zipfile.ZipFile(tmp_path / "out.zip", "w") as archive:
            archive.writestr(name, "x")
        with pytest.raises(ValueError, match="out.zip has a member '.*out', which lies outside of it"):
            copy(tmp_path / "out.zip")
    with tarfile.open(tmp_path / "link.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo("link")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(member)
    with pytest.raises(ValueError, match="link.tar.gz has a member 'link', which is no file and no folder"):
        copy(tmp_path / "link.tar.gz")
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(ValueError, match="broken.zip cannot be unpacked: "):
        copy(tmp_path / "broken.zip")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(1 << 20))
    monkeypatch.setenv("RAY_max_grpc_message_size", "100000")
    with pytest.raises(ValueError, match="bomb.zip has more than 0.0953674 MiB when unpacked"):
        copy(tmp_path / "bomb.zip")
    assert [each.name for each in Path(cache.session_folder()).iterdir() if each.name.startswith("new-")] == []


@daybreak.remote
def imported(*modules: str) -> list[Any]:
    import importlib

    return [(module.VALUE, module.__file__) for module in map(importlib.import_module, modules)]


def test_modules_are_copies_however_they_are_named(ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "env_package" / "venv").mkdir(parents=True)
    (tmp_path / "env_package" / "__init__.py").write_text("from .venv import VALUE\n")
    (tmp_path / "env_package" / "venv" / "__init__.py").write_text("VALUE = 'package'\n")
    (tmp_path / "env_single.py").write_text("VALUE = 'single'\n")
    with zipfile.ZipFile(tmp_path / "modules.zip", "w") as archive:
        archive.writestr("env_zipped.py", "VALUE = 'zipped'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import env_package  # type: ignore[import-not-found]

    modules = [env_package, str(tmp_path / "env_single.py"), tmp_path / "modules.zip"]
    task = imported.options(runtime_env={"py_modules": modules})
    found = ray.get(task.remote("env_package", "env_single", "env_zipped"))
    assert [value for value, _ in found] == ["package", "single", "zipped"]
    assert not any(file.startswith(str(tmp_path)) for _, file in found)
    (tmp_path / "env_single.py").write_text("VALUE = 'edited'\n")
    assert ray.get(task.remote("env_single"))[0][0] == "edited"


def test_wheels_are_modules_with_what_they_need(ray: Any, tmp_path: Path) -> None:
    wheels = [
        write_wheel(tmp_path, "env_wheel", "1.0", "VALUE = 'wheel'\n", requires=("numpy",)),
        write_wheel(tmp_path, "env_more", "2.0"),
    ]
    task = imported.options(runtime_env={"py_modules": wheels[:1], "env_vars": {"PIP_NO_INDEX": "1"}})
    assert ray.get(task.remote("env_wheel"), timeout=60)[0][0] == "wheel"
    write_wheel(tmp_path, "env_wheel", "1.0", "VALUE = 'another'\n")
    assert ray.get(task.remote("env_wheel"), timeout=60)[0][0] == "another"


@pytest.mark.parametrize(
    ("fields", "kind", "text"),
    [
        ({"working_dir": 3}, TypeError, "`working_dir` must be a string"),
        (
            {"working_dir": "{here}/file.txt"},
            ValueError,
            "must be a folder or a supported archive .\\.zip, \\.tar\\.gz",
        ),
        ({"py_modules": ["{here}/file.txt"]}, ValueError, "must be a .py file, a directory, a .whl file or an archive"),
        ({"py_modules": [sys]}, TypeError, "local paths, or imported modules"),
        ({"py_modules": ["s3://bucket/m.zip"]}, ValueError, "copy it here"),
        ({"excludes": [3]}, TypeError, "'excludes'. must be of type List"),
    ],
)
def test_what_is_no_folder_is_refused_by_name(tmp_path: Path, fields: Any, kind: type[Exception], text: str) -> None:
    (tmp_path / "file.txt").touch()

    def filled(value: Any) -> Any:
        return value.format(here=tmp_path) if isinstance(value, str) else value

    given = {
        name: [filled(each) for each in value] if isinstance(value, list) else filled(value)
        for name, value in fields.items()
    }
    with pytest.raises(kind, match=text):
        env.RuntimeEnv(**given)


def test_copies_end_with_the_runtime_and_those_of_the_killed_are_swept(work: Path) -> None:
    program = (
        "import daybreak, os, sys\n"
        "daybreak.init(num_cpus=1, object_store_memory=64 << 20, runtime_env={'working_dir': sys.argv[1]})\n"
        "where = daybreak.get(daybreak.remote(os.getcwd).remote())\n"
        "print(where, flush=True)\n"
        "if sys.argv[2:]: os.kill(os.getpid(), 9)\n"
        "daybreak.shutdown()\n"
    )
    paths = []
    for more in ([], ["killed"]):
        done = subprocess.run(
            [sys.executable, "-c", program, str(work), *more], stdout=subprocess.PIPE, text=True, timeout=60
        )
        paths.append(Path(done.stdout.strip()))
    assert all(cache.root() in str(path) for path in paths)
    cache.end_session()
    cache.session_folder()  # a new one, before which those that nobody holds are removed
    assert not any(path.exists() for path in paths)


def test_a_copy_that_somebody_removed_is_said_and_made_again_at_the_next_submission(ray: Any, work: Path) -> None:
    import shutil

    task = read.options(runtime_env={"working_dir": work, "env_vars": {"A": "gone"}})
    shutil.rmtree(copy(work))
    assert ray.get(task.remote("here.txt"), timeout=60)[1] == "before"

    gone = copy(work)
    task = read.options(runtime_env={"working_dir": gone, "env_vars": {"A": "another"}})
    shutil.rmtree(gone)
    with pytest.raises(
        ex.RuntimeEnvSetupError, match="is gone: the process that had made it has ended; submit the task again"
    ):
        ray.get(task.remote("here.txt"), timeout=60)


def test_the_folder_of_a_runtime_is_that_of_all_its_workers(work: Path) -> None:
    daybreak.shutdown()
    daybreak.init(num_cpus=1, object_store_memory=64 << 20, runtime_env={"working_dir": work, "excludes": ["sub"]})
    try:
        assert daybreak.get(listed.remote()) == ["here.txt"]
        assert daybreak.get(listed.options(runtime_env={"env_vars": {"A": "1"}}).remote()) == ["here.txt"]
        (work / "here.txt").write_text("after")
        assert daybreak.get(read.remote("here.txt"))[1] == "before"
    finally:
        daybreak.shutdown()


def test_bytes_of_any_name_are_copied(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    with open(os.fsencode(tmp_path / "w") + b"/\xff.txt", "w") as file:
        file.write("x")
    assert [os.fsencode(name) for name in os.listdir(copy(tmp_path / "w"))] == [b"\xff.txt"]


def test_a_folder_that_was_removed_between_two_submissions_is_named(ray: Any, work: Path) -> None:
    task = listed.options(runtime_env={"working_dir": work})
    assert ray.get(task.remote()) == ["here.txt", "sub", "sub/there.txt"]
    work.rename(work.parent / "elsewhere")
    with pytest.raises(ValueError, match="my wörk does not exist any more"):
        task.remote()


def test_a_worker_with_another_home_finds_the_copies(ray: Any, work: Path, tmp_path: Path) -> None:
    variables = {"DAYBREAK_CACHE_DIR": str(tmp_path / "other"), "HOME": str(tmp_path)}
    task = read.options(runtime_env={"working_dir": work, "env_vars": variables})
    where, text = ray.get(task.remote("here.txt"))
    assert text == "before" and cache.session_of(where) is not None and cache.session_of(str(work)) is None
