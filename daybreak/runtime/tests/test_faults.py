"""Deaths and other bad ends: nothing hangs, nothing leaks."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import daybreak
from daybreak import exceptions as ex
from daybreak._core import runtime as native
from daybreak.base import failpoints

from .conftest import ended, eventually, open_files, zombies_and_children


def workers() -> list[int]:
    return [pid for pid, is_actor in native._processes() if not is_actor]


def test_idle_worker_killed(no_leak: Any) -> None:
    ray = no_leak
    for _ in range(3):
        for pid in workers():
            with contextlib.suppress(ProcessLookupError):  # one of the last round that is not buried yet
                os.kill(pid, signal.SIGKILL)
        assert ray.get(ray.remote(lambda: 5).remote(), timeout=20) == 5


def test_failpoints_of_the_core_are_seen_from_python(no_leak: Any) -> None:
    with failpoints.watched("create.") as passed:
        ref = no_leak.put(1)
    assert passed == ["create.claimed", "create.held"]
    del ref


def test_running_task_is_retried_when_its_worker_is_killed(no_leak: Any, tmp_path: Any) -> None:
    ray = no_leak

    @ray.remote
    def once_more(path: str) -> str:
        tries = len(os.listdir(path))
        open(os.path.join(path, str(tries)), "w").close()
        if tries < 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return f"attempt {tries}"

    assert ray.get(once_more.remote(str(tmp_path)), timeout=20) == "attempt 2"


def test_retries_run_out_with_the_reason(no_leak: Any) -> None:
    ray = no_leak

    @ray.remote(max_retries=1)
    def dies() -> None:
        print("last words of the worker", flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)

    with pytest.raises(ex.WorkerCrashedError, match="(?s)signal 11.*attempt 2") as caught:
        ray.get(dies.remote(), timeout=20)
    assert "last words of the worker" in str(caught.value)


def test_retry_exceptions(no_leak: Any, tmp_path: Any) -> None:
    ray = no_leak

    def flaky(path: str, error: str) -> int:
        tries = len(os.listdir(path))
        open(os.path.join(path, str(tries)), "w").close()
        if tries < 2:
            raise KeyError("k") if error == "key" else ValueError("v")
        return tries

    for i, options in enumerate(({"retry_exceptions": True}, {"retry_exceptions": [KeyError]})):
        folder = tmp_path / str(i)
        folder.mkdir()
        assert ray.get(ray.remote(**options)(flaky).remote(str(folder), "key"), timeout=20) == 2
    for i, options in enumerate(({}, {"retry_exceptions": [KeyError]}, {"retry_exceptions": True, "max_retries": 1})):
        folder = tmp_path / f"fails{i}"
        folder.mkdir()
        with pytest.raises(ValueError):
            ray.get(ray.remote(**options)(flaky).remote(str(folder), "value"), timeout=20)


def test_worker_killed_while_it_waits_in_get(no_leak: Any) -> None:
    ray = no_leak

    @ray.remote
    def child() -> int:
        time.sleep(0.5)
        return 1

    @ray.remote(max_retries=0)
    def parent() -> int:
        print("parent", os.getpid(), flush=True)
        threading.Timer(0.15, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
        return int(daybreak.get(child.remote()))

    with pytest.raises(ex.WorkerCrashedError, match="signal 9"):
        ray.get(parent.remote(), timeout=20)


def test_worker_killed_in_the_middle_of_a_put(no_leak: Any) -> None:
    ray = no_leak

    @ray.remote(max_retries=0)
    def put_and_die() -> None:
        threading.Timer(0.02, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
        array = np.zeros(2_000_000)
        while True:
            daybreak.put(array)

    for _ in range(5):
        with pytest.raises(ex.WorkerCrashedError):
            ray.get(put_and_die.remote(), timeout=20)
    assert eventually(lambda: native._usage()["store_bytes"] < 4 << 20), native._usage()


@pytest.mark.parametrize("how", ["exit", "segfault", "abort"])
def test_ends_of_a_task(no_leak: Any, how: str) -> None:
    ray = no_leak

    @ray.remote(max_retries=0)
    def end(how: str) -> None:
        if how == "exit":
            os._exit(3)
        if how == "segfault":
            import ctypes

            ctypes.string_at(0)
        os.abort()

    expected = {"exit": "exit code 3", "segfault": "signal 11", "abort": "signal 6"}[how]
    with pytest.raises(ex.WorkerCrashedError, match=expected):
        ray.get(end.remote(how), timeout=20)
    assert ray.get(ray.remote(lambda: "alive").remote(), timeout=20) == "alive"


def test_system_exit_fails_the_task_and_keeps_the_driver(no_leak: Any) -> None:
    ray = no_leak

    @ray.remote(max_retries=0)
    def leaves() -> None:
        sys.exit(3)

    with pytest.raises(ex.WorkerCrashedError, match="SystemExit"):
        ray.get(leaves.remote(), timeout=20)


def test_task_that_leaks_a_thread_or_forks(no_leak: Any) -> None:
    ray = no_leak

    @ray.remote
    def leaks() -> int:
        threading.Thread(target=time.sleep, args=(1000,)).start()
        return 1

    @ray.remote
    def forks() -> str:
        pid = os.fork()
        if pid == 0:
            return "child"
        os.waitpid(pid, 0)
        return "parent"

    assert ray.get([leaks.remote() for _ in range(3)], timeout=20) == [1] * 3
    assert ray.get([forks.remote() for _ in range(3)], timeout=20) == ["parent"] * 3


def test_a_process_that_a_task_started_ends_with_the_runtime() -> None:
    daybreak.shutdown()
    daybreak.init(num_cpus=1)

    @daybreak.remote
    def starts() -> list[int]:
        return [
            subprocess.Popen(["sleep", "1000"]).pid,
            subprocess.Popen(["sleep", "1000"], start_new_session=True).pid,
        ]

    pids = daybreak.get(starts.remote(), timeout=20)
    daybreak.shutdown()
    for pid in pids:
        assert eventually(lambda pid=pid: ended(pid))


def test_actor_killed_from_outside(no_leak: Any) -> None:
    ray = no_leak

    @ray.remote
    class A:
        def pid(self) -> int:
            return os.getpid()

        def hold(self) -> int:
            self.array = daybreak.get(daybreak.put(np.zeros(500_000)))
            return len(self.array)

    a = A.remote()
    pid = ray.get(a.pid.remote())
    assert ray.get(a.hold.remote()) == 500_000
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(ex.ActorDiedError):
        while True:
            ray.get(a.pid.remote(), timeout=20)
    del a


def test_kill_loop_under_load(no_leak: Any) -> None:
    ray = no_leak

    @ray.remote(max_retries=-1)
    def work(i: int, blob: Any) -> int:
        inner = daybreak.put(np.full(3000, i))
        return int(daybreak.get(inner)[0]) + len(blob)

    stop = threading.Event()
    kills = 0

    def killer() -> None:
        nonlocal kills
        rng = np.random.default_rng(1)
        while not stop.wait(0.05):
            pids = workers()
            if pids:
                try:
                    os.kill(pids[rng.integers(len(pids))], signal.SIGKILL)
                    kills += 1
                except ProcessLookupError:
                    pass

    thread = threading.Thread(target=killer)
    thread.start()
    try:
        while kills < 8:
            refs = [work.remote(i, bytes(i % 7000)) for i in range(400)]
            assert ray.get(refs, timeout=90) == [i + i % 7000 for i in range(400)]
            del refs
    finally:
        stop.set()
        thread.join()


def test_zygote_killed(two_cpus: Any) -> None:
    ray = two_cpus
    assert ray.get(ray.remote(lambda: 1).remote()) == 1
    (zygote,) = [
        pid for pid in zombies_and_children() if Path(f"/proc/{pid}/cmdline").read_bytes()
    ]  # a zombie has none
    os.kill(zygote, signal.SIGKILL)
    assert ray.get(ray.remote(lambda: 2).remote(), timeout=30) == 2


def test_actors_that_are_made_while_zygotes_are_killed_all_start_or_die_with_the_reason(two_cpus: Any) -> None:
    ray = two_cpus

    @ray.remote(max_restarts=-1, max_task_retries=-1)
    class Alive:
        def yes(self) -> bool:
            return True

    ray.get(Alive.remote().yes.remote(), timeout=30)
    for i in range(12):
        for zygote in zombies_and_children():
            os.kill(zygote, signal.SIGKILL)
        time.sleep(i * 0.0005)  # before, while and after the monitor sees it
        actors = [Alive.remote() for _ in range(3)]
        assert ray.get([a.yes.remote() for a in actors], timeout=30) == [True] * 3
        del actors
    assert ray.get([ray.remote(lambda: 1).remote() for _ in range(4)], timeout=30) == [1] * 4
    assert eventually(lambda: native._usage()["actors"] == 0, 20)
    assert eventually(lambda: len(native._processes()) == 2, 20), native._processes()


def test_num_cpus_that_can_never_be_met(ray: Any) -> None:
    with pytest.raises(ex.TaskUnschedulableError, match="num_cpus=64 asked, the runtime has 2"):
        ray.get(ray.remote(num_cpus=64)(len).remote([]), timeout=10)


SCRIPT = """
import daybreak as ray, os, sys, time
ray.init(num_cpus=2)
@ray.remote
def slow():
    time.sleep(100)
