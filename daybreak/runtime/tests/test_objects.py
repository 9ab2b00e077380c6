"""Objects: arrays without copies, references that keep alive, a store that fills up."""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest

import daybreak
from daybreak import exceptions as ex
from daybreak._core import runtime as native

from .conftest import eventually


def test_arrays_are_read_only_views_of_shared_memory(ray: Any) -> None:
    array = np.arange(100_000, dtype=np.float64).reshape(100, 1000)
    ref = ray.put(array)
    first, second = ray.get(ref), ray.get(ref)
    assert np.array_equal(first, array) and not first.flags.writeable
    assert first.__array_interface__["data"][0] == second.__array_interface__["data"][0]
    with pytest.raises(ValueError, match="read-only"):
        first[0, 0] = 1
    copy = first.copy()
    copy[0, 0] = 7
    assert ray.get(ref)[0, 0] == 0


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(0),
        np.zeros((3, 0, 2)),
        np.array(5.0),
        np.arange(10, dtype=np.int8),
        np.arange(10, dtype=">i4"),
        np.arange(24).reshape(2, 3, 4).T,
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.arange(100)[::3],
        np.array(["a", "bcd"]),
        np.array([1, "x", None], dtype=object),
        np.array([True, False]),
        np.ones(5, dtype=np.float16),
        np.ones(1000, dtype=np.complex128),
        np.zeros(4, dtype=[("a", "i4"), ("b", "f8")]),
        np.array(["2020-01-01"], dtype="datetime64[D]"),
    ],
)
def test_every_kind_of_array_survives(ray: Any, array: Any) -> None:
    @ray.remote
    def same(x: Any) -> Any:
        return x

    for back in (
        ray.get(ray.put(array)),
        ray.get(same.remote(array)),
        ray.get(ray.put({"inside": [array]}))["inside"][0],
    ):
        assert back.dtype == array.dtype and back.shape == array.shape
        assert np.array_equal(back, array)


def test_subclasses_and_big_buffers_inside_objects_are_views_too(ray: Any) -> None:
    array = np.arange(50_000.0)
    back = ray.get(ray.put({"a": array, "b": [array + 1]}))
    assert not back["a"].flags.writeable and not back["a"].flags.owndata
    assert np.array_equal(back["b"][0], array + 1)
    masked = np.ma.masked_array([1, 2, 3], mask=[0, 1, 0])
    assert (ray.get(ray.put(masked)) == masked).all()


def test_an_array_keeps_its_memory_after_the_reference_is_gone(ray: Any) -> None:
    array = ray.get(ray.put(np.full(200_000, 3.0)))
    for i in range(20):
        ray.get(ray.put(np.full(200_000, float(i))))
    assert array.sum() == 600_000


def test_result_of_a_large_task_is_a_view(ray: Any) -> None:
    @ray.remote
    def make(n: int) -> Any:
        return np.arange(n)

    big = ray.get(make.remote(500_000))
    assert big[-1] == 499_999 and not big.flags.owndata


def test_nested_references_live_as_long_as_what_contains_them(ray: Any) -> None:
    outer = ray.put({"list": [ray.put(np.full(1000, i)) for i in range(20)], "deep": [[ray.put("deep")]]})
    gc.collect()
    inside = ray.get(outer)
    del outer
    gc.collect()
    assert [ray.get(r)[0] for r in inside["list"]] == list(range(20))
    assert ray.get(inside["deep"][0][0]) == "deep"


def test_list_of_ten_thousand_references(ray: Any) -> None:
    refs = [ray.put(i) for i in range(10_000)]
    box = ray.put(refs)
    assert ray.get(box) == refs
    del refs
    assert ray.get(ray.get(box)[9_999]) == 9_999


def test_references_pickled_by_hand_can_be_used(ray: Any) -> None:
    ref = ray.put("value")
    assert ray.get(pickle.loads(pickle.dumps(ref))) == "value"
    with pytest.raises(TypeError):
        ray.ObjectRef()


def test_memory_comes_back_when_the_last_reference_goes(no_leak: Any) -> None:
    ray = no_leak

    @ray.remote
    def echo(x: Any) -> Any:
        return x

    for size in (0, 10, 200, 5_000, 80_000, 3_000_000):
        for _ in range(10):
            ref = ray.put(bytes(size))
            assert len(ray.get(echo.remote(ref))) == size
            assert len(ray.get(echo.remote(bytes(size)))) == size
    ray.get([echo.remote([ray.put(i), {"x": ray.put(i)}]) for i in range(100)])
    echo.remote(np.zeros(100_000))  # nobody takes the result
    ray.get(echo.remote(0))


