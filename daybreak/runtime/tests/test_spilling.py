"""Objects that do not fit are written to disk and come back; what is lost, full or damaged says so."""

from __future__ import annotations

import gc
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import daybreak
from daybreak.runtime import exceptions as ex
from daybreak.runtime import spilling, state

from .conftest import eventually

MIB = 1 << 20


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Any]:
    """A runtime whose store holds three of the arrays below."""
    daybreak.shutdown()
    daybreak.init(num_cpus=2, object_store_memory=32 * MIB, object_spilling_directory=tmp_path)
    yield daybreak
    daybreak.shutdown()
    assert list(tmp_path.iterdir()) == [], "the folder is removed at the end"


def array(seed: int) -> np.ndarray:
    return np.arange(seed, seed + MIB, dtype=np.float64)  # 8 MiB


def folder_of(parent: Path) -> Path:
    (found,) = parent.iterdir()
    return found


def files_of(parent: Path) -> list[Path]:
    return [path for path in folder_of(parent).iterdir() if path.name != "lock"]


def test_ten_times_what_the_store_holds_is_put_and_read_back(small: Any, tmp_path: Path) -> None:
    refs = [small.put(array(i)) for i in range(40)]
    assert len(files_of(tmp_path)) > 30
    for i in (0, 39, 17, *range(40)):
        np.testing.assert_array_equal(small.get(refs[i]), array(i))
    del refs
    gc.collect()
    assert eventually(lambda: files_of(tmp_path) == [])


def test_results_of_tasks_are_spilled_and_arguments_restored(small: Any, tmp_path: Path) -> None:
    @small.remote
    def make(i: int) -> Any:
        return array(i)

    @small.remote
    def total(a: Any, b: Any) -> float:
        return float(a[0] + b[0])

    refs = [make.remote(i) for i in range(12)]
    small.wait(refs, num_returns=12)
    assert len(files_of(tmp_path)) > 6
    sums = [total.remote(refs[i], refs[11 - i]) for i in range(12)]
    assert small.get(sums) == [11.0] * 12