@ray.remote
class A:
    def f(self): return os.getpid()
a = A.remote()
ray.get(a.f.remote())
while len(__import__("daybreak")._core.runtime._processes()) < 3:  # the actor and two workers
    time.sleep(0.01)
pids = [p for p, _ in __import__("daybreak")._core.runtime._processes()]
with open(f"/proc/self/task/{os.getpid()}/children") as f: pids += [int(p) for p in f.read().split()]
refs = [slow.remote() for _ in range(4)]
big = ray.put(bytes(10_000_000))
print(*pids, flush=True)
"""


def start(tail: str) -> tuple[subprocess.Popen[str], list[int]]:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT + tail], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, [int(p) for p in process.stdout.readline().split()]


@pytest.mark.parametrize("how", ["kill", "term", "exit", "exception", "os._exit"])
def test_no_process_is_left_when_the_driver_ends(how: str) -> None:
    tail = {"exit": "", "exception": "raise KeyError('driver')", "os._exit": "os._exit(0)"}.get(how, "time.sleep(100)")
    process, pids = start(tail)
    assert len(pids) >= 4
    if how == "kill":
        process.kill()
    elif how == "term":
        process.terminate()
    process.wait(timeout=20)
    for pid in pids:
        assert eventually(lambda pid=pid: ended(pid))
    process.communicate()


@pytest.mark.parametrize("verb", ["ray.get(refs)", "ray.wait(refs)", "ray.get(refs[0], timeout=90)"])
def test_interrupt_in_a_waiting_verb_raises_at_once_and_leaves_no_orphan(verb: str) -> None:
    process, pids = start(
        f"""
