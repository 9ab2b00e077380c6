"""Capturing code runs no program that a repository names, and says why where there is no code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from daybreak import track
from daybreak.track import capture

HOOKS = """
applypatch-msg pre-applypatch post-applypatch pre-commit pre-merge-commit prepare-commit-msg commit-msg post-commit
pre-rebase post-checkout post-merge pre-push pre-receive update proc-receive post-receive post-update reference-transaction
push-to-checkout pre-auto-gc post-rewrite sendemail-validate fsmonitor-watchman post-index-change
""".split()


def git(root: Path, *arguments: str, **environment: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always", *arguments]
    env = {**os.environ, **environment}
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True, env=env).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    track.init(tmp_path / "track")
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "-q", "-b", "trunk")
    (root / "train.py").write_text("lr = 1\n")
    (root / ".gitattributes").write_text("*.py filter=evil diff=evil merge=evil\n")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first")
    (root / "train.py").write_text("lr = 2\n")
    (root / "new.py").write_text("x\n")
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def evil(tmp_path: Path) -> tuple[Path, Path]:
    """A program that leaves a mark, and the mark."""
    mark, program = tmp_path / "mark", tmp_path / "evil"
    program.write_text(f'#!/bin/sh\necho "$0 $@" >> {mark}\ncat\n')
    program.chmod(0o755)
    return program, mark


SETTINGS = """
core.fsmonitor core.editor core.pager core.sshCommand core.askPass core.gitProxy core.alternateRefsCommand credential.helper
filter.evil.clean filter.evil.smudge filter.evil.process diff.external diff.evil.textconv diff.evil.command merge.evil.driver
gpg.program gpg.ssh.program sequence.editor uploadpack.packObjectsHook remote.origin.uploadpack remote.origin.vcs pager.diff
pager.config interactive.diffFilter alias.rev-parse alias.diff-files submodule.sub.update trailer.x.command browser.x.cmd
difftool.x.cmd mergetool.x.cmd man.x.cmd
""".split()


def snapshot_and_diff(root: Path) -> dict[str, object]:
    first = capture.capture_git("one")
    assert first is not None and "error" not in first and first["dirty"], first
    assert git(root, "show", f"{first['ref']}:train.py") == "lr = 2"
    (root / "train.py").write_text("lr = 3\n")
    second = capture.capture_git("two")
    assert second is not None
    one, two = str(first["snapshot"]), str(second["snapshot"])
    assert capture.code_changes(str(root), one, two) == [("train.py", "changed")]
    assert "+lr = 3" in capture.code_text(str(root), one, two, 10_000)
    assert capture.forget_git(str(root), "refs/daybreak/runs/two")
    return first


@pytest.mark.parametrize("setting", SETTINGS)
def test_no_program_of_the_configuration_is_run(repository: Path, evil: tuple[Path, Path], setting: str) -> None:
    program, mark = evil
    git(repository, "config", setting, f"!{program}" if setting.startswith("alias.") else str(program))
    if setting.startswith("filter."):
        git(repository, "config", "filter.evil.required", "true")
    snapshot_and_diff(repository)
    assert not mark.exists(), mark.read_text()


def test_no_hook_is_run_wherever_hooks_lie(repository: Path, evil: tuple[Path, Path], tmp_path: Path) -> None:
    program, mark = evil
    for folder in (repository / ".git" / "hooks", tmp_path / "hooks"):
        folder.mkdir(exist_ok=True)
        for hook in HOOKS:
            (folder / hook).unlink(missing_ok=True)
            (folder / hook).symlink_to(program)
    snapshot_and_diff(repository)
    git(repository, "config", "core.hooksPath", str(tmp_path / "hooks"))
    (repository / "train.py").write_text("lr = 2\n")
    mark.unlink(missing_ok=True)
    snapshot_and_diff(repository)
    assert not mark.exists(), mark.read_text()


def test_a_filter_that_an_included_file_names_is_not_run(repository: Path, evil: tuple[Path, Path]) -> None:
    program, mark = evil
    (repository / "config.inc").write_text(f'[filter "evil"]\n\tclean = {program}\n\trequired = true\n')
    git(repository, "config", "include.path", "../config.inc")
    snapshot_and_diff(repository)
    assert not mark.exists(), mark.read_text()


def test_a_submodule_runs_nothing_and_is_kept_as_its_commit(
    repository: Path, evil: tuple[Path, Path], tmp_path: Path
) -> None:
    program, mark = evil
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    (other / ".gitattributes").write_text("* filter=evil\n")
    (other / "a").write_text("a\n")
    git(other, "add", ".")
    git(other, "commit", "-q", "-m", "first")
    git(repository, "submodule", "add", "-q", str(other), "sub")
    git(repository, "commit", "-q", "-m", "with a submodule")
    git(repository / "sub", "commit", "-q", "--allow-empty", "-m", "second")
    for name in ("filter.evil.clean", "core.fsmonitor"):
        git(repository / "sub", "config", name, str(program))
    (repository / "sub" / "a").write_text("b\n")
    (repository / "train.py").write_text("lr = 2\n# and a submodule\n")
    kept = capture.capture_git("run")
    assert kept is not None and "error" not in kept and not mark.exists()
    inside = subprocess.run(
        ["git", "-c", "core.fsmonitor=", "rev-parse", "HEAD"], cwd=repository / "sub", capture_output=True, text=True
    ).stdout.strip()
    assert git(repository, "rev-parse", f"{kept['ref']}:sub") == inside


def test_a_partial_clone_fetches_nothing_and_starts_no_transport(
    repository: Path, evil: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, mark = evil
    git(repository, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "-q", "--filter=blob:none", f"file://{repository}", "partial")
    clone = tmp_path / "partial"
    for name, value in {
        "remote.origin.url": "ssh://nowhere.invalid/x",
        "core.sshCommand": str(program),
        "credential.helper": str(program),
        "protocol.ext.allow": "always",
    }.items():
        git(clone, "config", name, value)
    git(clone, "update-index", "--refresh", "-q")
    (clone / "train.py").unlink()
    monkeypatch.chdir(clone)
    capture.capture_git("run")  # with the code or with a reason
    git(clone, "config", "remote.origin.url", f"ext::{program}")
    capture.capture_git("again")
    assert not mark.exists(), mark.read_text()


def test_a_program_called_git_in_the_working_directory_is_not_run(
    repository: Path, evil: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    program, mark = evil
    (repository / "git").symlink_to(program)
    monkeypatch.setenv("PATH", f".:{os.environ['PATH']}:")
    kept = capture.capture_git("run")
    assert kept is not None and kept["ref"] and not mark.exists()


def test_an_unmerged_index_is_kept_as_the_files_lie_and_is_a_notice(repository: Path) -> None:
    git(repository, "commit", "-qam", "second")
    git(repository, "checkout", "-q", "-b", "other", "HEAD~1")
    (repository / "train.py").write_text("lr = 9\n")
    git(repository, "commit", "-qam", "other")
    me = ["-c", "user.name=a", "-c", "user.email=a@b"]
    merge = subprocess.run(["git", *me, "merge", "trunk"], cwd=repository, capture_output=True, text=True)
    assert "CONFLICT" in merge.stdout, merge.stderr
    with track.run("x", capture=True) as run:
        pass
    record = track.get(run.id)
    assert "unmerged are train.py" in record.notices[0]
    assert "<<<<<<<" in git(repository, "show", f"{record.captured['git']['ref']}:train.py")
    assert "U" in git(repository, "status", "--porcelain")  # the user's index is as it was


def test_another_users_repository_is_a_notice(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # as git's own tests say it
    monkeypatch.setattr(
        capture,
        "_environment",
        lambda *a, real=capture._environment: {**real(*a), "GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"},
    )
    monkeypatch.setenv("HOME", str(repository))
    with track.run("x", capture=True) as run:
        pass
    record = track.get(run.id)
    assert record.status == "finished" and "dubious ownership" in record.notices[0]


def test_without_git_there_is_a_notice_in_a_repository_and_none_elsewhere(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with track.run("x", capture=True) as run:
        pass
    assert "no program 'git'" in track.get(run.id).notices[0]
    monkeypatch.chdir(tmp_path)
    with track.run("y", capture=True) as run:
        pass
    assert track.get(run.id).notices == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a folder another user's")
def test_a_repository_that_really_belongs_to_another_is_a_notice(repository: Path) -> None:
    for path in (repository, *repository.rglob("*")):
        os.chown(path, 12345, 12345, follow_symlinks=False)
    program = "import sys; from daybreak.track import capture; print(capture.capture_git('x'))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=repository,
        env={**os.environ, "HOME": "/nonexistent", "PYTHONPATH": str(Path(__file__).resolve().parents[3])},
        capture_output=True,
        text=True,
    )
    assert "dubious ownership" in done.stdout, done.stdout + done.stderr
