"""What a run writes down by itself, from the outside: through track.run, in processes that live and die."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from daybreak import track
from daybreak.base import errors
from daybreak.track import capture

ROOT = Path(__file__).resolve().parents[3]
CANARY = "canary-5f3a9c"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    return Path(track.init(tmp_path / "track"))


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    for arguments in (["init", "-q", "-b", "trunk"], ["add", "."], ["commit", "-q", "--allow-empty", "-m", "first"]):
        (root / "train.py").write_text("lr = 1\n")
        git(root, *arguments)
    monkeypatch.chdir(root)
    return root


def git(root: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout


def program(folder: Path, code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {k: v for k, v in os.environ.items() if k != "DAYBREAK_TRACK_CAPTURE"}
    variables |= {"PYTHONPATH": str(ROOT), "DAYBREAK_TRACK_DIR": str(folder), **environment}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments], text=True, capture_output=True, env=variables
    )


def test_a_run_says_what_it_came_from(repository: Path) -> None:
    (repository / "train.py").write_text("lr = 2\n")
    with track.run("pong", capture=True) as run:
        print("hello", "wörld")
        print("oh", file=sys.stderr)
        with run.child("trial") as child:
            print("in the child")
    print("afterwards")
    record = track.get(run.id)
    assert set(record.captured) == {"git", "python", "command", "host"}
    found = record.captured["git"]
    assert found["dirty"] and git(repository, "show", f"{found['snapshot']}:train.py") == "lr = 2\n"
    assert record.captured["python"]["packages"]["numpy"] and record.captured["host"]["cores"] >= 1
    assert record.captured["command"]["directory"] == str(repository)
    assert record.output() == "hello wörld\noh\nin the child\n"
    assert record.output("stderr") == "oh\n"
    with pytest.raises(errors.InvalidArgumentError, match="stdin"):
        record.output("stdin")
    assert track.get(child.id).captured == {} and track.get(child.id).output() == ""
    assert record.notices == []


def test_it_is_on_by_default_and_switched_off_by_a_word_or_the_environment(folder: Path, tmp_path: Path) -> None:
    code = "import sys; from daybreak import track\nwith track.run('x', **eval(sys.argv[1])) as run: print(run.id)"
    for arguments, environment, expected in (
        ("{}", {}, True),
        ("{'capture': False}", {}, False),
        ("{}", {"DAYBREAK_TRACK_CAPTURE": "0"}, False),
        ("{}", {"DAYBREAK_TRACK_CAPTURE": "off"}, False),
        ("{'capture': True}", {"DAYBREAK_TRACK_CAPTURE": "0"}, True),
    ):
        done = program(folder, code, arguments, **environment)
        assert done.returncode == 0, done.stderr
        record = track.get(done.stdout.strip())
        assert bool(record.captured) is expected, (arguments, environment)
        assert record.output() == (done.stdout if expected else "")


def test_a_git_that_fails_is_a_notice_and_the_run_goes_on(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repository / ".git" / "index").write_bytes(b"not an index")
    with track.run("x", capture=True) as run:
        run.log("loss", 1)
    record = track.get(run.id)
    assert record.status == "finished" and len(record.notices) == 1
    assert "the code was not kept" in record.notices[0] and record.captured["python"]
    monkeypatch.setenv("PATH", "/nowhere")
    with track.run("y", capture=True) as run:
        pass
    record = track.get(run.id)
    assert record.status == "finished" and "there is no program 'git'" in record.notices[0]

    def broken() -> None:
        raise OSError(f"disk, password={CANARY}")

    monkeypatch.setattr(capture, "capture_command", broken)
    with track.run("z", capture=True) as run:
        pass
    assert track.get(run.id).notices[:1] == ["command was not captured: OSError: disk, password=[redacted]"]


def test_a_topic_of_any_length_is_kept_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    packages = {f"package-{i:05}": "1.0.0" for i in range(5000)}
    monkeypatch.setattr(capture, "capture_python", lambda: {"version": "3", "packages": packages})
    monkeypatch.setattr(capture, "capture_command", lambda: {"argv": ["a", "x" * 100_000, "b"]})
    from daybreak.track import writing

    monkeypatch.setattr(writing, "_unchanging", {})
    with track.run("x", capture=True) as run:
        pass
    record = track.get(run.id)
    assert record.captured["python"] == {"version": "3", "packages": packages}
    assert record.captured["command"]["argv"] == ["a", "[too long to be kept]", "b"] and record.notices == []


def test_output_before_a_kill_is_there_and_a_traceback_too(folder: Path) -> None:
    code = """
        import os, signal, sys
        from daybreak import track
        run = track.run("x")
        print(run.id)
        print("almost", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = program(folder, code)
    assert done.returncode == -signal.SIGKILL
    record = track.runs(limit=1)[0]
    assert record.status == "killed" and record.output() == f"{record.id}\nalmost\n"
    done = program(folder, "from daybreak import track\nrun = track.run('y')\nraise ValueError('no, token=abc')")
    record = track.runs(limit=1)[0]
    assert record.status == "failed" and record.reason == "ValueError: no, token=[redacted]"
    assert "ValueError: no, token=[redacted]" in record.output("stderr") and "token=abc" in done.stderr


def test_forked_children_and_other_processes_write_no_second_copy(folder: Path) -> None:
    code = """
        import multiprocessing, pickle, sys
        from daybreak import track

        def work(handle):
            run = pickle.loads(handle)
            print("from the child", flush=True)
            run.log("x", 1)
            run.finish()

        run = track.run("x")
        child = multiprocessing.get_context("fork").Process(target=work, args=(pickle.dumps(run),))
        child.start()
        child.join()
        print("from the parent")
        run.finish()
    """
    done = program(folder, code)
    assert "from the child" in done.stdout
    record = track.runs(limit=1)[0]
    assert record.output() == "from the parent\n" and record.metrics == {"x": 1.0}


def test_a_resumed_run_keeps_what_it_began_with_and_adds(repository: Path) -> None:
    with track.run("x", capture=True) as run:
        print("one")
    (repository / "train.py").write_text("lr = 3\n")
    with track.run(resume=run.id, capture=True):
        print("two")
    record = track.get(run.id)
    assert record.output() == "one\ntwo\n"
    assert record.captured["git"]["snapshot"] != record.captured["resumed"][0]["git"]["snapshot"]
    refs = git(repository, "for-each-ref", "--format=%(refname)", "refs/daybreak").split()
    assert refs == [f"refs/daybreak/runs/{run.id}", f"refs/daybreak/runs/{run.id}-2"]


def test_no_secret_lands_in_any_file(folder: Path, repository: Path) -> None:
    (repository / "secrets.txt").write_text(CANARY)
    code = f"""
        from daybreak import track
        params = {{"lr": 1, "api_key": "{CANARY}", "db": {{"password": "{CANARY}"}}, "url": "pg://me:{CANARY}@host/x"}}
        with track.run("x", params=params, tags={{"auth_token": "{CANARY}", "n": "password={CANARY}"}}) as run:
            run.param("client_secret", ["{CANARY}"])
            run.tag("Authorization", "{CANARY}")
            run.artifact("a", b"x", meta={{"token": "{CANARY}"}})
            print("password={CANARY}")
            with run.child("c", params={{"passwd": "{CANARY}"}}):
                pass
            run.param("lr", 1)
            raise RuntimeError("token={CANARY}")
    """
    script = repository / "train.py"
    script.write_text("import os\n")
    done = subprocess.run(
        [sys.executable, "-", f"--api-key={CANARY}", "--password", CANARY],
        input=textwrap.dedent(code),
        text=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "DAYBREAK_TRACK_DIR": str(folder), "DAYBREAK_TRACK_CAPTURE": "1"},
    )
    assert "RuntimeError" in done.stderr and CANARY in done.stdout, done.stderr
    record = track.runs("name = 'x'")[0]
    assert record.params["api_key"] == record.params["db"]["password"] == "[redacted]"
    assert record.params["url"] == "pg://me:[redacted]@host/x" and record.params["lr"] == 1
    assert record.tags["auth_token"] == "[redacted]" and record.reason == "RuntimeError: token=[redacted]"
    assert record.captured["command"]["argv"][-3:] == ["--api-key=[redacted]", "--password", "[redacted]"]
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert [path for path in files if CANARY.encode() in path.read_bytes()] == []
    tree = git(repository, "ls-tree", "-r", "--name-only", record.captured["git"]["snapshot"]).split()
    assert tree == ["train.py"]
    # Artifacts are kept as they are given.
    with track.run("y") as run:
        run.artifact("config", f"password={CANARY}".encode())
    assert CANARY.encode() in track.load(track.get(run.id).artifact("config"))


def test_log_is_the_native_function_with_and_without_capture() -> None:
    with track.run("x", capture=True) as run:
        assert type(run.log).__name__ == "builtin_function_or_method"
        assert json.dumps(track.get(run.id).captured)
    assert pickle.loads(pickle.dumps(run)).id == run.id