start = time.time()
try:
    print("waiting", flush=True)
    {verb}
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "waiting"
    time.sleep(0.1)
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline().strip() == "interrupted"
    assert time.monotonic() - begin < 1.0
    process.wait(timeout=20)
    for pid in pids:
        assert eventually(lambda pid=pid: ended(pid))
    process.communicate()


def test_child_of_a_fork_of_the_driver_is_a_process_of_its_own(ray: Any) -> None:
    ref = ray.put("mine")
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            assert not daybreak.is_initialized()
            with pytest.raises(ValueError):
                daybreak.get(ref)
            os.write(write, b"ok")
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 10) == b"ok"
    os.close(read)
    os.close(write)
    assert ray.get(ref) == "mine"


def test_start_and_end_many_times_leaves_nothing() -> None:
    daybreak.shutdown()
    daybreak.init(num_cpus=1, object_store_memory=16 << 20)
    daybreak.shutdown()
    files, children = open_files(), zombies_and_children()
    for _ in range(5):
        daybreak.init(num_cpus=2, object_store_memory=16 << 20)
        assert daybreak.get(daybreak.remote(lambda: 1).remote(), timeout=20) == 1
        daybreak.shutdown()
    assert open_files() == files and zombies_and_children() == children
    assert not [m for m in open("/proc/self/maps") if "memfd:daybreak" in m]


def test_waiting_thread_is_told_when_the_runtime_ends() -> None:
    daybreak.shutdown()
    daybreak.init(num_cpus=1)
    ref = daybreak.remote(time.sleep).remote(60)
    caught: list[BaseException] = []

    def wait() -> None:
        try:
            daybreak.get(ref)
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.2)
    daybreak.shutdown()
    thread.join(timeout=10)
    assert not thread.is_alive() and isinstance(caught[0], RuntimeError)


@pytest.mark.parametrize("how", ["is killed", "ends by itself"])
def test_a_task_whose_submitter_has_died_finds_its_function_all_the_same(no_leak: Any, tmp_path: Any, how: str) -> None:
    ray = no_leak

    @ray.remote(max_retries=0, max_calls=1)
    def parent(path: str, how: str) -> None:
        @daybreak.remote  # which nobody else has
        def child(path: str) -> None:
            while not os.path.exists(path + ".go"):
                time.sleep(0.005)
            open(path, "w").close()

        for name in ("first", "second", "third"):  # more than there are CPUs: the last is queued
            child.remote(os.path.join(path, name))
        if how == "is killed":
            os.kill(os.getpid(), signal.SIGKILL)

    ref = parent.remote(str(tmp_path), how)
    if how == "is killed":
        with pytest.raises(ex.WorkerCrashedError):
            ray.get(ref, timeout=20)
    else:
        ray.get(ref, timeout=20)
    for name in ("first.go", "second.go", "third.go"):
        (tmp_path / name).touch()
    assert eventually(lambda: len(os.listdir(tmp_path)) == 6, 20), os.listdir(tmp_path)


def test_an_actor_without_a_handle_comes_back_for_the_calls_that_may_be_tried_again(
    no_leak: Any, tmp_path: Any
) -> None:
    ray = no_leak

    @ray.remote(max_restarts=-1)
    class Dies:
        def once(self, path: str) -> str:
            if not os.path.exists(path):
                open(path, "w").close()
                os._exit(1)
            return "alive"

    once = Dies.options(max_task_retries=1).remote().once.remote(str(tmp_path / "retried"))
    assert ray.get(once, timeout=20) == "alive"
    with pytest.raises(ex.ActorDiedError, match="exit code 1"):
        ray.get(Dies.remote().once.remote(str(tmp_path / "not")), timeout=20)
