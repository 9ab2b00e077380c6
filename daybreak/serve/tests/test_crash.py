"""`kill -9` of the server at every step of a deploy: a restart shows the old state or the new one, whole."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daybreak import serve
from daybreak.base import failpoints

Start = Callable[..., serve.Server]

# In the order in which a deploy passes them.
STEPS = (
    "serve.deploy.begun",
    "serve.blob.written",
    "serve.blob.synced",
    "serve.blob.placed",
    "serve.deploy.blob",
    "serve.deploy.version",
    "serve.deploy.replicas",
    "serve.deploy.ready",
    "serve.state.written",
    "serve.state.synced",
    "serve.state.placed",
    "serve.deploy.journalled",
    "serve.deploy.switched",
    "serve.deploy.done",
)

SCRIPT = """
import sys
from daybreak import serve
from daybreak.base import failpoints

folder, version, step = sys.argv[1:]
with serve.start(folder, query_port=0, admin_port=0, metrics_port=0) as server:
    if step:
        failpoints.arm(step)
    server.deploy("pong", lambda inputs: [int(version) for _ in inputs], version=version, default="0", slo_ms=5000)
"""


def deploy_in_a_process(folder: Path, version: int, step: str = "") -> int:
    command = [sys.executable, "-c", SCRIPT, str(folder), str(version), step]
    return subprocess.run(command, check=False, timeout=120, capture_output=True).returncode


@pytest.fixture(scope="module")
def with_version_1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crash") / "state"
    assert deploy_in_a_process(folder, 1) == 0
    return folder


def test_a_deploy_passes_every_step_once_in_this_order(server: serve.Server) -> None:
    with failpoints.watched("serve.") as passed:
        server.deploy("pong", lambda inputs: inputs, default="0")
    assert tuple(passed) == STEPS


@pytest.mark.parametrize("first", [True, False], ids=["first", "second"])
@pytest.mark.parametrize("step", STEPS)
def test_a_restart_shows_the_old_state_or_the_new_one(
    start: Start, caller: Any, tmp_path: Path, with_version_1: Path, step: str, first: bool
) -> None:
    folder = tmp_path / "state"
    if not first:
        shutil.copytree(with_version_1, folder, ignore=shutil.ignore_patterns("*.fifo"))
        os.chmod(folder, 0o700)
    assert deploy_in_a_process(folder, 2, step) == -9
    is_new = STEPS.index(step) >= STEPS.index("serve.state.placed")

    server = start(folder)
    assert server.wait_ready(60)
    versions = ([] if first else ["1"]) + (["2"] if is_new else [])
    assert [each["version"] for model in server.models() for each in model["versions"]] == versions
    assert [app["models"] for app in server.apps()] == ([["pong"]] if versions else [])
    named = server.state.blobs()
    assert {path.name for path in (folder / "models").iterdir()} == named and len(named) == len(versions)
    assert not list(folder.rglob("*.tmp"))
    call = caller(server)
    if versions:
        assert server.models()[0]["current"] == versions[-1]
        answer = call.predict("pong", [1.0])
        assert (answer["output"], answer["default"]) == (int(versions[-1]), False)
    if not is_new:  # nothing is in the way of trying again
        server.deploy("pong", lambda inputs: [2 for _ in inputs], version="2", default="0", slo_ms=5000)
        assert call.predict("pong", [1.0])["output"] == 2


def test_no_replica_outlives_a_server_that_is_killed(tmp_path: Path) -> None:
    """And the next one has the directory at once."""
    code = f"""
import os
from daybreak import serve
server = serve.start({str(tmp_path / "s")!r}, query_port=0, admin_port=0, metrics_port=0)
server.deploy("pong", lambda inputs: inputs, default="0", replicas=2)
pids = [each["pid"] for each in server.models()[0]["versions"][0]["replicas"]]
print(*pids, flush=True)
os.kill(os.getpid(), 9)
"""
    ended = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, timeout=60, text=True)
    assert ended.returncode == -9
    pids = [int(word) for word in ended.stdout.split()]
    assert len(pids) == 2 and all(pids)
    from daybreak.serve.state import Store

    Store(tmp_path / "s").close()
    deadline = 20.0
    import time

    end = time.monotonic() + deadline
    while any(os.path.exists(f"/proc/{pid}") for pid in pids):
        assert time.monotonic() < end, "a replica lives on"
        time.sleep(0.01)
