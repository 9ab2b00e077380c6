"""Replicas that die, hang and come again; counts that change under load."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daybreak import serve
from daybreak.base import errors
from daybreak.serve import fleet

Start = Callable[..., serve.Server]


def replicas(server: serve.Server, model: str = "pong", version: str = "1") -> list[dict[str, Any]]:
    for each in server.models():
        if each["name"] == model:
            for found in each["versions"]:
                if found["version"] == version:
                    return list(found["replicas"])
    return []


def until(what: Callable[[], Any], timeout_s: float = 30.0) -> Any:
    """Its first true value."""
    end = time.monotonic() + timeout_s
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.005)


def test_a_replica_that_is_killed_is_started_again_and_its_words_are_kept(server: serve.Server, call: Any) -> None:
    def predict(inputs: Any) -> Any:
        print("asked", len(inputs))
        return [os.getpid() for _ in inputs]

    server.deploy("pong", predict, default="0", slo_ms=10_000)
    pid = call.predict("pong", [1.0])["output"]
    assert replicas(server)[0]["pid"] == pid
    os.kill(pid, signal.SIGKILL)
    until(lambda: replicas(server)[0]["restarts"] == 1 and replicas(server)[0]["state"] == "ready")
    assert "signal 9" in replicas(server)[0]["error"]
    assert call.predict("pong", [1.0])["output"] not in (pid, 0)
    assert "asked 1" in server.logs("pong")["1/0"]


def test_one_that_dies_at_every_start_is_tried_with_growing_pauses(start: Start, caller: Any, tmp_path: Path) -> None:
    marker = tmp_path / "die"
    server = start(tmp_path / "s")

    class Fragile:
        def warm_up(self) -> None:
            if marker.exists():
                os._exit(7)

        def predict(self, inputs: Any) -> Any:
            return [1 for _ in inputs]

    server.deploy("pong", Fragile(), default="0", slo_ms=5000)
    marker.touch()
    began = time.monotonic()
    os.kill(replicas(server)[0]["pid"], signal.SIGKILL)
    until(lambda: replicas(server)[0]["restarts"] >= 3)
    # 0.1 s before the first, then 0.2 s and 0.4 s.
    assert time.monotonic() - began >= fleet.FIRST_PAUSE_S * (1 + 2 + 4)
    assert "exit" in replicas(server)[0]["error"]
    assert caller(server).predict("pong", [1.0])["default"] is True
    marker.unlink()
    assert server.wait_ready(fleet.MAX_PAUSE_S + 10)
    assert caller(server).predict("pong", [1.0])["output"] == 1


def test_one_that_hangs_when_it_is_started_again_is_ended(start: Start, tmp_path: Path) -> None:
    marker = tmp_path / "hang"
    server = start(tmp_path / "s", ready_timeout_s=1.0)

    class Sticky:
        def warm_up(self) -> None:
            if marker.exists():
                threading.Event().wait()

        def predict(self, inputs: Any) -> Any:
            return inputs

    server.deploy("pong", Sticky(), default="0")
    marker.touch()
    os.kill(replicas(server)[0]["pid"], signal.SIGKILL)
    until(lambda: "not ready after 1 s" in replicas(server)[0]["error"])
    marker.unlink()
    assert server.wait_ready(30)


def test_a_model_that_raises_answers_by_default_and_lives_on(server: serve.Server, call: Any) -> None:
    def predict(inputs: Any) -> Any:
        if inputs[0][0] < 0:
            raise ValueError("negative")
        return [1 for _ in inputs]

    server.deploy("pong", predict, default="0", slo_ms=5000)
    assert call.predict("pong", [-1.0])["default"] is True
    assert call.predict("pong", [1.0])["output"] == 1
    assert replicas(server)[0]["restarts"] == 0
    assert "ValueError: negative" in until(lambda: server.logs("pong")["1/0"])


def test_one_that_hangs_in_a_batch_is_ended_and_started_again(start: Start, caller: Any, tmp_path: Path) -> None:
    server = start(tmp_path / "s", hang_timeout_s=0.5)
    call = caller(server)

    def predict(inputs: Any) -> Any:
        if inputs[0][0] < 0:
            threading.Event().wait()
        return [1 for _ in inputs]

    server.deploy("pong", predict, default="0", slo_ms=100)
    assert call.predict("pong", [-1.0])["default"] is True
    until(lambda: replicas(server)[0]["restarts"] == 1)
    assert "it had not answered a batch after 0.5 s" in replicas(server)[0]["error"]
    assert server.wait_ready(30)
    until(lambda: call.predict("pong", [1.0])["output"] == 1)


def test_a_replica_that_is_removed_finishes_what_it_holds(server: serve.Server, call: Any, tmp_path: Path) -> None:
    asked, go = tmp_path / "asked", tmp_path / "go"

    def predict(inputs: Any) -> Any:
        asked.touch()
        while not go.exists():
            time.sleep(0.001)
        return [1 for _ in inputs]

    server.deploy("pong", predict, default="0", slo_ms=20_000)
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(call.predict("pong", [1.0])))
    asking.start()
    until(asked.exists)
    ending = threading.Thread(target=server.scale, args=("pong", None, 0))
    ending.start()
    until(lambda: replicas(server)[0]["state"] == "draining")
    go.touch()
    asking.join()
    ending.join()
    assert answers[0]["output"] == 1 and answers[0]["default"] is False
    assert replicas(server) == []


def test_counts_change_up_and_down_and_keep_to_the_limit(server: serve.Server, call: Any) -> None:
    server.deploy("pong", lambda inputs: [os.getpid() for _ in inputs], default="0", slo_ms=5000)
    server.scale("pong", None, 4)
    assert [each["state"] for each in replicas(server)] == ["ready"] * 4
    pids = [each["pid"] for each in replicas(server)]
    server.scale("pong", "1", 1)
    assert [each["pid"] for each in replicas(server)] == pids[:1]
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids[1:]))
    server.scale("pong", None, 0)
    assert call.predict("pong", [1.0])["default"] is True
    server.scale("pong", None, 1)
    assert call.predict("pong", [1.0])["default"] is False
    for wrong in (-1, 65, True, "2"):
        with pytest.raises(errors.InvalidArgumentError):
            server.scale("pong", None, wrong)  # type: ignore[arg-type]
    with pytest.raises(errors.NotFoundError):
        server.scale("pong", "9", 1)
    assert server.state.models["pong"].versions["1"].replicas == 1


def test_versions_and_counts_change_under_load_without_a_lost_request(server: serve.Server, call: Any) -> None:
    for version in (1, 2):
        server.deploy(
            "pong", lambda inputs, v=version: [v for _ in inputs], version=version, default="0", slo_ms=10_000
        )
    wrong: list[Any] = []
    counts = {1: 0, 2: 0}
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            answer = call.predict("pong", [1.0])
            if answer["status"] != 200 or answer["default"]:
                wrong.append(answer)
            else:
                counts[answer["output"]] += 1

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for round_ in range(6):
        server.set_version("pong", str(round_ % 2 + 1))
        server.scale("pong", None, round_ % 3 + 1)
    server.set_version("pong", "2")
    server.delete_version("pong", "1")
    seen = counts[2]
    until(lambda: counts[2] > seen + 10)
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:3]
    assert counts[1] > 0 and counts[2] > 0


def test_stopping_leaves_no_process_thread_or_descriptor() -> None:
    options = {"query_port": 0, "admin_port": 0, "metrics_port": 0}
    serve.start(**options).stop()  # what is made once
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    server = serve.start(**options)
    server.deploy("pong", lambda inputs: inputs, default="0", replicas=3)
    pids = [each["pid"] for each in replicas(server)]
    server.stop()
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("serve-")]
    del server
    gc.collect()
    until(lambda: len(os.listdir("/proc/self/fd")) <= before)
