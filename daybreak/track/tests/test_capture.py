"""What a run came from."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from daybreak.track import capture, redact


def git(root: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "-q", "-b", "trunk")
    (root / "train.py").write_text("lr = 1\n")
    (root / ".gitignore").write_text("ignored/\n")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first")
    return root


def state(root: Path) -> tuple[str, ...]:
    """All that a person would notice: branches, HEAD, index, status."""
    return (
        git(root, "for-each-ref", "refs/heads", "refs/tags"),
        git(root, "symbolic-ref", "HEAD"),
        git(root, "ls-files", "--stage"),
        git(root, "status", "--porcelain"),
        git(root, "stash", "list"),
    )


def test_clean_tree_is_its_commit_under_a_ref_of_its_own(repository: Path) -> None:
    captured = capture.capture_git("some-run", repository)
    assert captured is not None and captured["dirty"] is False
    assert captured["snapshot"] == captured["commit"] == git(repository, "rev-parse", "HEAD").strip()
    assert captured["branch"] == "trunk" and captured["subdirectory"] == "."
    assert git(repository, "rev-parse", "refs/daybreak/runs/some-run").strip() == captured["commit"]


def test_dirty_tree_is_kept_and_nothing_of_the_users_is_touched(repository: Path) -> None:
    (repository / "train.py").write_text("lr = 2\n")
    (repository / "new.py").write_text("staged\n")
    git(repository, "add", "new.py")
    (repository / "new.py").write_text("staged, then changed\n")
    (repository / "notes ü.txt").write_text("untracked\n")
    (repository / "gone.py").write_text("x")
    git(repository, "add", "gone.py")
    (repository / "gone.py").unlink()
    (repository / "ignored").mkdir()
    (repository / "ignored" / "data").write_text("not taken\n")
    sub = repository / "sub"
    sub.mkdir()
    before = state(repository)
    index = (repository / ".git" / "index").read_bytes()

    captured = capture.capture_git("r1", sub)
    assert state(repository) == before
    assert (repository / ".git" / "index").read_bytes() == index
    assert captured is not None and captured["dirty"] is True and captured["subdirectory"] == "sub"
    names = git(repository, "ls-tree", "-r", "-z", "--name-only", captured["ref"]).split("\0")
    assert set(filter(None, names)) == {".gitignore", "train.py", "new.py", "notes ü.txt"}
    assert git(repository, "show", f"{captured['ref']}:train.py") == "lr = 2\n"
    assert git(repository, "show", f"{captured['ref']}:new.py") == "staged, then changed\n"
    assert git(repository, "rev-parse", f"{captured['ref']}^").strip() == captured["commit"]


def test_secrets_large_files_and_masses_are_left_out_and_named(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "MAX_UNTRACKED_FILES", 3)
    for name in (".env", ".env.local", "server.pem", "id_ed25519", "my_Secrets.yaml", "github-token.txt"):
        (repository / name).write_text("canary-7f3a")
    (repository / "big.bin").write_bytes(b"0" * (capture.MAX_FILE_BYTES + 1))
    for i in range(5):
        (repository / f"part{i}.py").write_text("x")
    os.mkfifo(repository / "pipe")
    captured = capture.capture_git("r2", repository)
    assert captured is not None
    kept = git(repository, "ls-tree", "-r", "--name-only", captured["ref"]).split()
    assert kept == [".gitignore", "part0.py", "part1.py", "part2.py", "train.py"]
    reasons = {entry["path"]: entry["reason"] for entry in captured["skipped"]}
    assert reasons["server.pem"] == reasons[".env"] == "named like a secret"
    assert "1,048,577 bytes" in reasons["big.bin"]
    assert "beyond 3 files" in reasons["part4.py"]
    objects = git(repository, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)").split()
    assert all("canary-7f3a" not in git(repository, "cat-file", "-p", name) for name in objects)


def test_repository_without_a_commit_and_a_detached_head_are_kept_too(tmp_path: Path, repository: Path) -> None:
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    git(fresh, "init", "-q")
    (fresh / "a.py").write_text("1")
    captured = capture.capture_git("r3", fresh)
    assert captured is not None and captured["commit"] is None and captured["dirty"]
    assert git(fresh, "show", f"{captured['ref']}:a.py") == "1"
    git(repository, "checkout", "-q", "--detach")
    detached = capture.capture_git("r4", repository)
    assert detached is not None and detached["branch"] is None and detached["commit"]


def test_hooks_of_the_repository_do_not_run(repository: Path) -> None:
    hook = repository / ".git" / "hooks" / "reference-transaction"
    hook.write_text(f"#!/bin/sh\ntouch {repository}/ran\nexit 1\n")
    hook.chmod(0o755)
    captured = capture.capture_git("r5", repository)
    assert captured is not None and "error" not in captured
    assert not (repository / "ran").exists()


def test_outside_a_repository_there_is_nothing_and_a_broken_one_says_so(tmp_path: Path, repository: Path) -> None:
    assert capture.capture_git("r6", tmp_path) is None
    head = git(repository, "rev-parse", "HEAD").strip()
    (repository / ".git" / "objects" / head[:2] / head[2:]).unlink()
    captured = capture.capture_git("r7", repository)
    assert captured is not None and "the code was not kept" in captured["error"]


def test_packages_are_those_that_are_installed() -> None:
    from importlib import metadata

    packages = capture.capture_python()["packages"]
    for name in ("numpy", "cloudpickle", "typer"):
        assert packages[name] == metadata.version(name)


def test_command_and_host_say_where_and_how() -> None:
    command, host = capture.capture_command(), capture.capture_host()
    assert command["directory"] == os.getcwd() and command["argv"]
    assert host["cores"] >= 1 and host["memory_bytes"] > 1 << 20 and host["processor"]


class Sink:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __call__(self, stream: str, text: str) -> None:
        self.lines.append((stream, text))


def test_output_is_copied_line_by_line_and_still_shown(capsys: pytest.CaptureFixture[str]) -> None:
    sink = Sink()
    output = capture.Output(sink).start()
    print("one", end="")
    print(" two\nthree")
    print("oh", file=sys.stderr)
    print("10%\r50%\r100%")
    print("last without an end", end="")
    assert sys.stdout.isatty() in (True, False) and sys.stdout.encoding
    output.stop()
    print("after")
    assert sink.lines == [
        ("stdout", "one two\n"),
        ("stdout", "three\n"),
        ("stderr", "oh\n"),
        ("stdout", "100%\n"),
        ("stdout", "last without an end\n"),
    ]
    shown = capsys.readouterr()
    assert shown.out == "one two\nthree\n10%\r50%\r100%\nlast without an endafter\n" and shown.err == "oh\n"


def test_output_keeps_its_beginning_and_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "MAX_OUTPUT_BYTES", 100 * (10 + capture.LINE_COST_BYTES))
    monkeypatch.setattr(capture, "MAX_TAIL_BYTES", 100)
    sink = Sink()
    output = capture.Output(sink)
    for i in range(10_000):
        output.add("stdout", f"line {i:04}\n")
    assert len(sink.lines) == 100
    output.stop()
    assert sink.lines[100][1] == f"[... {98_900:,} bytes of output are left out here ...]\n"
    assert [line for _, line in sink.lines[101:]] == [f"line {i:04}\n" for i in range(9990, 10_000)]


def test_long_line_is_cut_and_secrets_are_redacted() -> None:
    sink = Sink()
    output = capture.Output(sink)
    output.add("stdout", "x" * 10_000 + "\npassword=hunter2 loss=0.1\n")
    assert sink.lines == [
        ("stdout", "x" * 4096 + " [... 5,904 characters more ...]\n"),
        ("stdout", "password=[redacted] loss=0.1\n"),
    ]


def test_sink_that_fails_or_prints_does_not_disturb_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    def failing(stream: str, text: str) -> None:
        print("from the sink")
        raise OSError("disk full")

    output = capture.Output(failing).start()
    print("hello")
    print("again")
    output.stop()
    assert capsys.readouterr().out == "hello\nfrom the sink\nagain\n"


def test_nested_outputs_both_see_what_is_written() -> None:
    outer, inner = Sink(), Sink()
    first = capture.Output(outer).start()
    second = capture.Output(inner).start()
    print("both")
    second.stop()
    print("outer alone")
    first.stop()
    assert [text for _, text in inner.lines] == ["both\n"]
    assert [text for _, text in outer.lines] == ["both\n", "outer alone\n"]


@pytest.mark.parametrize(
    "name", ["PASSWORD", "db_password", "clientSecret", "GITHUB_TOKEN", "X-Auth", "aws_access_key_id"]
)
def test_secret_names_are_known_in_many_spellings(name: str) -> None:
    assert redact.looks_secret(name)
    assert redact.redact(name, "value") == redact.REDACTED


@pytest.mark.parametrize(
    "name", ["lr", "author", "tokenizer", "max_tokens", "eos_token", "key", "keyboard", "secretary"]
)
def test_harmless_names_are_left_alone(name: str) -> None:
    assert redact.redact(name, 3) == 3


def test_json_and_headers_in_text_are_redacted() -> None:
    text = '{"api_key": "sk-123", "lr": 0.1} Authorization: Bearer abc.def token: "x y"'
    assert redact.redact_text(text) == (
        '{"api_key": [redacted], "lr": 0.1} Authorization: Bearer [redacted] token: [redacted]'
    )
