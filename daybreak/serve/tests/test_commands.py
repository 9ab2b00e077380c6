"""`daybreak serve`: a server in the foreground, driven by the other commands."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daybreak import rl

COMMAND = [sys.executable, "-m", "daybreak.cli", "serve"]


class Shell:
    """Runs commands in a directory that has a module with models, against the server of its state directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "DAYBREAK_SERVE_DIR": str(folder / "state"), "COLUMNS": "200"}
        (folder / "my_models.py").write_text(
            "STEP = 1\n"
            "def plus_one(inputs):\n    print('asked')\n    return [float(x[0]) + STEP for x in inputs]\n"
            "class Two:\n    def predict(self, inputs):\n        return [2.0 for _ in inputs]\n"
            "two = Two()\n"
        )
        self.process = subprocess.Popen(
            [*COMMAND, "start", "--query-port", "0", "--admin-port", "0", "--metrics-port", "0"],
            cwd="/",  # it need not know the module
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        lines = [self.process.stdout.readline() for _ in range(3)]
        self.query = re.findall(r"\S+:\d+", lines[0])[0]

    def __call__(self, *arguments: str, status: int = 0) -> str:
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def predict(self, app: str, value: Any) -> Any:
        body = json.dumps({"input": value}).encode()
        request = urllib.request.Request(
            f"http://{self.query}/{app}/predict", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)["output"]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    made = Shell(tmp_path)
    yield made
    made.process.kill()
    made.process.wait()


def test_a_server_is_started_driven_and_ended_from_the_command_line(shell: Shell, tmp_path: Path) -> None:
    assert "nothing is deployed" in shell("list")
    said = shell("deploy", "plus", "my_models:plus_one", "--default", "0", "--slo-ms", "5000")
    assert "version 1 of plus is ready and answers" in said
    assert shell.predict("plus", [1.5]) == 2.5
    shell("deploy", "plus", "my_models:two", "--version", "2", "--stage")
    assert shell.predict("plus", [1.5]) == 2.5
    shell("deploy", "plus", "my_models:two", "--version", "3")
    assert shell.predict("plus", [1.5]) == 2.0
    assert "version 1 of plus answers" in shell("rollback", "plus")
    assert shell.predict("plus", [1.5]) == 2.5
    shell("scale", "plus", "2")
    listed = shell("list")
    assert re.search(r"plus\s+1 \*\s+2/2\s+pickle", listed), listed
    assert "asked" in shell("logs", "plus")
    assert json.loads(shell("list", "--json"))["apps"][0]["name"] == "plus"

    policy = rl.PPO("CartPole-v1").policy
    policy.save(tmp_path / "pole.policy")
    shell("deploy", "pole", "--policy", "pole.policy", "--default", "0", "--slo-ms", "5000")
    assert shell.predict("pole", [0.0] * 4) == policy.compute_action([0.0] * 4)

    shell.process.send_signal(signal.SIGTERM)
    assert shell.process.wait(60) == 0
    assert "draining" in shell.process.stdout.read()  # type: ignore[union-attr]
    assert "no server runs on" in shell("list", status=1)


def test_a_tracked_artifact_is_deployed_with_its_lineage(shell: Shell, tmp_path: Path) -> None:
    from daybreak import track

    policy = rl.PPO("CartPole-v1").policy
    root = tmp_path / "track"
    track.init(str(root))
    with track.run("trained") as run:
        run.artifact("policy", policy.to_bytes())
    shell.environment["DAYBREAK_TRACK_DIR"] = str(root)
    shell("deploy", "pole", "--artifact", f"{run.id}:policy", "--default", "0", "--slo-ms", "5000")
    assert shell.predict("pole", [0.0] * 4) == policy.compute_action([0.0] * 4)
    lineage = json.loads(shell("list", "--json"))["models"][0]["versions"][0]["lineage"]
    assert lineage["run"] == run.id and lineage["artifact_name"] == "policy"
    assert re.fullmatch("[0-9a-f]{64}", lineage["artifact"])


def test_the_token_does_not_go_to_whoever_has_the_port_of_a_server_that_was_killed(
    shell: Shell, tmp_path: Path
) -> None:
    shell.process.kill()
    shell.process.wait()
    assert (tmp_path / "state" / "address.json").exists()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = {"admin": f"127.0.0.1:{other.getsockname()[1]}", "query": "127.0.0.1:1", "tls": False}
        (tmp_path / "state" / "address.json").write_text(json.dumps(address))
        assert "no server runs on" in shell("list", status=1)
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.accept()


def test_draining_by_command_ends_the_server(shell: Shell) -> None:
    shell("drain")
    assert shell.process.wait(60) == 0


def test_mistakes_are_told_in_one_line(shell: Shell) -> None:
    assert "module:object expected" in shell("deploy", "x", "my_models", status=1)
    assert "no attribute 'nothing'" in shell("deploy", "x", "my_models:nothing", status=1)
    assert "one of module:object" in shell("deploy", "x", status=2)
    assert "not allowed" in shell("deploy", "../x", "my_models:two", status=1)
    assert "No model with name none exists" in shell("rollback", "none", status=1)
    assert "cannot be read" in shell("deploy", "x", "--policy", "none.policy", status=1)
    second = subprocess.run(
        [*COMMAND, "start", "--query-port", "0"], env=shell.environment, capture_output=True, text=True, check=False
    )
    assert second.returncode == 1 and "another server uses" in second.stderr
    public = subprocess.run(
        [*COMMAND, "start", "--host", "0.0.0.0"], env=shell.environment, capture_output=True, text=True, check=False
    )
    assert public.returncode == 1 and "tls and gate are not given" in public.stderr
