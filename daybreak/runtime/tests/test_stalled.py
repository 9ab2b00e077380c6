"""A get or wait that lasts says what it waits for: which resource, which reference. Beside a program that only takes its time it is
silent."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import daybreak
from daybreak._core import runtime as native
from daybreak.runtime import stalled


@pytest.fixture
def soon() -> Iterator[None]:
    native._say_stalled_after(0.05)
    yield
    native._say_stalled_after(10.0)


@pytest.fixture
def engine() -> Iterator[None]:
    daybreak.shutdown()
    daybreak.init(num_cpus=2, resources={"press": 1})
    yield
    daybreak.shutdown()


def lines_of(capfd: Any, call: Any) -> list[str]:
    capfd.readouterr()
    with pytest.raises(daybreak.exceptions.GetTimeoutError):
        call()
    return [line for line in capfd.readouterr().err.splitlines() if line]


def test_a_task_without_its_cpus_says_which_and_who_runs(engine: None, soon: None, capfd: Any, tmp_path: Any) -> None:
    gate = daybreak.remote(_until)
    running = gate.remote(str(tmp_path / "gate"))
    assert eventually(lambda: native._resources(True)["CPU"] == 1)
    waiting = gate.options(num_cpus=2).remote(str(tmp_path / "gate"))
    head, line = lines_of(capfd, lambda: daybreak.get(waiting, timeout=1))
    assert head == "daybreak: get() has waited 0.05 s:"
    assert "_until (" in line and "waits for CPU: 2 (1 free of 2); running: _until (" in line
    (tmp_path / "gate").touch()
    assert daybreak.get([running, waiting]) == [1, 1]


def test_the_way_from_a_task_to_what_it_lacks_is_shown(engine: None, soon: None, capfd: Any) -> None:
    @daybreak.remote(resources={"press": 1}, num_cpus=0)
    class Printer:
        def page(self) -> int:
            return 1

    @daybreak.remote
    def after(_: Any) -> int:
        return 2

    first, second = Printer.remote(), Printer.remote()
    assert daybreak.get(first.page.remote()) == 1
    page = second.page.remote()
    head, outer, inner = lines_of(capfd, lambda: daybreak.get(after.remote(page), timeout=1))
    assert "after (" in outer and f"waits for its arguments: {page.hex()[-16:]} of " in outer
    assert "waits for actor Printer, which is PENDING_CREATION: it waits for press: 1 (0 free of 1)" in inner
    del first


def test_a_task_that_waits_for_its_own_task_says_so(engine: None, soon: None, capfd: Any) -> None:
    @daybreak.remote(resources={"press": 1})
    def outer() -> Any:
        @daybreak.remote(resources={"press": 1})
        def inner() -> int:
            return 1

        return daybreak.get(inner.remote())

    head, first, second = lines_of(capfd, lambda: daybreak.get(outer.remote(), timeout=1))
    assert "outer (" in first and "waits in get() or wait() for tasks of its own" in first
    assert "inner (" in second and "waits for press: 1 (0 free of 1)" in second


def test_calls_behind_one_that_waits_show_both(engine: None, soon: None, capfd: Any, tmp_path: Any) -> None:
    @daybreak.remote
    class One:
        def until(self, path: str) -> int:
            return _until(path)

    actor = One.remote()
    first, second = actor.until.remote(str(tmp_path / "gate")), actor.until.remote(str(tmp_path / "gate"))
    assert eventually(lambda: any("behind" in line for line in stalled.explain([second.hex()[-16:]])))
    assert not stalled.explain([first.hex()[-16:]])
    (tmp_path / "gate").touch()
    assert daybreak.get([first, second]) == [1, 1]


def test_nothing_is_said_of_a_task_that_runs(engine: None, soon: None, capfd: Any, tmp_path: Any) -> None:
    running = daybreak.remote(_until).remote(str(tmp_path / "gate"))
    assert lines_of(capfd, lambda: daybreak.get(running, timeout=0.5)) == []
    (tmp_path / "gate").touch()
    assert daybreak.get(running) == 1


def test_it_is_said_once_and_the_wait_goes_on(engine: None, soon: None, capfd: Any, tmp_path: Any) -> None:
    gate = daybreak.remote(_until)
    refs = [gate.remote(str(tmp_path / "gate")) for _ in range(3)]
    threading.Timer(0.7, (tmp_path / "gate").touch).start()
    ready, rest = daybreak.wait(refs, num_returns=3)
    assert daybreak.get(ready) == [1, 1, 1] and not rest
    assert capfd.readouterr().err.count("daybreak: wait() has waited") == 1


def test_a_program_is_told_after_ten_seconds() -> None:
    program = (
        "import daybreak\n"
        "daybreak.init(num_cpus=1, resources={'x': 1})\n"
        "holds = daybreak.remote(resources={'x': 1})(type('Holds', (), {'ready': lambda self: True})).remote()\n"
        "assert daybreak.get(holds.ready.remote())\n"
        "wants = daybreak.remote(resources={'x': 1})(lambda: 1)\n"
        "try:\n"
        "    daybreak.get(wants.remote(), timeout=11)\n"
        "except daybreak.exceptions.GetTimeoutError as error:\n"
        "    print('timeout')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "timeout\n", done.stderr
    assert "daybreak: get() has waited 10 s:\n" in done.stderr
    assert "waits for x: 1 (0 free of 1); actors alive: 1" in done.stderr


def _until(path: str) -> int:
    import os
    import time

    while not os.path.exists(path):
        time.sleep(0.005)
    return 1


def eventually(holds: Any, seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True
