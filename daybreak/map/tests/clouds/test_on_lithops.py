"""Our map on Lithops' back ends, with stores and queues that are real. `./dev test --suite=map_clouds`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lithops", reason="needs Lithops: ./dev test --suite=map_clouds")

from test_inside_lithops import s3_section

from daybreak import map as dmap
from daybreak.base.errors import FailedPreconditionError, InvalidArgumentError
from daybreak.map.clouds.plan import CostExceeded

LOCALHOST = {"lithops": {"backend": "localhost", "storage": "localhost"}}


@pytest.fixture(scope="module")
def local() -> Iterator[Any]:
    with dmap.executor("lithops", config=LOCALHOST, retries=1) as made:
        yield made


def square(x: int) -> int:
    return x * x


class Odd(Exception):
    def __init__(self, a: int, b: int) -> None:
        super().__init__(a)
        self.b = b


def test_results_come_in_order_with_a_status(local: Any) -> None:
    assert list(local.map(square, range(5))) == [0, 1, 4, 9, 16]
    future = local.call_async(pow, 2, 5)
    assert future.result() == 32
    assert {"start_time", "end_time", "exec_time", "pid", "host", "peak_bytes", "attempts"} <= set(future.status)
    assert list(local.map(pow, [(2, 3), (3, 2)], star=True)) == [8, 9]
    assert list(local.map(square, [])) == []
    assert local.call_async(lambda x: None, 1).result() is None  # which Lithops drops


def test_executors_of_other_processes_have_other_ids() -> None:
    """A child that makes one inherits Lithops' count, and its results would be read here as ours."""
    config = {**LOCALHOST, "localhost": {"runtime": sys.executable}}
    program = (
        f"import lithops\nwith lithops.FunctionExecutor(config={config!r}, log_level=None) as made:\n"
        "    made.map(lambda x: -x, range(5)); print(made.get_result())"
    )
    with dmap.executor("lithops", config=LOCALHOST) as first:
        assert list(first.map(square, [3])) == [9]
        done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, timeout=100)
        assert done.stdout.split("\n")[-2] == "[0, -1, -2, -3, -4]", done.stderr
        with dmap.executor("lithops", config=LOCALHOST) as second:
            assert list(second.map(square, range(5))) == [0, 1, 4, 9, 16]


def test_errors_keep_their_type_and_the_traceback_there(local: Any) -> None:
    def fail(x: int) -> None:
        raise KeyError("missing", x)

    error = local.call_async(fail, 3).exception()
    assert type(error) is KeyError and error.args == ("missing", 3) and "in fail" in str(error.__cause__)

    def odd(x: int) -> None:
        raise Odd(1, 2)

    error = local.call_async(odd, 3).exception()
    assert "Odd" in str(error) and "1" in str(error)
    error = local.call_async(sys.exit, 3).exception()
    assert "non-zero return code" in str(error)


def test_results_larger_than_a_status_come_whole(local: Any) -> None:
    assert local.call_async(bytes, 300_000).result() == bytes(300_000)


def test_a_process_that_ends_and_one_that_is_killed_are_retried_then_named(local: Any, tmp_path: Path) -> None:
    def once(x: int) -> str:
        if not (tmp_path / "tried").exists():
            (tmp_path / "tried").touch()
            os._exit(7)
        return "second"

    future = local.call_async(once, 1)
    assert future.result() == "second" and future.status["attempts"] == 2
    with pytest.raises(dmap.WorkerDied, match="try 2 of 2.*code 7"):
        local.call_async(lambda x: os._exit(7), 1).result()

    def kill_all(x: int) -> None:
        os.kill(os.getppid(), 9)
        time.sleep(1)

    began = time.monotonic()
    with pytest.raises(dmap.WorkerDied, match="without a word"):
        local.call_async(kill_all, 1, retries=0).result()
    assert time.monotonic() - began < 60