def test_an_array_that_is_read_is_never_moved_under_its_reader(small: Any, tmp_path: Path) -> None:
    first = small.put(array(5))
    view = small.get(first)
    at = view.__array_interface__["data"][0]
    others = [small.put(array(i)) for i in range(12)]
    assert view.__array_interface__["data"][0] == at
    np.testing.assert_array_equal(view, array(5))
    half = view[: MIB // 2]
    del view
    others += [small.put(array(i)) for i in range(12)]
    np.testing.assert_array_equal(half, array(5)[: MIB // 2])
    del half
    others += [small.put(array(i)) for i in range(12)]
    assert len(files_of(tmp_path)) > 30
    np.testing.assert_array_equal(small.get(first), array(5))


def test_a_store_full_of_views_is_full_and_the_error_lists_them(small: Any) -> None:
    views = [small.get(small.put(array(i))) for i in range(3)]
    with pytest.raises(ex.ObjectStoreFullError, match="driver"):
        small.put(array(3))
    on_disk = small.put(np.zeros(10))
    assert views[2][1] == 3 and small.get(on_disk)[0] == 0
    views.clear()
    assert small.get(small.put(array(3)))[0] == 3


def test_a_value_that_finds_no_room_to_come_back_to_is_read_where_its_file_lies(small: Any, tmp_path: Path) -> None:
    refs = [small.put(array(i)) for i in range(6)]
    views = [small.get(refs[i]) for i in (3, 4, 5)]
    first = small.get(refs[0])
    assert not first.flags.writeable
    assert any(path.name == refs[0].hex()[16:] for path in files_of(tmp_path)), "it is on disk still"
    views.clear()
    refs.clear()
    gc.collect()
    assert eventually(lambda: files_of(tmp_path) == [])
    np.testing.assert_array_equal(first, array(0))


@pytest.mark.parametrize("damage", ["gone", "cut", "changed"])
def test_a_spilled_file_that_is_damaged_is_object_lost_by_name(small: Any, tmp_path: Path, damage: str) -> None:
    refs = [small.put(array(i)) for i in range(8)]
    spilled = {path.name for path in files_of(tmp_path)}
    lost = next(ref for ref in refs if ref.hex()[16:] in spilled)
    path = folder_of(tmp_path) / lost.hex()[16:]
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        os.truncate(path, 1000)
    else:
        with path.open("r+b") as file:
            file.seek(4_321_000)
            file.write(b"\xff\xff\xff")

    @small.remote
    def first(a: Any) -> float:
        return float(a[0])

    @small.remote
    class Keeper:
        def __init__(self, a: Any) -> None:
            self.a = a

        def ok(self) -> bool:
            return True

    with pytest.raises(ex.ObjectLostError, match="put\\(\\) made it") as caught:
        small.get(lost)
    assert str(path) in str(caught.value)
    with pytest.raises(ex.ObjectLostError, match=path.name):
        small.get(first.remote(lost))
    with pytest.raises(ex.RayActorError, match=path.name):
        small.get(Keeper.remote(lost).ok.remote())
    others = [ref for ref in refs if ref is not lost]
    assert all(small.get(ref)[1] == small.get(ref)[0] + 1 for ref in others)


def test_an_argument_that_is_lost_fails_the_task_with_its_error(small: Any, tmp_path: Path) -> None:
    refs = [small.put(array(i)) for i in range(8)]
    spilled = files_of(tmp_path)
    lost = next(ref for ref in refs if ref.hex()[16:] == spilled[0].name)
    spilled[0].unlink()

    @small.remote
    def first(a: Any) -> float:
        return float(a[0])

    with pytest.raises(ex.ObjectLostError, match=spilled[0].name):
        small.get(first.remote(lost))


def test_a_disk_that_takes_no_more_is_an_error_that_names_the_folder_and_loses_nothing(
    small: Any, tmp_path: Path
) -> None:
    refs = [small.put(array(i)) for i in range(3)]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, before[1]))  # what a full disk is to a program
    try:
        with pytest.raises(ex.ObjectStoreFullError, match="could not be spilled") as caught:
            refs += [small.put(array(i)) for i in range(3, 6)]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(folder_of(tmp_path)) in str(caught.value) and "bytes are free" in str(caught.value)
    assert files_of(tmp_path) == []
    for i, ref in enumerate(refs):
        np.testing.assert_array_equal(small.get(ref), array(i))
    assert small.get(small.put(array(9)))[0] == 9


def test_many_workers_read_and_make_more_than_fits(small: Any) -> None:
    @small.remote
    def next_of(a: Any) -> Any:
        return a + 1

    rows = [small.put(array(i)) for i in range(6)]
    for _ in range(4):
        rows = [next_of.remote(ref) for ref in rows]
    for i, ref in enumerate(rows):
        np.testing.assert_array_equal(small.get(ref), array(i) + 4)


def test_a_worker_killed_with_views_leaves_what_it_read_free_to_move(small: Any, tmp_path: Path) -> None:
    @small.remote
    class Reader:
        def read(self, refs: list[Any]) -> int:
            self.kept = daybreak.get(refs)
            return os.getpid()

    refs = [small.put(array(i)) for i in range(3)]
    reader = Reader.remote()
    pid = small.get(reader.read.remote(refs))
    with pytest.raises(ex.ObjectStoreFullError):
        small.put(array(3))
    os.kill(pid, signal.SIGKILL)

    def fits() -> bool:
        try:
            return bool(small.get(small.put(array(3)))[0] == 3)
        except ex.ObjectStoreFullError:
            return False

    assert eventually(fits)
    for i, ref in enumerate(refs):
        np.testing.assert_array_equal(small.get(ref), array(i))


def test_the_threshold_says_when_it_begins(tmp_path: Path) -> None:
    daybreak.shutdown()
    with daybreak.init(
        num_cpus=1, object_store_memory=64 * MIB, object_spilling_directory=tmp_path, object_spilling_threshold=0.3
    ):
        refs = [daybreak.put(array(i)) for i in range(6)]
        assert len(files_of(tmp_path)) >= 3
        assert state.status().store[0] < 40 * MIB
        assert [daybreak.get(ref)[0] for ref in refs] == list(range(6))


def test_state_shows_what_is_spilled_where(small: Any, tmp_path: Path) -> None:
    refs = [small.put(array(i)) for i in range(8)]
    spilled = state.status().spilled
    assert spilled["folder"] == str(folder_of(tmp_path))
    assert spilled["objects"] == len(files_of(tmp_path)) > 3
    assert 8 * MIB * spilled["objects"] <= spilled["bytes"] < 9 * MIB * spilled["objects"]
    assert spilled["spilled_bytes_total"] >= spilled["bytes"] and spilled["restored_objects_total"] == 0
    rows = {row.object_id: row.spilled for row in state.list_objects()}
    assert sum(rows.values()) == spilled["objects"]
    summary = state.summarize_objects()["PUT"]
    assert summary["spilled_objects"] == spilled["objects"] and summary["spilled_size_bytes"] == spilled["bytes"]
    small.get(refs[0])
    assert state.status().spilled["restored_objects_total"] == 1


def test_nothing_is_spilled_where_that_is_off(tmp_path: Path) -> None:
    daybreak.shutdown()
    with daybreak.init(
        num_cpus=1, object_store_memory=32 * MIB, _system_config={"automatic_object_spilling_enabled": False}
    ):
        kept = [daybreak.put(array(i)) for i in range(3)]
        with pytest.raises(ex.ObjectStoreFullError):
            daybreak.put(array(3))
        assert state.status().spilled["folder"] == "" and len(kept) == 3


def test_rays_older_names_of_the_options_mean_the_same(tmp_path: Path) -> None:
    config = {
        "object_spilling_threshold": 0.5,
        "object_spilling_config": f'{{"type": "filesystem", "params": {{"directory_path": "{tmp_path}"}}}}',
    }
    assert spilling.settings(None, None, config) == (str(tmp_path), True, 0.5)
    assert spilling.settings(None, 0.7, config) == (str(tmp_path), True, 0.7)
    with pytest.raises(ValueError, match="smart_open"):
        spilling.settings(
            None, None, {"object_spilling_config": '{"type": "smart_open", "params": {"directory_path": "s3"}}'}
        )


@pytest.mark.parametrize("threshold", [0, -1, 1.5, float("nan"), "half", True])
def test_a_threshold_out_of_range_is_refused_by_name(threshold: Any) -> None:
    with pytest.raises(ValueError, match="object_spilling_threshold"):
        spilling.settings(None, threshold, None)


def test_a_folder_that_cannot_be_is_refused_by_name(tmp_path: Path) -> None:
    daybreak.shutdown()
    (tmp_path / "file").write_text("not a folder")
    for directory in (tmp_path / "file", tmp_path / "file" / "below", 7, ""):
        with pytest.raises(ValueError, match="object_spilling_directory"):
            daybreak.init(num_cpus=1, object_spilling_directory=directory)
    assert not daybreak.is_initialized()


def test_a_killed_driver_leaves_a_folder_that_the_next_one_removes(tmp_path: Path) -> None:
    code = f"""
import os, signal, numpy as np, daybreak
daybreak.init(num_cpus=1, object_store_memory={32 * MIB}, object_spilling_directory={str(tmp_path)!r})
refs = [daybreak.put(np.zeros({MIB})) for _ in range(8)]
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert len(files_of(tmp_path)) > 3
    daybreak.shutdown()
    with daybreak.init(num_cpus=1, object_store_memory=32 * MIB, object_spilling_directory=tmp_path):
        assert files_of(tmp_path) == [], "one folder, and it is the new one's"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_memory_is_warned_of() -> None:
    if not os.path.isdir("/dev/shm") or not os.access("/dev/shm", os.W_OK):
        pytest.skip("no /dev/shm to write to")
    code = "import daybreak; daybreak.init(num_cpus=1, object_spilling_directory='/dev/shm'); daybreak.shutdown()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "/dev/shm" in done.stderr and "tmpfs" in done.stderr


def test_a_cluster_is_told_the_folder_and_has_its_own_name_for_the_threshold(tmp_path: Path) -> None:
    assert spilling.for_ray(tmp_path, None) == {"object_spilling_directory": str(tmp_path)}
    assert spilling.for_ray(None, None) == {"object_spilling_directory": None}
    daybreak.shutdown()
    with pytest.raises(ValueError, match="object_spilling_threshold=0.5.*_system_config"):
        daybreak.init(engine="ray", object_spilling_threshold=0.5)
