"""What an executor promises when calls fail, die, last too long or are cancelled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from daybreak import map as room

from .conftest import WAYS, double, eventually, wait_at

# ---- errors


class Special(Exception):
    def __init__(self, code: int, *, where: str) -> None:
        super().__init__(code)
        self.code, self.where = code, where


class Unpicklable(Exception):
    def __reduce__(self) -> Any:
        raise RuntimeError("not this one")


class LoadsBadly(Exception):
    def __reduce__(self) -> Any:
        return int, ("not a number",)


@pytest.mark.parametrize("way", WAYS)
def test_exceptions_keep_type_attributes_and_traceback(executor: room.Executor, way: dict[str, Any]) -> None:
    def fail(x: int) -> None:
        raise Special(7, where="there")

    error = executor.map(fail, [0], **way)[0].exception(timeout=60)
    assert isinstance(error, Special) and (error.code, error.where) == (7, "there")
    assert "raise Special(7" in str(error)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", [Unpicklable, LoadsBadly])
def test_an_exception_that_does_not_pickle_comes_as_text(
    executor: room.Executor, kind: Any, way: dict[str, Any]
) -> None:
    # python/cpython#103061: such an exception hung a pool.
    def fail(x: int) -> None:
        raise kind("what happened")

    error = executor.map(fail, [0], **way)[0].exception(timeout=60)
    assert error is not None and "what happened" in str(error) and kind.__name__ in str(error)


@pytest.mark.parametrize("way", WAYS)
def test_sys_exit_ends_the_call_and_not_the_worker(executor: room.Executor, way: dict[str, Any]) -> None:
    error = executor.map(lambda x: sys.exit(3), [0], **way)[0].exception(timeout=60)
    assert error is not None and "3" in str(error) and ("exit" in str(error).lower())


@pytest.mark.parametrize("way", WAYS)
def test_a_killed_worker_is_an_error_with_its_reason(executor: room.Executor, way: dict[str, Any]) -> None:
    # python/cpython#96062 #82265: a pool hung; joblib/joblib#812: no reason was given.
    began = time.monotonic()
    error = executor.map(lambda x: os.kill(os.getpid(), signal.SIGKILL), [0], retries=0, **way)[0].exception(timeout=60)
    assert isinstance(error, room.WorkerDied)
    for word in ("pid", "SIGKILL", "MB", "likely out of memory", "call 0 of"):
        assert word in str(error)
    assert time.monotonic() - began < 30
    assert executor.map(double, [1], **way).results() == [2]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("once", [False, True])
def test_a_call_whose_worker_died_is_run_again(
    executor: room.Executor, tmp_path: Path, once: bool, way: dict[str, Any]
) -> None:
    def dies_twice(x: int) -> int:
        if x == 3:
            tries = len(list(tmp_path.iterdir()))
            (tmp_path / str(tries)).touch()
            if tries < 2:
                os.kill(os.getpid(), signal.SIGKILL)
        return x

    inputs: Any = iter(range(6)) if once else range(6)
    assert executor.map(dies_twice, inputs, **way).results() == list(range(6))
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("way", WAYS)
def test_a_call_that_kills_its_workers_takes_no_other_along(executor: room.Executor, way: dict[str, Any]) -> None:
    def poison(x: int) -> int:
        if x == 40:
            os._exit(9)
        return x

    errors = [future.exception(timeout=60) for future in executor.map(poison, range(80), retries=1, **way).futures()]
    assert [index for index, error in enumerate(errors) if error is not None] == [40]
    assert (
        isinstance(errors[40], room.WorkerDied) and "exit code 9" in str(errors[40]) and "try 2 of 2" in str(errors[40])
    )


def test_a_stream_gives_the_death_of_a_call_at_its_place(executor: room.Executor) -> None:
    def poison(x: int) -> int:
        if x == 2:
            os._exit(9)
        return x

    results = iter(executor.map(poison, range(4), retries=0))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(room.WorkerDied, match="exit code 9"):
        next(results)


def test_retry_runs_only_what_failed(executor: room.Executor, tmp_path: Path) -> None:
    # lithops-cloud/lithops#1248
    def once_bad(x: int) -> int:
        (tmp_path / f"{x}-{time.monotonic_ns()}").touch()
        if x % 2 and len(list(tmp_path.glob(f"{x}-*"))) == 1:
            raise ValueError(x)
        return x

    for inputs in (range(4), iter(range(4, 8))):
        futures = executor.map(once_bad, inputs).futures()
        room.wait(futures)
        assert [future.exception() is None for future in futures] == [True, False, True, False]
        again = executor.retry(futures)
        assert again[0] == futures[0] and again[1] != futures[1]
        first = futures[0].result()
        assert executor.get_all_results(again) == [first, first + 1, first + 2, first + 3]
    assert len(list(tmp_path.iterdir())) == 12


# ---- time


@pytest.mark.parametrize("inputs", [[0.0, 60.0]])
def test_a_call_beyond_its_timeout_is_ended(executor: room.Executor, inputs: list[float]) -> None:
    # lithops-cloud/lithops#144 #246: a call that hung was waited for without end.
    calls = executor.map(time.sleep, inputs, timeout=0.2)
    assert calls[0].result(timeout=60) is None
    error = calls[1].exception(timeout=60)
    assert isinstance(error, room.CallTimeout) and isinstance(error, TimeoutError) and "timeout=0.2" in str(error)
    assert executor.map(double, [1]).results() == [2]


def test_native_code_beyond_its_timeout_ends_with_its_process(executor: room.Executor) -> None:
    def stuck(x: int) -> None:
        signal.pthread_sigmask(
            signal.SIG_BLOCK, [signal.SIGALRM]
        )  # as native code that never returns to the interpreter
        time.sleep(60)

    error = executor.call_async(stuck, 0, timeout=0.2).exception(timeout=60)
    assert isinstance(error, room.CallTimeout) and "process had to be ended" in str(error)


@pytest.mark.parametrize("way", WAYS)
def test_the_time_of_the_job_ends_what_is_left(executor: room.Executor, way: dict[str, Any]) -> None:
    calls = executor.map(time.sleep, [0.0, 60.0, 60.0], job_timeout=0.5, **way)
    with pytest.raises(room.JobTimeout, match="job_timeout=0.5"):
        list(calls)
    calls = executor.map(time.sleep, [0.0, 60.0, 60.0], job_timeout=0.5, **way)
    with pytest.raises(room.JobTimeout):
        room.wait(calls)
    assert executor.map(double, [1]).results() == [2]


def test_waiting_has_a_timeout_of_its_own(executor: room.Executor, gate: str) -> None:
    future = executor.call_async(wait_at, gate)
    with pytest.raises(TimeoutError, match="not done after 0.05 s"):
        future.result(timeout=0.05)
    done, pending = room.wait([future], timeout=0.05)
    assert (done, pending) == ([], [future])
    assert room.wait([future], return_when=room.ALWAYS) == ([], [future])
    with pytest.raises(TimeoutError, match=r"1 \(of 1\) futures unfinished"):
        list(room.as_completed([future], timeout=0.05))
    with open(gate, "w") as pipe:
        pipe.write("open")
    assert future.result(timeout=60) == "open"


# ---- cancelling


@pytest.mark.parametrize("way", WAYS)
def test_cancelled_calls_never_begin(executor: room.Executor, gate: str, tmp_path: Path, way: dict[str, Any]) -> None:
    def note(x: int) -> int:
        if x < 2:
            wait_at(gate)
        (tmp_path / f"began{x}").touch()
        return x

    calls = executor.map(note, range(40), **way)
    futures = calls.futures()
    assert executor.cancel(calls) > 0
    assert isinstance(futures[39].exception(timeout=60), room.CallCancelled) and futures[39].cancelled()
    for future in futures[:2]:
        executor.cancel([future], force=True)
    executor.cancel(calls, force=True)
    room.wait(futures, timeout=60)
    assert all(future.done() for future in futures)
    assert not (tmp_path / "began39").exists()


def test_force_ends_what_runs(executor: room.Executor, tmp_path: Path) -> None:
    def sleep(x: int) -> None:
        (tmp_path / "runs").touch()
        time.sleep(60)

    calls = executor.map(sleep, [1], retries=3)
    assert eventually((tmp_path / "runs").exists)
    executor.cancel(calls, force=True)
    began = time.monotonic()
    assert calls[0].exception(timeout=30) is not None
    assert time.monotonic() - began < 20


def test_ctrl_c_ends_the_calls_and_the_executor_stays(tmp_path: Path) -> None:
    # python/cpython#125886, loky #218: it took several.
    program = """
import os, signal, sys, threading, time
import daybreak
from daybreak import map

def main():
    daybreak.init(num_cpus=2)
    executor = map.executor()
    for way in ({}, {"logs": True}):
        for wait in (list, map.wait, lambda calls: calls[0].result()):
            calls = executor.map(time.sleep, [60] * 8, **way)
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
            began = time.monotonic()
            try:
                wait(calls)
            except KeyboardInterrupt:
                took = time.monotonic() - began
            assert executor.map(abs, [-1, -2]).results() == [1, 2]
            print("back", took < 10, flush=True)
    executor.close()

if __name__ == "__main__":
    main()
"""
    file = tmp_path / "program.py"
    file.write_text(program)
    said = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, timeout=120)
    assert said.stdout.count("back True") == 6, said.stdout + said.stderr
