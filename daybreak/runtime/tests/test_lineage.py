"""A result whose value is lost is computed again by its task, with what that needs; what cannot be says why, and the way out."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import daybreak
from daybreak.runtime import exceptions as ex
from daybreak.runtime import state

from .conftest import eventually

MIB = 1 << 20


class Losing:
    """A runtime whose store holds three arrays, and whose spilled files get lost. Tasks note that they run, in a file."""

    def __init__(self, folder: Path) -> None:
        self.spilled, self.noted = folder / "spilled", folder / "ran"
        self.spilled.mkdir()
        self.noted.touch()

    def files(self) -> dict[str, Path]:
        return {
            path.name: path for parent in self.spilled.iterdir() for path in parent.iterdir() if path.name != "lock"
        }

    def spill(self, *refs: Any) -> None:
        """Until all of these, which are done and nobody reads, are on disk."""
        daybreak.wait(list(refs), num_returns=len(refs))
        gc.collect()
        for _ in range(50):
            if all(ref.hex()[16:] in self.files() for ref in refs):
                # What has been read back is in memory, too.
                spilled = {row.object_id for row in state.list_objects(limit=10_000) if row.spilled}
                if all(ref.hex() in spilled for ref in refs):
                    return
            fillers = [daybreak.put(np.zeros(MIB)) for _ in range(int(state.status().store[1] // (9 * MIB)))]
            del fillers
        raise AssertionError("it was not spilled")

    def lose(self, *refs: Any, how: str = "gone") -> None:
        self.spill(*refs)
        for ref in refs:
            path = self.files()[ref.hex()[16:]]
            if how == "gone":
                path.unlink()
            elif how == "cut":
                os.truncate(path, 1000)
            else:
                with path.open("r+b") as file:
                    file.seek(4_321_000)
                    file.write(b"\xff\xff\xff")

    def ran(self) -> Counter[str]:
        return Counter(self.noted.read_text().split())


@pytest.fixture
def losing(tmp_path: Path) -> Iterator[Losing]:
    daybreak.shutdown()
    made = Losing(tmp_path)
    daybreak.init(num_cpus=2, object_store_memory=32 * MIB, object_spilling_directory=made.spilled)
    yield made
    daybreak.shutdown()
    assert list(made.spilled.iterdir()) == [], "the folder is removed at the end"


def note(path: Path, what: str) -> None:
    with path.open("a") as file:
        file.write(f"{what}\n")


@daybreak.remote
def make(noted: Path, seed: int) -> Any:
    note(noted, f"make{seed}")
    return np.arange(seed, seed + MIB, dtype=np.float64)  # 8 MiB


@daybreak.remote
def add(noted: Path, name: str, *arrays: Any) -> Any:
    note(noted, name)
    return sum(arrays) + 1.0


@daybreak.remote
def first(array: Any) -> float:
    return float(array[0])


@pytest.mark.parametrize("how", ["gone", "cut", "changed"])
def test_a_result_whose_file_is_damaged_is_computed_again_once(losing: Losing, how: str) -> None:
    ref = make.remote(losing.noted, 7)
    losing.lose(ref, how=how)
    assert daybreak.wait([ref], timeout=0)[0] == [ref]
    np.testing.assert_array_equal(daybreak.get(ref), np.arange(7, 7 + MIB))
    assert losing.ran() == {"make7": 2}
    losing.lose(ref, how=how)
    assert daybreak.get(first.remote(ref)) == 7
    assert losing.ran() == {"make7": 3}


def test_a_folder_that_is_gone_is_no_loss_of_what_tasks_have_made(losing: Losing) -> None:
    refs = [make.remote(losing.noted, seed) for seed in range(4)]
    losing.spill(refs[0])
    (folder,) = losing.spilled.iterdir()
    shutil.rmtree(folder, ignore_errors=True)  # values that go meanwhile take their files themselves
    del refs[1:]
    assert daybreak.get(refs[0])[0] == 0
    assert daybreak.get(make.remote(losing.noted, 9))[1] == 10
    folder.mkdir(mode=0o700)


def test_an_array_that_is_read_stays_true_when_its_file_goes(losing: Losing) -> None:
    ref = make.remote(losing.noted, 5)
    losing.spill(ref)
    kept = [daybreak.get(daybreak.put(np.zeros(MIB))) for _ in range(3)]  # so it is read where its file lies
    view = daybreak.get(ref)
    losing.files()[ref.hex()[16:]].unlink()
    kept.clear()
    np.testing.assert_array_equal(view, np.arange(5, 5 + MIB))
    np.testing.assert_array_equal(daybreak.get(ref), np.arange(5, 5 + MIB))
    np.testing.assert_array_equal(view, np.arange(5, 5 + MIB))
    assert losing.ran() == {"make5": 2}


def test_who_has_its_array_in_memory_does_not_lose_it_with_the_file(losing: Losing) -> None:
    ref = make.remote(losing.noted, 5)
    losing.spill(ref)
    view = daybreak.get(ref)
    losing.files()[ref.hex()[16:]].unlink()
    np.testing.assert_array_equal(daybreak.get(ref), view)
    assert losing.ran() == {"make5": 1}


@pytest.mark.parametrize("length", [2, 20])
def test_a_chain_whose_middle_nobody_held_is_computed_again_from_its_beginning(losing: Losing, length: int) -> None:
    ref = make.remote(losing.noted, 0)
    for step in range(1, length):
        ref = add.remote(losing.noted, f"add{step}", ref)
    assert daybreak.get(ref)[1] == length
    losing.lose(ref)
    assert daybreak.get(ref)[1] == length
    assert losing.ran() == {"make0": 2, **{f"add{step}": 2 for step in range(1, length)}}


def test_what_only_lineage_holds_takes_no_room(losing: Losing) -> None:
    ref = make.remote(losing.noted, 0)
    for step in range(12):
        ref = add.remote(losing.noted, f"add{step}", ref)
    daybreak.wait([ref])
    gc.collect()
    assert eventually(lambda: sum(row.object_size for row in state.list_objects()) < 10 * MIB)
    assert len(losing.files()) <= 1


def test_a_diamond_is_computed_again_once_from_its_top(losing: Losing) -> None:
    top = make.remote(losing.noted, 3)
    bottom = add.remote(
        losing.noted, "bottom", add.remote(losing.noted, "left", top), add.remote(losing.noted, "right", top)
    )
    del top
    assert daybreak.get(bottom)[0] == 9
    losing.lose(bottom)
    assert daybreak.get(bottom)[0] == 9
    assert losing.ran() == {"make3": 2, "left": 2, "right": 2, "bottom": 2}


def test_many_readers_in_many_processes_await_one_computation(losing: Losing) -> None:
    @daybreak.remote
    class Reader:
        def read(self, refs: list[Any]) -> float:
            return float(daybreak.get(refs[0])[0])

    ref = make.remote(losing.noted, 4)
    readers = [Reader.remote() for _ in range(4)]
    daybreak.get([reader.__ray_ready__.remote() for reader in readers])
    losing.lose(ref)
    read = [reader.read.remote([ref]) for reader in readers] + [first.remote(ref) for _ in range(4)]
    found: list[float] = []
    threads = [threading.Thread(target=lambda: found.append(float(daybreak.get(ref)[0]))) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert daybreak.get(read) == [4.0] * 8
    for thread in threads:
        thread.join()
    assert found == [4.0] * 4
    # Once for this loss; files that were written later are whole.
    assert losing.ran() == {"make4": 2}


def test_the_only_cpu_is_given_up_by_who_waits_for_what_is_computed_again(tmp_path: Path) -> None:
    daybreak.shutdown()
    losing = Losing(tmp_path)
    with daybreak.init(num_cpus=1, object_store_memory=48 * MIB, object_spilling_directory=losing.spilled):
        refs = [make.remote(losing.noted, seed) for seed in range(3)]
        losing.lose(*refs)
        assert daybreak.get(add.remote(losing.noted, "sum", *refs), timeout=60)[0] == 4


# What cannot be computed again says why.


def test_retries_are_what_is_spent_and_their_end_is_said(losing: Losing) -> None:
    never = make.options(max_retries=0).remote(losing.noted, 1)
    losing.lose(never)
    with pytest.raises(ex.ObjectLostError, match="max_retries=0"):
        daybreak.get(never)
    once = make.options(max_retries=1).remote(losing.noted, 2)
    losing.lose(once)
    assert daybreak.get(once)[0] == 2
    losing.lose(once)
    with pytest.raises(ex.ObjectLostError, match="used up its max_retries"):
        daybreak.get(first.remote(once))
    always = make.options(max_retries=-1).remote(losing.noted, 3)
    for _ in range(3):
        losing.lose(always)
        assert daybreak.get(always)[0] == 3
    assert losing.ran() == {"make1": 1, "make2": 2, "make3": 4}


def test_a_put_argument_is_kept_by_who_holds_it_alone(losing: Losing) -> None:
    held, dropped = daybreak.put(np.ones(MIB)), daybreak.put(np.ones(MIB))
    of_held, of_dropped = add.remote(losing.noted, "held", held), add.remote(losing.noted, "dropped", dropped)
    daybreak.wait([of_held, of_dropped], num_returns=2)
    del dropped
    losing.lose(of_held)
    assert daybreak.get(of_held)[0] == 2
    losing.lose(of_dropped)
    with pytest.raises(ex.ObjectLostError, match="put\\(\\) made it.*keep the reference"):
        daybreak.get(of_dropped)
    assert losing.ran() == {"held": 2, "dropped": 1}


def test_an_array_that_was_passed_by_value_goes_with_its_task(losing: Losing) -> None:
    ref = add.remote(losing.noted, "by_value", np.ones(MIB))
    losing.lose(ref)
    with pytest.raises(ex.ObjectLostError, match="passed by value"):
        daybreak.get(ref)


def test_small_arguments_are_kept_however_they_were_made(losing: Losing) -> None:
    @daybreak.remote
    def three() -> int:
        return 3

    @daybreak.remote
    def repeated(noted: Path, times: int, seed: int, text: str) -> Any:
        note(noted, "repeated")
        return np.full(MIB, times * seed + len(text), dtype=np.float64)

    ref = repeated.remote(losing.noted, three.remote(), daybreak.put(5), "x" * 5_000)
    daybreak.wait([ref])
    gc.collect()
    losing.lose(ref)
    assert daybreak.get(ref)[0] == 5_015


def test_references_inside_arguments_keep_their_objects_whole(losing: Losing) -> None:
    @daybreak.remote
    def total(noted: Path, inside: dict[str, list[Any]]) -> Any:
        note(noted, "total")
        return sum(daybreak.get(inside["refs"]))

    ref = total.remote(losing.noted, {"refs": [make.remote(losing.noted, 1), daybreak.put(np.ones(MIB))]})
    assert daybreak.get(ref)[0] == 2
    losing.lose(ref)
    assert daybreak.get(ref)[0] == 2
    assert losing.ran() == {"make1": 1, "total": 2}


def test_results_of_actors_streams_and_tasks_with_several_are_refused_by_name(losing: Losing) -> None:
    @daybreak.remote
    class Maker:
        def make(self) -> Any:
            return np.zeros(MIB)

    @daybreak.remote(num_returns=2)
    def two() -> Any:
        return np.zeros(MIB), np.ones(MIB)

    @daybreak.remote
    def items() -> Any:
        yield np.zeros(MIB)

    maker = Maker.options(max_task_retries=3).remote()
    of_actor = maker.make.remote()
    losing.lose(of_actor)
    with pytest.raises(ex.ObjectLostError, match="a call of an actor made it"):
        daybreak.get(of_actor)
    one, other = two.remote()
    losing.lose(one, other)
    for result in (one, other):
        with pytest.raises(ex.ObjectLostError, match="one of several results"):
            daybreak.get(result)
    item = next(items.remote())
    losing.lose(item)
    with pytest.raises(ex.ObjectLostError, match="or a generator"):
        daybreak.get(item)


# ----------------------------------------------------------------------------------------------------------------------
# The second run is a run like any other.


def test_a_function_that_its_driver_has_dropped_still_runs_again(losing: Losing) -> None:
    def submit() -> Any:
        offset = np.random.default_rng(1).integers(5, 6)

        @daybreak.remote
        def local(noted: Path) -> Any:
            note(noted, "local")
            return np.full(MIB, offset, dtype=np.float64)

        return local.remote(losing.noted)

    ref = submit()
    daybreak.wait([ref])
    for i in range(200):  # functions that nothing needs are given up meanwhile
        daybreak.get(daybreak.remote(lambda i=i: i).remote())
    losing.lose(ref)
    assert daybreak.get(ref)[0] == 5
    assert losing.ran() == {"local": 2}


def test_a_second_run_may_fail_or_give_something_else(losing: Losing) -> None:
    @daybreak.remote
    def fickle(noted: Path, then: str) -> Any:
        with noted.open() as file:
            again = file.read().count(then) > 0
        note(noted, then)
        if not again:
            return np.zeros(MIB)
        if then == "raises":
            raise ValueError("not a second time")
        return {"small": 7, "references": [daybreak.put(8)], "larger": np.ones(2 * MIB)}[then]

    refs = {then: fickle.remote(losing.noted, then) for then in ("raises", "small", "references", "larger")}
    for then, ref in refs.items():
        losing.lose(ref)
        if then == "raises":
            with pytest.raises(ValueError, match="not a second time"):
                daybreak.get(ref)
        elif then == "small":
            assert daybreak.get(ref) == 7
        elif then == "references":
            assert daybreak.get(daybreak.get(ref)[0]) == 8
        else:
            assert daybreak.get(ref).shape == (2 * MIB,)


def test_the_death_of_the_worker_that_computes_again_is_one_more_retry(losing: Losing) -> None:
    @daybreak.remote(max_retries=2)
    def dies_once_more(noted: Path) -> Any:
        note(noted, "run")
        if noted.read_text().count("run") == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return np.full(MIB, 2.0)

    ref = dies_once_more.remote(losing.noted)
    losing.lose(ref)
    assert daybreak.get(ref)[0] == 2
    assert losing.ran() == {"run": 3}


@daybreak.remote
def waits_the_second_time(folder: Path) -> Any:
    if (folder / "once").exists():
        (folder / "again").touch()
        os.mkfifo(folder / "fifo")
        (folder / "fifo").read_text()  # until it is written to
    (folder / "once").touch()
    return np.full(MIB, 6.0)


def test_a_timeout_and_a_cancellation_reach_what_is_computed_again(losing: Losing, tmp_path: Path) -> None:
    ref = waits_the_second_time.remote(tmp_path)
    losing.lose(ref)
    with pytest.raises(ex.GetTimeoutError, match="computed again"):
        daybreak.get(ref, timeout=0.2)
    with pytest.raises(ex.GetTimeoutError):
        daybreak.get([ref], timeout=0.2)
    assert daybreak.wait([ref], timeout=0)[0] == []
    assert eventually((tmp_path / "fifo").exists)
    daybreak.cancel(ref)
    with pytest.raises(ex.TaskCancelledError):
        daybreak.get(ref)


def test_a_runtime_ends_while_something_is_computed_again(losing: Losing, tmp_path: Path) -> None:
    ref = waits_the_second_time.remote(tmp_path)
    losing.lose(ref)
    caught: list[BaseException] = []

    def read() -> None:
        try:
            daybreak.get(ref)
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    assert eventually((tmp_path / "fifo").exists)
    daybreak.shutdown()
    thread.join(timeout=30)
    assert "shut down" in str(caught[0])


def test_await_and_futures_get_what_is_computed_again(losing: Losing) -> None:
    ref = make.remote(losing.noted, 8)
    losing.lose(ref)

    async def read() -> float:
        return float((await ref)[0])

    assert asyncio.run(read()) == 8
    losing.lose(ref)
    assert ref.future().result(timeout=60)[0] == 8


def test_other_resources_and_environments_are_asked_for_again(losing: Losing) -> None:
    @daybreak.remote(num_cpus=2, runtime_env={"env_vars": {"SEED": "12"}})
    def seeded(noted: Path) -> Any:
        note(noted, "seeded")
        return np.full(MIB, float(os.environ["SEED"]))

    ref = seeded.remote(losing.noted)
    losing.lose(ref)
    assert daybreak.get(ref)[0] == 12
    assert losing.ran() == {"seeded": 2}


def test_a_result_outlives_the_worker_that_submitted_its_task_and_is_computed_again(losing: Losing) -> None:
    @daybreak.remote
    class Submitter:
        def submit(self, noted: Path) -> list[Any]:
            @daybreak.remote
            def inner(noted: Path) -> Any:
                note(noted, "inner")
                return np.full(MIB, 3.0)

            ref = inner.remote(noted)
            daybreak.wait([ref])
            return [ref]

    submitter = Submitter.remote()
    (ref,) = daybreak.get(submitter.submit.remote(losing.noted))
    daybreak.kill(submitter)
    assert eventually(lambda: state.list_actors()[0].state == "DEAD")
    losing.lose(ref)
    assert daybreak.get(ref)[0] == 3
    assert losing.ran() == {"inner": 2}


def test_state_counts_what_is_on_disk_and_not_what_was_given_up(losing: Losing) -> None:
    ref = add.remote(losing.noted, "add", make.remote(losing.noted, 1))
    losing.spill(ref)
    assert state.status().spilled["objects"] == len(losing.files())


def test_a_long_loop_keeps_a_bounded_number_of_tasks_and_bytes() -> None:
    # In a process of its own: the table of objects is looked at as a whole.
    code = """
