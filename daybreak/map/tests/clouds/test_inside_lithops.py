"""Lithops programs on Daybreak's workers: what Lithops' own tests do not ask. `./dev test --suite=map_clouds`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lithops", reason="needs Lithops: ./dev test --suite=map_clouds")

import lithops

import daybreak
from daybreak.base.errors import InvalidArgumentError, ResourceExhaustedError
from daybreak.map import lithops_backend
from daybreak.map.lithops_backend import channel
from daybreak.runtime import state


@pytest.fixture(scope="module")
def executor() -> Iterator[Any]:
    lithops_backend.install()
    lithops_backend.install()
    with lithops.FunctionExecutor(backend="daybreak", log_level=None) as made:
        yield made
    daybreak.shutdown()


def fresh() -> Any:
    return lithops.FunctionExecutor(backend="daybreak", log_level=None)


def test_calls_run_in_workers_of_the_runtime_that_stay(executor: Any) -> None:
    executor.map(lambda x: os.getpid(), range(20))
    pids = set(executor.get_result())
    assert os.getpid() not in pids and len(pids) <= 4
    there = {row["pid"] for row in state.list_workers()}
    assert pids <= there


def test_what_is_not_set_by_the_user_is_ours_and_other_storages_stay(s3: str) -> None:
    with fresh() as made:
        common = made.config["lithops"]
        assert (common["storage"], common["monitoring"], common["backend"]) == ("daybreak",) * 3
    config = {"lithops": {"backend": "daybreak", "storage": "minio"}, "minio": s3_section(s3)}
    with lithops.FunctionExecutor(config=config, log_level=None) as made:
        made.map(lambda x: bytes(x), [1, 20_000])
        assert list(map(len, made.get_result())) == [1, 20_000]
        assert made.config["lithops"]["storage"] == "minio"


def s3_section(endpoint: str) -> dict[str, str]:
    """Lithops' storage `minio` speaks S3 to any endpoint."""
    from daybreak.map.storage import S3Store

    S3Store("lithops-test").make_bucket()
    keys = {"access_key_id": os.environ["AWS_ACCESS_KEY_ID"], "secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"]}
    return {"storage_bucket": "lithops-test", "endpoint": endpoint, **keys}


def test_options_that_are_none_are_refused_by_name() -> None:
    for section, words in (
        ({"max_worker": 3}, "max_worker is no option.*max_workers"),
        ({"max_workers": 0}, "max_workers=0"),
        ({"runtime_timeout": "soon"}, "runtime_timeout"),
        ({"runtime_include_function": True}, "no image"),
    ):
        with pytest.raises(InvalidArgumentError, match=words):
            lithops.FunctionExecutor(config={"lithops": {"backend": "daybreak"}, "daybreak": section}, log_level=None)


def test_a_worker_that_dies_is_an_error_that_says_how() -> None:
    with fresh() as made:
        future = made.call_async(lambda x: os._exit(7), 1)
        began = time.monotonic()
        with pytest.raises(RuntimeError, match="exit code 7"):
            future.result()
        assert time.monotonic() - began < 30

        def killed(x: int) -> None:
            os.kill(os.getpid(), 9)

        with pytest.raises(RuntimeError, match="SIGKILL"):
            made.call_async(killed, 1).result()
        made.futures.clear()
        made.map(abs_of, [-1, -2])
        assert made.get_result() == [1, 2]


def abs_of(x: int) -> int:
    return -x


def test_a_call_over_its_time_ends_also_when_it_holds_the_interpreter() -> None:
    with fresh() as made:
        for function in (lambda x: time.sleep(60), lambda x: sum(range(10**11))):
            future = made.call_async(function, 1, timeout=1)
            with pytest.raises(TimeoutError, match="exceeded maximum time of 1"):
                future.result()
        made.futures.clear()


def test_the_worker_is_as_it_was_behind_a_call() -> None:
    with fresh() as made:

        def change(x: int) -> str:
            os.environ["DAYBREAK_LEFT"] = "x"
            os.environ.pop("PATH", None)
            os.chdir("/")
            return os.getcwd()

        made.map(change, range(8), extra_env={"GIVEN": "1"})
        assert made.get_result() == ["/"] * 8
        made.map(
            lambda x: (os.environ.get("DAYBREAK_LEFT"), os.environ.get("GIVEN"), "PATH" in os.environ, os.getcwd()),
            range(8),
        )
        assert set(made.get_result()) == {(None, None, True, os.getcwd())}


def test_what_calls_print_is_in_their_logs_and_of_no_other_call() -> None:
    with fresh() as made:
        futures = made.map(lambda x: print(f"said by {x}"), range(4))
        made.get_result()
        for number, future in enumerate(futures):
            said = [line for line in future.logs.splitlines() if line.startswith("said by")]
            assert said == [f"said by {number}"]