def test_full_store_lists_the_largest_holders_and_recovers(two_cpus: Any) -> None:
    ray = two_cpus
    kept = [
        ray.get(ray.put(np.zeros(5_000_000))) for _ in range(5)
    ]  # 40 MB each of 256 MB; what is read is not spilled
    with pytest.raises(ex.ObjectStoreFullError, match="driver") as caught:
        kept += [ray.get(ray.put(np.zeros(5_000_000))) for _ in range(5)]
    assert isinstance(caught.value, MemoryError) and "40000" in str(caught.value)

    @ray.remote
    def too_large() -> Any:
        return np.zeros(40_000_000)

    with pytest.raises(ex.ObjectStoreFullError):
        ray.get(too_large.remote(), timeout=30)
    with pytest.raises(ex.ObjectStoreFullError, match="larger than the object store"):
        ray.put(np.zeros(100_000_000))
    kept.clear()
    gc.collect()
    for _ in range(20):
        assert ray.get(ray.put(np.ones(10_000_000)))[-1] == 1


def test_pages_are_recycled(two_cpus: Any) -> None:
    ray = two_cpus
    addresses = set()
    for i in range(30):
        ref = ray.put(np.full(2_000_000, float(i)))
        addresses.add(ray.get(ref).__array_interface__["data"][0])
        del ref
    assert len(addresses) <= 3


def test_store_is_private_and_leaves_nothing_behind(tmp_path: Any) -> None:
    script = tmp_path / "private.py"
    script.write_text(
        "import daybreak as ray, os, stat, sys\n"
        "before = set(os.listdir('/dev/shm')) | set(os.listdir('/tmp'))\n"
        "ray.init(num_cpus=1, object_store_memory=64 << 20)\n"
        "ray.get(ray.put(bytes(1000000)))\n"
        "names = [os.readlink(f'/proc/self/fd/{f}') for f in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{f}')]\n"
        "for f in os.listdir('/proc/self/fd'):\n"
        "    try: target, mode = os.readlink(f'/proc/self/fd/{f}'), os.stat(f'/proc/self/fd/{f}')\n"
        "    except OSError: continue\n"
        "    if 'daybreak' in target or '(deleted)' in target:\n"
        "        assert stat.S_IMODE(mode.st_mode) == 0o600, (target, oct(mode.st_mode))\n"
        "        assert mode.st_uid == os.getuid()\n"
        "ray.shutdown()\n"
        "after = set(os.listdir('/dev/shm')) | set(os.listdir('/tmp'))\n"
        "print('left', sorted(n for n in after - before if 'daybreak' in n))\n"
    )
    out = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    assert out.returncode == 0, out.stderr
    assert "left []" in out.stdout


def test_objects_put_by_a_task_outlive_it(ray: Any) -> None:
    @ray.remote
    def make() -> Any:
        return [daybreak.put(np.full(1000, i)) for i in range(5)]

    refs = ray.get(make.remote())
    time.sleep(0.05)
    assert [a[0] for a in ray.get(refs)] == [0, 1, 2, 3, 4]


def test_large_arguments_are_shared_not_copied(ray: Any) -> None:
    @ray.remote
    def is_view(a: Any) -> bool:
        return not a.flags.owndata and not a.flags.writeable

    assert ray.get(is_view.remote(np.zeros(1_000_000)))


def test_worker_memory_comes_back_with_the_worker(no_leak: Any) -> None:
    ray = no_leak

    @ray.remote(max_retries=0)
    def hold_and_die() -> None:
        refs = [daybreak.put(np.zeros(200_000)) for _ in range(10)]
        arrays = daybreak.get(refs)
        assert arrays
        os._exit(1)

    for _ in range(3):
        with pytest.raises(ex.WorkerCrashedError):
            ray.get(hold_and_die.remote(), timeout=20)
    assert eventually(lambda: native._usage()["store_bytes"] < 4 << 20), native._usage()


@pytest.mark.parametrize(
    ("timeout", "error"), [("1", TypeError), (1j, TypeError), (-1, ValueError), (float("nan"), ValueError)]
)
def test_timeout_that_is_none_is_refused_by_its_name(ray: Any, timeout: Any, error: type[Exception]) -> None:
    ref = ray.put(1)
    for verb in (lambda: ray.get(ref, timeout=timeout), lambda: ray.wait([ref], timeout=timeout)):
        with pytest.raises(error, match="^timeout="):
            verb()