import numpy as np, daybreak, sys
from daybreak.runtime import state
@daybreak.remote
def step(array, text):
    return array
daybreak.init(num_cpus=2, object_store_memory=256 << 20)
turns = int(sys.argv[1])
ref = daybreak.put(np.zeros(8_193))  # the smallest that moves
for turn in range(turns):
    ref = step.remote(ref, "x" * 1000)
    if turn % 100 == 99:
        daybreak.wait([ref])
daybreak.get(ref)
entries = sum(kind["total_objects"] for kind in state.summarize_objects().values())
print(entries, state.status().store[0] >> 20)
"""
    ran = subprocess.run([sys.executable, "-c", code, "40000"], capture_output=True, text=True, check=True, timeout=200)
    entries, mib = map(int, ran.stdout.split())
    assert 16_000 < entries < 16_384 + 300, "as many as are kept, and the few that run"
    assert mib < 64


# What went wrong elsewhere.


def test_a_loop_over_put_and_a_task_leaves_nothing_behind(losing: Losing) -> None:  # ray#31421
    for turn in range(20):
        data = daybreak.put(np.full(MIB, float(turn)))
        ref = add.remote(losing.noted, f"turn{turn}", data)
        assert daybreak.get(ref)[0] == turn + 1
    del data, ref
    gc.collect()
    assert eventually(lambda: state.status().store[0] < MIB and losing.files() == {})


def test_large_arguments_of_nested_calls_are_not_kept_for_their_lineage(losing: Losing) -> None:  # ray#43624, ray#25779
    @daybreak.remote
    def outer(noted: Path) -> list[Any]:
        refs = [add.remote(noted, f"inner{i}", np.ones(MIB)) for i in range(6)]
        daybreak.wait(refs, num_returns=6)
        return refs

    refs = daybreak.get(outer.remote(losing.noted))

    def large() -> set[str]:
        return {row.object_id for row in state.list_objects() if row.object_size > MIB}

    assert eventually(lambda: large() == {ref.hex() for ref in refs})


def test_an_actor_that_starts_again_gets_an_argument_that_was_dropped_and_lost(losing: Losing) -> None:  # ray#47043
    @daybreak.remote(max_restarts=1, max_task_retries=1)
    class Keeper:
        def __init__(self, array: Any) -> None:
            self.first = float(array[0])

        def pid(self) -> int:
            return os.getpid()

        def read(self) -> float:
            return self.first

    argument = make.remote(losing.noted, 6)
    keeper = Keeper.remote(argument)
    pid = daybreak.get(keeper.pid.remote())
    losing.lose(argument)
    del argument
    gc.collect()
    os.kill(pid, signal.SIGKILL)
    assert daybreak.get(keeper.read.remote(), timeout=60) == 6
    assert losing.ran() == {"make6": 2}


def test_a_store_with_room_for_little_more_than_one_task_computes_a_chain_again(losing: Losing) -> None:  # ray#13689
    ref = make.remote(losing.noted, 1)
    for step in range(4):
        ref = add.remote(losing.noted, f"add{step}", ref)
    losing.lose(ref)
    last = add.remote(losing.noted, "last", ref)  # waits with its argument lost
    assert daybreak.get(last, timeout=60)[0] == 6


def test_a_dependency_that_cannot_be_had_again_ends_the_wait_of_everybody_behind(losing: Losing) -> None:  # ray#47606
    @daybreak.remote
    class Maker:
        def make(self) -> Any:
            return np.zeros(MIB)

    maker = Maker.remote()
    made = maker.make.remote()
    ref = add.remote(losing.noted, "add", made)
    daybreak.wait([ref])
    del made
    daybreak.kill(maker)
    losing.lose(ref)
    behind = [first.remote(ref), add.remote(losing.noted, "behind", ref)]
    for waits in (ref, *behind):
        with pytest.raises(ex.ObjectLostError, match="a call of an actor made it"):
            daybreak.get(waits, timeout=60)


def test_an_item_of_a_generator_that_is_gone_is_an_error_and_no_wait(losing: Losing) -> None:  # ray#39151, ray#46425
    @daybreak.remote
    def items() -> Any:
        yield np.zeros(MIB)
        yield np.ones(MIB)

    refs = list(items.remote())
    losing.lose(*refs)
    for ref in refs:
        with pytest.raises(ex.ObjectLostError):
            daybreak.get(ref, timeout=60)


def test_who_waits_for_a_task_that_waits_for_what_is_lost_is_served(losing: Losing) -> None:  # ray#64581, ray#19497
    ref = make.remote(losing.noted, 2)
    losing.spill(ref)
    gate = waits_the_second_time.remote(losing.noted.parent)
    queued = [add.remote(losing.noted, f"queued{i}", ref, gate) for i in range(3)]
    losing.files()[ref.hex()[16:]].unlink()
    assert [float(daybreak.get(one, timeout=60)[0]) for one in queued] == [9.0] * 3
    assert losing.ran()["make2"] == 2