def test_a_call_over_its_time_is_a_timeout(local: Any) -> None:
    with pytest.raises(dmap.CallTimeout, match="longer than 1 s"):
        local.call_async(time.sleep, 60, timeout=1).result()


def test_cancelled_calls_are_told_at_once(local: Any) -> None:
    calls = local.map(time.sleep, [60, 60])
    future = calls[0]
    calls.cancel(force=True)
    with pytest.raises(dmap.CallCancelled):
        future.result(30)
    assert list(local.map(square, [3])) == [9]


def test_an_input_that_does_not_pickle_fails_alone(local: Any) -> None:
    calls = local.map(square, [1, (i for i in ()), 3])
    futures = [calls[i] for i in range(3)]
    assert futures[0].result() == 1 and futures[2].result() == 9
    assert "generator" in str(futures[1].exception())


def test_variables_and_modules_of_the_caller_go_along(
    local: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "beside_me.py").write_text("def twice(x):\n    return 2 * x\n")
    import beside_me  # type: ignore[import-not-found]

    assert list(local.map(beside_me.twice, [4])) == [8]
    assert local.call_async(lambda name: os.environ[name], "GIVEN", extra_env={"GIVEN": "yes"}).result() == "yes"


def test_a_limit_of_money_is_kept_before_anything_is_submitted() -> None:
    prices = {
        "localhost": {"gb_second": 1.0, "million_calls": 0, "thousand_reads": 0, "thousand_writes": 0, "least_ms": 1}
    }
    with dmap.executor("lithops", config=LOCALHOST, prices=prices, max_cost=0.6, seconds=1.0) as made:
        assert list(made.map(square, [1, 2])) == [1, 4]  # 2 x 1 s x 0.25 GB
        with pytest.raises(CostExceeded, match="max_cost=0.6 USD: 0.5 are planned"):
            list(made.map(square, [3]))


def test_options_and_configurations_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="max_costs"):
        dmap.executor("lithops", config=LOCALHOST, max_costs=1)
    with pytest.raises(FileNotFoundError):
        dmap.executor("lithops", config=tmp_path / "none")
    (tmp_path / "list").write_text("- 1\n")
    with pytest.raises(InvalidArgumentError, match="mapping"):
        dmap.executor("lithops", config=tmp_path / "list")
    made = dmap.executor("lithops", config={"lithops": {"backend": "aws_lambda"}})
    with pytest.raises(FailedPreconditionError, match="doctor --backend aws_lambda"):
        list(made.map(square, [1]))
    made.close()


def test_nothing_is_left_in_the_store(s3: str) -> None:
    from daybreak.map.storage import S3Store

    config = {
        "lithops": {"backend": "localhost", "storage": "minio", "monitoring_interval": 0.2},
        "minio": s3_section(s3),
    }
    with dmap.executor("lithops", config=config) as made:
        assert list(made.map(square, range(4))) == [0, 1, 4, 9]
        assert made.call_async(bytes, 100_000).result() == bytes(100_000)
    store, deadline = S3Store("lithops-test"), time.monotonic() + 60
    while (left := [each.key for each in store.list("lithops.jobs")]) and time.monotonic() < deadline:
        time.sleep(0.1)  # Lithops deletes in a process of its own
    assert left == []


def test_completions_are_pushed_through_redis(redis: int) -> None:
    section = {"host": "127.0.0.1", "port": redis}
    config = {"lithops": {"backend": "localhost", "storage": "redis", "monitoring": "redis"}, "redis": section}
    with dmap.executor("lithops", config=config) as made:
        assert list(made.map(square, range(4))) == [0, 1, 4, 9]
        assert made._engine.executor().job_monitor.type == "redis"


def test_it_runs_on_ours_inside_lithops_too() -> None:
    with dmap.executor("lithops", config={"lithops": {"backend": "daybreak"}}) as made:
        assert list(made.map(square, range(50))) == [i * i for i in range(50)]
        with pytest.raises(dmap.WorkerDied, match="exit code 5"):
            made.call_async(os._exit, 5, retries=0).result()
