"""Two drivers and more at one engine: what `init("auto")` gives, and what is left when one goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import daybreak
from daybreak._core import runtime as native
from daybreak.runtime import state

from .conftest import eventually


@pytest.fixture(autouse=True)
def engine(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The only engine that can be seen, in a directory of its own."""
    daybreak.shutdown()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
    for name in ("RAY_ADDRESS", "DAYBREAK_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    daybreak.init(num_cpus=2, resources={"licence": 2}, object_store_memory=256 << 20, namespace="first")
    yield daybreak
    daybreak.shutdown()


Driver = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Driver]:
    """Starts a program that has attached, in a folder of its own; what still runs at the end is killed."""
    running: list[subprocess.Popen[str]] = []

    def begin(program: str, arguments: str = "'auto'", before: str = "") -> subprocess.Popen[str]:
        text = f"import daybreak, os, sys, time\n{textwrap.dedent(before)}\ninfo = daybreak.init({arguments})\n"
        path = tmp_path / f"driver{len(running)}.py"
        path.write_text(text + textwrap.dedent(program))
        process = subprocess.Popen(
            [sys.executable, str(path)], cwd=tmp_path, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        running.append(process)
        return process

    yield begin
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def run(start: Driver) -> Callable[..., str]:
    """What such a program prints."""

    def whole(program: str, arguments: str = "'auto'", before: str = "") -> str:
        process = start(program, arguments, before)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        return out

    return whole


def drivers() -> int:
    return sum(row.worker_type == "DRIVER" and row.is_alive for row in state.list_workers())


def says(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def nothing_is_left() -> bool:
    import gc

    gc.collect()
    usage = native._usage()
    return usage["objects"] == usage["functions"] == 0 and usage["actors"] == 0 and drivers() == 1


def test_a_second_driver_submits_gets_puts_and_waits_in_the_engine_of_the_first(run: Callable[..., str]) -> None:
    out = run(
        """
        import numpy as np

        @daybreak.remote
        def total(array, by=1):
            return float(array.sum()) * by, os.getppid()

        @daybreak.remote
        class Counter:
            def __init__(self): self.n = 0
            def add(self, k): self.n += k; return self.n

        array = daybreak.put(np.arange(1e6))
        print(daybreak.get(total.remote(array, by=2))[0], daybreak.cluster_resources()["licence"])
        counter = Counter.remote()
        print(daybreak.get([counter.add.remote(i) for i in range(5)]))
        ready, rest = daybreak.wait([total.remote(array) for _ in range(3)], num_returns=3, timeout=60)
        print(len(ready), len(rest))
        @daybreak.remote
        def items():
            yield from range(4)
        print([daybreak.get(each) for each in items.remote()])
        owner = int(os.path.basename(info["address"]).split("-")[0])
        print(info["address"] == daybreak.get_runtime_context().gcs_address, os.getpid() != owner)
        """
    )
    assert out.splitlines() == ["999999000000.0 2.0", "[0, 1, 3, 6, 10]", "3 0", "[0, 1, 2, 3]", "True True"]
    assert eventually(nothing_is_left), native._usage()


def test_a_named_actor_is_found_from_another_driver_in_its_namespace_and_in_no_other(run: Callable[..., str]) -> None:
    @daybreak.remote
    class Shop:
        def __init__(self) -> None:
            self.sold: list[str] = []

        def sell(self, what: str) -> int:
            self.sold.append(what)
            return len(self.sold)

    shop = Shop.options(name="shop").remote()
    assert daybreak.get(shop.sell.remote("bread")) == 1
    out = run("print(daybreak.get(daybreak.get_actor('shop').sell.remote('milk')))", "'auto', namespace='first'")
    assert out == "2\n"
    out = run("print(daybreak.get(daybreak.get_actor('shop', namespace='first').sell.remote('salt')))")
    assert out == "3\n"
    out = run("try: daybreak.get_actor('shop')\nexcept ValueError as error: print(error)")
    assert "'shop'" in out and "there is one in 'first': say namespace=" in out
    assert daybreak.get(shop.sell.remote("tea")) == 4


def test_two_drivers_without_a_namespace_do_not_see_each_others_names(start: Driver) -> None:
    program = """
        @daybreak.remote
        class Named:
            def who(self): return daybreak.get_runtime_context().namespace

        actor = Named.options(name="same").remote()
        print(daybreak.get(actor.who.remote()), daybreak.get_runtime_context().namespace, flush=True)
        input()
    """
    both = [start(program), start(program)]
    spaces = [says(each).split() for each in both]
    assert spaces[0][0] == spaces[0][1] and spaces[1][0] == spaces[1][1] and spaces[0][0] != spaces[1][0], spaces
    for each in both:
        tell(each)
        assert each.wait(60) == 0


def test_tasks_of_a_driver_import_its_modules_and_begin_in_its_folder(run: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("def answer():\n    return 42\n")
    out = run(
        """
        import beside

        ask = daybreak.remote(beside.answer)

        @daybreak.remote
        def nested():
            return daybreak.get(ask.remote()), os.getcwd(), daybreak.get_runtime_context().namespace
        print(daybreak.get(nested.remote()))
        """,
        "'auto', namespace='mine'",
    )
    assert eval(out) == (42, str(tmp_path), "mine")


def test_its_tasks_see_its_runtime_env_and_those_of_the_first_driver_do_not(run: Callable[..., str]) -> None:
    @daybreak.remote
    def mode() -> str | None:
        return os.environ.get("MODE")

    out = run(
        """
        @daybreak.remote
        def mode():
            return os.environ.get("MODE"), os.environ.get("MORE")
        print(daybreak.get(mode.remote()), daybreak.get(mode.options(runtime_env={"env_vars": {"MORE": "1"}}).remote()))
        """,
        "'auto', runtime_env={'env_vars': {'MODE': 'second'}}",
    )
    assert out == "('second', None) ('second', '1')\n"
    assert daybreak.get(mode.remote()) is None


def test_what_workers_print_comes_out_at_the_driver_that_they_work_for(
    run: Callable[..., str], capfd: pytest.CaptureFixture[str]
) -> None:
    program = """
        @daybreak.remote
        def speak(): print("a word"); print("an error", file=sys.stderr)
        daybreak.get(speak.remote())
        time.sleep(0.3)
    """
    out = run(program)
    assert "(worker pid=" in out and "a word" in out
    assert "a word" not in run(program, "'auto', log_to_driver=False")
    assert "a word" not in capfd.readouterr().out


@pytest.mark.parametrize("how", ["returns", "shutdown", "killed", "_exit", "raises"])
def test_with_a_driver_go_its_tasks_actors_groups_and_objects_and_nobody_elses(start: Driver, how: str) -> None:
    @daybreak.remote
    class Kept:
        def ping(self) -> str:
            return "pong"

    kept = Kept.remote()
    ends = {
        "returns": "", "shutdown": "daybreak.shutdown(); print('shut', daybreak.is_initialized(), flush=True)",
        "killed": "time.sleep(600)", "_exit": "os._exit(0)", "raises": "raise SystemExit(3)",
    }[how]  # fmt: skip
    process = start(
        f"""
        import numpy as np
        from daybreak.runtime.placement_group import placement_group

        @daybreak.remote
        def forever():
            while True: time.sleep(0.01)

        @daybreak.remote
        def outer(): return daybreak.get(forever.remote())

        @daybreak.remote
        class Mine:
            def pid(self): return os.getpid()

        @daybreak.remote(num_cpus=0)
        def maker():
            return Mine.remote()

        large = daybreak.put(np.zeros(1 << 20))
        mine = Mine.remote()
        theirs = daybreak.get(maker.remote())
        print(daybreak.get(mine.pid.remote()), daybreak.get(theirs.pid.remote()), flush=True)
        group = placement_group([{{"licence": 1}}])
        daybreak.get(group.ready())
        running = [outer.remote() for _ in range(4)]
        queued = [forever.remote() for _ in range(50)]
        print("begun", flush=True)
        input()
        {ends}
        """
    )
    pids = [int(pid) for pid in says(process).split()]
    assert says(process) == "begun"
    assert eventually(lambda: drivers() == 2 and daybreak.available_resources().get("licence") == 1)
    tell(process)
    if how == "killed":
        process.send_signal(signal.SIGKILL)
    process.wait(60)

    def only_kept() -> bool:
        usage = native._usage()
        return usage["actors"] == 1 and usage["objects"] - usage["functions"] <= 1 and drivers() == 1

    assert eventually(only_kept, 20), native._usage()
    assert eventually(lambda: daybreak.available_resources().get("licence") == 2)
    assert eventually(lambda: daybreak.available_resources().get("CPU") == 2, 20), daybreak.available_resources()
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids) or eventually(
        lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids)
    )
    assert daybreak.get(kept.ping.remote()) == "pong"


def test_a_detached_actor_of_a_driver_outlives_it_and_goes_on_submitting(run: Callable[..., str]) -> None:
    run(
        """
        @daybreak.remote
        def double(x): return 2 * x

        @daybreak.remote
        class Stays:
            def ask(self, x): return daybreak.get(double.remote(x)), os.getpid()

        actor = Stays.options(name="stays", namespace="shared", lifetime="detached").remote()
        print(daybreak.get(actor.ask.remote(1))[0])
        """
    )
    assert eventually(lambda: drivers() == 1)
    actor = daybreak.get_actor("stays", namespace="shared")
    assert daybreak.get(actor.ask.remote(21))[0] == 42
    # A driver that comes to the same slot, and goes, takes nothing of it along.
    run("print(daybreak.get(daybreak.put(1)))")
    assert daybreak.get(actor.ask.remote(4))[0] == 8
    daybreak.kill(actor)


def test_references_and_handles_pass_between_drivers_through_an_actor(run: Callable[..., str]) -> None:
    @daybreak.remote
    class Board:
        def __init__(self) -> None:
            self.held: dict[str, Any] = {}

        def pin(self, name: str, what: list[Any]) -> None:
            self.held[name] = what[0]

        def take(self, name: str) -> Any:
            return [self.held.pop(name)]

    board = Board.options(name="board").remote()
    daybreak.get(board.pin.remote("ours", [daybreak.put(np.arange(100_000))]))
    out = run(
        """
        import numpy as np
        board = daybreak.get_actor("board")
        print(int(daybreak.get(daybreak.get(board.take.remote("ours"))[0]).sum()))
        daybreak.get(board.pin.remote("theirs", [daybreak.put(np.ones(200_000))]))
        """,
        "'auto', namespace='first'",
    )
    assert out == "4999950000\n"
    ref = daybreak.get(board.take.remote("theirs"))[0]  # its maker has gone, the value is there
    assert daybreak.get(ref).sum() == 200_000


def test_an_array_of_a_driver_that_has_shut_down_does_not_change(run: Callable[..., str]) -> None:
    out = run(
        """
        import numpy as np
        array = daybreak.get(daybreak.put(np.full(2_000_000, 7.0)))
        daybreak.shutdown()
        other = daybreak.init("auto")
        for _ in range(8):
            daybreak.put(np.zeros(2_000_000))
        print(float(array.sum()), daybreak.is_initialized())
        """
    )
    assert out == "14000000.0 True\n"
    assert eventually(nothing_is_left), native._usage()


WAITS = """
@daybreak.remote
def forever():
    while True: time.sleep(0.01)

ref = forever.remote()
print("waits", flush=True)
try: daybreak.get(ref)
except RuntimeError as error: print(error, flush=True)
daybreak.shutdown()
print("left", flush=True)
"""


def test_a_driver_whose_engine_ends_is_told_and_does_not_wait_for_ever(start: Driver) -> None:
    process = start(WAITS)
    assert says(process) == "waits"
    daybreak.shutdown()
    assert "shut down" in says(process)
    assert says(process) == "left" and process.wait(60) == 0


def test_a_driver_whose_engine_is_killed_is_told(start: Driver) -> None:
    daybreak.shutdown()
    engine = subprocess.Popen(
        [sys.executable, "-c", "import daybreak; daybreak.init(num_cpus=1); print('up', flush=True); input()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert says(engine) == "up"
        process = start(WAITS)
        assert says(process) == "waits"
        engine.kill()
        assert "shut down" in says(process)
        assert says(process) == "left" and process.wait(60) == 0
    finally:
        engine.kill()
        engine.communicate()


def test_a_child_that_a_driver_forks_has_no_part_in_the_engine(run: Callable[..., str]) -> None:
    out = run(
        """
        ref = daybreak.put([1, 2])
        pid = os.fork()
        if pid == 0:
            print(daybreak.is_initialized(), flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
        print(daybreak.get(ref), flush=True)
        """
    )
    assert out == "False\n[1, 2]\n"
    assert eventually(nothing_is_left), native._usage()


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ("'auto', num_cpus=2", "ValueError", "num_cpus=2: When connecting to an existing cluster"),
        ("'auto', object_store_memory=1 << 30", "ValueError", "object_store_memory="),
        ("'auto', labels={'a': 'b'}", "ValueError", "labels="),
        ("'auto', local_mode=True", "ValueError", "local_mode"),
        ("'auto', namespace=''", "ValueError", "not a valid namespace"),
        ("'auto', nonsense=1", "ValueError", "no argument 'nonsense'"),
        ("'/nowhere/at/all'", "ConnectionError", "no engine runs at /nowhere/at/all"),
        ("'999999999'", "ValueError", "address='999999999'"),
    ],
)
def test_what_an_attached_driver_cannot_be_given_is_refused_by_name(
    run: Callable[..., str], arguments: str, kind: str, text: str
) -> None:
    out = run(
        "", "'local', num_cpus=1", f"try: daybreak.init({arguments})\nexcept Exception as e: print(type(e).__mro__, e)"
    )
    assert kind in out and text in out, out


def test_auto_without_an_engine_is_an_error_and_not_another_engine(run: Callable[..., str]) -> None:
    daybreak.shutdown()
    before = "import daybreak.runtime.session as session\nsession._RAYS_MARK = '/nowhere'\n"
    before += "try: daybreak.init('auto')\nexcept ConnectionError as error: print(error)"
    out = run("", "'local', num_cpus=1", before)
    assert "no engine of this user runs on this machine" in out


def test_an_engine_is_named_by_its_process_its_session_its_door_or_a_variable(run: Callable[..., str]) -> None:
    door = native._door()[0]
    asked = daybreak.remote(lambda: daybreak.get_runtime_context().gcs_address)
    assert daybreak.get_runtime_context().gcs_address == door == daybreak.get(asked.remote())
    for address in (str(os.getpid()), native._session(), door):
        assert run("print(info['session_id'])", repr(address)).strip() == native._session()
    for name in ("DAYBREAK_ADDRESS", "RAY_ADDRESS"):
        out = run("print(info['session_id'])", "", f"os.environ[{name!r}] = {door!r}")
        assert out.strip() == native._session()


def test_of_two_engines_auto_takes_the_newest_and_says_so(start: Driver, run: Callable[..., str]) -> None:
    other = start("print('up', flush=True)\ninput()", "'local', num_cpus=1")
    assert says(other) == "up"
    process = start("print(info['address'])")
    out, err = process.communicate(timeout=60)
    assert f"/{other.pid}-" in out, (out, err)
    assert "2 engines run here" in err and str(os.getpid()) in err
    tell(other)
    assert other.wait(60) == 0


def test_more_drivers_than_there_are_environments_come_and_go(run: Callable[..., str]) -> None:
    loop = """
        @daybreak.remote
        def f(): return 1
        print(daybreak.get(f.remote()))
        for i in range(160):
            daybreak.shutdown()
            daybreak.init("auto", namespace=f"n{i}")
            if i % 40 == 39: assert daybreak.get(f.remote()) == 1
        print("done")
    """
    assert run(loop) == "1\ndone\n"
    assert eventually(nothing_is_left), native._usage()


def test_another_version_is_refused_by_name(run: Callable[..., str]) -> None:
    out = run(
        "",
        "'local', num_cpus=1",
        "from daybreak.runtime import attaching\n"
        "attaching.identity = lambda: 'Daybreak 0.0 on Python 2.7'\n"
        "try: daybreak.init('auto')\nexcept ValueError as error: print(error)",
    )
    assert "is Daybreak 0.1" in out and "this process Daybreak 0.0 on Python 2.7" in out


def test_a_driver_of_the_engine_is_seen_in_the_list_of_workers(start: Driver) -> None:
    process = start("print('up', flush=True)\ninput()")
    assert says(process) == "up"
    rows = [row for row in state.list_workers() if row.worker_type == "DRIVER"]
    assert {row.pid for row in rows} == {os.getpid(), process.pid}
    tell(process)
    process.wait(60)
    assert eventually(lambda: drivers() == 1)