def test_parents_that_wait_for_children_do_not_take_all_cpus() -> None:
    with fresh() as made:

        def parent(x: int) -> int:
            inner = lithops.FunctionExecutor(log_level=None)
            inner.map(abs_of, [-x, -x])
            return int(sum(inner.get_result()))

        made.map(parent, range(1, 7))
        assert made.get_result() == [2 * x for x in range(1, 7)]


def test_more_reducers_than_cpus_wait_without_taking_them() -> None:
    with fresh() as made:
        outer = [made.map_reduce(abs_of, [-1, -2], total, spawn_reducer=0) for _ in range(5)]
        assert [futures[-1].result() for futures in outer] == [3] * 5


def total(results: list[int]) -> int:
    return sum(results)


def test_an_edited_module_is_never_that_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    monkeypatch.syspath_prepend(str(tmp_path))
    said = []
    with fresh() as made:
        for number in (1, 2):
            (tmp_path / "edited_here.py").write_text(f"def value():\n    return {number}\n")
            importlib.invalidate_caches()
            sys.modules.pop("edited_here", None)

            def ask(x: int) -> int:
                import edited_here  # type: ignore[import-not-found]

                return int(edited_here.value())

            made.map(ask, range(4), include_modules=[str(tmp_path / "edited_here.py")])
            said.append(set(made.get_result()))
    assert said == [{1}, {2}]


def test_jobs_that_nobody_waits_for_are_ended_with_their_executor(tmp_path: Path) -> None:
    def never(x: int) -> None:
        (tmp_path / f"begun-{x}").touch()
        time.sleep(600)

    with fresh() as made:
        made.map(never, range(2))
        deadline = time.monotonic() + 60
        while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.01)
        began = time.monotonic()
    assert list(tmp_path.iterdir()) and time.monotonic() - began < 30
    with fresh() as made:
        made.map(abs_of, [-1])
        assert made.get_result() == [1]


def test_more_memory_than_there_is_is_refused() -> None:
    with fresh() as made, pytest.raises(InvalidArgumentError, match="the runtime has .* MiB"):
        made.map(abs_of, [1], runtime_memory=1 << 24)


def test_a_program_of_its_own_needs_one_line(tmp_path: Path) -> None:
    program = (
        "from daybreak.map import lithops_backend; import lithops; lithops_backend.install()\n"
        "with lithops.FunctionExecutor(backend='daybreak', log_level=None) as executor:\n"
        "    executor.map(lambda x: x * x, range(4)); print(executor.get_result())\n"
    )
    (tmp_path / "config").write_text(json.dumps({"lithops": {"backend": "daybreak"}}))
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, timeout=100)
    assert done.stdout.split("\n")[-2] == "[0, 1, 4, 9]", done.stderr


# ---- the channel


def test_messages_come_whole_in_order_of_each_sender_and_at_once() -> None:
    receiver = channel.Receiver("test-queue")
    texts = [f"{i}:" + "x" * (i * 1000) for i in range(50)]

    def send() -> None:
        sender = channel.Sender()
        for text in texts:
            assert sender.send("test-queue", text)
        sender.close()

    threads = [threading.Thread(target=send) for _ in range(3)]
    for each in threads:
        each.start()
    found: list[str] = []
    while len(found) < 150:
        found += receiver.receive(30)
    for each in threads:
        each.join()
    assert sorted(found) == sorted(texts * 3)
    receiver.close()
    receiver.close()
    assert list(receiver.receive(1)) == [] and not os.path.exists(receiver.path)


def test_nobody_there_is_said_and_a_new_reader_is_found() -> None:
    sender = channel.Sender()
    assert sender.send("nobody-here", "x") is False
    for _ in range(2):
        receiver = channel.Receiver("test-again")
        assert sender.send("test-again", "hello")
        assert list(receiver.receive(30)) == ["hello"]
        receiver.close()
    assert sender.send("test-again", "x") is False


def test_a_long_message_and_a_stranger_are_refused() -> None:
    import socket

    with pytest.raises(ResourceExhaustedError, match="at most"):
        channel.Sender().send("q", "x" * (channel.MAX_MESSAGE_BYTES + 1))
    receiver = channel.Receiver("test-strange")
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(receiver.path)
        stranger.sendall(b"\xff" * 64)
        assert list(receiver.receive(1)) == []
        assert channel.Sender().send("test-strange", "after")
        assert list(receiver.receive(30)) == ["after"]
    receiver.close()


def test_wake_ends_a_wait_at_once() -> None:
    receiver = channel.Receiver("test-wake")
    threading.Timer(0.1, receiver.wake).start()
    began = time.monotonic()
    assert list(receiver.receive(60)) == [] and time.monotonic() - began < 30
    receiver.close()
